"""The one line that a command ends with, and what it leaves running."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

from lit_gen.command_line.endings import OTHER_ENDED, mistake, one_line_endings


def heed_no_signal(ready) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ready.release()
    time.sleep(600)


def test_a_second_ctrl_c_ends_loading_processes_and_gives_the_handlers_back():
    """It may come while Lightning ends them, and Python would wait for them for ever."""
    context = multiprocessing.get_context("spawn")
    ready, before = context.Semaphore(0), signal.getsignal(signal.SIGINT)
    own, loading = (context.Process(target=heed_no_signal, args=(ready,), daemon=True) for _ in range(2))
    own.start()
    try:
        with pytest.raises(SystemExit) as end, one_line_endings():
            loading.start()
            assert ready.acquire(timeout=100) and ready.acquire(timeout=100)
            signal.signal(signal.SIGINT, lambda *_: None)  # as a training does
            raise KeyboardInterrupt
        loading.join(100)
        assert end.value.code == 130 and loading.exitcode == -signal.SIGKILL
        assert signal.getsignal(signal.SIGINT) is before
        assert own.is_alive()  # the command did not start it
    finally:
        own.kill()


def test_a_mistake_that_a_started_process_found():
    """By ddp_spawn: torch raises another error, with the process's traceback as its text."""
    text = (
        '\n\n-- Process 0 terminated with the following error:\nTraceback (most recent call last):\n  File "x.py"\n'
        "lit_gen.errors.UserError: 2 processes cannot share 1 val images.\nSet --trainer.devices lower.\n"
    )
    said = mistake(ProcessRaisedException(text, 0, 1))
    assert said == "2 processes cannot share 1 val images. Set --trainer.devices lower."
    assert mistake(ProcessRaisedException(text.replace("lit_gen.errors.UserError", "ValueError"), 0, 1)) is None


@pytest.mark.parametrize("when", [{}, {"PROBE_BATCH": "2"}], ids=["before they meet", "in training"])
def test_a_process_that_fails_ends_the_others_with_a_line(when, tmp_path):
    """The first one waits for it where nothing but SIGKILL ends it, or meets an error of the connection."""
    words = ["fit", "--config=configs/vae.yaml", f"--data.root={tmp_path}", "--data.synthetic=true"]
    words += [
        "--data.synthetic_count=100",
        "--data.batch_size=5",
        "--data.val_size=20",
        "--model.encoder.hidden_sizes=[8]",
    ]
    words += ["--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.callbacks+=tests.probes.FailSecond"]
    words += [f"--trainer.default_root_dir={tmp_path / 'runs'}", "--trainer.enable_progress_bar=false"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"} | when
    command = [sys.executable, "main.py", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    lines = {line for line in done.stderr.splitlines() if "error" in line.lower()}
    assert lines == {"error: the second one fails.", f"error: {OTHER_ENDED}"}, done.stderr
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists(), "nothing of use was written"
