"""A lock for what several processes may begin at once: one of them does it, and the others wait for it."""

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lit_gen.files.atomic import complete_folder, missing_folders, remove_if_empty, remove_partial_of

PAUSE = 0.2  # seconds between two tries
FIRST_LINE, NEXT_LINE = 2.0, 60.0  # seconds of waiting before a line says so, and from one line to the next
MOST_REMOVED = 1_000
"""Times in a row that the lock's folder may be gone again before it is taken for one that cannot be made."""


@contextmanager
def alone(path: Path, work: str) -> Iterator[None]:
    """Hold the lock of `path` while the block runs, after waiting for any other process that holds it.

    The lock is a file beside `path` that the operating system locks, so that it ends with its process, however that
    ends. There is no time limit, but a line per minute. Nothing is locked where the folder cannot be written or the
    disk knows no locks.

    Args:
        path: file or folder that the block may make.
        work: words for what the block does, such as "decoding faces".
    """
    missing = missing_folders(path)
    lock = path.with_name(f".{path.name}.lock")
    file = _wait_for(lock, work)
    try:
        yield
    finally:
        if file is not None:
            lock.unlink(missing_ok=True)  # before it is unlocked: who has it open by then sees that it is gone
            os.close(file)
        remove_if_empty(*missing)


def make_once(folder: Path, fill: Callable[[Path], None], work: str, hint: str) -> None:
    """Have `fill` write a folder that is not there: complete or not at all, and by one process of several.

    What a killed process has left of it is removed. `work` is as of `alone`, `hint` as of `complete_folder`.
    """
    if folder.is_dir():
        return
    with alone(folder, work):
        if not folder.is_dir():  # another process may have made it in the meantime
            remove_partial_of(folder)
            with complete_folder(folder, hint) as partial:
                fill(partial)


def _wait_for(lock: Path, work: str) -> int | None:
    """Return the descriptor of the lock's file, once locked; None where there can be no lock."""
    begun = time.monotonic()
    line_due = begun + FIRST_LINE
    removed = 0
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its last holder has just removed the folder that it had made; or none can be made
            removed += 1
            if removed == MOST_REMOVED:
                return None
            continue
        except OSError:
            return None
        try:
            locked = try_lock(file)
            if locked and is_at(file, lock):
                with suppress(OSError):  # on a full disk those who wait are not told who works
                    os.ftruncate(file, 0)
                    os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return file
            holder = os.pread(file, 200, 0).decode(errors="replace") or "another process"
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if locked is None:
            lock.unlink(missing_ok=True)
            return None
        if time.monotonic() >= line_due:
            seconds = time.monotonic() - begun
            print(f"waiting for {holder}, which is {work} ({seconds:.0f} s so far)", file=sys.stderr, flush=True)
            line_due += NEXT_LINE
        time.sleep(PAUSE)


def try_lock(file: int) -> bool | None:
    """Lock an open file, and return whether that succeeded; None on a disk that knows no locks.

    It is a POSIX lock: processes forked from this one do not inherit it.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN) else None
    return True


def is_at(file: int, path: Path) -> bool:
    """Return whether `path` still is the open file."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
