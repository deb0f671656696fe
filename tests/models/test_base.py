"""Adam in one kernel: where it is used, that gradients are clipped all the same, and that old states fit it.

Rates that somebody else than the model sets: a scheduler of a subclass, or Lightning's search.
"""

from functools import partial

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.tuner import Tuner
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from lit_gen.layers.coders import ConvEncoder, network
from lit_gen.models import AAE, GAN, VAE, AutoEncoder
from tests.models import tiny


class Norms(Callback):
    """The norm of the gradients by which each optimizer has just stepped."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, model, *_):
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        self.seen.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())


def fit(model, tmp_path, *callbacks, **settings):
    trainer = tiny.trainer(tmp_path, callbacks=list(callbacks), limit_val_batches=0, **settings)
    trainer.fit(model, datamodule=tiny.NoiseData(3))
    return trainer


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("model_class", [VAE, AAE])
def test_lightning_clips_for_a_fused_optimizer(model_class, precision, tmp_path):
    """Its own way refuses fused optimizers in mixed precision."""
    whole, clipped = Norms(), Norms()
    trainer = fit(tiny.build(model_class), tmp_path, whole, precision=precision)
    assert all(group["fused"] for group in trainer.optimizers[0].param_groups)
    fit(tiny.build(model_class), tmp_path, clipped, precision=precision, gradient_clip_val=0.01)
    assert min(whole.seen) > 0.1 and clipped.seen == pytest.approx([0.01] * 3, rel=1e-3)
    by_value = Norms()
    settings = {"gradient_clip_val": 1e-4, "gradient_clip_algorithm": "value"}
    model = tiny.build(model_class)
    fit(model, tmp_path, by_value, precision=precision, **settings)
    assert max(parameter.grad.abs().max().item() for parameter in model.parameters()) == pytest.approx(1e-4)


@pytest.mark.parametrize(("precision", "fused"), [("32-true", True), ("bf16-mixed", True), ("16-mixed", False)])
def test_adam_is_fused_but_where_gradients_are_scaled(precision, fused, tmp_path):
    model = tiny.build(GAN)
    model.trainer = tiny.trainer(tmp_path)
    model.trainer.strategy._precision_plugin = type("Plugin", (), {"precision": precision})()
    assert [group["fused"] for one in model.configure_optimizers() for group in one.param_groups] == [fused] * 2


def test_it_steps_as_adam_does():
    """Against torch's plain loop over the parameters."""
    torch.manual_seed(0)
    model = tiny.build(GAN)
    ones, others = ([torch.nn.Parameter(torch.full((5,), value)) for value in (1.0, -2.0)] for _ in range(2))
    fused, plain = model.adam(ones, 0.01, (0.5, 0.9)), Adam(others, 0.01, (0.5, 0.9), foreach=False)
    for _ in range(5):
        for one, other in zip(ones, others, strict=True):
            one.grad = torch.randn(5)
            other.grad = one.grad.clone()
        fused.step()
        plain.step()
    for one, other in zip(ones, others, strict=True):
        torch.testing.assert_close(one, other)


def test_the_state_of_an_optimizer_that_was_not_fused_goes_on(tmp_path):
    model = tiny.build(GAN)
    model.adam = lambda parameters, rate, betas: Adam(parameters, rate, betas)  # as older versions had it
    trainer = fit(model, tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "old.ckpt")
    saved = torch.load(tmp_path / "old.ckpt", weights_only=True)["optimizer_states"][0]
    assert not saved["param_groups"][0]["fused"]
    resumed = tiny.build(GAN)
    trainer = tiny.trainer(tmp_path, max_epochs=2, limit_val_batches=0)
    trainer.fit(resumed, datamodule=tiny.NoiseData(3), ckpt_path=tmp_path / "old.ckpt")
    for optimizer in trainer.optimizers:
        assert optimizer.param_groups[0]["fused"]
        assert {state["step"].item() for state in optimizer.state.values()} == {6.0}
        assert all(state["step"].dtype is torch.float32 for state in optimizer.state.values())


WAYS = {  # of Lightning's to hand over an optimizer, and what becomes of its rate
    "alone": (lambda one, falling: one, [1, 1, 1]),
    "a tuple": (lambda one, falling: (one,), [1, 1, 1]),
    "two lists": (lambda one, falling: ([one], [falling(one)]), [1, 0.5, 0.25]),
    "a dictionary": (lambda one, falling: {"optimizer": one, "lr_scheduler": falling(one)}, [1, 0.5, 0.25]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("resumed", [False, True])
def test_a_scheduler_of_a_subclass_sets_the_rates(way, resumed, tmp_path):
    """As Lightning hands it over; without one, the rate is that of the settings."""
    rates, (hand_over, expected) = [], WAYS[way]

    class Own(AutoEncoder):
        def configure_optimizers(self):
            return hand_over(super().configure_optimizers(), partial(StepLR, step_size=1, gamma=0.5))

        def on_before_optimizer_step(self, optimizer):
            super().on_before_optimizer_step(optimizer)
            rates.append(optimizer.param_groups[0]["lr"] / self.learning_rate)

    for epochs in (1, 3) if resumed else (3,):
        trainer, path = tiny.trainer(tmp_path, max_epochs=epochs), tmp_path / "it.ckpt"
        trainer.fit(tiny.build(Own), datamodule=tiny.NoiseData(1), ckpt_path=path if path.exists() else None)
        trainer.save_checkpoint(path)
    assert rates == pytest.approx(expected)


def test_the_momenta_of_a_scheduler_go_on(tmp_path):
    """OneCycleLR sets Adam's first beta. In a resumed run the first epoch had the one that it begins with."""
    betas = []

    class Own(AutoEncoder):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            return [optimizer], [OneCycleLR(optimizer, 1e-2, total_steps=20)]

        def on_before_optimizer_step(self, optimizer):
            super().on_before_optimizer_step(optimizer)
            betas.append(optimizer.param_groups[0]["betas"][0])

    def fit(epochs, **how):
        trainer = tiny.trainer(tmp_path, max_epochs=epochs)
        trainer.fit(tiny.build(Own), datamodule=tiny.NoiseData(1), **how)
        return trainer

    fit(4)
    fit(2).save_checkpoint(tmp_path / "two.ckpt")
    fit(4, ckpt_path=tmp_path / "two.ckpt")
    assert len(set(betas[:4])) == 4 and betas[4:] == betas[:4]


def test_lightnings_search_for_a_rate_steps_at_those_it_says(tmp_path):
    """Before, all its steps were at the rate of the settings, and what it advised meant nothing."""
    rates = []

    class Own(AutoEncoder):
        def on_before_optimizer_step(self, optimizer):
            super().on_before_optimizer_step(optimizer)
            rates.append(optimizer.param_groups[0]["lr"])

    model, data = tiny.build(Own), tiny.NoiseData(10)
    found = Tuner(tiny.trainer(tmp_path)).lr_find(model, datamodule=data, num_training=8, early_stop_threshold=None)
    assert rates == pytest.approx(found.results["lr"]) and rates[-1] > 1e6 * rates[0]
    assert found.suggestion() is None or model.learning_rate == found.suggestion()


def test_the_statistics_of_averaged_weights_are_renewed(tmp_path):
    """In an epoch without gradients, after the last one."""
    model = tiny.build(AutoEncoder, encoder=network(ConvEncoder, channels=4))
    average = StochasticWeightAveraging(swa_lrs=1e-3, swa_epoch_start=2)
    tiny.trainer(tmp_path, callbacks=[average], max_epochs=3).fit(model, datamodule=tiny.NoiseData(3))
    counts = [value for name, value in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts and all(count == 3 for count in counts)
