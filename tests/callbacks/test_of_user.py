"""Every callback, logger and profiler that Lightning ships, as a user adds it: it works, or a line says what to do."""

import csv
import gc
import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import callbacks, loggers, profilers

from lit_gen.cli import main
from lit_gen.command_line.endings import mistake
from tests.models.tiny import assert_same
from tests.probes import check_probes

MODELS = {
    "VAE": ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[8]", "--model.num_eval_samples=2"],
    "DCGAN": ["--model=DCGAN", "--model.latent_dim=4", "--model.max_channels=8", "--data.image_size=16"],
}
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--trainer.limit_val_batches=0.5"]
SHORT += ["--trainer.log_every_n_steps=1"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

# What each needs on the command line. A name that Lightning adds is to be tried, and entered here.
CALLBACKS = {
    "BackboneFinetuning": [], "BaseFinetuning": [], "BasePredictionWriter": [], "BatchSizeFinder": [], "Callback": [],
    "Checkpoint": [], "DeviceStatsMonitor": [], "EarlyStopping": ["monitor=val/loss"],
    "EMAWeightAveraging": ["decay=0.5"], "GradientAccumulationScheduler": ["scheduling={0: 2}"],
    "LambdaCallback": ["on_train_start=tests.callbacks.test_of_user.nothing"], "LearningRateFinder": [],
    "LearningRateMonitor": [], "ModelCheckpoint": [], "ModelPruning": ["pruning_fn=l1_unstructured"],
    "ModelSummary": ["max_depth=2"], "OnExceptionCheckpoint": ["dirpath={folder}"], "ProgressBar": [],
    "RichModelSummary": [], "RichProgressBar": [], "SpikeDetection": [], "StochasticWeightAveraging": ["swa_lrs=0.01"],
    "ThroughputMonitor": ["batch_size_fn=builtins.len"], "Timer": ["duration=00:01:00:00"], "TQDMProgressBar": [],
    "WeightAveraging": [],
}  # fmt: skip
BASES = ["BaseFinetuning", "BasePredictionWriter", "Callback", "Checkpoint", "ProgressBar"]
FINDERS = ["BatchSizeFinder", "LearningRateFinder"]
# Part of the line that ends the command, for all models or for one.
REFUSED = {
    **dict.fromkeys(BASES, "is a base class and does nothing by itself: name a subclass"),
    "BackboneFinetuning": "needs a model with a part called `backbone`; (VAE has enc|DCGAN has gen).*Leave it out",
    "BatchSizeFinder": "Leave it out, and double --data.batch_size",
    "LearningRateFinder": "Leave it out, and compare short runs: --model.learning_rate=1e-3 --trainer.max_steps=200",
    "ModelPruning": "Leave it out, and prune the trained model",
    "StochasticWeightAveraging": "EMAWeightAveraging averages an AutoEncoder, .* --model.ema_decay the generator",
}  # fmt: skip
REFUSED_BY_GANS = {
    "EMAWeightAveraging": "--model.ema_decay=0.999",
    "GradientAccumulationScheduler": "Set --trainer.accumulate_grad_batches",
    "SpikeDetection": "--health.every_n_batches",
    "WeightAveraging": "--model.ema_decay=0.999",
}
PACKAGES = {"DeviceStatsMonitor": "psutil", "RichModelSummary": "rich", "RichProgressBar": "rich"}
PACKAGES |= {"CometLogger": "comet_ml", "MLFlowLogger": "mlflow", "TensorBoardLogger": "tensorboard"}


def nothing(*_):
    """For LambdaCallback."""


@pytest.fixture
def data(mnist_root):
    return ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100",
            "--data.batch_size=16"]  # fmt: skip


def add(name, *settings):
    return [f"--trainer.callbacks+={name}", *(f"--trainer.callbacks.{setting}" for setting in settings)]


def run(data, folder, model, *words, subcommand="fit"):
    """The folder that the command made, if any."""
    before = set(folder.glob("*/*"))
    quiet = [word for word in QUIET if not any("Bar" in other or "barebones" in other for other in words)]
    main([subcommand, *data, *MODELS[model], *SHORT, *quiet, f"--trainer.default_root_dir={folder}", *words])
    return next(iter(set(folder.glob("*/*")) - before), None)


def line(capsys, *arguments, **options):
    """The one line, without the word `error`, that a mistaken command ends with."""
    with pytest.raises(SystemExit) as end:
        run(*arguments, **options)
    errors = capsys.readouterr().err
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert end.value.code == 2 and len(lines) == 1 and "Traceback" not in errors
    assert not re.search(r"Union|Namespace|<class '|class_path| object at 0x", lines[0])
    return lines[0].removeprefix("error: ")


def checkpoint(path):
    return torch.load(path, weights_only=True)


# Each alone


def test_all_are_tried():
    assert set(CALLBACKS) == set(callbacks.__all__)
    assert set(REFUSED) | set(REFUSED_BY_GANS) | set(PACKAGES) <= set(CALLBACKS) | set(loggers.__all__)


TRIED = ["EarlyStopping", "ModelCheckpoint", "EMAWeightAveraging", "LambdaCallback", *REFUSED, *REFUSED_BY_GANS]
"""The callbacks that are tried each time; they train, or are refused by some model."""


@pytest.mark.parametrize(
    ("name", "model"),
    [
        pytest.param(
            name,
            model,
            marks=[] if name in TRIED and (model != "DCGAN" or name in REFUSED_BY_GANS) else [pytest.mark.slow],
        )
        for name in callbacks.__all__
        for model in MODELS
    ],
)
def test_a_callback_works_or_says_what_to_do(name, model, data, tmp_path, capsys):
    settings = [setting.replace("{folder}", f"{tmp_path}/elsewhere") for setting in CALLBACKS[name]]
    if model == "DCGAN":
        settings = [setting.replace("val/loss", "val/sliced_wasserstein") for setting in settings]
    logger = [] if name.endswith("Monitor") else ["--trainer.logger=false"]
    command = (data, tmp_path / "runs", model, *add(name, *settings), *logger)
    package, refusal = PACKAGES.get(name), REFUSED.get(name) or (model == "DCGAN" and REFUSED_BY_GANS.get(name))
    if refusal:
        words = line(capsys, *command)
        assert words.startswith(f"{name} ") and re.search(refusal, words)
        assert not (tmp_path / "runs").exists()
    elif package and importlib.util.find_spec(package) is None:
        words = line(capsys, *command)
        assert words.startswith(f"{name}: ") and "pip install" in words and package in words
    else:
        folder = run(*command)
        assert checkpoint(folder / "checkpoints" / "last.ckpt")["optimizer_states"]
        # And the run can be used and gone on with by what stands in its folder.
        again = ["--config", str(folder / "config.yaml"), f"--ckpt_path={folder}/checkpoints/last.ckpt"]
        main(["fit", *again, "--trainer.max_epochs=2"])
        assert checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] == 1
        quick = ["--evaluation.features=none", "--evaluation.samples=16", "--trainer.limit_test_batches=2"]
        main(["test", *again, *quick] if model == "VAE" else ["predict", *again, "--trainer.limit_predict_batches=1"])


@pytest.mark.parametrize("name", [*loggers.__all__, "NeptuneLogger"])
def test_a_logger_works_or_says_what_to_do(name, data, tmp_path, capsys):
    command = (data, tmp_path / "runs", "VAE", f"--trainer.logger={name}")
    package = PACKAGES.get(name)
    if name in ("CSVLogger", "WandbLogger"):
        run(*command, f"--trainer.logger.save_dir={tmp_path}/logs")
        assert list((tmp_path / "logs").rglob("metrics.csv" if name == "CSVLogger" else "offline-run-*"))
    elif package and importlib.util.find_spec(package) is None:
        save = [f"--trainer.logger.save_dir={tmp_path}/logs"] if name == "TensorBoardLogger" else []
        words = line(capsys, *command, *save)
        assert words.startswith((f"{name}: ", "TensorBoard is not installed: ")) and "pip install" in words
    elif not package:
        words = line(capsys, *command)
        assert re.search(f"(cannot use {name} as its logger|no logger '{name}').* Known: .*CSVLogger", words)


PROFILERS = {"simple": None, "advanced": None, "pytorch": None, "PassThroughProfiler": None, "SimpleProfiler": None,
             "AdvancedProfiler": None, "PyTorchProfiler": None, "xla": "pip install", "XLAProfiler": "pip install",
             "Profiler": "can only be one of", "none": "can only be one of"}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", sorted(set(PROFILERS) | set(profilers.__all__)))
def test_a_profiler_works_or_says_what_to_do(name, model, data, tmp_path, capsys, monkeypatch):
    command = (data, tmp_path / "runs", model, f"--trainer.profiler={name}", "--trainer.logger=false")
    if PROFILERS[name]:
        unraisable = []
        monkeypatch.setattr(sys, "unraisablehook", unraisable.append)  # which would print more than that line
        assert PROFILERS[name] in line(capsys, *command)
        gc.collect()
        assert not unraisable
    else:
        assert run(*command) is not None


# What they must not do


def test_a_users_checkpoints_take_none_of_the_runs_own(data, tmp_path):
    """Two that would like the names of the run's own files; the run goes on as if they were not there."""
    greedy = [*add("ModelCheckpoint", "save_last=true", "filename=best", "monitor=val/loss"),
              *add("ModelCheckpoint", "filename=last", "every_n_train_steps=1")]  # fmt: skip
    common = ["--trainer.logger=false", "--checkpoints.every_n_batches=2"]
    plain = run(data, tmp_path / "plain", "VAE", *common)
    folder = run(data, tmp_path / "greedy", "VAE", *common, *greedy)
    names = sorted(path.name for path in (plain / "checkpoints").iterdir())
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == names
    for name in ("last.ckpt", "previous-1.ckpt", "best.ckpt"):
        one, other = (checkpoint(run / "checkpoints" / name) for run in (plain, folder))
        for part in ("state_dict", "optimizer_states", "loops", "global_step"):
            assert_same(one[part], other[part], part)
    assert {"last.ckpt", "best.ckpt"} <= {path.name for path in (folder / "own_checkpoints").iterdir()}
    # A run goes on from any of them, in its own folder.
    main(["fit", "--config", str(folder / "config.yaml"), f"--ckpt_path={folder}/own_checkpoints/best.ckpt",
          "--trainer.max_epochs=2"])  # fmt: skip
    assert checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] == 1


def test_nor_do_they_where_they_are_sent_there(data, tmp_path, capsys):
    folder = run(data, tmp_path / "runs", "VAE", "--trainer.logger=false")
    (tmp_path / "link").symlink_to(folder / "checkpoints")
    before = checkpoint(folder / "checkpoints" / "last.ckpt")
    for name, settings in [
        ("ModelCheckpoint", [f"dirpath={folder}/checkpoints"]),
        ("ModelCheckpoint", [f"dirpath={tmp_path}/link", "save_last=true"]),
        ("ModelCheckpoint", [f"dirpath={folder}/samples", "filename=../checkpoints/last"]),
        ("ModelCheckpoint", ["filename=../checkpoints/last"]),
        ("OnExceptionCheckpoint", [f"dirpath={folder}/checkpoints", "filename=last"]),
    ]:
        words = line(capsys, data, tmp_path / "runs", "VAE", *add(name, *settings))
        assert words.startswith(f"{name} would write among a run's own checkpoints") and "another folder" in words
    assert_same(before, checkpoint(folder / "checkpoints" / "last.ckpt"))
    assert run(data, tmp_path / "runs", "VAE", *add("ModelCheckpoint", f"dirpath={tmp_path}/mine", "save_last=true"))
    assert (tmp_path / "mine" / "last.ckpt").is_file()


def resume_with_own_checkpoints(run):
    main(["fit", f"--config={run}/config.yaml", f"--ckpt_path={run}", "--trainer.max_epochs=6"])
    return {str(path.relative_to(run / "own_checkpoints")) for path in (run / "own_checkpoints").rglob("*.ckpt")}


def test_a_moved_run_knows_the_users_checkpoints(data, tmp_path):
    """Of which it keeps as many as before; those of a name with a slash lie in folders of their own."""
    top = ["monitor=val/loss", "filename={epoch}-{val/loss:.0f}", "save_top_k=2", "save_last=true"]
    words = ["--trainer.logger=false", *add("ModelCheckpoint", *top), *add("ModelCheckpoint", "filename=at-{epoch}")]
    run_folder = run(data, tmp_path, "VAE", *words, "--trainer.max_epochs=3")
    shutil.copytree(run_folder, tmp_path / "copy")
    shutil.move(run_folder, tmp_path / "moved")
    for place in (tmp_path / "copy", tmp_path / "moved"):
        found = resume_with_own_checkpoints(place)
        assert {name.partition("-")[0] for name in found} == {"epoch=4", "epoch=5", "at", "last.ckpt"}
        assert len(found) == 4 and "at-epoch=5.ckpt" in found


def test_a_moved_project_knows_the_users_checkpoints_in_a_folder_of_its_own(data, tmp_path, monkeypatch):
    """Whose path is relative; none that is worse takes its place."""
    words = [*data, *add("ModelCheckpoint", "monitor=val/loss", "dirpath=mine", "mode=max")]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = run(words, Path("runs"), "VAE", "--trainer.logger=false")
    (best,) = Path("mine").iterdir()
    shutil.move(tmp_path / "here", tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    main(["fit", f"--config={folder}/config.yaml", f"--ckpt_path={folder}", "--trainer.max_epochs=3"])
    assert list(Path("mine").iterdir()) == [best], "the loss was highest in the first epoch"


def test_a_run_removes_no_files_outside_of_the_folder_of_the_users_checkpoints(data, tmp_path):
    """Whatever its checkpoint says; of those that are no longer there it is not said that they are kept."""
    words = ["--trainer.logger=false", *add("ModelCheckpoint", "monitor=val/loss", "save_top_k=2")]
    folder = run(data, tmp_path, "VAE", *words, "--trainer.max_epochs=3")
    last, own = folder / "checkpoints" / "last.ckpt", folder / "own_checkpoints"
    (tmp_path / "precious").write_text("")
    content = checkpoint(last)
    (state,) = (state for name, state in content["callbacks"].items() if name.startswith("ModelCheckpoint"))
    there = f"{own}/../../../precious"
    assert os.path.isfile(there)
    gone = state["best_model_path"]
    state |= {"best_k_models": {there: torch.tensor(1e9), gone: torch.tensor(0.0)}, "kth_best_model_path": there}
    os.unlink(gone)
    torch.save(content, last)
    found = resume_with_own_checkpoints(folder)
    assert (tmp_path / "precious").exists() and {"epoch=4-step=15.ckpt", "epoch=5-step=18.ckpt"} <= found


def test_ema_weights_are_what_checkpoints_hold_and_a_resumed_run_is_the_same(data, tmp_path):
    words = ["--trainer.logger=false", *add("EMAWeightAveraging", "decay=0.5")]
    whole = run(data, tmp_path / "whole", "VAE", *words, "--trainer.max_epochs=2", "--seed_everything=5")
    half = run(data, tmp_path / "half", "VAE", *words, "--seed_everything=5")
    run(data, tmp_path / "half", "VAE", *words, "--ckpt_path=last", "--trainer.max_epochs=2")
    one, other = (checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, half))
    for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states"):
        assert_same(one[part], other[part], part)
    averaged, present = one["state_dict"], one["current_model_state"]
    assert not any(torch.equal(averaged[name], present[name]) for name in averaged if name != "_extra_state")


def test_the_rates_of_a_schedule_are_logged_as_they_are(data, tmp_path):
    """With three batches and a decay to a thousandth, each step's rate is a tenth of the one before."""
    words = ["--model.learning_rate=0.001", "--model.learning_rate_decay=0.001", *add("LearningRateMonitor")]
    folder = run(data, tmp_path, "VAE", *words)
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lr-Adam"]]
    rates = {int(row["step"]): float(row["lr-Adam"]) for row in rows}  # the last of each step
    assert rates == pytest.approx({0: 1e-3, 1: 1e-4, 2: 1e-5})


# Mistakes


def test_a_value_that_nothing_logs(data, tmp_path, capsys):
    for name, model, value, hint in [
        ("EarlyStopping", "VAE", "val/los", "val/loss"),
        ("EarlyStopping", "DCGAN", "val/sliced", "val/sliced_wasserstein"),
        ("ModelCheckpoint", "VAE", "val_loss", "val/loss"),
        ("ModelCheckpoint", "DCGAN", "zzz", None),
    ]:
        words = line(capsys, data, tmp_path / model, model, "--trainer.logger=false", *add(name, f"monitor={value}"))
        begin, known = words.split("Set its monitor to one of: ")
        hint = f" Did you mean {hint}?" if hint else ""
        assert begin == f"{name} watches '{value}', which nothing logs.{hint} "
        assert ("val/elbo" if model == "VAE" else "val/sliced_wasserstein") in known


@pytest.mark.parametrize("way", [pytest.param("words", marks=pytest.mark.slow), "yaml"])
def test_mistaken_settings(way, data, tmp_path, capsys):
    """On the command line and in a YAML file."""
    for part, given, expected in [
        ("callbacks", ("EarlyStoping", {}), "no callback 'EarlyStoping'. Did you mean EarlyStopping.? Known: .*Timer"),
        ("callbacks", ("EarlyStopping", {}), "EarlyStopping needs monitor: set --trainer.callbacks.monitor"),
        ("callbacks", ("EarlyStopping", {"monitor": "a", "monitr": "b"}), "callbacks has no setting 'monitr'"),
        ("callbacks", ("EarlyStopping", {"monitor": "a", "patience": "x"}), "patience must be of type integer, not x"),
        ("callbacks", ("EarlyStopping", {"monitor": "a", "mode": "low"}), "`mode` can be min, max, got low"),
        ("callbacks", ("EarlyStopping", {"monitor": "a", "min_delta": "x"}), "min_delta must be of type number, not x"),
        (
            "callbacks",
            ("EarlyStopping", {"monitor": "a", "stopping_threshold": "x"}),
            "_threshold must be .*number( or null)?, not x",
        ),
        ("callbacks", ("LearningRateMonitor", {"logging_interval": "day"}), r"'step', 'epoch'\] or null, not day"),
        (
            "callbacks",
            ("LambdaCallback", {"on_train_start": "nowhere.f"}),
            "on_train_start: .* No module named 'nowhere'",
        ),
        ("callbacks", ("nowhere.Stop", {}), "no callback 'nowhere.Stop': No module named 'nowhere'"),
        ("callbacks", ("torch.nn.Linear", {}), "no callback 'torch.nn.Linear'"),
        ("callbacks", ("ModelCheckpoint", {"save_top_k": -2}), "save_top_k"),
        ("callbacks", ("Timer", {"duration": "soon", "interval": "step"}), "DD:HH:MM:SS"),
        ("logger", ("CSVLoger", {}), "no logger 'CSVLoger'. Did you mean CSVLogger.?"),
        ("logger", ("CSVLogger", {"save_dir": "x", "nam": "y"}), "logger has no setting 'nam'"),
    ]:
        name, settings = given
        if way == "words":
            plus = "+" if part == "callbacks" else ""
            words = [f"--trainer.{part}{plus}={name}", *(f"--trainer.{part}.{key}={settings[key]}" for key in settings)]
        else:
            addition = {"class_path": name, "init_args": settings}
            (tmp_path / "it.yaml").write_text(
                yaml.safe_dump({"trainer": {part: [addition] if part == "callbacks" else addition}})
            )
            words = ["--config", str(tmp_path / "it.yaml")]
        said = line(capsys, data, tmp_path / "runs", "VAE", *words)
        assert re.search(expected, said), said
    assert not list(tmp_path.glob("runs/*/*/checkpoints"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "profiler=advanced profiler.filename=x",
            "profiler to one, not to advanced, which takes none. Did you mean Adv",
        ),
        ("profiler=xla profiler.port=1", "profiler to one, not to xla, which takes none. Did you mean XLAProfiler"),
        ("profiler.filename=x", "profiler to one. Known: AdvancedProfiler, "),
        ("logger.save_dir=x", "logger to one. Known: CometLogger, CSVLogger, "),
        ("strategy=ddp strategy.timeout=1", "strategy to one, not to ddp, which takes none. Did you mean DDPStrategy"),
        ("strategy.timeout=1", "strategy to one, not to auto, which takes none. Known: DDPStrategy, "),
        ("strategy.class_path=Foo", "there is no strategy 'Foo'. Known: DDPStrategy, "),
        ("accelerator=cpu accelerator.x=1", "accelerator to one, not to cpu, which takes none."),
        ("logger=wandb", "there is no logger 'wandb'. Did you mean WandbLogger"),  # the name of a file of Lightning's
    ],
)
def test_a_setting_of_what_is_no_class(words, expected, data, tmp_path, capsys):
    said = line(capsys, data, tmp_path, "DCGAN", *(f"--trainer.{word}" for word in words.split()))
    assert expected in said
    setting = words.split()[-1].partition("=")[0]
    assert expected.startswith("there") or said.startswith(f"--trainer.{setting} is a setting of a class: first set ")


def test_callbacks_from_a_yaml_file_work_together(data, tmp_path):
    additions = ["ModelSummary", {"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss"}}]
    additions += [{"class_path": "Timer"}, {"class_path": "EMAWeightAveraging"}, {"class_path": "ModelCheckpoint"}]
    additions += [{"class_path": "tests.probes.SignalBetween"}]
    (tmp_path / "it.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": additions}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_BATCH", "0")
        folder = run(data, tmp_path / "runs", "VAE", "--config", str(tmp_path / "it.yaml"), "--trainer.logger=false")
    states = checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"]
    assert all(any(name in state for state in states) for name in ("EarlyStopping", "Timer", "EMAWeight", "ModelCheck"))


def test_a_single_callback_need_not_be_a_list(data, tmp_path):
    single = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    folder = run(data, tmp_path, "VAE", "--trainer.logger=false", *single)
    assert any("EarlyStopping" in state for state in checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"])


def test_combinations_that_cannot_be(data, tmp_path, capsys):
    gan, vae = (data, tmp_path / "runs", "DCGAN"), (data, tmp_path / "runs", "VAE")
    two = [*add("ModelCheckpoint"), *add("ModelCheckpoint")]
    assert "there are two callbacks ModelCheckpoint" in line(capsys, *vae, *two)
    bars = [*add("TQDMProgressBar"), *add("TQDMProgressBar")]
    assert "only one progress bar" in line(capsys, *vae, *bars)
    for name, off in itertools.product(
        ("LearningRateMonitor", "DeviceStatsMonitor", "ThroughputMonitor"), ("logger=false", "barebones=true")
    ):
        words = line(capsys, *vae, *add(name, *CALLBACKS[name]), f"--trainer.{off}")
        assert words.startswith(f"{name} has no log to write to") and f"--trainer.{off}" in words
    interval = add("ModelCheckpoint", "train_time_interval=00:00:01")
    assert "does not heed train_time_interval" in line(capsys, *gan, *interval)
    assert run(*vae, *interval, "--trainer.logger=false")
    scheduler = add("GradientAccumulationScheduler", "scheduling={0: 2}")
    words = line(capsys, *vae, *scheduler, "--trainer.accumulate_grad_batches=2", "--trainer.logger=false")
    assert "Either remove `accumulate_grad_batches` from the Trainer or remove the callback" in words


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_other_subcommands_refuse_what_would_train_in_them(subcommand, data, tmp_path, capsys):
    folder = run(data, tmp_path, "VAE", "--trainer.logger=false")
    path = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    for name in ("BatchSizeFinder", "BasePredictionWriter"):
        assert line(capsys, data, tmp_path, "VAE", *add(name), path, subcommand=subcommand).startswith(f"{name} ")


def test_a_spike_ends_in_one_line(data, tmp_path, capsys):
    spike = add("SpikeDetection", "mode=max", "warmup=0", "atol=0.0", "rtol=0.0")  # the loss falls
    words = line(capsys, data, tmp_path, "VAE", "--trainer.logger=false", "--trainer.max_epochs=3", *spike)
    assert words.startswith("SpikeDetection: Training spike detected in batch ") and "--model.learning_rate" in words


def test_an_error_of_the_users_own_keeps_its_traceback(data, tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(data, tmp_path, "VAE", "--trainer.logger=false",
            *add("LambdaCallback", "on_train_start=tests.callbacks.test_of_user.divide"))  # fmt: skip
    assert mistake(ZeroDivisionError()) is None


def divide(*_):
    return 1 / 0


# Barebones


@pytest.mark.parametrize("model", MODELS)
def test_barebones_trains_and_writes_nothing(model, data, tmp_path, recwarn, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(data, tmp_path / "runs", model, "--trainer.barebones=true", "--trainer.log_every_n_steps=null") is None
    assert not list(tmp_path.iterdir())
    assert not [str(warning.message) for warning in recwarn if "is configured" in str(warning.message)]


def test_barebones_elsewhere(data, tmp_path, capsys):
    folder = run(data, tmp_path / "runs", "VAE", "--trainer.logger=false")
    words = [f"--ckpt_path={folder}/checkpoints/last.ckpt", "--trainer.barebones=true"]
    words += ["--trainer.log_every_n_steps=null"]
    for subcommand in ("validate", "test"):
        said = line(capsys, data, tmp_path / "runs", "VAE", *words, subcommand=subcommand)
        assert f"leave --trainer.barebones=true out of {subcommand}" in said
    run(data, tmp_path / "runs", "VAE", *words, "--trainer.limit_predict_batches=1", subcommand="predict")
    assert list(tmp_path.glob("runs/vae/*/predictions/*.png"))


# Two processes


@pytest.mark.slow
@pytest.mark.parametrize("model", ["AAE", "AutoEncoder", "VAE"])
def test_two_processes_of_a_model_with_one_loss(model, data, tmp_path):
    """Without a word on unused parameters, with equal weights, and with callbacks that need a logger in each."""
    others = {
        "AAE": ["--model.discriminator_sizes=[8]", "--model.posterior=gaussian", "--trainer.logger=false"],
        "AutoEncoder": ["--trainer.logger=false"],
        "VAE": add("LearningRateMonitor"),
    }
    command = [
        sys.executable, "main.py", "fit", *data, f"--model={model}", "--model.latent_dim=2",
        "--model.encoder.hidden_sizes=[8]", *others[model], *SHORT, *QUIET,
        f"--trainer.default_root_dir={tmp_path}/runs", "--trainer.devices=2",
        "--trainer.accelerator=cpu", *add("tests.probes.WeightDigest"),
    ]  # fmt: skip
    environment = os.environ | {"PROBE_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "find_unused_parameters" not in done.stderr and "Reducer" not in done.stderr
    check_probes(tmp_path)
    (config,) = tmp_path.glob("runs/*/*/config.yaml")
    assert yaml.safe_load(config.read_text())["trainer"]["strategy"] == "auto"
