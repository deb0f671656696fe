"""The one line that a command ends with, and what it leaves running."""

import multiprocessing
import signal
import time

import pytest
from torch.multiprocessing.spawn import ProcessRaisedException

from lit_gen.command_line.endings import mistake, one_line_endings


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
