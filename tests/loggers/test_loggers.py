import csv

import pytest
from lightning.pytorch.loggers import WandbLogger

from lit_gen.errors import UserError
from lit_gen.loggers.metrics_file import AppendingCSVLogger
from lit_gen.loggers.of_run import loggers_of_run
from lit_gen.loggers.wandb import ContinuingWandbLogger, WandbOptions, has_wandb_key, wandb_mode


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


def test_a_key_in_the_environment_or_in_netrc(no_key, monkeypatch):
    assert not has_wandb_key()
    no_key.write_text("machine elsewhere.org login user password secret\n")
    assert not has_wandb_key()
    no_key.write_text("machine api.wandb.ai login user password secret\n")
    assert has_wandb_key()


def test_a_key_in_the_environment(no_key, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_wandb_key()


@pytest.mark.parametrize(
    ("option", "variable", "key", "mode"),
    [
        (None, None, True, None), (None, None, False, "offline"), (None, "disabled", False, "disabled"),
        (None, "disabled", True, "disabled"), (None, "offline", True, "offline"), (None, "dryrun", True, "offline"),
        (None, "online", True, "online"), (None, "run", True, "online"), ("online", "disabled", True, "online"),
        ("offline", "online", True, "offline"), ("disabled", "online", False, "disabled"),
        ("offline", "nonsense", False, "offline"),
    ],
)  # fmt: skip
def test_the_mode_is_the_options_then_the_variables_then_what_the_key_allows(
    option, variable, key, mode, no_key, monkeypatch
):
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert wandb_mode(option) == mode


@pytest.mark.parametrize(
    ("option", "variable", "words"),
    [
        ("online", None, "--wandb.mode is online, but W&B has no API key"),
        (None, "online", "WANDB_MODE is online, but W&B has no API key"),
        (None, "nonsense", "WANDB_MODE is 'nonsense'"),
    ],
)
def test_a_mode_that_cannot_be(option, variable, words, no_key, monkeypatch):
    if variable is not None:
        monkeypatch.setenv("WANDB_MODE", variable)
    with pytest.raises(UserError, match=words):
        wandb_mode(option)


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


def test_wandb_gets_no_row_twice(tmp_path, monkeypatch):
    """A killed run had logged up to step 3, half of a row more; its checkpoint is of step 1."""
    sent = []
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda self, metrics, step=None: sent.append((step, metrics)))
    (tmp_path / "metrics.csv").write_text(
        "epoch,loss,step,val/loss\n0,0.1,0,\n0,0.2,1,\n0,0.3,2,\n0,0.4,3,\n0,,3,0.5\n1,0."
    )
    csv_logger, wandb_logger = loggers_of_run(None, tmp_path, "fit", {}, WandbOptions())
    assert isinstance(wandb_logger, ContinuingWandbLogger)
    rows = [
        ({"epoch": 0, "loss": 0.3}, 2), ({"epoch": 0, "loss": 0.4}, 3), ({"epoch": 0, "val/loss": 0.5}, 3),
        ({"epoch": 0, "health": 0.9}, 3), ({"epoch": 1, "loss": 0.6}, 4), ({"epoch": 1, "loss": 0.7}, 5),
    ]  # fmt: skip
    for metrics, step in rows:
        for logger in (csv_logger, wandb_logger):
            logger.log_metrics(metrics, step)
    assert sent == [(step, metrics) for metrics, step in rows[3:]]
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["0", "1", "2", "3", "3", "3", "4", "5"]
