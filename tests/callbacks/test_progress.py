"""The bar of a training: how fast, how long still, and the terms that were read last."""

import csv
import logging
import re
import sys

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.callbacks import evaluation, progress
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.progress import TrainingBar, TrainingSpeed, part_done
from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.loggers.metrics_file import AppendingCSVLogger
from lit_gen.models import GAN, VAE, ProGAN
from tests.models import tiny
from tests.test_cli import TINY_VAE, data, runs  # noqa: F401  two are fixtures


@pytest.fixture
def clock(monkeypatch):
    """Time that goes on by half a second whenever somebody looks."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks) / 2)


class Looks(TrainingBar):
    """Keeps what was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def get_metrics(self, trainer, model):
        self.shown.append(super().get_metrics(trainer, model))
        return self.shown[-1]


@pytest.mark.parametrize("model_class", [VAE, GAN, ProGAN])
def test_speed_time_left_and_terms(model_class, clock, tmp_path):
    bar, model = Looks(), tiny.build(model_class)
    model.total_kimg = 0.08 if model_class is ProGAN else None
    trainer = tiny.trainer(
        tmp_path, callbacks=[bar], enable_progress_bar=True, max_epochs=2, log_every_n_steps=1, limit_val_batches=0
    )
    trainer.fit(model, datamodule=tiny.NoiseData(5, batch_size=8))
    assert len(bar.shown) >= 10 and not any("v_num" in values for values in bar.shown)
    first, later = bar.shown[0], bar.shown[-3]
    assert "images/s" not in first  # nothing is known yet
    assert re.fullmatch(r"\d+", later["images/s"]) and int(later["images/s"]) in (7, 8)  # 8 in a second or a bit more
    assert re.fullmatch(r"0:00:0\d", later["left"])
    names = list(later)
    assert names.index("images/s") > max(names.index(name) for name in names if name.startswith("loss_"))
    assert part_done(model) == (1 if model_class is ProGAN else 0)  # of a training that is over, the others know no end


class Warns(Callback):
    def on_train_batch_end(self, trainer, model, *_):
        rank_zero_info("warning: G has collapsed")


def test_what_is_said_meanwhile_has_its_own_line(tmp_path, monkeypatch, capfd):
    logger = logging.getLogger("lightning.pytorch")
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(sys.stdout)])  # as where nobody captures logs
    settings = {"callbacks": [TrainingBar(), Warns()], "enable_progress_bar": True, "max_epochs": 1}
    tiny.trainer(tmp_path, **settings).fit(tiny.build(VAE), datamodule=tiny.NoiseData(3, batch_size=8))
    said = [line.split("\r")[-1] for line in capfd.readouterr().out.split("\n") if "collapsed" in line]
    assert said == ["warning: G has collapsed"] * 3
    assert type(logger.handlers[0]) is logging.StreamHandler  # as before


class Fails(Callback):
    def on_train_batch_end(self, trainer, model, *_):
        raise UserError("of a batch")


def test_what_ends_a_training_is_said_on_a_line_of_its_own(tmp_path, capsys):
    trainer = tiny.trainer(tmp_path, callbacks=[TrainingBar(), Fails()], enable_progress_bar=True)
    with pytest.raises(UserError):
        trainer.fit(tiny.build(GAN), datamodule=tiny.NoiseData(2))
    assert capsys.readouterr().out.endswith("\n")


def test_it_is_drawn_a_few_times_per_second(monkeypatch, tmp_path):
    monkeypatch.setattr(progress.time, "monotonic", lambda: 1.0)
    bar = Looks()
    trainer = tiny.trainer(tmp_path, callbacks=[bar], enable_progress_bar=True, limit_val_batches=0)
    trainer.fit(tiny.build(VAE), datamodule=tiny.NoiseData(50, batch_size=2))
    assert len(bar.shown) <= 4


def test_without_an_end_no_time_is_left(tmp_path, clock):
    bar = Looks()
    trainer = tiny.trainer(
        tmp_path, callbacks=[bar], enable_progress_bar=True, max_epochs=-1, max_time={"seconds": 1}, limit_val_batches=0
    )
    trainer.fit(tiny.build(VAE), datamodule=tiny.NoiseData(5))
    assert bar.shown and not any("left" in values for values in bar.shown)


# --------------------------------------------------------------------------------------------------------- the log


class Seconds(Callback):
    """Time that passes in training batches only: so many seconds in each, given by their number from 1 on."""

    def __init__(self, monkeypatch, of_batch) -> None:
        self.now, self.of_batch = 50.0, of_batch
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)

    def on_train_batch_start(self, trainer, model, *_):
        self.now += self.of_batch(trainer.fit_loop.total_batch_idx + 1)


def logged(folder, model, *callbacks, checkpoint=None, **settings):
    """The rows of the log that have terms; batches are of 8 images, epochs of 6 batches."""
    callbacks = [*callbacks, TrainingSpeed(), RunCheckpoints(folder, every_n_batches=1)]
    settings = {"max_epochs": 2, "log_every_n_steps": 3} | settings
    trainer = tiny.trainer(
        folder, callbacks=callbacks, logger=AppendingCSVLogger(folder), enable_checkpointing=True, **settings
    )
    trainer.fit(model, datamodule=tiny.NoiseData(6), ckpt_path=checkpoint)
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if any(row[name] for name in row if name.startswith("train/"))]


@pytest.mark.parametrize("model_class", [VAE, GAN])
def test_rows_have_the_speed_since_the_last_and_the_time_left(model_class, tmp_path, monkeypatch):
    seconds = Seconds(monkeypatch, lambda batch: 100 if batch == 1 else 2 if batch <= 6 else 4)
    rows = logged(tmp_path, tiny.build(model_class), seconds)
    assert [int(row["step"]) for row in rows] == [2, 5, 8, 11]
    speeds = [float(row["speed/images_per_second"]) for row in rows]
    assert speeds == [4, 4, 2, 2]  # the first batch's hundred seconds are not counted
    left = [float(row["speed/minutes_left"]) for row in rows]
    # Of 12 batches, one is not counted: 2 of 11 took 4 seconds, 5 took 10, 8 took 22.
    assert left == pytest.approx([9 * 2 / 60, 6 * 2 / 60, 3 * 22 / 8 / 60, 0], abs=1e-3)
    assert "speed/gpu_gib" not in rows[0], "no GPU, no memory of one"


def test_without_an_end_the_log_has_no_time_left(tmp_path, monkeypatch):
    seconds = Seconds(monkeypatch, lambda batch: 1)
    rows = logged(tmp_path, tiny.build(VAE), seconds, max_epochs=-1, max_time={"seconds": 3})
    assert rows and "speed/minutes_left" not in rows[0] and rows[-1]["speed/images_per_second"]


def test_no_checkpoint_has_what_the_clock_says(tmp_path, monkeypatch):
    for pace in (1, 3):
        folder = tmp_path / str(pace)
        logged(folder, tiny.build(GAN), Seconds(monkeypatch, lambda batch, pace=pace: pace))
    quick, slow = (torch.load(tmp_path / str(pace) / "last.ckpt", weights_only=True) for pace in (1, 3))
    tiny.assert_same(quick, slow)


def test_a_run_that_goes_on_measures_its_own_time(tmp_path, monkeypatch):
    logged(tmp_path, tiny.build(GAN), Seconds(monkeypatch, lambda batch: 1), max_epochs=1)
    seconds = Seconds(monkeypatch, lambda batch: 5)
    rows = logged(tmp_path, tiny.build(GAN), seconds, checkpoint=tmp_path / "last.ckpt")
    assert [float(row["speed/images_per_second"]) for row in rows] == [8, 8, 1.6, 1.6]
    assert float(rows[-2]["speed/minutes_left"]) == pytest.approx(3 * 5 / 60)


# --------------------------------------------------------------------------------------------------- the command line


def test_the_command_line_logs_the_speed(data, runs):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1"]
    main([*words, "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"])
    (path,) = runs.glob("*/*/metrics.csv")
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss_kl"]]
    assert all(float(row["speed/images_per_second"]) > 0 for row in rows[1:]) and len(rows) > 2


def test_the_command_line_has_it_unless_the_user_has_another(data, runs, monkeypatch, capsys):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1"]
    words += ["--trainer.log_every_n_steps=1"]
    main(words)
    assert "loss_kl=" in capsys.readouterr().out
    main([*words, "--trainer.callbacks+=TQDMProgressBar"])
    assert "loss_kl=" in capsys.readouterr().out
    main([*words, "--trainer.enable_progress_bar=false"])
    assert "loss_kl=" not in capsys.readouterr().out
    assert issubclass(TrainingBar, TQDMProgressBar)
    monkeypatch.setattr(evaluation, "rank_zero_info", print)
    short = [f"--trainer.default_root_dir={runs}", "--trainer.limit_test_batches=1", "--evaluation.samples=16"]
    main(["test", *data, *TINY_VAE, *short, "--ckpt_path=last", "--evaluation.features=none"])
    assert "\nmetric " in capsys.readouterr().out  # on a line of its own
