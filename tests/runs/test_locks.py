"""Run folders that several processes want, on this machine, and as if on others."""

import errno
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lit_gen.errors import UserError
from lit_gen.runs import leftovers, locks
from lit_gen.runs.folders import AUTO, new_folder
from lit_gen.runs.locks import HeldError, RunLock, read_record

ROOT = Path(__file__).parents[2]
HOLD = "lock = locks.RunLock(Path({folder!r})); print('held', flush=True); sys.stdin.read(); lock.release()"
FORK = "lock = locks.RunLock(Path({folder!r})); child = os.fork(); child and print('held', flush=True); time.sleep(60)"


@contextmanager
def process(code, folder, **environment):
    """Another process that says "held" when it holds `folder`; it goes on when its input ends."""
    imports = "import os, sys, time\nfrom pathlib import Path\nfrom lit_gen.runs import locks\n"
    code = imports + code.format(folder=str(folder))
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert other.stdout.readline() == "held\n", other.stderr.read()
        yield other
    finally:
        try:
            os.killpg(other.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if not other.stdin.closed:
            other.communicate()


@pytest.fixture(autouse=True)
def release():
    yield
    for lock in locks.held.copy():
        lock.release()


def record(folder, seconds_ago=0.0, **content):
    """Writes the record of a process that runs on another machine."""
    content = {
        "state": "running", "process": 4321, "host": "elsewhere", "boot": "another", "since": "2026-01-02 03:04:05",
        "job": None, "restarts": 0, "start": None,
    } | content  # fmt: skip
    path = folder / "run.json"
    path.write_text(json.dumps(content) + "\n")
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


def test_a_second_process_is_told_who_works_there_and_changes_nothing(tmp_path):
    with process(HOLD, tmp_path) as other:
        path = tmp_path / "run.json"
        before = path.read_text(), path.stat().st_mtime_ns, tmp_path.stat().st_mtime_ns
        with pytest.raises(HeldError) as caught:
            RunLock(tmp_path)
        assert (path.read_text(), path.stat().st_mtime_ns, tmp_path.stat().st_mtime_ns) == before
        who = rf"process {other.pid} on {socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d "
        assert re.search(who, str(caught.value)) and str(tmp_path) in str(caught.value)
        other.communicate(timeout=30)
        assert other.returncode == 0
    assert read_record(tmp_path)["state"] == "stopped"
    RunLock(tmp_path)


@pytest.mark.slow
def test_of_two_that_come_at_once_one_is_told_of_the_other(tmp_path):
    """Not of whoever was there before."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for former in ({"state": "stopped"}, {"process": ended.pid, "host": socket.gethostname(), "boot": locks._boot()}):
        record(tmp_path, **former)
        late = HOLD.replace("lock =", "write = locks.RunLock._write; locks.RunLock._write = late; lock =")
        late = f"def late(lock):\n    print('held', flush=True); time.sleep(0.5); write(lock)\n{late}"
        with process(late, tmp_path) as other:
            with pytest.raises(HeldError, match=f"process {other.pid} on"):
                RunLock(tmp_path)


def test_a_run_that_is_moved_while_it_trains_goes_on(tmp_path):
    (tmp_path / "run").mkdir()
    with process(HOLD.replace("lock =", "locks.HEARTBEAT = 0.02; lock ="), tmp_path / "run") as other:
        (tmp_path / "run").rename(tmp_path / "moved")
        time.sleep(0.2)
        assert other.poll() is None
        with pytest.raises(HeldError):
            RunLock(tmp_path / "moved")


def test_a_killed_process_leaves_no_lock_though_its_children_live(tmp_path):
    with process(FORK, tmp_path) as other:
        with pytest.raises(HeldError):
            RunLock(tmp_path)
        other.kill()
        other.wait(30)
        os.killpg(other.pid, 0)  # the child is there
        assert read_record(tmp_path)["state"] == "running"
        RunLock(tmp_path)
    assert read_record(tmp_path)["process"] == os.getpid()


@pytest.mark.parametrize("finished", [False, True])
def test_the_record_says_how_it_ended(finished, tmp_path):
    lock = RunLock(tmp_path, "last")
    lock.finished = finished
    lock.release()
    assert read_record(tmp_path).items() >= {"state": "finished" if finished else "stopped", "start": "last"}.items()
    RunLock(tmp_path)
    assert not read_record(tmp_path / "nowhere")


def test_another_machine_is_believed_for_five_minutes(tmp_path):
    record(tmp_path, 290)
    with pytest.raises(HeldError, match=r"process 4321 on elsewhere since 2026-01-02 03:04:05.*29\d s ago"):
        RunLock(tmp_path)
    record(tmp_path, 310)
    RunLock(tmp_path)
    assert read_record(tmp_path)["host"] == socket.gethostname()


def test_a_machine_that_has_been_started_anew_is_not_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 60.0)  # seconds since it was started
    record(tmp_path, 30, host=socket.gethostname())
    with pytest.raises(HeldError):  # another machine of the same name
        RunLock(tmp_path)
    record(tmp_path, 90, host=socket.gethostname())
    RunLock(tmp_path)


def test_a_container_that_was_replaced_on_the_same_machine(tmp_path):
    record(tmp_path, 1, boot=locks._boot())
    RunLock(tmp_path)


def test_the_holder_shows_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT", 0.02)
    RunLock(tmp_path)
    os.utime(tmp_path / "run.json", (1_000, 1_000))
    for _ in range(500):
        if (tmp_path / "run.json").stat().st_mtime > time.time() - 60:
            return
        time.sleep(0.02)
    raise AssertionError("no sign of life")


@pytest.mark.parametrize("how", ["in place", "as a new file"])
def test_a_holder_that_was_taken_for_dead_writes_nothing_more(how, tmp_path):
    hold = HOLD.replace("lock =", "locks.HEARTBEAT = 0.05; lock =")
    with process(hold, tmp_path) as other:
        if how == "as a new file":
            (tmp_path / "run.json").unlink()
        record(tmp_path)
        assert other.wait(30) == 2
        assert "process 4321 on elsewhere" in other.stderr.read()
    assert read_record(tmp_path)["process"] == 4321


@pytest.mark.parametrize(("job", "restarts", "free"), [("7", "1", True), ("7", "0", False), ("8", "1", False)])
def test_a_job_that_is_started_again_takes_its_own_over(job, restarts, free, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    record(tmp_path, job="7")
    if free:
        RunLock(tmp_path)
        assert read_record(tmp_path).items() >= {"job": "7", "restarts": 1}.items()
    else:
        with pytest.raises(HeldError):
            RunLock(tmp_path)


@pytest.mark.parametrize("ends", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_it_waits_for_its_former_process_a_while(ends, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 100.0 if ends else 0.3)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with process(HOLD, tmp_path, SLURM_JOB_ID="7") as other:
        with pytest.raises(HeldError):  # of the same start
            RunLock(tmp_path)
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
        if ends:
            monkeypatch.setattr(time, "sleep", lambda seconds: other.communicate())
        RunLock(tmp_path)
        assert (other.poll() is not None) is ends
        assert read_record(tmp_path)["process"] == os.getpid()


def test_a_disk_that_knows_no_locks(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    here = {"host": socket.gethostname(), "boot": locks._boot()}
    record(tmp_path, **here, process=os.getppid())
    with pytest.raises(HeldError):
        RunLock(tmp_path)
    record(tmp_path, 310, **here, process=os.getppid())  # the number may be another process's by now
    RunLock(tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    record(tmp_path, **here, process=ended.pid)
    RunLock(tmp_path)
    record(tmp_path, 310)
    RunLock(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}\n"])
def test_a_record_that_was_never_whole(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    RunLock(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match=f"cannot write to the run folder {tmp_path}: Permission denied"):
        RunLock(tmp_path)


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that makes folders and empty files, and no more."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)


def test_a_full_disk_leaves_no_run_that_takes_the_name(tmp_path, full_disk):
    with pytest.raises(UserError, match="run: No space left on device. Make room, or set --trainer.default_root_dir"):
        new_folder(tmp_path / "runs", True, None, "run")
    leftovers.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_has_become_full_does_not_stop_a_release(tmp_path, request):
    lock = RunLock(tmp_path)
    request.getfixturevalue("full_disk")
    lock.release()
    assert read_record(tmp_path)["state"] == "running"  # of a process that will be gone


def test_a_run_that_another_process_has_begun_meanwhile_is_in_use(tmp_path):
    """Both looked for the run before their data were there, and found none."""
    parent = tmp_path / "runs"
    folder = new_folder(parent, True, AUTO, "run")
    with pytest.raises(HeldError, match=f"{folder} is in use: process {os.getpid()} on .* is training there"):
        new_folder(parent, True, AUTO, "run")
    with pytest.raises(UserError, match="choose another --name, or go on with that run by --ckpt_path=auto"):
        new_folder(parent, True, None, "run")
