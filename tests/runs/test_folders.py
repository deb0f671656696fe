"""Run folders: their names, the run that a command goes on with, what is in one whatever logs, SLURM's jobs."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only

from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.runs import folders, locks
from lit_gen.runs.folders import new_folder, newest_checkpoint, run_of
from tests.runs.test_slurm import scontrol
from tests.test_cli import (  # noqa: F401  two are fixtures
    SIGNAL,
    STOPPABLE,
    TINY_DCGAN,
    TINY_VAE,
    assert_same_end,
    data,
    fit,
    mistake,
    rows,
    runs,
    signalled,
    times,
)

LAST = "checkpoints/last.ckpt"
HEADER = "# lightning.pytorch==2.6.6\n"


def files(run):
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------------- names


@pytest.fixture
def tree(tmp_path):
    """A run and, in a project beside it, a checkpoint with a config.yaml that is not of a run."""
    for path in ("runs/vae/one/checkpoints/last.ckpt", "runs/vae/one/time.json", "project/checkpoints/mine.ckpt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "project" / "config.yaml").write_text("trainer:\n  max_epochs: 3\n")
    return tmp_path


def test_the_run_of_a_checkpoint(tree, monkeypatch):
    run = tree / "runs" / "vae" / "one"
    assert run_of(run / LAST) == run_of(str(run / "checkpoints" / "best.ckpt")) == run
    monkeypatch.chdir(run / "checkpoints")
    assert run_of("last.ckpt") == run_of("../checkpoints/last.ckpt") == run
    (tree / "latest.ckpt").symlink_to(run / LAST)
    (tree / "newest").symlink_to(run)
    assert run_of(tree / "latest.ckpt") == run
    assert run_of(tree / "newest" / LAST).samefile(run)
    assert run_of(run / "hpc_ckpt_1.ckpt") == run  # which Lightning writes


def test_a_run_whose_checkpoints_are_on_another_disk(tree):
    run = tree / "runs" / "vae" / "one"
    (run / "checkpoints").rename(tree / "large")
    (run / "checkpoints").symlink_to(tree / "large")
    assert run_of(run / LAST) == run


@pytest.mark.parametrize("marker", ["config.yaml", "run.json", "time.json"])
def test_a_run_is_known_by_what_it_writes(marker, tree):
    run = tree / "runs" / "vae" / "one"
    (run / "time.json").unlink()
    assert run_of(run / LAST) is None
    (run / marker).write_text(HEADER if marker == "config.yaml" else "{}")
    assert run_of(run / LAST) == run


def test_checkpoints_that_are_of_no_run(tree):
    assert run_of(tree / "project" / "checkpoints" / "mine.ckpt") is None
    assert run_of(tree / "runs" / "vae" / "one" / "copy.ckpt") is None
    (tree / "copy.ckpt").touch()
    assert run_of(tree / "copy.ckpt") is None


def test_the_last_checkpoint_may_not_be_of_the_newest_run(tmp_path, caplog):
    """A run that is resumed has a config.yaml that is newer than its checkpoint, for a while."""
    checkpoint = tmp_path / "trained" / "checkpoints" / "last.ckpt"
    dead = tmp_path / "dead" / "config.yaml"
    for path, seconds in ((checkpoint, 2_000), (tmp_path / "trained" / "config.yaml", 2_500), (dead, 3_000)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (seconds, seconds))
    with caplog.at_level("INFO"):
        assert newest_checkpoint(tmp_path) == checkpoint
    assert caplog.messages == [f"{tmp_path}/dead is newer, but has no checkpoint: --ckpt_path=last is {checkpoint}"]


@pytest.mark.parametrize("job", [None, "12"])
def test_runs_that_begin_at_once_have_folders_of_their_own(job, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "strftime", lambda *_: "20260102-030405")
    monkeypatch.setenv("SLURM_JOB_ID", job or "")
    first = job or "20260102-030405"
    assert [new_folder(tmp_path, True).name for _ in range(3)] == [first, f"{first}-2", f"{first}-3"]
    assert not new_folder(tmp_path, False).name.startswith("12"), "not a training"


def test_a_folder_below_the_home_and_one_with_a_slash_at_its_end(data, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (run,) = [fit(TINY_VAE, data, tmp_path / "runs", "--trainer.default_root_dir=~/runs/")]
    assert run.parent == tmp_path / "runs" / "vae" and not (tmp_path / "~").exists()
    fit(TINY_VAE, data, tmp_path / "runs", "--trainer.default_root_dir=runs/", "--ckpt_path=last")
    assert [path.name for path in run.parent.iterdir()] == [run.name]


# ------------------------------------------------------------------------------------------------- the run that goes on


def test_a_checkpoint_from_elsewhere_starts_a_run_of_its_own(data, runs, tmp_path, monkeypatch):  # noqa: F811
    run = fit(TINY_VAE, data, runs)
    shutil.copy(run / "checkpoints" / "last.ckpt", tmp_path / "mine.ckpt")
    monkeypatch.chdir(tmp_path)
    assert fit(TINY_VAE, data, runs, "--ckpt_path=mine.ckpt", "--trainer.max_epochs=2") not in (None, run)


def test_a_run_that_was_moved_goes_on_where_it_is(data, runs, tmp_path):  # noqa: F811
    """And knows how good its best.ckpt is."""
    run = fit(TINY_VAE, data, runs)
    last = torch.load(run / LAST, weights_only=True)
    (state,) = [state for state in last["callbacks"].values() if "best_k_models" in state]
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(-1e9))  # not to be reached again
    torch.save(last, run / LAST)
    place = tmp_path / "elsewhere" / "mine"
    shutil.move(run, place)
    best = (place / "checkpoints" / "best.ckpt").read_bytes()
    assert fit(TINY_VAE, data, runs, f"--ckpt_path={place / LAST}", "--trainer.max_epochs=2") is None
    assert torch.load(place / LAST, weights_only=True)["epoch"] == 1
    assert (place / "checkpoints" / "best.ckpt").read_bytes() == best


def test_the_config_of_a_resumed_run_begins_a_new_one(data, runs, caplog):  # noqa: F811
    run = fit(TINY_VAE, data, runs)
    fit(TINY_VAE, data, runs, "--ckpt_path=last", "--trainer.max_epochs=2")
    config = run / "config.yaml"
    assert "ckpt_path" not in yaml.safe_load(config.read_text())
    before = times(run)
    main(["fit", "--config", str(config)])
    assert times(run) == before
    (new,) = set(run.parent.iterdir()) - {run}
    assert torch.load(new / LAST, weights_only=True)["global_step"] == 6
    main(["fit", "--config", str(config), f"--ckpt_path={run / LAST}", "--trainer.max_epochs=3"])
    main(["fit", f"--ckpt_path={run / LAST}", "--config", str(config), "--trainer.max_epochs=4"])
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 12
    assert len(list(run.parent.iterdir())) == 2


def test_the_config_that_an_earlier_version_left(data, runs, tmp_path, caplog, capsys):  # noqa: F811
    """It holds ckpt_path: null, or what the run went on from; also where it was copied to."""
    run = fit(TINY_VAE, data, runs)
    config, copy = run / "config.yaml", tmp_path / "mine.yaml"
    plain = config.read_text()
    config.write_text(f"{plain}ckpt_path: {run / LAST}\n")
    shutil.copy(config, copy)
    with caplog.at_level("INFO"):
        main(["fit", "--config", str(config)])
        main(["fit", "--config", str(copy)])
    assert len(list(run.parent.iterdir())) == 3
    assert f"{config} is of a run that went on from {run / LAST}: that is left out" in caplog.text
    assert "test needs a trained model: give --ckpt_path" in mistake(["test", "--config", str(config)], capsys)
    config.write_text(f"{plain}ckpt_path: null\n")
    main(["fit", f"--ckpt_path={run / LAST}", "--config", str(config), "--trainer.max_epochs=2"])
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 6
    own = tmp_path / "own.yaml"
    own.write_text(f"ckpt_path: {run / LAST}\ntrainer:\n  max_epochs: 3\n")  # a user's words are obeyed
    main(["fit", "--config", str(config), "--config", str(own)])
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 9


# ------------------------------------------------------------------------------------------------ one process at a time


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(data, runs, tmp_path, capsys):  # noqa: F811
    """The second changes nothing; other uses of a run that trains are free."""
    run = fit(TINY_VAE, data, runs)
    words = [*data, *TINY_VAE, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    again = ["fit", *words, "--trainer.max_epochs=2", "--trainer.limit_train_batches=3", "--ckpt_path=last"]
    environment = os.environ | {"PROBE_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "main.py", *again, "--trainer.callbacks+=tests.probes.Wait"]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while not (tmp_path / "waiting").exists():
            assert first.poll() is None, first.stdout.read()
            time.sleep(0.05)
        (run / "checkpoints" / ".last.ckpt.x.partial").touch()
        before = times(run)
        before.pop(run / "run.json", None)  # its time is the first one's sign of life
        line = mistake(again, capsys)
        assert f"{run} is in use: process {first.pid} on " in line and " since 20" in line
        assert times(run).items() >= before.items() and len(times(run)) <= len(before) + 1
        main(["predict", *words, "--ckpt_path=last", "--trainer.limit_predict_batches=1"])
        main(["fit", *words, "--ckpt_path=last", "--trainer.fast_dev_run=true"])
        assert times(run).items() >= before.items() and len(times(run)) <= len(before) + 1
        (tmp_path / "go").touch()
        assert first.wait(120) == 0
    finally:
        first.kill()
        first.communicate()
    main([*again[:-1], f"--ckpt_path={run / LAST}", "--trainer.max_epochs=3"])
    assert torch.load(run / LAST, weights_only=True)["global_step"] == 9


def test_a_command_that_fails_before_training_leaves_no_folder_and_no_lock(data, runs, capsys):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, f"--trainer.default_root_dir={runs}", "--trainer.overfit_batches=1.5"]
    mistake(words, capsys)
    assert not runs.exists()
    run = fit(TINY_VAE, data, runs)
    mistake([*words, "--ckpt_path=last"], capsys)
    assert fit(TINY_VAE, data, runs, "--ckpt_path=last", "--trainer.max_epochs=2") is None
    assert (run / "config.yaml").is_file()


# ------------------------------------------------------------------------------------------------------- other loggers


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with the user's own config.yaml."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "config.yaml").write_text("mine: true\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "loggers",
    [["WandbLogger"], ["CSVLogger"], ["CSVLogger", "WandbLogger"], ["lightning.pytorch.loggers.CSVLogger"]],
    ids="+".join,
)
def test_a_run_folder_is_the_same_whatever_logs(loggers, data, runs, project):  # noqa: F811
    given = [f"--trainer.logger{'+' if len(loggers) > 1 else ''}={logger}" for logger in loggers]
    run = fit(TINY_VAE, data, runs, *given)
    assert run is not None
    own = {"lightning_logs", "wandb", "wandb-id"}
    common = {path for path in files(run) if path.split("/")[0] not in own}
    assert common >= {"config.yaml", "metrics.csv", LAST, "checkpoints/best.ckpt", "samples/samples-0000003.png"}
    assert len([row for row in rows(run) if row["train/loss_kl"]]) == 3
    assert ("lightning_logs/version_0/metrics.csv" in files(run)) is any("CSV" in name for name in loggers)
    assert bool(list(run.glob("wandb/offline-run-*"))) is ("WandbLogger" in loggers)
    assert files(project) == {"config.yaml"} and (project / "config.yaml").read_text() == "mine: true\n"
    main(["fit", "--config", str(run / "config.yaml"), f"--ckpt_path={run / LAST}", "--trainer.max_epochs=2"])
    assert [row["epoch"] for row in rows(run) if row["train/loss_kl"]] == ["0"] * 3 + ["1"] * 3
    if "WandbLogger" in loggers:
        # offline-run-<time>-<id>, and -1 behind it when two begin within the same second.
        logged = {path.name.split("-")[3] for path in run.glob("wandb/offline-run-*")}
        assert logged == {(run / "wandb-id").read_text()}
    before = times(run)
    main(["fit", "--config", str(run / "config.yaml")])  # the saved settings do not lead back into this run
    assert times(run) == before and len(list(run.parent.iterdir())) == 2
    assert files(project) == {"config.yaml"}


def test_a_logger_with_a_folder_of_its_own(data, runs, project):  # noqa: F811
    run = fit(TINY_VAE, data, runs, "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs")
    assert "logs/lightning_logs/version_0/metrics.csv" in files(project)
    assert "config.yaml" in files(run) and "metrics.csv" in files(run)
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["logger"]["init_args"]["save_dir"] == "logs"


def test_without_a_logger_there_is_a_config(data, runs):  # noqa: F811
    run = fit(TINY_VAE, data, runs)
    assert "config.yaml" in files(run) and "metrics.csv" not in files(run)


def test_a_run_of_an_earlier_version_that_has_its_config_elsewhere(data, runs, project):  # noqa: F811
    run = fit(TINY_VAE, data, runs)
    (run / "config.yaml").unlink()
    (run / "run.json").unlink()
    assert fit(TINY_VAE, data, runs, f"--ckpt_path={run / LAST}", "--trainer.max_epochs=2") is None
    assert (run / "config.yaml").is_file()


def test_fast_dev_run_with_a_logger_writes_nothing(data, runs, project):  # noqa: F811
    fast = ["--trainer.fast_dev_run=true", "--trainer.callbacks+=LearningRateMonitor"]
    assert fit(TINY_VAE, data, runs, "--trainer.logger=WandbLogger", *fast) is None
    assert not runs.exists() and files(project) == {"config.yaml"}


# --------------------------------------------------------------------------------------------------------------- SLURM


JOB = {"SLURM_JOB_ID": "77", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1",
       "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1"}  # fmt: skip


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Puts this process into a job of SLURM; what its scontrol was asked is in the file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    for name in ("SLURM_RESTART_COUNT", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return scontrol(folder)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_job_that_slurm_starts_again_goes_on(data, tmp_path, job, monkeypatch, capsys, caplog):  # noqa: F811
    words = ["fit", *data, *TINY_DCGAN, *STOPPABLE, "--trainer.logger=false"]
    monkeypatch.setenv("SLURM_JOB_ID", "76")
    main([*words, f"--trainer.default_root_dir={tmp_path}/whole"])
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("PROBE_SIGNAL", str(int(signal.SIGUSR1)))
    monkeypatch.setenv("PROBE_BATCH", "7")
    words += [SIGNAL, f"--trainer.default_root_dir={tmp_path}/broken"]
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 128 + signal.SIGUSR1 and signal.getsignal(signal.SIGUSR1) is before
    said = capsys.readouterr().err
    assert "stopped by SIGUSR1 after batch 7. To go on: " in said and "SLURM starts job 77 again" in said
    assert job.read_text() == "requeue 77\n"
    run = tmp_path / "broken" / "dcgan" / "77"
    assert names(run.parent) == {"77"} and not list(run.glob("hpc_ckpt*"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("PROBE_BATCH", "0")
    main(words)
    assert names(run.parent) == {"77"}
    assert_same_end(tmp_path / "whole" / "dcgan" / "76", run)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    written = times(run)
    for rank in (1, 0):  # each task of srun finds it by itself
        with monkeypatch.context() as patch:
            patch.setattr(rank_zero_only, "rank", rank)
            patch.setenv("SLURM_PROCID", str(rank))
            with pytest.raises(SystemExit) as end, caplog.at_level("INFO"):
                main(words)
        assert end.value.code == 0 and times(run) == written
        assert caplog.text.count(f"{run} is finished") == 1 - rank
    main([*words, "--model.latent_dim=5"])  # another run, which had not begun yet
    assert names(run.parent) == {"77", "77-2"} and times(run) == written


def stop(words, batch, monkeypatch):
    """Has a fit stopped by SLURM's signal in this batch."""
    monkeypatch.setenv("PROBE_SIGNAL", str(int(signal.SIGUSR1)))
    monkeypatch.setenv("PROBE_BATCH", str(batch))
    with pytest.raises(SystemExit) as end:
        main([*words, SIGNAL])
    assert end.value.code == 128 + signal.SIGUSR1
    monkeypatch.setenv("PROBE_BATCH", "0")


def step_of(run):
    return torch.load(run / LAST, weights_only=True)["global_step"]


def test_several_trainings_in_a_job(data, runs, job, monkeypatch):  # noqa: F811
    """Each goes on with its own; a job that was not started again begins anew each time."""
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", f"--trainer.default_root_dir={runs}"]
    wider = [*words, "--model.encoder.hidden_sizes=[9]"]
    parent = runs / "vae"
    monkeypatch.setenv("PROBE_BATCH", "0")
    main([*words, SIGNAL])
    stop(wider, 3, monkeypatch)
    main([*words, SIGNAL])
    assert names(parent) == {"77", "77-2", "77-3"}
    written = times(parent / "77") | times(parent / "77-3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with pytest.raises(SystemExit) as end:
        main([*words, SIGNAL])
    assert end.value.code == 0
    main([*wider, SIGNAL])
    assert names(parent) == {"77", "77-2", "77-3"} and step_of(parent / "77-2") == 10
    assert times(parent / "77") | times(parent / "77-3") == written
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    main([*words, SIGNAL])
    assert names(parent) == {"77", "77-2", "77-3", "78"}


def test_a_task_of_a_job_array(data, runs, job, monkeypatch):  # noqa: F811
    for task in ("3", "4"):
        monkeypatch.setenv("SLURM_JOB_ID", f"8{task}")
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
        words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", f"--trainer.default_root_dir={runs}"]
        stop(words, 2, monkeypatch)
    assert names(runs / "vae") == {"77_3", "77_4"}
    assert job.read_text() == "requeue 77_3\nrequeue 77_4\n"


def test_a_job_that_goes_on_with_a_checkpoint(data, runs, job, tmp_path, monkeypatch):  # noqa: F811
    """Started again it goes on from where it was, not from that checkpoint."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    old = fit(TINY_VAE, data, runs)
    shutil.copy(old / LAST, tmp_path / "copy.ckpt")
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", f"--trainer.default_root_dir={runs}"]
    words += ["--trainer.limit_train_batches=3", "--trainer.max_epochs=4"]
    for number, checkpoint in enumerate([tmp_path / "copy.ckpt", old / "checkpoints" / "best.ckpt"]):
        monkeypatch.setenv("SLURM_JOB_ID", f"2{number}")
        monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
        run = old if number else runs / "vae" / "20"
        stop([*words, f"--ckpt_path={checkpoint}"], 8, monkeypatch)
        assert step_of(run) == 8
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        monkeypatch.setenv("PROBE_BATCH", "7")  # which was before
        main([*words, SIGNAL, f"--ckpt_path={checkpoint}"])
        assert step_of(run) == 12
    assert names(runs / "vae") == {"1", "20"}


@pytest.mark.slow
def test_a_job_that_ended_before_its_first_checkpoint(data, runs, job, monkeypatch):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, f"--trainer.default_root_dir={runs}"]
    words += ["--checkpoints.every_n_batches=0", SIGNAL]
    done = signalled(words, signal.SIGKILL, 3)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = runs / "vae" / "77"
    assert "config.yaml" in files(run) and LAST not in files(run)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("PROBE_BATCH", "0")
    main([*words, SIGNAL])
    assert names(runs / "vae") == {"77"}
    assert [row["step"] for row in rows(run) if row["train/loss_kl"]] == [str(step) for step in range(10)]
    shutil.rmtree(run / "checkpoints")
    (run / "config.yaml").unlink()  # as if it had ended before its training began
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    main([*words, SIGNAL])
    assert names(runs / "vae") == {"77"}


def test_a_shell_within_a_job_is_no_job(data, runs, job, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert fit(TINY_VAE, data, runs).name.startswith("20")


def test_slurms_signal_while_nothing_is_trained(data, runs, job, monkeypatch):  # noqa: F811
    """The job is queued again, and no checkpoint of Lightning's is left."""
    run = fit(TINY_VAE, data, runs)
    monkeypatch.setenv("PROBE_SIGNAL", str(int(signal.SIGUSR1)))
    words = [*data, *TINY_VAE, f"--trainer.default_root_dir={runs}", f"--ckpt_path={run / LAST}"]
    main(["validate", *words, "--trainer.callbacks+=tests.probes.SignalInValidation"])
    assert job.read_text() == "requeue 77\n" and not list(runs.rglob("hpc_ckpt*"))


@pytest.mark.slow  # test_nodes has the same with torchrun
def test_the_tasks_of_srun_go_on_together(data, tmp_path, job):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}"]
    words += ["--trainer.devices=2", "--trainer.accelerator=cpu", "--data.batch_size=8", SIGNAL]

    def srun(restarts, batch):
        environment = os.environ | JOB | {
            "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_RESTART_COUNT": str(restarts),
            "PROBE_SIGNAL": str(int(signal.SIGUSR1)), "PROBE_BATCH": str(batch), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        tasks = [
            subprocess.Popen(
                [sys.executable, "main.py", *words],
                env=environment | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(2)
        ]
        try:
            said = [task.communicate(timeout=240)[0] for task in tasks]
        finally:
            for task in tasks:
                task.kill()
        return [task.returncode for task in tasks], "\n".join(said)

    codes, said = srun(0, 7)
    assert codes == [128 + signal.SIGUSR1, 0] and job.read_text() == "requeue 77\n", said
    codes, said = srun(1, 0)
    assert codes == [0, 0] and step_of(tmp_path / "vae" / "77") == 10, said
    assert names(tmp_path / "vae") == {"77"}


def test_auto_goes_on_with_what_the_former_process_writes_as_it_ends(tmp_path, monkeypatch):
    """Its first checkpoint may come while this command waits for its lock: nothing is begun anew then."""
    (tmp_path / "first" / "checkpoints").mkdir(parents=True)
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    monkeypatch.setattr(folders, "_take", lambda *_: last.touch())
    found = folders.going_on(tmp_path, lambda: {"trainer": {"max_epochs": 2}}, None, folders.AUTO, "first")
    assert found == (tmp_path / "first", str(last))


def test_auto_goes_on_from_the_newest_checkpoint_that_is_left(tmp_path, monkeypatch, caplog):
    """As of a run whose last.ckpt somebody removed: it is not begun anew, over its best.ckpt and its log."""
    checkpoints = tmp_path / "first" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for age, name in enumerate(["previous-1", "best", "previous-2", "non-finite"]):
        (checkpoints / f"{name}.ckpt").touch()
        os.utime(checkpoints / f"{name}.ckpt", (1_000 - age, 1_000 - age if name != "non-finite" else 2_000))
    monkeypatch.setattr(folders, "read_checkpoint", lambda path, **_: {"epoch": 3})
    for most, expected in ((8, ["previous-1", "best", "previous-2"]), (1, [])):
        for name in expected:
            settings = {"trainer": {"max_epochs": most}}
            with caplog.at_level("INFO"):
                found = folders.going_on(tmp_path, lambda now=settings: now, None, folders.AUTO, "first")
            assert found == (tmp_path / "first", str(checkpoints / f"{name}.ckpt"))
            assert f"first has no last.ckpt: it goes on from {name}.ckpt" in caplog.text
            (checkpoints / f"{name}.ckpt").rename(checkpoints / f"{name}.aside")
            locks.held[-1].release()
        for path in checkpoints.glob("*.aside"):
            path.rename(path.with_suffix(".ckpt"))
    with pytest.raises(UserError, match="previous-1.ckpt is of epoch 4, and --trainer.max_epochs is 1"):
        folders.going_on(tmp_path, lambda: {"trainer": {"max_epochs": 1}}, None, folders.AUTO, "first")


def test_a_job_that_slurm_starts_again_looks_at_its_own_run_first(data, runs, job, monkeypatch):  # noqa: F811
    """`last` is of another run by then, which has trained for longer."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    mine = fit(TINY_VAE, data, runs)
    words = ["fit", *data, *TINY_VAE, *STOPPABLE, "--trainer.logger=false", f"--trainer.default_root_dir={runs}"]
    words += ["--trainer.limit_train_batches=3"]
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    resume = [*words, "--trainer.max_epochs=4", "--ckpt_path=last"]
    stop(resume, 8, monkeypatch)
    monkeypatch.setenv("PROBE_BATCH", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "21")
    main([*words, "--trainer.max_epochs=7"])
    monkeypatch.setenv("SLURM_JOB_ID", "20")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    main([*resume, SIGNAL])
    assert step_of(mine) == 12
