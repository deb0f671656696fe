"""What a command says last, so that it can be seen and pasted into a shell: W&B and others speak before."""

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import wandb

from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.models import VAE
from lit_gen.runs.checkpoint_files import WholeCheckpointIO
from lit_gen.runs.commands import command, resume_command
from lit_gen.runs.folders import checkpoint_in, newest_checkpoint

TINY = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[8]"]
SHORT = ["--trainer.limit_train_batches=3", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"]
QUICK = ["--trainer.limit_test_batches=1", "--evaluation.features=none", "--evaluation.samples=8"]
FINISHED = "finished: checkpoints"
AWKWARD = ["plain", "with spaces", "it's", 'a "b" $HOME `id` \\', "ü # 火", "two  spaces", "{a: b}, [c]", "-x=y;&|*?~"]


@pytest.fixture
def words(mnist_root):
    data = ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100"]
    return [*data, "--data.batch_size=16", *TINY, *SHORT]


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def wordy(monkeypatch):
    """A W&B that ends with twenty lines, on standard error and in the log."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    finish = wandb.finish

    def wordy_finish():
        finish()
        for number in range(20):
            print("wandb: line", number, file=sys.stderr)
        logging.getLogger("lightning.pytorch").info("wandb: its last line")

    monkeypatch.setattr(wandb, "finish", wordy_finish)


def ends_in(caplog):
    """The lines that were logged after W&B's last."""
    assert caplog.messages.count("wandb: its last line") == 1
    return caplog.messages[caplog.messages.index("wandb: its last line") + 1 :]


# ------------------------------------------------------------------------------------------------------- ours come last


def test_of_a_run_that_finished(words, runs, wordy, caplog):
    with caplog.at_level("INFO"):
        main(["fit", *words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=2"])
    (run,) = (runs / "vae").iterdir()
    wandb_line, best, finished = ends_in(caplog)
    assert wandb_line.startswith("W&B: offline") and f"wandb sync {run}/wandb/offline-run-*" in wandb_line
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    (state,) = (state for name, state in checkpoint["callbacks"].items() if "BestCheckpoint" in name)
    assert f"val/loss {float(state['best_model_score']):.5g}," in best and f"epoch {checkpoint['epoch']} " in best
    assert finished == f"{FINISHED}, samples and metrics are in {run}"


def test_of_a_run_with_a_logger_of_the_users_own(words, runs, wordy, caplog, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = ["--trainer.logger=WandbLogger", f"--trainer.logger.save_dir={tmp_path}/own", "--trainer.logger.offline=true"]
    with caplog.at_level("INFO"):
        main(["fit", *words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1", *own])
    assert ends_in(caplog)[-1].startswith(FINISHED)


def test_of_a_run_without_a_logger(words, runs, caplog):
    with caplog.at_level("INFO"):
        main(["fit", *words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1", "--trainer.logger=false"])
    assert caplog.messages[-1].startswith(FINISHED) and caplog.messages[-2].startswith("best.ckpt: val/loss")
    assert "W&B" not in caplog.text


def test_of_a_run_without_checkpoints(words, runs, caplog):
    with caplog.at_level("INFO"):
        main(["fit", *words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1", "--logger=csv",
              "--trainer.enable_checkpointing=false"])  # fmt: skip
    (run,) = runs.glob("vae/*")
    assert caplog.messages[-1] == f"finished: samples and metrics are in {run}"


def test_of_a_test(words, runs, wordy, caplog):
    words = [*words, f"--trainer.default_root_dir={runs}"]
    main(["fit", *words, "--trainer.max_epochs=1", "--trainer.logger=false"])
    with caplog.at_level("INFO"):
        main(["test", *words, "--ckpt_path=last", *QUICK])
    (written,) = runs.glob("vae/*/test.json")
    assert ends_in(caplog)[-1] == f"written to {written}"


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_of_a_run_that_was_stopped(number, name, words, runs, wordy, monkeypatch, capsys):
    monkeypatch.setenv("PROBE_SIGNAL", str(int(number)))
    monkeypatch.setenv("PROBE_BATCH", "5")  # the second of the second epoch
    probe = ["--trainer.callbacks+=tests.probes.SignalBetween", f"--trainer.default_root_dir={runs}"]
    with pytest.raises(SystemExit) as end:
        main(["fit", *words, *probe, "--trainer.max_epochs=2"])
    assert end.value.code == 128 + number
    best, stopped = capsys.readouterr().err.strip().splitlines()[-2:]
    assert best.startswith("best.ckpt: val/loss") and "in epoch 0 " in best
    assert stopped.startswith(f"stopped by {name} after batch 5. To go on: python main.py fit --config=")


def test_of_a_prediction_that_was_stopped(words, runs, tmp_path, capsys):
    """Lightning's predict heeds no SIGTERM: it went on to its end, with code 0."""
    words = [*words, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    main(["fit", *words, "--trainer.max_epochs=1"])
    place, before = tmp_path / "digits", signal.getsignal(signal.SIGTERM)
    probe = "--trainer.callbacks+=tests.probes.SignalInPrediction"
    with pytest.raises(SystemExit) as end:
        main(["predict", *words, "--ckpt_path=last", "--count=9", f"--output={place}", probe])
    assert end.value.code == 143 and signal.getsignal(signal.SIGTERM) is before and not place.exists()
    assert capsys.readouterr().err.strip().splitlines()[-1] == "stopped by SIGTERM"


def test_of_a_mistake_and_of_a_loss_that_is_not_finite(words, runs, wordy, capsys):
    words = [*words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=2"]
    for mistaken, text in (("--model.learning_rate=1e30", "is not finite"), ("--ckpt_path=none.ckpt", "none.ckpt")):
        with pytest.raises(SystemExit) as end:
            main(["fit", *words, mistaken])
        assert end.value.code == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ") and text in line


def test_a_log_that_cannot_be_ended_hides_nothing(words, runs, monkeypatch, caplog):
    for error in (KeyboardInterrupt(), RuntimeError("the disk is full")):

        def fail(error=error):
            wandb.run.finish()
            raise error

        monkeypatch.setattr(wandb, "finish", fail)
        with caplog.at_level("INFO"):
            try:
                main(["fit", *words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1"])
            except KeyboardInterrupt:  # which would end all tests
                pytest.fail("the interruption of W&B's end hides that the run has finished")
        assert caplog.messages[-1].startswith(FINISHED) and ("wandb sync" in caplog.messages[-3])
    assert "it could not be ended: the disk is full" in caplog.messages[-3]


# ------------------------------------------------------------------------------------------------- commands for a shell


@pytest.mark.parametrize("name", AWKWARD)
def test_a_command_is_what_a_shell_reads_back(name):
    path = Path("/somewhere") / name / "checkpoints" / "last.ckpt"
    printed = subprocess.run(
        ["bash", "-c", f"python() {{ printf '%s\\0' \"$@\"; }}; {resume_command(path)}"], capture_output=True, text=True
    )
    run = path.parent.parent
    assert printed.stdout.split("\0") == ["main.py", "fit", f"--config={run}/config.yaml", f"--ckpt_path={path}", ""]


@pytest.mark.parametrize(
    ("started", "named"), [("main.py", "main.py"), ("/a b/main.py", "'/a b/main.py'"), ("/bin/pytest", "main.py")]
)
def test_a_command_names_the_program_as_it_was_started(started, named, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started, "fit"])
    assert command("test", ckpt_path="x") == f"python {named} test --ckpt_path=x"


def test_the_checkpoint_to_take_instead_is_quoted(tmp_path):
    folder = tmp_path / "it's  mine"
    folder.mkdir()
    (folder / "last.ckpt").write_bytes(b"half")
    (folder / "previous-1.ckpt").write_bytes(b"whole, let us say")
    with pytest.raises(UserError) as error:
        WholeCheckpointIO().load_checkpoint(folder / "last.ckpt")
    words = shlex.split(str(error.value).split("Instead of it: ")[1])
    assert words == [f"--ckpt_path={folder}/previous-1.ckpt"]


def test_a_path_with_two_spaces_survives_an_error_line(words, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["fit", *words, f"--trainer.default_root_dir={tmp_path}", f"--ckpt_path={tmp_path}/two  spaces.ckpt"])
    assert f"{tmp_path}/two  spaces.ckpt" in capsys.readouterr().err.strip().splitlines()[-1]


def test_the_state_of_an_exception_comes_with_a_command(words, tmp_path, monkeypatch, caplog):
    losses = VAE.losses

    def fail_later(model, batch):
        if model.trainer.training and model.trainer.fit_loop.total_batch_idx == 2:
            raise ZeroDivisionError("a bug")
        return losses(model, batch)

    monkeypatch.setattr(VAE, "losses", fail_later)
    runs = tmp_path / "my runs"
    with pytest.raises(ZeroDivisionError), caplog.at_level("INFO"):
        main(["fit", *words, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=1", "--trainer.logger=false"])
    (line,) = (message for message in caplog.messages if "exception.ckpt" in message)
    monkeypatch.undo()
    caplog.clear()
    with caplog.at_level("INFO"):
        main(shlex.split(line.split("python main.py ")[1]))
    assert caplog.messages[-1].startswith(FINISHED) and len(list((runs / "vae").iterdir())) == 1


def in_a_shell(line, environment):
    line = line.replace("python ", f"{shlex.quote(sys.executable)} ", 1)
    return subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_stopped_run_goes_on_by_the_line_it_left(words, tmp_path):
    """With W&B's true offline log, overlays, and a folder that needs quotes; W&B says nothing of its own."""
    runs, overlay = tmp_path / 'it\'s my "runs" # ü', tmp_path / "over lay.yaml"
    overlay.write_text("model:\n  init_args:\n    beta: 3.0\ntrainer:\n  max_epochs: 2\n")
    environment = os.environ | {"PROBE_SIGNAL": str(int(signal.SIGTERM)), "PROBE_BATCH": "5", "OMP_NUM_THREADS": "1"}
    for name in ("WANDB_SERVICE", "WANDB_API_KEY"):
        environment.pop(name, None)  # the former is this process's own, if it has logged already
    environment["WANDB_MODE"] = "offline"
    words = ["fit", *words, f"--config={overlay}", f"--trainer.default_root_dir={runs}"]
    words += ["--trainer.callbacks+=tests.probes.SignalBetween", "--wandb.project=mine"]
    stopped = in_a_shell(shlex.join(["python", "main.py", *words]), environment)
    assert stopped.returncode == 143, stopped.stderr
    *others, line = stopped.stderr.strip().splitlines()
    (run,) = (runs / "over lay").iterdir()
    assert "stopped by SIGTERM after batch 5. To go on: python main.py fit" in line
    assert not [other for other in others if other.startswith("wandb:")], stopped.stderr
    sync = [shlex.split(other.split("wandb sync ")[1]) for other in others if "wandb sync" in other]
    identity = (run / "wandb-id").read_text()
    assert sync == [[f"{run}/wandb/offline-run-*-{identity}"]] * 2
    resumed = in_a_shell(line.split("To go on: ")[1], environment | {"PROBE_BATCH": "0"})
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.strip().splitlines()[-1] == f"{FINISHED}, samples and metrics are in {run}"
    assert list((runs / "over lay").iterdir()) == [run]
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 6 and last["hyper_parameters"]["beta"] == 3.0
    assert json.loads((run / "wandb-page.json").read_text())["project"] == "mine"
    assert len(list((run / "wandb").glob(f"offline-run-*-{identity}"))) == 2


# ----------------------------------------------------------------------------------------------------- --ckpt_path=best


def test_the_best_checkpoint_is_taken_by_its_name(words, runs, caplog):
    words = [*words, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    main(["fit", *words, "--trainer.max_epochs=1"])
    (run,) = (runs / "vae").iterdir()
    best = run / "checkpoints" / "best.ckpt"
    main(["test", *words, "--ckpt_path=best", *QUICK])
    (written,) = runs.glob("vae/*/test.json")
    assert json.loads(written.read_text())["checkpoint"] == str(best)
    caplog.clear()
    with caplog.at_level("INFO"):
        main(["validate", *words, "--ckpt_path=best"])
        main(["predict", *words, "--ckpt_path=best", "--trainer.limit_predict_batches=1"])
    assert caplog.text.count(f"Loaded model weights from the checkpoint at {best}") == 2
    main(["fit", *words, "--ckpt_path=best", "--trainer.max_epochs=2"])
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 6, "a second epoch in the same run"


def checkpoints(run, seconds, *names):
    """A run's folder whose files were written at that time."""
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    for path in (run / "config.yaml", *(run / "checkpoints" / f"{name}.ckpt" for name in names)):
        path.touch()
        os.utime(path, (seconds, seconds))


def test_which_best_checkpoint(tmp_path, caplog):
    """That of the run that was trained last, wherever in its training its best came."""
    now = int(time.time())
    with pytest.raises(UserError, match="there is no run with a checkpoint below .*Train one with fit first"):
        newest_checkpoint(tmp_path, "best")
    checkpoints(tmp_path / "blind", now - 900, "last")
    with pytest.raises(UserError, match="has a best.ckpt: none was validated yet. Use --ckpt_path=last"):
        newest_checkpoint(tmp_path, "best")
    checkpoints(tmp_path / "a", now - 800, "best", "last")
    checkpoints(tmp_path / "b", now - 700, "best", "last")
    assert newest_checkpoint(tmp_path, "best") == tmp_path / "b" / "checkpoints" / "best.ckpt"
    os.utime(tmp_path / "a" / "checkpoints" / "last.ckpt", (now - 600, now - 600))
    assert newest_checkpoint(tmp_path, "best") == tmp_path / "a" / "checkpoints" / "best.ckpt"
    assert newest_checkpoint(tmp_path) == tmp_path / "a" / "checkpoints" / "last.ckpt"
    assert caplog.messages == []
    checkpoints(tmp_path / "c", now - 500, "last")
    with caplog.at_level("INFO"):
        best = newest_checkpoint(tmp_path, "best")
    assert caplog.messages == [f"{tmp_path}/c is newer, but has no best.ckpt: --ckpt_path=best is {best}"]


def test_the_folder_of_a_run_stands_for_what_auto_goes_on_from(tmp_path):
    """Its last.ckpt; where a process was killed between two, the newest of the others."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    names = ("last", "previous-1", "best", "previous-2")
    for age, name in enumerate(names):
        (folder / f"{name}.ckpt").touch()
        os.utime(folder / f"{name}.ckpt", (1e9 - age, 1e9 - age))
    assert checkpoint_in(tmp_path) == folder / "last.ckpt"
    for name in names:
        assert checkpoint_in(tmp_path / "run") == checkpoint_in(folder) == folder / f"{name}.ckpt"
        (folder / f"{name}.ckpt").unlink()
    with pytest.raises(UserError, match="there is no run with a checkpoint"):
        checkpoint_in(tmp_path / "run")
