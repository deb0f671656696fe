"""What runs are called: `--name`, the folder of their system, and `--ckpt_path=auto`, which begins a run or goes on."""

from pathlib import Path

import pytest
import torch
import yaml

from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.runs.names import check_name
from tests.runs.test_slurm import scontrol
from tests.test_cli import (  # noqa: F401  two are fixtures
    SHORT,
    TINY_VAE,
    data,
    mistake,
    rows,
    runs,
)

AUTO = ["--name=first", "--ckpt_path=auto"]


@pytest.fixture
def command(data, runs):  # noqa: F811
    return ["fit", *data, *TINY_VAE, *SHORT, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]


@pytest.fixture
def config(tmp_path):
    """A config of a user, and an overlay for it."""
    paths = [tmp_path / "my_vae.yaml", tmp_path / "narrow.yaml"]
    paths[0].write_text("model: {class_path: VAE, init_args: {latent_dim: 2}}\n")
    paths[1].write_text("model: {init_args: {encoder: {init_args: {hidden_sizes: [8]}}}}\n")
    return [word for path in paths for word in ("--config", str(path))]


def settings(run: Path) -> dict:
    return yaml.safe_load((run / "config.yaml").read_text())


def test_a_run_lies_below_the_first_config_that_no_run_wrote(command, config, runs, data):  # noqa: F811
    rest = [word for word in command[1:] if word not in TINY_VAE]
    main(["fit", *config, *rest, "--name=one"])
    run = runs / "my_vae" / "one"
    assert settings(run)["system"] == "my_vae" and "name" not in settings(run)
    main(["fit", "--config", str(run / "config.yaml"), "--name=two", "--trainer.max_epochs=1"])
    assert settings(runs / "my_vae" / "two")["system"] == "my_vae"
    main(["fit", "--config", str(run / "config.yaml"), *config, "--name=three", "--system=other"])
    assert settings(runs / "other" / "three")["system"] == "other"
    main(["test", *config, *data, "--ckpt_path=last", f"--trainer.default_root_dir={runs}", "--trainer.logger=false",
          "--evaluation.features=none", "--trainer.limit_test_batches=1", "--name=tested"])  # fmt: skip
    assert (runs / "my_vae" / "tested" / "test.json").exists()
    main(["predict", f"--ckpt_path={run}", "--count=1", f"--trainer.default_root_dir={runs}", "--name=drawn"])
    assert (runs / "my_vae" / "drawn" / "predictions").is_dir(), "by the checkpoint alone"
    assert {run.name for run in (runs / "my_vae").iterdir()} == {"one", "two", "tested", "drawn"}


def test_a_name_that_is_taken_and_words_that_are_no_name(command, runs, capsys):  # noqa: F811
    main([*command, "--name=first"])
    kept = (runs / "vae" / "first" / "checkpoints" / "last.ckpt").read_bytes()
    line = mistake([*command, "--name=first"], capsys)
    assert str(runs / "vae" / "first") in line and "--ckpt_path=auto" in line
    assert (runs / "vae" / "first" / "checkpoints" / "last.ckpt").read_bytes() == kept
    assert "no name of a folder" in mistake([*command, "--name=a/b"], capsys)
    assert "no name of a folder" in mistake([*command, "--system=../elsewhere"], capsys)
    assert "whose name is not second" in mistake([*command, "--name=second", "--ckpt_path=last"], capsys)
    assert {path.name for path in (runs / "vae").iterdir()} == {"first"}


@pytest.mark.parametrize("name", ["", " ", "a/b", "a\\b", "..", ".hidden", "two\nlines", "end "])
def test_what_is_no_name(name):
    with pytest.raises(UserError, match="no name of a folder"):
        check_name("name", name)


@pytest.mark.parametrize("name", [None, "first", "lr-1e-3", "v1.2_b", "Größe", "two words"])
def test_what_is_a_name(name):
    check_name("name", name)


def test_auto_begins_goes_on_and_says_that_it_is_finished(command, runs, capsys, caplog):  # noqa: F811
    assert "--ckpt_path=auto needs --name" in mistake([*command, "--ckpt_path=auto"], capsys)
    for other in ("test", "validate", "predict"):
        assert f"{other} takes --ckpt_path=last" in mistake([other, *command[1:], *AUTO], capsys)
    assert not runs.exists()
    main([*command, *AUTO])
    last = runs / "vae" / "first" / "checkpoints" / "last.ckpt"
    ended = last.read_bytes()
    with caplog.at_level("INFO"), pytest.raises(SystemExit) as end:
        main([*command, *AUTO])
    assert end.value.code == 0 and "is finished" in caplog.messages[-1] and last.read_bytes() == ended
    main([*command, *AUTO, "--trainer.max_epochs=2"])  # other settings: it goes on
    assert torch.load(last, weights_only=True)["epoch"] == 1
    assert [path.name for path in (runs / "vae").iterdir()] == ["first"]


def test_a_run_without_a_checkpoint_begins_again_in_its_folder(command, runs):  # noqa: F811
    logged = [word for word in command if word != "--trainer.logger=false"]
    main([*logged, "--name=whole", "--wandb.mode=disabled"])
    main([*logged, *AUTO, "--wandb.mode=disabled"])
    run = runs / "vae" / "first"
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    record = (run / "run.json").read_text()
    (run / "run.json").write_text(record.replace("finished", "stopped"))
    main([*logged, *AUTO, "--wandb.mode=disabled"])
    one, other = (
        torch.load(runs / "vae" / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "first")
    )
    assert str(one["state_dict"]) == str(other["state_dict"])
    assert rows(run) == rows(runs / "vae" / "whole")


def test_auto_in_a_job_of_slurm(command, runs, monkeypatch, tmp_path):  # noqa: F811
    """Each command of the job has its own run, which it finds by its settings."""
    scontrol(tmp_path, monkeypatch)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_JOB_NAME", "batch")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    main([*command, "--ckpt_path=auto"])
    main([*command, "--ckpt_path=auto", "--model.beta=2"])
    with pytest.raises(SystemExit) as end:
        main([*command, "--ckpt_path=auto"])
    assert end.value.code == 0
    assert {path.name for path in (runs / "vae").iterdir()} == {"77", "77-2"}


def test_last_finds_runs_of_older_versions_that_have_the_same_networks(command, config, runs, capsys):  # noqa: F811
    """They lie below the model's name, without a `system` in their settings."""
    for name, sizes in (("fits", 8), ("other", 4)):
        main([*command, f"--name={name}", f"--model.encoder.hidden_sizes=[{sizes}]"])
        path = runs / "vae" / name / "config.yaml"
        path.write_text(path.read_text().replace("system: vae\n", ""))
    rest = [word for word in command if word not in TINY_VAE]
    main([*rest[:1], *config, *rest[1:], "--ckpt_path=last", "--trainer.max_epochs=2"])
    ended = {name: torch.load(runs / "vae" / name / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]
             for name in ("fits", "other")}  # fmt: skip
    assert ended == {"fits": 1, "other": 0}
    line = mistake([*rest[:1], *config, *rest[1:], "--ckpt_path=last", "--model.latent_dim=3"], capsys)
    assert "no run with a checkpoint" in line
    main([*rest[:1], *config, *rest[1:], "--name=new"])
    main([*rest[:1], *config, *rest[1:], "--ckpt_path=last", "--trainer.max_epochs=2"])
    assert torch.load(runs / "my_vae" / "new" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
