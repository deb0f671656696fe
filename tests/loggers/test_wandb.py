"""Weights & Biases as the command line uses it: what its options and variables do. Nothing here goes online."""

import csv
from types import SimpleNamespace

import pytest
import wandb
import yaml
from lightning.pytorch.loggers import WandbLogger

from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.loggers.of_run import loggers_of_run
from lit_gen.loggers.wandb import ContinuingWandbLogger, WandbOptions, has_wandb_key, wandb_mode

TINY = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[8]"]
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1",
         "--trainer.enable_progress_bar=false"]  # fmt: skip
PAGE = ("project", "entity", "name", "group", "tags", "notes", "mode")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    """No key and no variable but the mode, which tests may change."""
    key, page = ("API_KEY", "IDENTITY_TOKEN_FILE", "BASE_URL"), ("PROJECT", "ENTITY", "NAME", "RUN_GROUP", "TAGS")
    for name in (*key, *page, "NOTES", "RUN_ID"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_MODE", "offline")


class NoRun:
    """In place of a W&B run: takes everything, sends nothing."""

    id, dir, url = "1a2b3c4d", "/nowhere/run/files", "https://wandb.test/me/lit_gen/runs/1a2b3c4d"
    offline = disabled = False

    def __getattr__(self, name):
        return lambda *arguments, **settings: None

    config = SimpleNamespace(update=lambda *arguments, **settings: None)
    settings = SimpleNamespace(sync_tensorboard=None)


@pytest.fixture
def asked(monkeypatch):
    """What W&B is asked for, a dictionary for each run; there are no runs."""
    seen = []

    def init(**settings):
        seen.append(settings)
        wandb.run = NoRun()
        return wandb.run

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "setup", lambda **settings: None)
    monkeypatch.setattr(wandb, "finish", lambda: setattr(wandb, "run", None))
    return seen


@pytest.fixture
def words(mnist_root, tmp_path):
    data = ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100"]
    return [*data, *TINY, *SHORT, f"--trainer.default_root_dir={tmp_path}/runs"]


@pytest.fixture
def runs(tmp_path):
    """The folders of the runs there are."""
    return lambda: sorted((tmp_path / "runs").glob("vae/*"))


def mistake(command, capsys):
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def page(settings):
    return {name: settings[name] for name in PAGE if settings.get(name) is not None}


def test_what_a_page_is_without_options(words, asked, runs):
    main(["fit", *words])
    (run,) = runs()
    name = f"vae/{run.name}"
    expected = {"project": "lit_gen", "name": name, "group": name, "mode": "offline"}
    assert page(asked[0]) == expected and asked[0]["id"] == (run / "wandb-id").read_text()


def test_an_option_wins_over_a_variable_and_that_over_the_default(words, asked, runs, monkeypatch):
    variables = {"PROJECT": "theirs", "ENTITY": "team", "NAME": "a name", "RUN_GROUP": "a group", "TAGS": "a,b",
                 "NOTES": "some notes"}  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    main(["fit", *words])
    of_variables = {"project": "theirs", "entity": "team", "name": "a name", "group": "a group", "tags": ["a", "b"],
                    "notes": "some notes", "mode": "offline"}  # fmt: skip
    assert page(asked[0]) == of_variables
    options = ["--wandb.project=mine", "--wandb.entity=me", "--wandb.name=one", "--wandb.group=few",
               "--wandb.tags=[x, y z]", "--wandb.notes=of mine"]  # fmt: skip
    main(["fit", *words, *options])
    of_options = {"project": "mine", "entity": "me", "name": "one", "group": "few", "tags": ["x", "y z"],
                  "notes": "of mine", "mode": "offline"}  # fmt: skip
    assert page(asked[1]) == of_options
    main(["fit", *words, "--wandb.tags=x, y z", "--wandb.notes=123"])
    assert page(asked[2]) == of_variables | {"tags": ["x", "y z"], "notes": "123"}


def test_a_resumed_run_stays_on_its_page(words, asked, runs, monkeypatch):
    """Also where the variables that it began with are no longer there, or others."""
    monkeypatch.setenv("WANDB_PROJECT", "first")
    main(["fit", *words, "--wandb.name=one"])
    (run,) = runs()
    monkeypatch.setenv("WANDB_PROJECT", "second")
    monkeypatch.setenv("WANDB_RUN_ID", "another")
    main(["fit", *words, "--ckpt_path=last", "--trainer.max_epochs=2"])
    monkeypatch.delenv("WANDB_PROJECT")
    checkpoint = f"--ckpt_path={run}/checkpoints/last.ckpt"
    main(["fit", f"--config={run}/config.yaml", checkpoint, "--trainer.max_epochs=3", "--wandb.notes=new"])
    assert runs() == [run] and len({settings["id"] for settings in asked}) == 1
    assert page(asked[1]) == page(asked[0]) and page(asked[2]) == page(asked[0]) | {"notes": "new"}
    main(["fit", *words])
    assert asked[3]["project"] == "lit_gen" and asked[3]["id"] == "another", "another run is on a page of its own"


def test_a_run_of_before_there_were_options_stays_on_its_page(words, asked, runs, monkeypatch):
    main(["fit", *words])
    (run,) = runs()
    (run / "wandb-page.json").unlink()
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["wandb"]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("WANDB_PROJECT", "elsewhere")
    main(["fit", f"--config={run}/config.yaml", "--ckpt_path=last", "--trainer.max_epochs=2"])
    assert asked[1]["id"] == asked[0]["id"] and page(asked[1]) == page(asked[0])


@pytest.mark.parametrize("how", ["option", pytest.param("variable", marks=pytest.mark.slow)])
def test_disabled_writes_nothing(how, words, asked, runs, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("WANDB_MODE", "disabled")
    main(["fit", *words, *(["--wandb.mode=disabled"] if how == "option" else [])])
    (run,) = runs()
    assert asked == [] and not [path for path in run.iterdir() if "wandb" in path.name]
    assert (run / "metrics.csv").is_file()
    quick = ["--trainer.limit_test_batches=1", "--evaluation.features=none", "--evaluation.samples=8"]
    main(["test", *words, "--ckpt_path=last", *quick, *(["--wandb.mode=disabled"] if how == "option" else [])])
    assert asked == []


@pytest.mark.parametrize("how", ["option", "variable"])
def test_online_without_a_key_is_one_line_and_leaves_nothing(how, words, asked, monkeypatch, tmp_path, capsys):
    if how == "variable":
        monkeypatch.setenv("WANDB_MODE", "online")
    line = mistake(["fit", *words, *(["--wandb.mode=online"] if how == "option" else [])], capsys)
    assert line.startswith("error: ") and "no API key" in line and "--wandb.mode=offline" in line
    assert asked == [] and not (tmp_path / "runs").exists()


def test_the_mode_does_not_matter_where_w_and_b_has_no_part(words, asked, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    main(["fit", *words, "--trainer.logger=false"])
    main(["fit", *words, "--trainer.fast_dev_run=true"])
    main(["predict", *words, "--ckpt_path=last", "--trainer.limit_predict_batches=1"])
    assert asked == []


def test_online_with_a_key_says_where_the_page_is(words, asked, monkeypatch, caplog):
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with caplog.at_level("INFO"):
        main(["fit", *words])
        main(["fit", *words, "--wandb.mode=online"])
    assert [settings["mode"] for settings in asked] == [None, "online"]
    assert [settings["resume"] for settings in asked] == ["allow", "allow"]
    assert caplog.messages.count(f"W&B: {NoRun.url}") == 4, "at the beginning and at the end"


@pytest.mark.parametrize("logger", [[], ["--trainer.logger=WandbLogger"]], ids=["ours", "the user's"])
def test_what_w_and_b_refuses_is_one_line(logger, words, asked, monkeypatch, tmp_path, capsys):
    def refuse(**settings):
        raise wandb.errors.CommError("Run initialization has timed out after 90.0 sec.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "init", refuse)
    line = mistake(["fit", *words, *logger], capsys)
    assert line.startswith("error: W&B cannot log: Run initialization has timed out") and "WANDB_MODE=offline" in line


@pytest.mark.parametrize("option", ["--wandb.project=a/b", f"--wandb.tags=[{'x' * 65}]", "--wandb.mode=onlin"])
def test_an_option_that_cannot_be_is_one_line_and_leaves_nothing(option, words, asked, tmp_path, capsys):
    line = mistake(["fit", *words, option], capsys)
    assert line.startswith("error: ") and option[2:].split("=")[0].split(".")[1] in line
    assert asked == [] and not (tmp_path / "runs").exists()


def test_options_that_have_no_effect_are_named(words, asked, caplog, tmp_path):
    own = ["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path}/own"]
    with caplog.at_level("INFO"):
        main(["fit", *words, *own, "--wandb.project=mine", "--wandb.mode=offline"])
    assert "--wandb.project, --wandb.mode: not used" in caplog.text


def test_the_help_describes_the_options(capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", "--help=all"])
    assert end.value.code in (0, None)
    text = " ".join(capsys.readouterr().out.split())
    assert "--wandb.images {public,all}" in text and "for `wandb sync`" in text


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
