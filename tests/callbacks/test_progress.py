"""The bar of a training: how fast, how long still, and the terms that were read last."""

import re

import pytest
from lightning.pytorch.callbacks import TQDMProgressBar

from lit_gen.callbacks import progress
from lit_gen.callbacks.progress import TrainingBar, part_done
from lit_gen.cli import main
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


def test_the_command_line_has_it_unless_the_user_has_another(data, runs, capsys):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1"]
    words += ["--trainer.log_every_n_steps=1"]
    main(words)
    assert "loss_kl=" in capsys.readouterr().out
    main([*words, "--trainer.callbacks+=TQDMProgressBar"])
    assert "loss_kl=" in capsys.readouterr().out
    main([*words, "--trainer.enable_progress_bar=false"])
    assert "loss_kl=" not in capsys.readouterr().out
    assert issubclass(TrainingBar, TQDMProgressBar)
