"""Names in the log of before, for whoever watches them."""

import csv

import pytest

from lit_gen.cli import main
from lit_gen.models import GAN, VAE, CycleGAN, ProGAN
from lit_gen.old_versions.log_names import current_name
from tests.test_cli import TINY_VAE, data, rows, runs  # noqa: F401  two are fixtures


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        (VAE, "train/kl", "train/loss_kl"), (VAE, "train/bound", "train/loss_bound"), (VAE, "val/kl", "val/kl"),
        (GAN, "train/d_real", "train/loss_d_real"), (GAN, "health/d_fake", "health/d_logit_fake"),
        (ProGAN, "train/d_penalty", "train/loss_d_penalty"), (ProGAN, "val/d_logit_real", "val/d_score_real"),
        (ProGAN, "health/d_real", "health/d_score_real"), (CycleGAN, "val/score_a_fake", "val/d_score_a_fake"),
        (GAN, "val/d_logit_real", "val/d_logit_real"), (GAN, "train/loss_d_real", "train/loss_d_real"),
        (GAN, "train/information_categorical", "train/information_categorical"),
        (GAN, "health/diversity", "health/diversity"), (GAN, "of_my_own", "of_my_own"),
    ],
)  # fmt: skip
def test_a_name_of_then_is_another_now(model, old, new):
    assert current_name(old, model) == new


def test_a_callback_that_watches_an_old_name_gets_the_new_one(data, runs, caplog):  # noqa: F811
    with caplog.at_level("INFO"):
        main(["fit", *data, *TINY_VAE, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=9",
              "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=train/kl",
              "--trainer.callbacks.stopping_threshold=1e9", "--trainer.callbacks.check_on_train_epoch_end=true",
              "--trainer.log_every_n_steps=1"])  # fmt: skip
    assert "EarlyStopping watches train/loss_kl, which was train/kl" in caplog.text
    (path,) = runs.glob("*/*/metrics.csv")
    with path.open() as file:
        epochs = {row["epoch"] for row in csv.DictReader(file)}
    assert epochs == {"0"}, "a threshold that is met ends the training after its first epoch"
