"""Checkpoints of a training whose epochs take less time than to write one."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lit_gen.callbacks import timing
from lit_gen.callbacks.best import BestCheckpoint
from lit_gen.callbacks.checkpoints import RunCheckpoints, Stopped
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.models import GAN, VAE
from tests.callbacks.test_validation import Measured
from tests.models import tiny


class Clockwork(Callback):
    """Time that passes in training batches only, so many seconds in each."""

    def __init__(self, monkeypatch, seconds: float) -> None:
        self.now, self.seconds = 1000.0, seconds
        monkeypatch.setattr(timing.time, "monotonic", lambda: self.now)

    def on_train_batch_end(self, trainer, model, *_):
        self.now += self.seconds


class Writes:
    """After how many batches each file was written."""

    def __init__(self, trainer) -> None:
        self.files: list[tuple[str, int]] = []
        strategy, original = trainer.strategy, trainer.strategy.save_checkpoint

        def save(checkpoint, path, **options):
            self.files.append((Path(path).stem.strip("."), trainer.fit_loop.total_batch_idx + 1))
            original(checkpoint, path, **options)

        strategy.save_checkpoint = save

    def of(self, name: str) -> list[int]:
        return [batches for file, batches in self.files if file == name]


def train(folder, *callbacks, batches=2, checkpoint=None, model=GAN, minutes=1.0, every=0, keep=2, **settings):
    module = tiny.build(model)
    module.task = Measured(ByEpoch)
    callbacks = [
        *callbacks,
        BestCheckpoint(folder, "val/sliced_wasserstein", minutes),
        RunCheckpoints(folder, every_n_batches=every, every_n_minutes=minutes, keep=keep),
    ]
    settings = {"max_epochs": 10, "num_sanity_val_steps": 0} | settings
    trainer = tiny.trainer(folder, callbacks=callbacks, enable_checkpointing=True, **settings)
    writes = Writes(trainer)
    torch.manual_seed(1)
    trainer.fit(module, datamodule=tiny.NoiseData(batches, batch_size=2), ckpt_path=checkpoint)
    return writes


def done_in(path: Path) -> int:
    checkpoint = torch.load(path, weights_only=True)
    return checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]


# --------------------------------------------------------------------------------------------------------- last.ckpt


@pytest.mark.parametrize(
    ("seconds", "settings", "expected"),
    [
        (0, {}, [2, 20]),  # the first epoch's, and the end's
        (10, {}, [2, 8, 14, 20]),  # three epochs are a minute
        (25, {}, [2, 6, 10, 14, 18, 20]),  # the second epoch after the last is 100 seconds later
        (60, {}, list(range(2, 21, 2))),
        (0, {"minutes": 0}, list(range(2, 21, 2))),
        (10, {"minutes": 2}, [2, 14, 20]),
        (0, {"every": 7}, [2, 7, 14, 20]),
        (0, {"every": 4}, [2, 4, 8, 12, 16, 20]),  # those are ends of epochs
        (0, {"every": 1, "batches": 1}, list(range(1, 11))),
        (10, {"every": 5}, [2, 5, 10, 15, 20]),
        (25, {"every": 5}, [2, 5, 8, 10, 14, 15, 18, 20]),
        (0, {"max_steps": 16}, [2, 16]),
        (0, {"max_steps": 15}, [2, 15]),
        (0, {"limit_val_batches": 0}, [2, 20]),
        (0, {"max_epochs": 1}, [2]),
    ],
)
def test_an_epoch_ends_with_a_checkpoint_if_the_last_is_old(seconds, settings, expected, tmp_path, monkeypatch):
    writes = train(tmp_path, Clockwork(monkeypatch, seconds), **settings)
    assert writes.of("next") == expected
    assert done_in(tmp_path / "last.ckpt") == expected[-1]


def test_the_end_has_a_checkpoint_whatever_ends_the_training(tmp_path):
    class AfterTheFourth(Callback):
        def on_train_epoch_end(self, trainer, model):
            trainer.should_stop |= trainer.current_epoch == 3

    stopping = EarlyStopping("train/loss_d_real", stopping_threshold=1e9, check_on_train_epoch_end=True)
    assert train(tmp_path / "one", AfterTheFourth()).of("next") == [2, 8]
    assert train(tmp_path / "other", stopping, min_epochs=5).of("next") == [2, 10]


def test_a_run_that_is_told_to_stop_in_the_last_batch_of_an_epoch_loses_nothing(tmp_path):
    class Signal(Callback):
        def on_train_batch_end(self, trainer, model, *_):
            if trainer.fit_loop.total_batch_idx + 1 == 8:
                os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(Stopped, match="143") as stopped:
            train(tmp_path, Signal())
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert "after batch 8" in stopped.value.message and done_in(tmp_path / "last.ckpt") == 8


def test_a_process_that_goes_on_soon_has_a_checkpoint_of_its_own(tmp_path):
    """Else a run that is killed again and again within a minute would never get on."""

    class Interrupt(Callback):
        def on_train_epoch_start(self, trainer, model):
            if trainer.current_epoch == done + 2:
                raise KeyboardInterrupt

    for done in range(3):
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(tmp_path, Interrupt(), checkpoint=tmp_path / "last.ckpt" if done else None)
        assert done_in(tmp_path / "last.ckpt") == 2 * (done + 1)


class Clocks(Callback):
    """A clock that is always due in one process, and hardly ever in the others."""

    def __init__(self, impatient: int) -> None:
        self.impatient = impatient

    def on_train_start(self, trainer, model):
        for saver in trainer.checkpoint_callbacks:
            saver.clock.minutes = 0 if trainer.global_rank == self.impatient else 60


def train_by_two(folder, impatient):
    settings = {"devices": 2, "strategy": "ddp_fork", "use_distributed_sampler": False, "max_epochs": 4}
    train(folder, Clocks(impatient), model=VAE, batches=4, keep=9, **settings)


@pytest.mark.parametrize(("impatient", "expected"), [(0, [2, 4, 6, 8]), (1, [2, 8])])
def test_the_clock_of_the_first_process_decides(impatient, expected, tmp_path):
    """Both write or none does: a process that waited alone would wait for ever."""
    # In a new process: torch forks none that had threads for gradients, as some tests before this one need.
    process = multiprocessing.get_context("spawn").Process(target=train_by_two, args=(tmp_path, impatient))
    process.start()
    process.join(240)
    process.kill()
    assert process.exitcode == 0
    assert sorted(done_in(path) for path in tmp_path.glob("*.ckpt") if path.stem != "best") == expected


# --------------------------------------------------------------------------------------------------------- best.ckpt


class ByEpoch(Evaluator):
    """The value of the epoch."""

    values = [5, 4, 3, 2, 6, 1, 7, 7, 7, 0.5]

    def update(self, model, batch):
        self.epoch = model.trainer.current_epoch

    def compute(self):
        return {"sliced_wasserstein": Figure(self.values[self.epoch], 1)}


class Weights(Callback):
    """The weights after each epoch."""

    def __init__(self) -> None:
        self.after = []

    def on_train_epoch_end(self, trainer, model):
        self.after.append(tiny.parameters(model))


def best(folder):
    return torch.load(folder / "best.ckpt", weights_only=True)


@pytest.mark.parametrize(
    ("seconds", "settings", "expected"),
    [
        (0, {}, [2, 20]),
        (10, {}, [2, 8, 14, 20]),
        (0, {"minutes": 0}, [2, 4, 6, 8, 12, 20]),
        (10, {"minutes": 1, "every": 3}, [2, 6, 9, 12, 20]),
        # Validations within an epoch, which has no other checkpoint:
        (25, {"batches": 12, "max_epochs": 1, "val_check_interval": 2, "falling": True}, [2, 6, 10, 12]),
        (0, {"batches": 12, "max_epochs": 1, "val_check_interval": 2, "falling": True}, [2, 12]),
    ],
)
def test_a_better_state_waits_for_another_checkpoint_or_a_minute(seconds, settings, expected, tmp_path, monkeypatch):
    if settings.pop("falling", False):
        values = iter(range(100, 0, -1))
        monkeypatch.setattr(ByEpoch, "compute", lambda self: {"sliced_wasserstein": Figure(next(values), 1)})
    writes = train(tmp_path, Clockwork(monkeypatch, seconds), Evaluation(), **settings)
    assert writes.of("best") == expected


def test_what_is_written_late_is_the_state_of_then(tmp_path, monkeypatch):
    weights = Weights()
    monkeypatch.setattr(ByEpoch, "values", [5, 4, 1, *[7] * 7])
    writes = train(tmp_path, Evaluation(), weights)
    assert writes.of("best") == [2, 20] and best(tmp_path)["epoch"] == 2
    tiny.assert_same({name: best(tmp_path)["state_dict"][name] for name in weights.after[2]}, weights.after[2])
    late = best(tmp_path)
    train(tmp_path, Evaluation(), minutes=0)
    at_once = best(tmp_path)
    for part in ("state_dict", "optimizer_states", "loops", "callbacks", "NoiseData"):
        tiny.assert_same(late[part], at_once[part], part)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_waits_is_written_when_the_training_breaks_off(error, tmp_path):
    class Broken(Callback):
        def on_train_batch_start(self, trainer, model, batch, batch_idx):
            if trainer.fit_loop.total_batch_idx == 9:
                raise error

    with pytest.raises((error, SystemExit)):
        train(tmp_path, Evaluation(), Broken())
    assert best(tmp_path)["epoch"] == 3 and done_in(tmp_path / "last.ckpt") == 2


def test_the_error_is_seen_even_if_the_disk_is_full(tmp_path, caplog):
    class Broken(Callback):
        def on_train_batch_start(self, trainer, model, batch, batch_idx):
            if trainer.fit_loop.total_batch_idx == 9:
                trainer.strategy.save_checkpoint = self.refuse
                raise ZeroDivisionError

        def refuse(self, *arguments, **options):
            raise OSError("No space left on device")

    with pytest.raises(ZeroDivisionError), caplog.at_level("INFO"):
        train(tmp_path, Evaluation(), Broken())
    assert best(tmp_path)["epoch"] == 0
    assert "best.ckpt cannot be written: No space left on device" in caplog.text


def test_what_was_trained_is_saved_though_the_best_state_cannot_be(tmp_path):
    class Refusing(Callback):
        def on_train_start(self, trainer, model):
            self.save, trainer.strategy.save_checkpoint = trainer.strategy.save_checkpoint, self.refuse

        def refuse(self, checkpoint, path, **options):
            if Path(path).name == "best.ckpt":
                raise PermissionError
            self.save(checkpoint, path, **options)

    with pytest.raises(PermissionError):
        train(tmp_path, Evaluation(), Refusing(), minutes=0.0)
    assert done_in(tmp_path / "exception.ckpt") == 2


def test_a_run_that_was_killed_while_a_better_state_waited_finds_it_again(tmp_path):
    class Copy(Callback):
        def on_train_epoch_start(self, trainer, model):
            if trainer.current_epoch == 7:
                shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    train(tmp_path / "whole", Evaluation(), Copy())
    killed = tmp_path / "killed"
    assert best(killed)["epoch"] == 0 and done_in(killed / "last.ckpt") == 2, "as old as each other"
    train(killed, Evaluation(), checkpoint=killed / "last.ckpt")
    for name in ("last", "best"):
        one, other = (torch.load(folder / f"{name}.ckpt", weights_only=True) for folder in (tmp_path / "whole", killed))
        for part in ("state_dict", "optimizer_states", "epoch"):
            tiny.assert_same(one[part], other[part], f"{name}: {part}")


def test_no_checkpoint_of_another_kind_is_ahead_of_it(tmp_path):
    own = ModelCheckpoint(tmp_path / "own", every_n_epochs=4, save_top_k=-1)
    assert train(tmp_path, Evaluation(), own).of("best") == [2, 8, 16, 20]  # with those after epochs 4 and 8
