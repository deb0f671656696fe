"""Locks: of several processes one does the work, and the others wait for it, however it ends."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_gen.files import lock
from lit_gen.files.lock import alone

ROOT = Path(__file__).parents[2]
HOLD = """
import os, sys, time
from pathlib import Path
from lit_gen.files.lock import alone
with alone(Path(sys.argv[1]), "painting"):
    if "fork" in sys.argv and os.fork() == 0:
        time.sleep(60)
    print("held", flush=True)
    sys.stdin.read()
    Path(sys.argv[1]).write_text("made")
"""


@pytest.fixture
def hold():
    """A function that starts another process which holds the lock of a path until its input ends."""
    begun = []

    def start(path, *words):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, path, *words],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        begun.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in begun:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def test_a_second_process_waits_and_says_for_whom(hold, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lock, "FIRST_LINE", 0.1)
    monkeypatch.setattr(lock, "NEXT_LINE", 0.5)
    first, begun = hold(tmp_path / "array"), time.monotonic()

    def end_soon(seconds):
        if time.monotonic() - begun > 1.5 and not first.stdin.closed:
            assert not (tmp_path / "array").exists()
            first.stdin.close()
        real_sleep(seconds)

    real_sleep = time.sleep
    monkeypatch.setattr(time, "sleep", end_soon)
    with alone(tmp_path / "array", "painting"):
        assert (tmp_path / "array").read_text() == "made"
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4
    assert all(line.startswith(f"waiting for process {first.pid} on ") and "painting" in line for line in lines)
    assert os.listdir(tmp_path) == ["array"]


@pytest.mark.parametrize("words", [(), ("fork",)])
def test_the_lock_ends_with_its_process_though_that_is_killed(words, hold, tmp_path):
    """And though a process that it has forked lives on."""
    first = hold(tmp_path / "array", *words)
    first.kill()
    first.wait(30)
    begun = time.monotonic()
    with alone(tmp_path / "array", "painting"):
        assert not (tmp_path / "array").exists()
    assert time.monotonic() - begun < 5
    assert os.listdir(tmp_path) == []


def test_other_paths_are_not_locked(hold, tmp_path):
    hold(tmp_path / "array")
    with alone(tmp_path / "other", "painting"):
        pass


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_a_lock(error, tmp_path):
    try:
        with alone(tmp_path / "new" / "folder" / "array", "painting"):
            assert os.listdir(tmp_path / "new" / "folder") == [".array.lock"]
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "cache").mkdir()
    with alone(tmp_path / "cache" / "array", "painting"):
        pass
    assert os.listdir(tmp_path) == ["cache"]


def test_a_disk_that_knows_no_locks_keeps_nobody_waiting(hold, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    hold(tmp_path / "array")
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with alone(tmp_path / "array", "painting"):
        pass


def test_a_folder_that_cannot_be_written_keeps_nobody_waiting(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with alone(tmp_path / "array", "painting"):
        pass


def test_a_folder_that_cannot_be_made_keeps_nobody_waiting(tmp_path, monkeypatch):
    """As below /proc, or on a mount that is not there: it waited for ever, without a line."""

    def fails(*_):
        raise FileNotFoundError

    monkeypatch.setattr(os, "open", fails)
    with alone(tmp_path / "cache" / "array", "painting"):
        pass


def test_a_folder_that_the_last_holder_removes_is_made_again(tmp_path, monkeypatch):
    (folder := tmp_path / "cache").mkdir()
    real_open, removed = os.open, []

    def remove_first(path, *arguments):
        if not removed:
            removed.append(folder.rmdir())
        return real_open(path, *arguments)

    monkeypatch.setattr(os, "open", remove_first)
    with alone(folder / "array", "painting"):
        assert os.listdir(folder) == [".array.lock"]


def test_a_full_disk_does_not_keep_anybody_from_working(tmp_path, monkeypatch):
    """What is needed is a lock; the holder's name is for those who wait."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with alone(tmp_path / "made", "painting"):
        pass
    assert list(tmp_path.iterdir()) == []
