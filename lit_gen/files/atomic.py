"""Files and folders that appear complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_gen.errors import UserError

ELSEWHERE = "Choose another place."


class CannotWrite(UserError):
    """A folder cannot be made or written to, or has no room."""


@contextmanager
def complete_file(path: Path, hint: str = ELSEWHERE) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends without an error.

    Args:
        path: file to write; its folder is created if needed.
        hint: sentence that ends the message of an error, and says what to do.

    Raises:
        CannotWrite: `path` cannot be written to; the block is not entered.
    """
    make_folder(path.parent, hint)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise CannotWrite(f"cannot write to the folder {path.parent}: {error.strerror}. {hint}") from error
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: Path, hint: str = ELSEWHERE) -> Iterator[Path]:
    """Give a temporary folder to fill, and rename it to `path` when the block ends without an error.

    When another process has put `path` there in the meantime, that one stays. Arguments and errors are those of
    `complete_file`.
    """
    make_folder(path.parent, hint)
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise CannotWrite(f"cannot write to the folder {path.parent}: {error.strerror}. {hint}") from error
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())
        try:
            os.rename(partial, path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make_folder(path: Path, hint: str = ELSEWHERE) -> None:
    """Create a folder and its parents.

    Raises:
        CannotWrite: that is not allowed; the message ends with `hint`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"cannot create the folder {path}: {error.strerror}. {hint}") from error
    if not os.access(path, os.W_OK):
        raise CannotWrite(f"cannot write to the folder {path}. {hint}")


def remove_partial(folder: Path) -> None:
    """Remove the half-written files that a killed process has left in `folder` and below."""
    for partial in folder.rglob(".*.partial"):
        partial.unlink(missing_ok=True)


def remove_if_empty(*folders: Path) -> None:
    """Remove the folders in the order given, up to the first that is not empty or not there."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
