"""Files and folders that appear complete or not at all."""

import errno
import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lit_gen.errors import UserError

ELSEWHERE = "Choose another place."
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a limit of file sizes that is reached."""


class CannotWriteError(UserError):
    """A folder cannot be made or written to, or has no room."""


@contextmanager
def writing(what: str, hint: str = ELSEWHERE) -> Iterator[None]:
    """Turn an `OSError` within the block into a `CannotWriteError`: cannot `what`, why, and the `hint`."""
    try:
        yield
    except OSError as error:
        raise CannotWriteError(f"cannot {what}: {error.strerror or error}. {hint}") from error


def check_room(folder: Path, needed: int, what: str, advice: str) -> None:
    """Raise a `CannotWriteError` if the disk of `folder` has fewer free bytes: `what`, the numbers, and the advice."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CannotWriteError(f"{what} {needed / 1e9:.3f} GB, but only {free / 1e9:.3f} GB are free. {advice}")


@contextmanager
def complete_file(path: Path, hint: str = ELSEWHERE, lasting: bool = True, name: str | None = None) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends without an error.

    Args:
        path: file to write; its folder is created if needed.
        hint: sentence that ends the message of an error, and says what to do.
        lasting: wait until the disk holds the bytes before the file gets its name, so that it is whole also after a
            loss of power. That takes some milliseconds, which thousands of images may be spared.
        name: name that begins the temporary file's, for `remove_partial_of`; that of `path` by default.

    Raises:
        CannotWriteError: `path` cannot be written to, and the block is not entered; or the disk is full.
    """
    make_folder(path.parent, hint)
    partial = _partial(path.with_name(name or path.name))
    with writing(f"write to the folder {path.parent}", hint):
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the umask, as any new file
    try:
        yield partial
        if lasting:
            _keep(partial)
        os.replace(partial, path)
        if lasting:
            _keep(path.parent)
    except Exception as error:
        _raise_if_full(error, path, hint)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write a text file in UTF-8, complete or not at all; arguments and errors are those of `complete_file`."""
    with complete_file(path, lasting=lasting) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def complete_folder(path: Path, hint: str = ELSEWHERE) -> Iterator[Path]:
    """Give a temporary folder to fill, and rename it to `path` when the block ends without an error.

    When another process has put `path` there in the meantime, that one stays. After an error, folders above it that
    were not there before are removed. Arguments and errors are those of `complete_file`.
    """
    missing, partial = missing_folders(path), _partial(path)
    try:
        make_folder(path.parent, hint)
        with writing(f"write to the folder {path.parent}", hint):
            partial.mkdir()
        yield partial
        os.sync()  # one call, where one per file would take minutes
        try:
            os.rename(partial, path)
        except OSError:
            if not path.is_dir():
                raise
    except Exception as error:
        _raise_if_full(error, path, hint)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        remove_if_empty(*missing)


def make_folder(path: Path, hint: str = ELSEWHERE) -> None:
    """Create a folder and its parents.

    Raises:
        CannotWriteError: that is not allowed; the message ends with `hint`.
    """
    with writing(f"create the folder {path}", hint):
        path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK):
        raise CannotWriteError(f"cannot write to the folder {path}. {hint}")


def remove_partial(folder: Path) -> None:
    """Remove the half-written files that a killed process has left in `folder` and below.

    Their names are those of `_partial`; other hidden ones, such as the lists of what `predict` has written, stay. So do
    half-written folders, and all within them: an export may be at work there, and removes what a killed one has left.
    """
    for partial in list(folder.rglob(".*.*.partial")):
        within = any(part.endswith(".partial") for part in partial.relative_to(folder).parts[:-1])
        if not within and not partial.is_dir():
            partial.unlink(missing_ok=True)


def remove_partial_of(path: Path) -> None:
    """Remove what killed processes have left of a file or folder that nobody is writing now, as its lock shows."""
    for partial in path.parent.glob(f".{glob.escape(_short(path.name))}.*.partial"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def missing_folders(path: Path) -> list[Path]:
    """Return the folders above `path` that are not there, the deepest first, as `remove_if_empty` takes them."""
    return [folder for folder in path.absolute().parents if not folder.exists()]


def remove_if_empty(*folders: Path) -> None:
    """Remove the folders in the order given, up to the first that is not empty or not there."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _raise_if_full(error: BaseException, path: Path, hint: str) -> None:
    """Raise the error for a full disk if one led to `error`: torch.save raises another in its place."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, OSError) and reason.errno in NO_ROOM:
            raise CannotWriteError(f"cannot write {path}: {reason.strerror}. Make room. {hint}") from error
        reason = reason.__cause__ or reason.__context__


def _keep(path: Path) -> None:
    """Have the disk hold a file's bytes, or a folder's names."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # its owner may not read it
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (*NO_ROOM, errno.EIO):
            raise  # others: the file system keeps everything at once, or cannot be told to
    finally:
        os.close(descriptor)


def _partial(path: Path) -> Path:
    """Return the path of a new hidden file or folder beside `path`."""
    return path.with_name(f".{_short(path.name)}.{secrets.token_hex(4)}.partial")


def _short(name: str) -> str:
    """Return a name, or a checksum in place of a long one, which leaves no room for more."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= 100 else hashlib.sha256(encoded).hexdigest()
