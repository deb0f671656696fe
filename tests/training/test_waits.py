"""Nothing in a training step asks the device for a value: terms are read once per flush. Over all models."""

import pytest
import torch
from lightning import Callback
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lit_gen.callbacks.health import Health
from lit_gen.training import log
from tests.models import tiny

BATCHES = 100
ASKING = {"_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "_unique2"}
"""Operators for which a program would wait for a GPU; `tolist` is none on a CPU, and is counted by itself."""


class Asked(TorchDispatchMode):
    """Counts the operators that ask for a value."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ASKING:
            self.names.append(name)
        return func(*args, **kwargs or {})


class Within(Callback):
    """Watches every seventh batch: each turn of G, for all n_critic here, within a reasonable time."""

    def __init__(self) -> None:
        self.asked = Asked()

    def on_train_batch_start(self, trainer, model, batch, index):
        if index % 7 == 0:
            self.asked.__enter__()

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        if index % 7 == 0:
            self.asked.__exit__(None, None, None)


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_a_hundred_steps_read_their_terms_twice(model_class, tmp_path, monkeypatch):
    average = tiny.takes(model_class, "ema_decay")
    # torch's asks for the largest index on a CPU, and not on a GPU.
    monkeypatch.setattr(functional, "one_hot", lambda index, count: (index[..., None] == torch.arange(count)).long())
    model = tiny.build(model_class, **({"ema_decay": 0.5} if average else {}))
    reads, within = [], Within()
    read = log.LoggedTerms.read_terms
    monkeypatch.setattr(log.LoggedTerms, "read_terms", lambda self: (reads.append(len(self._unread)), read(self)))
    callbacks = [within, *([Health(every_n_batches=0)] if average else [])]
    trainer = tiny.trainer(tmp_path, callbacks=callbacks, log_every_n_steps=50, limit_val_batches=0)
    trainer.fit(model, datamodule=tiny.NoiseData(BATCHES, batch_size=2, kind=tiny.kind_for(model_class)))
    assert within.asked.names == []
    assert len([count for count in reads if count]) == 2
    losses = [name for name in model.last_terms if name.startswith("train/loss_")]
    assert losses and all(name in trainer.callback_metrics for name in losses)
    assert torch.tensor([model.last_terms[name] for name in losses]).isfinite().all()


def test_a_step_that_asks_is_found(tmp_path):
    """The test above can fail."""
    model_class = next(model for model in tiny.ALL if model.__name__ == "GAN")
    model, within = tiny.build(model_class), Within()
    original = model.generator_loss
    model.generator_loss = lambda batch, fakes: original(batch, fakes) if fakes.mean() < 9 else {}
    trainer = tiny.trainer(tmp_path, callbacks=[within], limit_val_batches=0)
    trainer.fit(model, datamodule=tiny.NoiseData(15, batch_size=2))
    assert len(within.asked.names) == 3
