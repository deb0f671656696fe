"""Lightning's private names still are what the project takes them for: each test fails when an upgrade changes one."""

import gc
import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import wandb
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.profilers import PassThroughProfiler, SimpleProfiler
from lightning.pytorch.trainer import call
from torch import distributed
from torch.optim import SGD
from torch.utils.data import DataLoader

import lit_gen
from lit_gen import lightning_compat as compat
from tests.metrics.pictures import in_two_processes
from tests.models import tiny
from tests.models.test_processes import place

PACKAGE = Path(lit_gen.__file__).parent


class OneWeight(LightningModule):
    """A weight that loses 1 in each optimizer step; its value is logged in each batch as `weight`."""

    def __init__(self, optimizers: int = 1) -> None:
        super().__init__()
        self.weight, self.automatic_optimization = torch.nn.Parameter(torch.zeros(())), optimizers == 1
        self.count = optimizers

    def configure_optimizers(self) -> Any:
        return [SGD([self.weight], lr=1.0) for _ in range(self.count)]

    def training_step(self, batch: Any, index: int) -> Any:
        self.log("weight", self.weight.detach())
        if self.automatic_optimization:
            return self.weight
        self.step()

    def step(self) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.weight)
            optimizer.step()

    def validation_step(self, batch: Any, index: int) -> None:
        pass

    def train_dataloader(self) -> DataLoader:
        return DataLoader(range(4), batch_size=1)

    val_dataloader = train_dataloader


class AfterBatch(Callback):
    """Keeps what `ask(trainer)` gives after each training batch, and when validations begin."""

    def __init__(self, ask: Any) -> None:
        self.ask, self.answers, self.validated_after = ask, [], []

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.answers.append(self.ask(trainer))

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self.validated_after.append(len(self.answers))


class Rows(Logger):
    name, version = "rows", "0"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(metrics | {"step": step})

    def log_hyperparams(self, *_: Any) -> None:
        pass


def fit(tmp_path: Path, model: LightningModule, *callbacks: Callback, **settings: Any) -> Trainer:
    trainer = tiny.trainer(tmp_path, callbacks=list(callbacks), **{"limit_val_batches": 0} | settings)
    trainer.fit(model)
    return trainer


def test_a_model_tells_its_trainer(tmp_path):
    model = OneWeight()
    assert compat.trainer_of(model) is None
    trainer = fit(tmp_path, model)
    assert compat.trainer_of(model) is trainer


def test_optimizers_are_told_anew(tmp_path):
    model = OneWeight(2)
    model.trainer = tiny.trainer(tmp_path)
    first, second = compat.told_optimizers(model), compat.told_optimizers(model)
    assert [type(one) for one in first] == [SGD, SGD] and not {*map(id, first)} & {*map(id, second)}


class Counting(OneWeight):
    def training_step(self, batch: Any, index: int) -> None:
        with compat.uncounted_steps(*self.optimizers()):
            self.step()
            self.step()
        compat.count_step(self.optimizers()[0])


def test_steps_are_counted_by_hand_only(tmp_path):
    model = Counting(optimizers=2)
    trainer = fit(tmp_path, model, max_steps=3, max_epochs=-1)
    assert trainer.global_step == 3 and model.weight.item() == -12


def test_steps_are_counted_again_after_the_block_also_after_an_error(tmp_path):
    class Failing(Counting):
        def training_step(self, batch: Any, index: int) -> None:
            with pytest.raises(ZeroDivisionError), compat.uncounted_steps(*self.optimizers()):
                self.step()
                _ = 1 / 0
            self.step()

    assert fit(tmp_path, Failing(optimizers=2)).global_step == 8


def test_batches_are_counted_over_all_epochs(tmp_path):
    count = AfterBatch(compat.batches_so_far)
    fit(tmp_path, OneWeight(), count, max_epochs=2, accumulate_grad_batches=2)
    assert count.answers == [1, 2, 3, 4, 5, 6, 7, 8]


def test_an_epoch_begins_anew(tmp_path):
    trainer = tiny.trainer(tmp_path, max_steps=3)
    trainer.fit_loop.restarting = False
    assert trainer.fit_loop.restarting, "the public setter would do"
    compat.begin_epoch_anew(trainer)
    assert not trainer.fit_loop.restarting and not trainer.fit_loop.epoch_loop.restarting


def test_validations_are_foretold(tmp_path):
    follows = AfterBatch(compat.validation_follows)
    fit(tmp_path, OneWeight(), follows, limit_val_batches=1, val_check_interval=3, num_sanity_val_steps=0, max_epochs=2)
    assert follows.answers == [False, False, True, False] * 2 and follows.validated_after == [3, 7]


def test_an_early_stop_waits_for_min_steps(tmp_path):
    def stop(trainer: Trainer) -> bool:
        trainer.should_stop = True
        return compat.stops_early(trainer)

    stops = AfterBatch(stop)
    fit(tmp_path, OneWeight(), stops, min_epochs=0, min_steps=3)
    assert stops.answers == [False, False, True]


class AfterEpoch(Callback):
    """Asks whether the epoch was the last; one that says so itself ends the training after the third."""

    def __init__(self, stops: bool) -> None:
        self.stops, self.answers = stops, []

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop |= self.stops and trainer.current_epoch == 2
        self.answers.append(compat.last_epoch_is_done(trainer))
        self.checkpoint = compat.whole_checkpoint(trainer)


@pytest.mark.parametrize(
    ("settings", "stops", "epochs"),
    [
        ({"max_epochs": 2}, False, 2),
        ({"max_epochs": -1, "max_steps": 8}, False, 2),
        ({"max_epochs": -1, "max_steps": 9}, False, 3),
        ({"max_epochs": 5, "max_steps": 30}, False, 5),
        ({"max_epochs": -1}, True, 3),
        ({"max_epochs": 9, "min_epochs": 5}, True, 5),
    ],
)
def test_the_last_epoch_is_known_when_it_ends(tmp_path, settings, stops, epochs):
    asks = AfterEpoch(stops)
    trainer = fit(tmp_path, OneWeight(), asks, **settings)
    assert asks.answers == [False] * (epochs - 1) + [True] and trainer.current_epoch == epochs
    counts = asks.checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    assert counts["completed"] == epochs - 1, "asking must not count the epoch as complete, as fit_loop.done does"


@pytest.mark.parametrize(("optimizers", "settings"), [(1, {"accumulate_grad_batches": 2}), (2, {}), (1, {})])
def test_the_next_row_is_foretold(tmp_path, optimizers, settings):
    logger = Rows()
    rows = AfterBatch(compat.next_row)
    model = OneWeight(optimizers)
    fit(tmp_path, model, rows, max_epochs=2, logger=logger, log_every_n_steps=2, **settings)
    assert len(logger.rows) == (2 if settings else 4)
    assert [row for row in rows.answers if row] == [
        {name: row[name] for name in ("epoch", "step")} for row in logger.rows
    ]


def test_the_step_of_a_row_is_the_one_that_lightning_logs_at(tmp_path):
    logger = Rows()
    steps = AfterBatch(compat.step_in_log)
    trainer = fit(tmp_path, OneWeight(optimizers=2), steps, logger=logger, log_every_n_steps=1)
    assert steps.answers == [row["step"] for row in logger.rows] == [0, 1, 2, 3]
    assert trainer.global_step == 8, "the public name would do"


def test_wandb_is_not_told_of_anonymous(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb, "run", None)
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(wandb, "init", lambda **settings: given.append(settings))
    for leave_out in (False, True):
        logger = WandbLogger(save_dir=tmp_path, project="p")
        if leave_out:
            compat.leave_anonymous_out(logger)
        _ = logger.experiment
    usual, less = given
    assert usual.keys() - less.keys() == {"anonymous"} and less["project"] == "p"


@pytest.mark.parametrize("uploads", [True, False, "all"])
def test_a_wandb_logger_tells_whether_it_uploads_checkpoints(tmp_path, uploads):
    assert compat.uploads_checkpoints(WandbLogger(save_dir=tmp_path, log_model=uploads)) is bool(uploads)


class SendToSelf(Callback):
    def __init__(self, number: int, then: Any = None) -> None:
        self.number, self.then, self.received = number, then, []

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        os.kill(os.getpid(), self.number)
        self.received.append(trainer.received_sigterm)
        if self.then is not None:
            self.then(trainer)
            self.received.append(trainer.received_sigterm)


def test_a_sigterm_is_forgotten(tmp_path):
    sends = SendToSelf(signal.SIGTERM, compat.forget_sigterm)
    trainer = fit(tmp_path, OneWeight(), sends)
    assert sends.received == [True, False] and trainer.global_step == 4  # it has trained to its end


def broadcasts(rank, world, stop):
    """How often the processes of a training of four batches sent one number."""
    sent = []
    broadcast = distributed.broadcast

    def counted(tensor, *arguments, **options):
        sent.append(tensor.numel())
        return broadcast(tensor, *arguments, **options)

    class Stops(Callback):
        def on_train_start(self, trainer, model):
            if stop:
                compat.stop_sharing_sigterm(trainer)

    trainer = tiny.trainer("", callbacks=[Stops()], limit_val_batches=0, strategy="ddp", **place(rank, world))
    with mock.patch.object(distributed, "broadcast", counted):
        trainer.fit(OneWeight())
    return sent.count(1)


def test_a_sigterm_is_no_longer_shared():
    shared, unshared = (in_two_processes(broadcasts, 2, stop) for stop in (False, True))
    assert [one - other for one, other in zip(shared, unshared, strict=True)] == [4, 4]


def test_the_handler_for_slurm_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setattr(SLURMEnvironment, "detect", lambda: False)
    handled = []
    environment = SLURMEnvironment(requeue_signal=signal.SIGUSR2)
    trainer = tiny.trainer(tmp_path, plugins=[environment], callbacks=[SendToSelf(signal.SIGUSR2)], limit_val_batches=0)
    compat.set_requeue_handler(trainer, lambda number, frame: handled.append(number))
    trainer.fit(OneWeight())
    assert handled == [signal.SIGUSR2] and not list(tmp_path.glob("*.ckpt"))


def test_a_single_device_tells_its_cluster(tmp_path):
    environment = LightningEnvironment()
    assert compat.cluster_environment(tiny.trainer(tmp_path, devices=1, plugins=[environment])) is environment


def test_the_first_process_is_asked_to_end_once_another_has_failed(monkeypatch):
    monkeypatch.setattr(_ChildProcessObserver, "_terminate_all", None)  # put back afterwards
    asked, codes = [], ("raise SystemExit(2)", "import time; time.sleep(100)")
    compat.end_by(lambda: asked.append(True))
    failed, waits = children = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
    failed.wait()
    assert _ChildProcessObserver(os.getpid(), children)._run() and asked == [True]
    assert waits.wait(10) == -signal.SIGKILL


def test_a_checkpoint_without_a_file_is_what_the_file_would_hold(tmp_path):
    model = OneWeight()
    trainer = fit(tmp_path, model)
    trainer.save_checkpoint(tmp_path / "saved.ckpt")
    saved, whole = torch.load(tmp_path / "saved.ckpt", weights_only=False), compat.whole_checkpoint(trainer)
    assert whole.keys() == saved.keys() and {"optimizer_states", "loops", "callbacks"} <= whole.keys()
    assert whole["state_dict"] == saved["state_dict"] == {"weight": torch.tensor(-4.0)}


def test_a_tensor_is_loaded_onto_the_cpu_where_its_device_is_not_there():
    storage = torch.ones(2).untyped_storage()
    assert compat.where_saved(storage, "cpu") is None, "where it was"
    assert compat.where_saved(storage, "xla:0").device.type == "cpu"


def test_a_delayed_checkpoint_keeps_in_place_of_writing(tmp_path):
    class Keeping(compat.DelayedCheckpoint):
        kept: list[tuple[str, int]] = []

        def keep(self, trainer: Trainer, path: str) -> None:
            self.kept.append((path, trainer.global_step))

    keeping = Keeping(tmp_path, "kept", enable_version_counter=False)
    fit(tmp_path, OneWeight(), keeping, max_epochs=2, enable_checkpointing=True)
    assert keeping.kept == [(str(tmp_path / "kept.ckpt"), 4), (str(tmp_path / "kept.ckpt"), 8)]
    assert keeping.best_model_path == str(tmp_path / "kept.ckpt") and not list(tmp_path.rglob("*.ckpt"))


def test_a_model_checkpoint_tells_whether_it_goes_by_the_clock():
    assert compat.saves_by_the_clock(ModelCheckpoint(train_time_interval=timedelta(minutes=5)))
    assert not compat.saves_by_the_clock(ModelCheckpoint(every_n_epochs=2))


class Unparsed(LightningCLI):
    def parse_arguments(self, *_: Any) -> None:
        raise InterruptedError(self)


def test_the_command_line_lists_its_options():
    with pytest.raises(InterruptedError) as made:
        Unparsed(LightningModule, LightningDataModule, subclass_mode_model=True, subclass_mode_data=True)
    (cli,) = made.value.args
    of_fit, of_test, of_all = (set(compat.option_names(cli, word)) for word in ("fit", "test", "no_command"))
    assert {"config", "model", "data", "ckpt_path", "trainer.max_epochs", "trainer.logger"} <= of_fit & of_test
    assert "verbose" in of_test - of_fit and "config" in of_all and "trainer.max_epochs" not in of_all


def test_no_other_file_names_what_is_private_to_lightning():
    """By the names that its objects have in this project; `self` is left out, for it is mostly the project's own."""
    owners = r"(?:trainer|model|optimizer|optimizers\(\)\[\d\]|logger|loop|connector|environment|parser|callback|cli)"
    by_text = rf"(?:get|set|has|del)attr\(\w*{owners}, \"_[a-z]"
    private = re.compile(
        rf"\b\w*{owners}\._[a-z]\w*|{by_text}|\bself\._trainer\b|from lightning\S* import .*\b_[A-Za-z]"
    )
    found = {
        f"{path.relative_to(PACKAGE)}: {match[0]}"
        for path in PACKAGE.rglob("*.py")
        for match in private.finditer(path.read_text())
        if path.relative_to(PACKAGE).as_posix() != "lightning_compat.py"
    }
    assert not found


class Counts(Callback):
    """Counts batches, by a hook of its class and by one that it was given."""

    def __init__(self) -> None:
        self.starts = self.ends = 0
        self.on_train_batch_end = self.count_end

    def on_train_batch_start(self, *_: Any) -> None:
        self.starts += 1

    def count_end(self, *_: Any) -> None:
        self.ends += 1


def test_hooks_that_do_nothing_are_skipped_while_a_model_trains(tmp_path):
    """Those that a callback has are called, and a profiler that was asked for times them."""
    seen = []

    class Looks(Callback):
        def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
            with mock.patch.object(trainer.profiler, "profile") as profile:
                call._call_callback_hooks(trainer, "on_before_backward", torch.zeros(()))
            seen.append(profile.call_count)

    counts, looks = Counts(), Looks()
    trainer = tiny.trainer(tmp_path, callbacks=[counts, looks], limit_train_batches=3)
    trainer.fit(tiny.build(lit_gen.models.VAE), datamodule=tiny.NoiseData(3))
    assert (counts.starts, counts.ends) == (3, 3)
    assert seen == [0] * 3
    assert counts.on_before_backward and "on_before_backward" not in vars(counts)
    assert type(trainer.profiler) is PassThroughProfiler

    trainer = tiny.trainer(tmp_path, callbacks=[counts, looks], limit_train_batches=3, profiler="simple")
    trainer.fit(tiny.build(lit_gen.models.VAE), datamodule=tiny.NoiseData(3))
    assert len(trainer.profiler.recorded_durations["[Callback]Counts.on_train_batch_start"]) == 3


def test_a_profiler_whose_constructor_fails_ends_in_silence(monkeypatch):
    class Refuses(SimpleProfiler):
        def __init__(self) -> None:
            raise ValueError("refused")

    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    compat.let_unfinished_profilers_end()
    with pytest.raises(ValueError, match="refused"):
        Refuses()
    gc.collect()
    assert not unraisable
    whole = SimpleProfiler(filename="never opened")
    assert {"_output_file", "_stage"} <= set(vars(whole))  # else these names are others now
