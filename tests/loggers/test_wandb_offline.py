"""Offline runs of W&B, read back: a training, and the test and the predictions that are linked to it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_gen.cli import main
from lit_gen.loggers.metrics_file import rows_of_log
from tests.loggers.wandb_file import offline_runs

TINY = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[8]", "--data.batch_size=100"]
SHORT = ["--trainer.max_epochs=1", "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"]
QUICK = ["--evaluation.features=none", "--evaluation.samples=8", "--model.num_eval_samples=2"]


@pytest.fixture(scope="module")
def logged(mnist_root, tmp_path_factory):
    """The folder of all runs, and the offline runs: of a training, its test and its predictions."""
    root = tmp_path_factory.mktemp("offline")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PROJECT", "ENTITY", "NAME", "RUN_GROUP", "TAGS", "NOTES", "RUN_ID", "JOB_TYPE"):
            patch.delenv(f"WANDB_{name}", raising=False)
        patch.setenv("WANDB_MODE", "offline")
        data = ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100"]
        runs = f"--trainer.default_root_dir={root}/runs"
        main(["fit", *data, *TINY, *SHORT, runs, "--name=first", "--wandb.project=mine"])
        patch.setenv("WANDB_PROJECT", "another")  # a test stays with its training
        run = root / "runs" / "vae" / "first"
        main(["test", runs, *QUICK, f"--ckpt_path={run}", "--name=tested", "--trainer.enable_progress_bar=false"])
        quiet = ["--count=2", "--trainer.enable_progress_bar=false"]
        main(["predict", runs, f"--ckpt_path={run}", *quiet, f"--output={root}/pictures"])
    (training, made), (tested,) = offline_runs(run), offline_runs(run.with_name("tested"))
    return root, {"fit": training, "test": tested, "predict": made}


def test_all_are_in_one_project_and_group_with_their_job_types(logged):
    _, runs = logged
    assert {name: run.started.job_type for name, run in runs.items()} == {name: name for name in runs}
    assert {(run.started.project, run.started.run_group) for run in runs.values()} == {("mine", "vae/first")}
    names = {name: run.started.display_name for name, run in runs.items()}
    assert names == {"fit": "vae/first", "test": "vae/tested", "predict": "vae/first, predict"}
    assert len({run.started.run_id for run in runs.values()}) == 3


def test_the_training_is_named_in_the_config_of_what_uses_it(logged):
    root, runs = logged
    folder = root / "runs" / "vae" / "first"
    assert (folder / "wandb-id").read_text() == runs["fit"].started.run_id
    for name in ("test", "predict"):
        training = runs[name].config["training"]
        assert training["wandb_id"] == runs["fit"].started.run_id and Path(training["folder"]) == folder
    assert "training" not in runs["fit"].config


def test_the_log_of_the_training_is_that_of_the_table(logged):
    root, runs = logged
    training = runs["fit"]
    assert training.config["model"]["init_args"]["latent_dim"] == 2 and training.config["latent_dim"] == 2
    table = rows_of_log(root / "runs" / "vae" / "first" / "metrics.csv")
    for name in ("train/loss_kl", "val/loss"):
        expected = [(int(row["step"]), float(row[name])) for row in table if row[name]]
        sent = [(row["trainer/global_step"], row[name]) for row in training.rows if name in row]
        assert [step for step, _ in sent] == [step for step, _ in expected] != []
        assert np.allclose([value for _, value in sent], [value for _, value in expected])


def test_grids_are_images(logged):
    root, runs = logged
    written = {path.stem.split("-")[0]: path for path in (root / "runs" / "vae" / "first" / "samples").iterdir()}
    for name in ("samples", "reconstructions"):
        sent = Image.open(runs["fit"].images[f"samples/{name}"])
        assert np.array_equal(np.asarray(sent), np.asarray(Image.open(written[name])))


def test_the_metrics_of_the_test(logged):
    _, runs = logged
    (row,) = [row for row in runs["test"].rows if "test/nll" in row]
    assert row["test/nll"] > 0 and row["test/elbo"] < 0


def test_the_grid_of_a_prediction(logged):
    root, runs = logged
    sent = Image.open(runs["predict"].images["predict/grid"])
    assert np.array_equal(np.asarray(sent), np.asarray(Image.open(root / "pictures" / "grid.png")))
    assert [row["predict/images"] for row in runs["predict"].rows if "predict/images" in row] == [2]
    expected = ["000000.png", "000001.png", "grid.png", "manifest.json"]
    assert sorted(path.name for path in (root / "pictures").iterdir()) == expected  # and no log
