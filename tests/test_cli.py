"""The command line as a user types it: run folders, resuming, prediction, several processes, and mistakes."""

import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from lit_gen.cli import main
from lit_gen.command_line.trainer import several_processes
from lit_gen.data.download import DownloadError
from tests.models.tiny import assert_same
from tests.probes import check_probes

TINY_VAE = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[8]"]
TINY_DCGAN = ["--model=DCGAN", "--model.latent_dim=4", "--model.max_channels=8", "--data.image_size=16"]
TINY_PROGAN = [
    "--model=ProGAN", "--model.latent_dim=4", "--model.max_channels=4", "--data.image_size=16",
    "--model.stable_kimg=0.032", "--model.fade_kimg=0.032", "--model.minibatch_sizes={4: 16, 8: 8, 16: 8}",
]  # fmt: skip
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node=2"]
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=2",
         "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false"]  # fmt: skip


@pytest.fixture
def data(mnist_root):
    return [
        "--data=MNIST",
        f"--data.root={mnist_root}",
        "--data.download=false",
        "--data.val_size=100",
        "--data.batch_size=16",
    ]


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def fit(model, data, runs, *words):
    """Trains for three batches and returns the new run's folder."""
    system = model[0].removeprefix("--model=").lower()
    before = set((runs / system).glob("*"))
    main(["fit", *data, *model, *SHORT, f"--trainer.default_root_dir={runs}", "--trainer.logger=false", *words])
    new = set((runs / system).glob("*")) - before
    return new.pop() if new else None


def rows(run):
    """The rows of a run's log, without the columns that the clock fills."""
    with (run / "metrics.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if not name.startswith("speed/")} for row in found]


def times(run):
    """When each file of a run was last written; W&B's own process may still write its log."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and "wandb" not in path.parts}


def mistake(words, capsys):
    """The one line that a mistaken command ends with."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_run_has_its_own_folder(data, runs):
    first = fit(TINY_VAE, data, runs, "--trainer.logger=true")
    written = times(first)
    second = fit(TINY_VAE, data, runs, "--trainer.logger=true")
    assert first != second
    assert written and written == times(first)
    for run in (first, second):
        assert {"config.yaml", "metrics.csv", "wandb-id"} <= {path.name for path in run.iterdir()}
        assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
        assert {path.name for path in (run / "samples").iterdir()} == {
            "samples-0000003.png",
            "reconstructions-0000003.png",
        }
        assert list((run / "wandb").glob("offline-run-*"))
    assert (first / "wandb-id").read_text() != (second / "wandb-id").read_text()
    config = yaml.safe_load((first / "config.yaml").read_text())
    assert config["model"]["init_args"]["latent_dim"] == 2
    logged = rows(first)
    assert [float(row["train/loss_kl"]) > 0 for row in logged if row["train/loss_kl"]] == [True] * 3
    assert any(row["val/elbo"] for row in logged)


def test_overlays_and_the_command_line_overrule_in_order(capsys):
    command = [
        "fit",
        "--config",
        "configs/progan.yaml",
        "--config",
        "configs/quick/progan.yaml",
        "--model.latent_dim=7",
    ]
    with pytest.raises(SystemExit) as end:
        main([*command, "--print_config"])
    assert end.value.code in (0, None)
    config = yaml.safe_load(capsys.readouterr().out)
    overlay = yaml.safe_load(Path("configs/quick/progan.yaml").read_text())
    assert config["data"]["class_path"].endswith("CelebA")
    assert config["data"]["init_args"]["crop_size"] == 128
    assert config["data"]["init_args"]["image_size"] == overlay["data"]["init_args"]["image_size"]
    assert config["model"]["init_args"]["latent_dim"] == 7
    assert config["model"]["init_args"]["fade_kimg"] == overlay["model"]["init_args"]["fade_kimg"]
    assert config["trainer"]["max_epochs"] == -1


def test_help_comes_from_the_docstrings(capsys):
    with pytest.raises(SystemExit) as end:
        main(["fit", "--model.help", "ProGAN"])
    assert end.value.code in (0, None)
    assert "over which a new resolution is faded in" in " ".join(capsys.readouterr().out.split())


def test_resume_goes_on_in_the_same_run(data, runs):
    run = fit(TINY_DCGAN, data, runs, "--trainer.logger=true")
    identity = (run / "wandb-id").read_text()
    before = rows(run)
    assert fit(TINY_DCGAN, data, runs, "--trainer.logger=true", "--ckpt_path=last", "--trainer.max_epochs=2") is None
    after = rows(run)
    assert after[: len(before)] == [row | dict.fromkeys(after[0].keys() - row.keys(), "") for row in before]
    assert [row["epoch"] for row in after if row["train/loss_d_real"]] == ["0"] * 3 + ["1"] * 3
    assert (run / "wandb-id").read_text() == identity
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1 and checkpoint["state_dict"]["_extra_state"]["images_seen"] == 2 * 3 * 16


def test_the_best_checkpoint_of_a_gan_is_the_nearest_to_the_held_out_images(data, runs):
    run = fit(TINY_DCGAN, data, runs, "--trainer.logger=true", "--trainer.max_epochs=4", "--health.every_n_batches=2")
    logged = rows(run)
    distances = [float(row["val/sliced_wasserstein"]) for row in logged if row["val/sliced_wasserstein"]]
    assert len(distances) == 4 == len(set(distances))
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == distances.index(min(distances))
    health = [row for row in logged if row["health/d_logit_real"]]
    assert len(health) == 6 and all(float(row["health/g_gradient_norm"]) > 0 for row in health)


def test_a_gan_on_pictures_of_which_none_are_held_out(runs, tmp_path, caplog):
    own = tmp_path / "own"
    own.mkdir()
    for number in range(16):
        Image.new("RGB", (20, 20), (number * 15,) * 3).save(own / f"{number}.png")
    data = ["--data=ImageFolder", f"--data.root={own}", "--data.val_fraction=0", "--data.batch_size=4"]
    with caplog.at_level("INFO"):
        run = fit(TINY_DCGAN, data, runs)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt"}
    assert caplog.text.count("no best.ckpt: no validation measured val/") == 1


@pytest.mark.parametrize("model", [TINY_VAE, TINY_DCGAN, TINY_PROGAN], ids=["VAE", "DCGAN", "ProGAN"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(model, data, tmp_path):
    whole = fit(model, data, tmp_path / "whole", "--trainer.max_epochs=2", "--seed_everything=5")
    half = fit(model, data, tmp_path / "half", "--seed_everything=5")
    fit(model, data, tmp_path / "half", "--ckpt_path=last", "--trainer.max_epochs=2")  # the default seed is another
    one, other = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, half))
    for part in ("state_dict", "optimizer_states"):
        assert str(one[part]) == str(other[part])
    assert all(torch.equal(torch.as_tensor(one["state_dict"][name]), torch.as_tensor(value))
               for name, value in other["state_dict"].items() if isinstance(value, torch.Tensor))  # fmt: skip


def test_the_split_of_a_checkpoint_is_that_of_the_summary_and_the_config(data, runs, caplog):
    run = fit(TINY_VAE, data, runs)
    with caplog.at_level("INFO"):
        fit(TINY_VAE, data, runs, "--ckpt_path=last", "--trainer.max_epochs=2", "--data.val_size=50")
    assert caplog.text.count("the split of the images is that of the checkpoint: val_size = 100") == 1
    assert "300 train, 100 val" in caplog.text and "val_size 100 -> 50" not in caplog.text
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]["val_size"] == 100
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["datamodule_hyper_parameters"]["val_size"] == checkpoint["MNIST"]["split"]["val_size"] == 100


def test_advice_for_a_training_that_kept_no_image_for_validation(data, runs, capsys):
    run = fit(TINY_VAE, data, runs, "--data.val_size=0")
    line = mistake(["validate", f"--ckpt_path={run}", "--data.val_size=50"], capsys)
    assert line.endswith("Set --data.val_size above 0, and train anew: all images were for training.")


def test_a_checkpoint_of_another_optimizer_is_refused(data, runs, capsys):
    run = fit(TINY_VAE, data, runs, "--model.optimizer=adagrad")
    config = (run / "config.yaml").read_text()
    words = ["fit", *data, *TINY_VAE, *SHORT, f"--ckpt_path={run}", "--trainer.max_epochs=2"]
    line = mistake([*words, f"--trainer.default_root_dir={runs}"], capsys)
    assert line.endswith("and the training has Adam. Set --model.optimizer=adagrad, or train anew.")
    assert (run / "config.yaml").read_text() == config


def test_coloured_images_for_a_model_of_grey_ones(data, runs, capsys, tmp_path):
    run = fit(TINY_VAE, data, runs)
    words = ["test", f"--ckpt_path={run}", "--data=CelebA", f"--data.root={tmp_path}/none", "--data.synthetic=true"]
    assert "is of images of 1 channel, and those of CelebA have 3. Name other data" in mistake(words, capsys)
    assert not (tmp_path / "none").exists()


def test_a_seed_on_the_command_line_of_a_resume_takes_the_place_of_the_run_s(data, tmp_path, caplog):
    """For what is drawn; the order of the training data stays."""
    ends = {}
    for name, words in {
        "as before": [],
        "the same": ["--seed_everything=0"],
        "another": ["--seed_everything=5"],
    }.items():
        run = fit(TINY_VAE, data, tmp_path / name)
        caplog.clear()
        with caplog.at_level("INFO"):
            fit(TINY_VAE, data, tmp_path / name, "--ckpt_path=last", "--trainer.max_epochs=2", *words)
        said = "the seed is now 5, for all that is drawn but the order of the training data, which stays that of seed 0"
        assert (said in caplog.text) == (name == "another")
        ends[name] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert_same(ends["as before"]["state_dict"], ends["the same"]["state_dict"])
    assert ends["another"]["state_dict"].pop("_extra_state")["run_seed"] == 5
    assert ends["another"]["MNIST"] == ends["as before"]["MNIST"]
    weights, others = ends["as before"]["state_dict"], ends["another"]["state_dict"]
    assert not any(torch.equal(weights[name], value) for name, value in others.items())


STOPPABLE = [*SHORT, "--trainer.max_epochs=2", "--trainer.limit_train_batches=5", "--checkpoints.every_n_batches=2"]
SIGNAL = "--trainer.callbacks+=tests.probes.SignalBetween"


def signalled(words, number, batch):
    """A command in a process of its own that is sent a signal in the middle of a batch."""
    environment = os.environ | {"PROBE_SIGNAL": str(int(number)), "PROBE_BATCH": str(batch), "OMP_NUM_THREADS": "1"}
    environment.pop("WANDB_SERVICE", None)  # this process's own, if it has logged already
    command = [sys.executable, "main.py", *words, SIGNAL]
    session = {"start_new_session": True}  # a process group of its own
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, **session)


def assert_same_end(one, other):
    """Asserts that two runs end with the same networks, average, optimizers, random states and counters."""
    ends = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (one, other)]
    for part in ("state_dict", "optimizer_states", "loops", "MNIST"):
        assert_same(*(end[part] for end in ends), part)


@pytest.mark.slow  # the soak kills at any moment
def test_a_run_that_is_killed_in_mid_epoch_goes_on_to_the_bit(data, tmp_path):
    """With its log: no row twice, none missing."""
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--data.num_workers=2"]
    main([*words, f"--trainer.default_root_dir={tmp_path}/whole", "--seed_everything=7"])
    words += [f"--trainer.default_root_dir={tmp_path}/broken"]
    assert signalled([*words, "--seed_everything=7"], signal.SIGKILL, 10).returncode == -signal.SIGKILL
    (run,) = (tmp_path / "broken" / "vae").iterdir()
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8 and len(rows(run)) == 9 + 1  # nine batches, one validation
    main([*words, "--ckpt_path=last"])
    (whole,) = (tmp_path / "whole" / "vae").iterdir()
    assert_same_end(whole, run)
    assert rows(run) == rows(whole)
    assert [row["step"] for row in rows(run) if row["train/loss_kl"]] == [str(step) for step in range(10)]


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_run_that_is_told_to_stop(number, name, data, tmp_path, monkeypatch, capsys):
    """It ends after the batch, and says how to go on; doing that ends where an unbroken run does."""
    words = ["fit", *data, *TINY_DCGAN, *STOPPABLE, "--trainer.logger=false"]
    main([*words, f"--trainer.default_root_dir={tmp_path}/whole"])
    monkeypatch.setenv("PROBE_SIGNAL", str(int(number)))
    monkeypatch.setenv("PROBE_BATCH", "7")
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end:
        main([*words, f"--trainer.default_root_dir={tmp_path}/broken", SIGNAL])
    assert end.value.code == 128 + number and signal.getsignal(number) is before
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"stopped by {name} after batch 7. To go on: python main.py fit --config" in line
    (run,) = (tmp_path / "broken" / "dcgan").iterdir()
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"last.ckpt", "previous-1.ckpt", "best.ckpt"}
    monkeypatch.setenv("PROBE_BATCH", "0")
    main(shlex.split(line.split("python main.py ")[1]))
    (whole,) = (tmp_path / "whole" / "dcgan").iterdir()
    assert_same_end(whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_loading_processes_outlive_the_signal(number, data, runs, monkeypatch):
    """A terminal's Ctrl-C and a cluster's SIGTERM go to all processes; without workers no batch can follow."""
    monkeypatch.setenv("PROBE_GROUP", "yes")
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", "--data.num_workers=2"]
    done = signalled([*words, f"--trainer.default_root_dir={runs}"], number, 7)
    assert done.returncode == 128 + number and "after batch 7. To go on: " in done.stderr, done.stderr


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on_to_the_bit(data, tmp_path):
    two = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    two += ["--health.every_n_batches=2", "--trainer.accumulate_grad_batches=2"]  # a step of batches 8 and 9
    words = ["fit", *data, *TINY_DCGAN, *STOPPABLE, *two]
    whole = signalled([*words, f"--trainer.default_root_dir={tmp_path}/whole"], signal.SIGTERM, 0)
    assert whole.returncode == 0, whole.stderr
    words += [f"--trainer.default_root_dir={tmp_path}/broken"]
    broken = signalled(words, signal.SIGTERM, 8)
    assert broken.returncode == 143 and "stopped by SIGTERM after batch 8" in broken.stderr, broken.stderr
    resumed = signalled([*words, "--ckpt_path=last", "--data.num_workers=1"], signal.SIGTERM, 0)
    assert resumed.returncode == 0, resumed.stderr
    (whole,), (run,) = ((tmp_path / name / "dcgan").iterdir() for name in ("whole", "broken"))
    assert_same_end(whole, run)


def test_a_loss_that_is_not_finite_ends_in_one_line(data, runs, capsys):
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", f"--trainer.default_root_dir={runs}"]
    line = mistake([*words, "--model.learning_rate=1e30"], capsys)
    assert "train/" in line and "is not finite in batch 2" in line and "learning rate" in line
    (run,) = (runs / "vae").iterdir()
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"non-finite.ckpt"}


def test_a_truncated_checkpoint_is_refused_and_the_one_before_it_named(data, runs, capsys):
    run = fit(TINY_VAE, data, runs, "--checkpoints.every_n_batches=2")
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous-1.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    again = ["fit", *data, *TINY_VAE, *SHORT, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    for words in ([*again, "--ckpt_path=last"], ["test", *again[1:], f"--ckpt_path={last}"]):
        line = mistake(words, capsys)
        assert f"last.ckpt is truncated or no checkpoint. Instead of it: --ckpt_path={previous}" in line
    main([*again, f"--ckpt_path={previous}"])
    assert torch.load(last, weights_only=True)["global_step"] == 3


def test_the_saved_config_runs_again_and_serves_all_subcommands(data, runs):
    run = fit(TINY_PROGAN, data, runs)
    config, checkpoint = run / "config.yaml", run / "checkpoints" / "last.ckpt"
    main(["fit", "--config", str(config)])
    assert len(list((runs / "progan").iterdir())) == 2
    for subcommand in ("validate", "test"):
        main([subcommand, "--config", str(config), "--ckpt_path", str(checkpoint)])
    main(["predict", "--config", str(config), "--ckpt_path=last", "--count=32"])
    (predictions,) = runs.glob("progan/*/predictions")
    pictures = sorted(predictions.glob("[0-9]*.png"))
    assert len(pictures) == 32
    with Image.open(pictures[0]) as picture:
        assert picture.size == (16, 16)


def test_predict_reconstructs_the_users_own_pictures(data, runs, tmp_path):
    run = fit(TINY_VAE, data, runs)
    own = tmp_path / "own"
    own.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 50), (number * 80,) * 3).save(own / f"{number}.png")
    main(
        ["predict", *TINY_VAE, "--data=ImageFolder", f"--data.root={own}", "--data.image_size=28", "--data.channels=1",
         f"--ckpt_path={run}/checkpoints/best.ckpt", f"--trainer.default_root_dir={runs}"]
    )  # fmt: skip
    (predictions,) = runs.glob("vae/*/predictions")
    assert len(list(predictions.glob("[0-9]*.png"))) == 3


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_untrained_models_are_not_evaluated(subcommand, data, runs, capsys):
    assert "--ckpt_path" in mistake([subcommand, *data, *TINY_VAE], capsys)


def test_the_summary_says_what_runs(data, runs, caplog):
    with caplog.at_level("INFO"):
        run = fit(TINY_VAE, data, runs)
    for text in ("VAE, 0.01 million", "MNIST from", "1x28x28, 300 train, 100 val, 100 test", "1 x CPU", str(run)):
        assert text in caplog.text


def test_a_checkpoint_of_other_networks_is_refused(data, runs, capsys):
    run = fit(TINY_VAE, data, runs)
    line = mistake(
        ["test", *data, "--model=VAE", "--model.latent_dim=3", "--model.encoder.hidden_sizes=[8]",
         f"--ckpt_path={run}/checkpoints/last.ckpt", f"--trainer.default_root_dir={runs}"], capsys,
    )  # fmt: skip
    assert "size mismatch for encoder" in line and "config.yaml" in line


def test_a_logger_can_be_turned_off(data, runs):
    run = fit(TINY_VAE, data, runs)
    assert not (run / "metrics.csv").exists() and not (run / "wandb").exists()


def test_offline_wandb_says_how_to_upload(data, runs, caplog, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with caplog.at_level("INFO"):
        run = fit(TINY_VAE, data, runs, "--trainer.logger=true")
    assert f"wandb sync {run}/wandb/offline-run-*" in caplog.text


def test_mistakes_end_in_one_line(data, runs, capsys, tmp_path):
    base = ["fit", *data, f"--trainer.default_root_dir={runs}"]
    assert "latnt_dim" in mistake([*base, "--model=VAE", "--model.latnt_dim=3"], capsys)
    assert "ProGAN" in mistake([*base, "--model=ProGANN"], capsys)
    assert "trainer.devizes" in mistake([*base, "--model=VAE", "--trainer.devizes=3"], capsys)
    assert "nowhere.yaml" in mistake(["fit", "--config", "nowhere.yaml"], capsys)
    assert "power of two" in mistake([*base, "--model=ProGAN", "--data.image_size=48"], capsys)
    assert "no checkpoint" in mistake([*base, "--model=VAE", "--ckpt_path=nowhere.ckpt"], capsys)
    assert "Train one with fit" in mistake([*base, "--model=VAE", "--ckpt_path=last"], capsys)
    pairs = mistake(["fit", "--model=VAE", "--data=Horse2Zebra", f"--data.root={tmp_path}/none"], capsys)
    assert "image_a, image_b" in pairs and "Horse2Zebra" not in pairs.split("Data that fit: ")[1]
    assert all(name in pairs.split("Data that fit: ")[1] for name in ("CelebA", "ImageFolder", "MNIST"))
    nearest = mistake(["fit", "--model=VAE", "--data=CelebA", "--data.attributes=[Smilling]"], capsys)
    assert "Did you mean Smiling" in nearest
    assert not runs.exists() and not (tmp_path / "none").exists()


def test_what_lightning_refuses_is_one_line_too(data, runs, capsys):
    words = ["fit", *data, *TINY_DCGAN, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    assert "overfit_batches" in mistake([*words, "--trainer.overfit_batches=1.5"], capsys)
    two = ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.sync_batchnorm=true"]
    assert "sync_batchnorm is for GPUs" in mistake([*words, *two], capsys)


@pytest.mark.parametrize(("model", "steps"), [(TINY_DCGAN, 3), (TINY_VAE, 2)], ids=["DCGAN", "VAE"])
def test_accumulation_and_clipping_by_lightnings_own_flags(model, steps, data, runs, capsys):
    """Three batches an epoch, so steps on two and on one; a GAN's `global_step` counts batches."""
    flags = ["--trainer.accumulate_grad_batches=2", "--trainer.gradient_clip_val=1e-6"]
    run = fit(model, data, runs, *flags)
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == steps
    if model is TINY_DCGAN:
        assert checkpoint["state_dict"]["_extra_state"]["discriminator_steps"] == 2
    moments = [
        state["exp_avg"] for optimizer in checkpoint["optimizer_states"] for state in optimizer["state"].values()
    ]
    assert all(moment.norm() <= 1e-6 for moment in moments)
    config = yaml.safe_load((run / "config.yaml").read_text())["trainer"]
    assert config["accumulate_grad_batches"] == 2 and config["gradient_clip_val"] == 1e-6
    main(["fit", "--config", str(run / "config.yaml")])
    words = ["fit", *data, *TINY_DCGAN, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    line = mistake([*words, "--trainer.accumulate_grad_batches=0"], capsys)
    assert "must be of type integer from 1, not 0" in line


def test_a_truncated_file_is_named(mnist_root, tmp_path, capsys):
    root = tmp_path / "root"
    shutil.copytree(mnist_root, root)
    images = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-100])
    line = mistake(
        ["fit", "--model=VAE", "--data=MNIST", f"--data.root={root}", f"--trainer.default_root_dir={tmp_path}/runs"],
        capsys,
    )
    assert "train-images-idx3-ubyte" in line and "truncated" in line


def test_an_unreadable_jpeg_is_named_and_nothing_is_left(celeba_root, tmp_path, capsys):
    root = tmp_path / "root"
    shutil.copytree(celeba_root, root)
    (root / "celeba" / "img_align_celeba" / "000007.jpg").write_bytes(b"not a picture")
    before = sorted(root.rglob("*"))
    line = mistake(
        ["fit", "--model=VAE", "--data=CelebA", f"--data.root={root}", f"--trainer.default_root_dir={tmp_path}/runs"],
        capsys,
    )
    assert "000007.jpg" in line
    assert not (tmp_path / "runs").exists()
    assert [
        path for path in sorted(root.rglob("*")) if path.is_file() and path not in before and "cache" not in str(path)
    ] == []


def test_a_run_folder_that_cannot_be_written(data, tmp_path, capsys):
    (tmp_path / "runs").write_text("a file where a folder should be")
    assert str(tmp_path / "runs") in mistake(
        ["fit", *data, *TINY_VAE, f"--trainer.default_root_dir={tmp_path}/runs"], capsys
    )


def test_without_celeba_and_network_nothing_is_left(tmp_path, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise DownloadError("no network")

    monkeypatch.setattr("lit_gen.data.celeba_files.fetch", refuse)
    words = [
        "fit",
        "--config",
        "configs/progan.yaml",
        f"--data.root={tmp_path}/data",
        f"--trainer.default_root_dir={tmp_path}/runs",
    ]
    line = mistake(words, capsys)
    assert "img_align_celeba" in line and "mmlab.ie.cuhk.edu.hk" in line and "--data.synthetic=true" in line
    assert list(tmp_path.iterdir()) == []


def test_progan_trains_on_celeba_in_its_true_place(celeba_root, tmp_path):
    words = [
        "--config",
        "configs/progan.yaml",
        f"--data.root={celeba_root}",
        "--data.download=false",
        "--data.batch_size=8",
    ]
    narrow = ["--model.channel_base=128", "--model.max_channels=8", "--model.latent_dim=8", "--model.total_kimg=0.016"]
    main(["fit", *words, *narrow, "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"])
    (sheet,) = tmp_path.glob("progan/*/samples/samples-*.png")
    with Image.open(sheet) as picture:
        assert picture.size[0] > 128 and picture.mode == "RGB"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("cpu", 1, 1), False), (("cpu", "auto", 1), False), (("cpu", 2, 1), True), (("cpu", "2", 1), True),
        (("gpu", [0, 1], 1), True), (("gpu", [1], 1), False), (("gpu", "0,1", 1), True), (("gpu", "1,", 1), False),
        (("cpu", 1, 2), True),
    ],
)  # fmt: skip
def test_several_processes(arguments, expected):
    assert several_processes(*arguments) is expected


@pytest.mark.slow  # test_nodes has two of them
def test_torchrun(data, runs, tmp_path):
    """`--trainer.devices=2` alone is tested with every config."""
    environment = os.environ | {"PROBE_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, *TORCHRUN, "main.py", "fit", *data, *TINY_DCGAN, *SHORT, f"--trainer.default_root_dir={runs}",
        "--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.callbacks+=tests.probes.WeightDigest",
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    check_probes(tmp_path)
    (run,) = (runs / "dcgan").iterdir()
    assert {"config.yaml", "metrics.csv", "checkpoints", "samples"} <= {path.name for path in run.iterdir()}


def test_a_run_that_has_trained_for_longer_is_not_touched(data, runs, capsys):
    """Lightning's own error came after the run had begun: it was then stopped, with an exception.ckpt."""
    run = fit(TINY_VAE, data, runs, "--name=long", "--trainer.max_epochs=3")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    words = ["fit", *data, *TINY_VAE, *SHORT, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    for start in (f"--ckpt_path={run}", "--ckpt_path=last", "--ckpt_path=auto"):
        name = ["--name=long"] if start.endswith("auto") else []
        line = mistake([*words, start, *name], capsys)
        assert "last.ckpt is of epoch 3, and --trainer.max_epochs is 1: set it higher to go on." in line
    for trial, told in (
        ("--dry_run", "--trainer.max_epochs is 1: set it higher to go on."),
        ("--trainer.barebones=true", "--trainer.max_epochs is 1: set it higher to go on."),
        ("--trainer.fast_dev_run=2", "leave --ckpt_path out, or try the resume with --dry_run."),
    ):
        assert told in mistake([*words, f"--ckpt_path={run}", trial], capsys)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["--samples.count=0"], ["--samples.count=-5"], ["--samples.every_n_batches=-1"]])
def test_sample_grids_that_cannot_be(words, data, runs, capsys):
    line = mistake(["fit", *data, *TINY_VAE, *SHORT, f"--trainer.default_root_dir={runs}", *words], capsys)
    assert "integer from" in line and not runs.exists()


def test_without_loggers_no_metrics_are_promised(data, runs, caplog):
    with caplog.at_level("INFO"):
        run = fit(TINY_VAE, data, runs)
    assert f"finished: checkpoints and samples are in {run}" in caplog.text
