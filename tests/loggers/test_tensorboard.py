"""`--logger=tensorboard` as a user types it, its event files read back."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.cli import main
from lit_gen.loggers.metrics_file import rows_of_log
from lit_gen.loggers.of_run import loggers_of_run
from lit_gen.loggers.tensorboard import RunTensorBoard
from lit_gen.loggers.wandb import WandbOptions
from tests.extras import needs_extra

SHORT = ["--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false", "--trainer.log_every_n_steps=1"]
TINY = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[8]", "--data.batch_size=100"]


def read(folder):
    """What TensorBoard shows of a run, with all points of each curve."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "tensorboard"), {"scalars": 0, "images": 0})
    return board.Reload()


@pytest.fixture(scope="module")
def words(mnist_root, tmp_path_factory):
    root = tmp_path_factory.mktemp("board")
    data = ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100"]
    return [*data, *TINY, *SHORT, f"--trainer.default_root_dir={root}/runs", "--logger=tensorboard", "--name=first"]


@pytest.fixture(scope="module")
def run(words):
    """The folder of a run of two epochs, which was resumed from the end of the first after it had gone on beyond it."""
    folder = Path(words[-3].partition("=")[2]) / "vae" / "first"
    main(["fit", *words, "--trainer.max_epochs=1"])
    # What a process that was killed in the second epoch leaves behind: rows and a grid that its checkpoint has not.
    killed = RunTensorBoard(folder, {})
    for step in (3, 4):
        killed.log_metrics({"train/loss_kl": -1.0, "val/loss": -1.0}, step)
        killed.log_image("samples/samples", torch.zeros(1, 4, 4), step)
    killed.finalize("failed")
    main(["fit", *words, "--trainer.max_epochs=2", "--ckpt_path=auto"])
    return folder


@needs_extra("tensorboard")
def test_scalars_are_those_of_the_table_and_a_resume_doubles_none(run):
    board = read(run)
    table = rows_of_log(run / "metrics.csv")
    names = {name for row in table for name in row} - {"step"}
    assert set(board.Tags()["scalars"]) == names and {"train/loss_kl", "val/loss", "epoch"} <= names
    for name in names - {"epoch"}:
        expected = [(int(row["step"]), float(row[name])) for row in table if row[name]]
        shown = [(event.step, event.value) for event in board.Scalars(name)]
        assert [step for step, _ in shown] == [step for step, _ in expected], name
        if not name.startswith("speed/"):
            assert np.allclose([value for _, value in shown], [value for _, value in expected], rtol=1e-6), name
    assert [event.step for event in board.Scalars("train/loss_kl")] == [0, 1, 2, 3, 4, 5]


@needs_extra("tensorboard")
def test_grids_are_images_of_the_right_steps(run):
    board = read(run)
    assert set(board.Tags()["images"]) == {"samples/samples", "samples/reconstructions"}
    for name in ("samples", "reconstructions"):
        shown = board.Images(f"samples/{name}")
        assert [image.step for image in shown] == [2, 5], "one of each epoch, at its last step"
        for image, batches in zip(shown, (3, 6), strict=True):
            seen = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("L"), int)
            written = np.asarray(Image.open(run / "samples" / f"{name}-{batches:07d}.png").convert("L"), int)
            assert seen.shape == written.shape and np.abs(seen - written).max() <= 1 and written.std() > 10


@needs_extra("tensorboard")
def test_settings_are_hyperparameters_by_their_names_on_the_command_line(run):
    """As they were when the run began."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = read(run).PluginTagToContent("hparams")["_hparams_/session_start_info"]
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["model.latent_dim"].number_value == 2 and values["model"].string_value == "VAE"
    assert values["data.batch_size"].number_value == 100 and values["trainer.max_epochs"].number_value == 1
    assert "trainer.max_time" not in values, "what is not set"


@needs_extra("tensorboard")
def test_test_logs_its_metrics_there(words, run, tmp_path):
    quick = ["--evaluation.features=none", "--evaluation.samples=8", "--model.num_eval_samples=2"]
    others = [word for word in words if not word.startswith("--name")]
    main(["test", *others, *quick, f"--ckpt_path={run}", "--trainer.limit_test_batches=1", "--name=tested"])
    board = read(run.with_name("tested"))
    assert {"test/nll", "test/elbo"} <= set(board.Tags()["scalars"])


def test_only_the_first_process_logs(tmp_path, monkeypatch):
    first, board = loggers_of_run(None, tmp_path, "fit", {}, WandbOptions(), "tensorboard")
    assert isinstance(board, RunTensorBoard)
    monkeypatch.setattr("lit_gen.loggers.of_run.is_first_process", lambda: False)
    assert not isinstance(loggers_of_run(None, tmp_path, "fit", {}, WandbOptions(), "tensorboard"), list)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("logger", ["--logger=tensorboard", "--trainer.logger=TensorBoardLogger"])
def test_without_the_package_one_line_says_what_to_install(logger, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lit_gen.loggers.tensorboard.find_spec", lambda name: None)
    others = [word for word in words if "logger" not in word and "root_dir" not in word]
    with pytest.raises(SystemExit) as end:
        main(["fit", *others, logger, f"--trainer.default_root_dir={tmp_path}/runs"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ") and 'pip install "lit-gen[tensorboard]"' in line
    assert not (tmp_path / "runs").exists()
