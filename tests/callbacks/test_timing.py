"""The time that a run has trained, by a clock that the test sets."""

import json

import pytest
import torch

from lit_gen.callbacks import timing
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.timing import TrainingTime, training_seconds
from lit_gen.models import GAN
from tests.models import tiny


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Trains up to some epoch of four batches; a second passes with each batch, and 100 between the runs."""
    clock = [0]
    monkeypatch.setattr(timing.time, "monotonic", lambda: clock[0])

    class Model(GAN):
        def training_step(self, *words):
            clock[0] += 1
            super().training_step(*words)

    def train(epochs, checkpoint=None):
        clock[0] += 100
        Model.__name__ = "GAN"  # of tiny settings
        callbacks = [RunCheckpoints(tmp_path / "checkpoints", 3), TrainingTime(tmp_path)]
        trainer = tiny.trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True, max_epochs=epochs)
        path = checkpoint and tmp_path / "checkpoints" / f"{checkpoint}.ckpt"
        trainer.fit(tiny.build(Model), datamodule=tiny.NoiseData(4), ckpt_path=path)
        return json.loads((tmp_path / "time.json").read_text())

    return train


def test_an_unbroken_run(train):
    assert train(2) == {"seconds": 8, "batches": 8}


def test_parts_are_added(train):
    train(1)
    assert train(3, "last") == {"seconds": 12, "batches": 12}


def test_an_older_checkpoint_took_a_part_of_the_time(train):
    """Going on from the third batch of four: the one that is lost does not count."""
    train(1)  # previous-1.ckpt is of batch 3
    assert train(2, "previous-1") == {"seconds": 8, "batches": 8}


def test_a_new_run_in_an_old_folder_begins_at_nought(train):
    train(2)
    assert train(1) == {"seconds": 4, "batches": 4}


def test_checkpoints_do_not_depend_on_the_time(train, tmp_path):
    files = []
    for _ in range(2):
        train(1)
        files.append(torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True))
    assert "TrainingTime" not in str(files[0]["callbacks"])
    tiny.assert_same(*(file["callbacks"] for file in files))


def test_a_record_that_a_loss_of_power_has_emptied_keeps_no_run_from_going_on(train, tmp_path):
    train(1)
    (tmp_path / "time.json").write_text("")
    assert train(2, "last") == {"seconds": 4, "batches": 8}


def test_no_record(tmp_path):
    assert training_seconds(tmp_path / "time.json", 5) == 0
