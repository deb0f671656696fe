"""What a command leaves behind: what it was for, and where, in a line; nothing when it came to nothing."""

import re
from pathlib import Path

import pytest
from PIL import Image

import lit_gen.models
from benchmarks import measure
from lit_gen.cli import main
from lit_gen.runs import leftovers
from tests.test_cli import SHORT, TINY_DCGAN, TINY_VAE, data, fit, mistake, runs, times  # noqa: F401  three fixtures


def below(folder: Path) -> set[str]:
    """All files and folders, W&B's own left out."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {path for path in paths if not path.startswith("wandb/")}


def used(run: Path, data: list[str], *words: str) -> list[str]:  # noqa: F811
    """The words that use a VAE's last checkpoint, its runs where it is."""
    place = [f"--ckpt_path={run}/checkpoints/last.ckpt", f"--trainer.default_root_dir={run.parent.parent}"]
    return [*data, *TINY_VAE, *place, "--trainer.enable_progress_bar=false", *words]


@pytest.fixture
def run(data, runs):  # noqa: F811
    return fit(TINY_VAE, data, runs)


def new(run: Path) -> list[Path]:
    return sorted(set(run.parent.iterdir()) - {run})


@pytest.mark.parametrize("logger", [[], ["--trainer.logger=true"], ["--trainer.logger=false"]])
def test_predict_leaves_its_pictures_and_says_where(logger, run, data, caplog):  # noqa: F811
    with caplog.at_level("INFO"):
        main(["predict", *used(run, data, *logger, "--trainer.limit_predict_batches=2")])
    (folder,) = new(run)
    pictures = sorted((folder / "predictions").glob("[0-9]*.png"))
    assert below(folder) - {f"predictions/{path.name}" for path in pictures} == {
        "commands.json", "config.yaml", "predictions", "predictions/grid.png", "predictions/manifest.json",
        "report.html",
    }  # fmt: skip
    assert len(pictures) == 32 and f"32 images are in {folder}/predictions" in caplog.messages
    with Image.open(pictures[0]) as picture:
        assert picture.size == (28, 28)
    caplog.clear()
    main(["predict", *used(run, data, "--ckpt_path=last", "--trainer.limit_predict_batches=1")])
    assert "has no checkpoint" not in caplog.text  # of the folder of the first predict


def test_a_predict_without_batches(run, data, capsys):  # noqa: F811
    before = times(run)
    assert "limit_predict_batches" in mistake(
        ["predict", *used(run, data, "--trainer.limit_predict_batches=0")], capsys
    )
    assert new(run) == [] and times(run) == before


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_a_command_that_fails_leaves_no_folder(subcommand, run, data, capsys, tmp_path):  # noqa: F811
    before = times(run)
    other = ["--model.latent_dim=3"]
    assert "size mismatch" in mistake([subcommand, *used(run, data, *other)], capsys)
    assert new(run) == [] and times(run) == before
    words = used(run, data, *other, f"--trainer.default_root_dir={tmp_path}/new/runs")
    mistake([subcommand, *words], capsys)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    mistake([subcommand, *words, f"--trainer.default_root_dir={tmp_path}/mine"], capsys)
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("logger", ["true", "false"])
@pytest.mark.parametrize("model", [TINY_VAE, TINY_DCGAN], ids=["VAE", "DCGAN"])
def test_a_training_that_fails_in_its_first_batch_leaves_no_folder(model, logger, data, runs, monkeypatch, capsys):  # noqa: F811
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(getattr(lit_gen.models, model[0].removeprefix("--model=")), "training_step", fail)
    words = ["fit", *data, *model, *SHORT, f"--trainer.default_root_dir={runs}", f"--trainer.logger={logger}"]
    assert "not enough memory" in mistake(words, capsys)
    assert not runs.exists(), [str(p) for p in runs.rglob("*")]


def test_a_run_that_exists_stays(run, data, runs, monkeypatch, capsys):  # noqa: F811
    """A resumed training that fails, even when its folder has nothing but the checkpoint."""
    before = below(run)
    words = ["fit", *data, *TINY_VAE, *SHORT, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    resumed = [*words, "--ckpt_path=last", "--model.latent_dim=3"]
    assert "size mismatch" in mistake(resumed, capsys)
    assert below(run) == before


def test_what_was_trained_before_an_error_stays(data, runs, monkeypatch):  # noqa: F811
    def fail(self, trainer, model, outputs, batch, number):
        if number == 1:
            raise ValueError("in the second batch")

    monkeypatch.setattr("lit_gen.callbacks.sample_grids.SampleGrids.on_train_batch_end", fail)
    with pytest.raises(ValueError, match="in the second batch"):
        fit(TINY_VAE, data, runs)
    (folder,) = (runs / "vae").iterdir()
    assert {"config.yaml", "checkpoints/exception.ckpt"} <= below(folder)


def test_ctrl_c_before_the_first_batch(data, runs, monkeypatch):  # noqa: F811
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(lit_gen.models.VAE, "training_step", interrupt)
    with pytest.raises(SystemExit) as end:
        fit(TINY_VAE, data, runs)
    assert end.value.code == 130 and not runs.exists()


def test_validation_and_test_without_a_logger(run, data, caplog):  # noqa: F811
    words = used(run, data, "--trainer.logger=false", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1")
    main(["validate", *words])
    assert new(run) == []
    with caplog.at_level("INFO"):
        main(["test", *words, "--evaluation.samples=10"])
    (folder,) = new(run)
    assert below(folder) == {"commands.json", "config.yaml", "report.html", "test.json"}
    assert any(f"written to {folder}/test.json" in message for message in caplog.messages)


def test_a_training_leaves_nothing_beside_its_folder(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    main(["fit", *data, *TINY_VAE, *SHORT])
    assert below(tmp_path) & {path.name for path in tmp_path.iterdir()} == {"runs"}
    main(["fit", *data, *TINY_VAE, "--trainer.fast_dev_run=true", "--trainer.default_root_dir=others"])
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_measure_names_no_folder_that_it_deletes(run, caplog, capsys):
    with caplog.at_level("INFO"):
        measure.test(run, ["--evaluation.samples=10", "--evaluation.features=none", "--trainer.limit_test_batches=1"])
    said = caplog.text + "".join(capsys.readouterr())
    assert "metric" in said and "VAE" in said
    for name in re.findall(r"(?<![\w.])/[\w./-]+", said):
        assert Path(name).exists(), name
    assert [path.name for path in run.parent.iterdir()] == [run.name]


@pytest.mark.parametrize(
    ("name", "content", "stays"),
    [
        ("config.yaml", "a: 1", False), ("wandb-id", "1", False), ("hparams.yaml", "1", False),
        ("wandb/offline-run-1/files/x.log", "1", False),
        ("metrics.csv", "epoch,step\n", False), ("metrics.csv", "epoch,step\n0,1\n", True), ("run.json", "{}", False),
        ("lightning_logs/version_0/hparams.yaml", "{}", False), ("checkpoints/.last.ckpt.ab.partial", "1", False),
        ("commands.json", "[]", False), ("report.html", "<p>", False),
        ("checkpoints/last.ckpt", "1", True), ("samples/a.png", "1", True), ("notes.txt", "mine", True),
    ],
)  # fmt: skip
def test_what_is_of_use(name, content, stays, tmp_path):
    leftovers.remember(tmp_path / "runs" / "vae")
    path = tmp_path / "runs" / "vae" / "1" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    leftovers.clear()  # it was there before, for all that is known
    assert path.exists()
    leftovers.made(tmp_path / "runs" / "vae" / "1")
    leftovers.clear()
    assert path.exists() == stays == (tmp_path / "runs").exists()
