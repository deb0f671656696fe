"""The lock of a run folder: one process at a time works there, and leaves a record of itself."""

import errno
import json
import os
import socket
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from lit_gen.errors import UserError
from lit_gen.files.lock import is_at, try_lock
from lit_gen.runs import slurm

RECORD = "run.json"
HEARTBEAT = 60.0  # seconds between two signs of life
DEAD_AFTER = 300.0  # seconds without one
BEGINNING = 5.0  # seconds in which a process that has the lock must have written its name
PATIENCE = 60.0  # seconds that a job which SLURM has started again gives its former processes to end

Record = dict[str, Any]
FIELDS = {"state": str, "process": int, "host": str, "since": str, "restarts": int, "start": str | None}
"""What a record has at least; a file that lacks it is of somebody else, and says nothing."""


class HeldError(UserError):
    """Another process works in the run folder."""


class RunLock:
    """Hold a run folder until `release`, or until this process is gone, however it ended.

    `run.json` in the folder says which process holds it, or held it last, and its `state`: running, stopped or
    finished. The file has a lock of the operating system (a POSIX lock, which loading processes do not inherit). Some
    shared disks do not pass on such locks to other machines. For these, the time of the file's last change is a sign of
    life: a process of another machine is taken for dead after five minutes without one. The processes of one training
    share the lock of the first.

    Args:
        folder: the run's folder.
        start: the checkpoint that the command names, in its words; part of the record.

    Raises:
        HeldError: another process works there. Processes of this job from before SLURM started it again do not count.
        UserError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, start: str | None = None) -> None:
        self.path, self.finished = folder / RECORD, False
        self._file = self._open()
        self._record = {
            "state": "running",
            "process": os.getpid(),
            "host": socket.gethostname(),
            "boot": _boot(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "job": slurm.job(),
            "restarts": slurm.restarts(),
            "start": start,
        }
        try:
            self._write()
        except OSError as error:
            os.close(self._file)
            raise self._refusal(error) from error
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show_life, name="run-lock", daemon=True)
        self._thread.start()
        held.append(self)

    def release(self) -> None:
        """Let other processes work in the folder, and record whether the run is finished."""
        held.remove(self)
        self._ended.set()
        self._thread.join()
        if _read(self._file) == self._record:
            self._record["state"] = "finished" if self.finished else "stopped"
            with suppress(OSError):  # a full disk: that the process is gone can be seen without it
                self._write()
        os.close(self._file)

    def _open(self) -> int:
        """Open and lock the record as soon as this process may have it."""
        begun = time.monotonic()
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise self._refusal(error) from error
            try:
                if self._may_have(file, time.monotonic() - begun):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)
            time.sleep(0.2)

    def _refusal(self, error: OSError) -> UserError:
        return UserError(
            f"cannot write to the run folder {self.path.parent}: {error.strerror}. Make room, or set "
            "--trainer.default_root_dir; a copy of the checkpoint elsewhere starts a run of its own."
        )

    def _may_have(self, file: int, waited: float) -> bool:
        """Return whether this process now holds the open record, after `waited` seconds; False to try again."""
        locked, record = try_lock(file), _read(file)
        if not is_at(file, self.path):  # another process has put a new one there
            return False
        elsewhere = _is_of_another_machine(record, os.fstat(file).st_mtime)
        silence = _now(self.path.parent) - os.fstat(file).st_mtime if elsewhere or locked is None else None
        former = slurm.job() is not None and record.get("job") == slurm.job() and record["restarts"] < slurm.restarts()
        if locked is False:
            gone = record.get("state") != "running" or not (elsewhere or _is_alive(record["process"]))
            if (former and waited < PATIENCE) or (gone and waited < BEGINNING):
                return False
            if former or (silence is not None and silence > DEAD_AFTER):
                self.path.unlink(missing_ok=True)  # the file server keeps the lock of a machine that is no more
                return False
        elif former or record.get("state") != "running" or (silence is not None and silence > DEAD_AFTER):
            return True
        elif not elsewhere and (locked or not _is_alive(record["process"])):
            return True
        raise HeldError(_holder(self.path.parent, record, silence))

    def _write(self) -> None:
        """Write the record in place: another file of that name would not be the one that is locked."""
        text = (json.dumps(self._record) + "\n").encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))
        os.fsync(self._file)

    def _show_life(self) -> None:
        """Change the record's time now and then, and end the process when another one has taken the folder.

        That may be after a sleep of more than five minutes. Nothing may be written then, not even a checkpoint.
        """
        while not self._ended.wait(HEARTBEAT):
            try:
                taken = self.path.exists() and not is_at(self._file, self.path)  # and not moved, with its folder
                if taken or _read(self._file) != self._record:
                    os.write(2, f"error: {_holder(self.path.parent, read_record(self.path.parent))}\n".encode())
                    os._exit(2)
                os.utime(self._file)
            except OSError:  # a shared disk that is away for a moment
                continue


held: list[RunLock] = []
"""The locks that this process holds."""


def finish() -> None:
    """Note that the training is finished."""
    for lock in held:
        lock.finished = True


def release_all() -> None:
    """Release the locks that this process holds."""
    for lock in held.copy():
        lock.release()


def read_record(folder: Path) -> Record:
    """Return the record of the process that works in a run folder, or did so last; {} where there is none.

    Not for a folder that this process has locked: see `_read`.
    """
    try:
        return _parse((folder / RECORD).read_bytes())
    except OSError:
        return {}


def check_free(folder: Path) -> None:
    """Raise a `HeldError` if the process that the record names is at work."""
    if is_at_work(folder):
        raise HeldError(_holder(folder, read_record(folder)))


def is_at_work(folder: Path) -> bool:
    """Return whether the process that the record names is at work, as far as can be seen from here.

    A process of this machine is asked for; of one elsewhere the record's age tells.
    """
    record = read_record(folder)
    if record.get("state") != "running":
        return False
    try:
        changed = (folder / RECORD).stat().st_mtime
    except OSError:
        return False
    if _is_of_another_machine(record, changed):
        return _now(folder) - changed <= DEAD_AFTER
    return _is_alive(record["process"])


def _read(file: int) -> Record:
    # Not by its path: a POSIX lock ends when its process closes the file, whichever descriptor that was.
    return _parse(os.pread(file, 10_000, 0))


def _parse(content: bytes) -> Record:
    """Return the first line's record: what follows may be the end of a longer one that is being replaced."""
    try:
        record = json.loads(content.partition(b"\n")[0])
    except ValueError:
        return {}
    whole = isinstance(record, dict) and all(isinstance(record.get(name), kind) for name, kind in FIELDS.items())
    return record if whole else {}


def _is_of_another_machine(record: Record, last_change: float) -> bool:
    """Return whether another machine wrote the record; containers on one machine count as that machine."""
    if not record or record.get("boot") == _boot() is not None:
        return False
    if record.get("host") != socket.gethostname():
        return True
    # The name of this machine: it has been started anew, or there is another one of that name.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return _boot() is not None and last_change > time.time() - time.clock_gettime(clock)


def _boot() -> str | None:
    """Return the name that Linux gives to the time since the machine's last start; None elsewhere."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno == errno.EPERM  # another user's
    return True


def _now(folder: Path) -> float:
    """Return the time by the clock of the disk, which may be that of another machine."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _holder(folder: Path, record: Record, silence: float | None = None) -> str:
    """Return a line that says which process works in the folder."""
    who = f"process {record['process']} on {record['host']} since {record['since']}" if record else "another process"
    line = f"{folder} is in use: {who} is training there. Wait for its end, or stop it."
    if silence is not None:
        line += (
            f" Its last sign of life was {max(0, silence):.0f} s ago; after {DEAD_AFTER:.0f} s it is taken for dead."
        )
    return line
