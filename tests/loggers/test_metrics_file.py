"""The log of a run that is resumed, or was killed."""

import csv
from pathlib import Path

import pytest

from lit_gen.errors import UserError
from lit_gen.loggers.metrics_file import AppendingCSVLogger


def test_a_resumed_log_goes_on_and_may_gain_columns(tmp_path):
    for step, metrics in ((1, {"a": 1.0}), (2, {"a": 2.0, "b": 3.0})):
        logger = AppendingCSVLogger(tmp_path)
        logger.log_metrics(metrics, step)
        logger.save()
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["a"], row["b"]) for row in rows] == [("1", "1.0", ""), ("2", "2.0", "3.0")]


def test_what_a_killed_run_logged_after_its_checkpoint_is_replaced(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("loss,step\n0.1,0\n0.2,1\n0.3,2\n0.4,3\n0.5")
    logger = AppendingCSVLogger(tmp_path)
    logger.log_metrics({"loss": 7.0}, 2)
    assert path.read_text().split() == ["loss,step", "0.1,0", "0.2,1", "7.0,2"]
    logger.log_metrics({"loss": 8.0, "other": 1.0}, 3)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["loss"], row["other"]) for row in rows] == [
        ("0", "0.1", ""), ("1", "0.2", ""), ("2", "7.0", ""), ("3", "8.0", "1.0"),
    ]  # fmt: skip


@pytest.mark.parametrize("begun", ["", "lo", "loss,st"])
def test_a_log_whose_first_line_is_not_whole_begins_anew(begun, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(begun)
    logger = AppendingCSVLogger(tmp_path)
    logger.log_metrics({"loss": 0.5}, 0)
    assert path.read_text().split() == ["loss,step", "0.5,0"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_a_full_disk_is_told_in_a_line(tmp_path):
    logger = AppendingCSVLogger(tmp_path)
    (tmp_path / "hparams.yaml").symlink_to("/dev/full")
    with pytest.raises(UserError, match="cannot write .*hparams.yaml: No space left on device"):
        logger.log_hyperparams({"size": 3})
    logger.log_metrics({"loss": 1.0}, 1)
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / "metrics.csv").symlink_to("/dev/full")
    with pytest.raises(UserError, match="cannot write .*metrics.csv: No space left on device"):
        logger.log_metrics({"loss": 1.0}, 2)
