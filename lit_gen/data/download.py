"""The download and unpacking of archives: checked, resumed, complete or not at all."""

import lzma
import os
import shutil
import stat
import time
import zipfile
import zlib
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from lightning.pytorch.utilities import rank_zero_info
from tqdm import tqdm

from lit_gen.data.server import FAILURES, PREFIX, UnfitError, length, reason, receive
from lit_gen.errors import UserError
from lit_gen.files.atomic import ELSEWHERE, check_room, make_folder, writing
from lit_gen.files.lock import alone, make_once

ROOT_HINT = "Set --data.root to a folder that can be written, or put the files there."
ROUNDS = 3  # times that all servers are asked in vain before a download ends
PROGRESS = 1 << 20  # bytes; a round that adds as many is not in vain
PAUSE = 1.0  # seconds before the second round; each later pause is twice as long
LITTLE, MOST_TIMES = 100e6, 100
"""An archive may unpack to so many bytes, or so many times its own size: images hardly become smaller in one."""
DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What zipfile raises for a damaged archive; a ValueError is a name that cannot be decoded."""


class Remote(NamedTuple):
    """A file that can be downloaded."""

    urls: tuple[str, ...]  # of the same file, the preferred first
    sha256: str  # checksum of the file in hexadecimal
    size: int | None = None  # in bytes, if known


class DownloadError(UserError):
    """The network, or each server of a file, fails."""


class DamagedArchiveError(UserError):
    """An archive is damaged or cut short; it has been moved aside if that is allowed."""


def fetch(remote: Remote, target: Path, hint: str = ELSEWHERE) -> None:
    """Download a file to `target` with a progress bar, unless `target` exists.

    When a server fails, the next one is asked at once, and goes on where the last one stopped. A download that fails
    or is killed leaves its bytes in `.download.<name>` beside `target`, where the next start goes on.

    Args:
        remote: file to download.
        target: path of the downloaded file; it appears when the checksum is right.
        hint: advice for the error message if `target` cannot be written.

    Raises:
        DownloadError: no server sends the file.
        CannotWriteError: the folder of `target` cannot be written to, or has no room.
    """
    if target.is_file():
        return
    kept = target.with_name(f"{PREFIX}{target.name}")
    with alone(target, f"downloading {target.name}"), writing(f"write {target}", hint):
        make_folder(target.parent, hint)
        if target.is_file():  # another process has downloaded it in the meantime
            return
        with FileIO(kept, "a+") as file:
            try:
                _download(remote, file, target, hint)
            finally:
                if not length(file):
                    kept.unlink(missing_ok=True)


def _download(remote: Remote, file: FileIO, target: Path, hint: str) -> None:
    """Download to `file`, and rename it to `target`."""
    problems: dict[str, str] = {}
    urls, rounds, most = list(remote.urls), 0, length(file)
    while urls and rounds < ROUNDS:
        if rounds:
            time.sleep(PAUSE * 2 ** (rounds - 1))
        for url in list(urls):
            try:
                receive(url, file, remote.sha256, remote.size, hint)
            except UnfitError as error:
                urls.remove(url)
                problems[url] = str(error)
            except FAILURES as error:
                problems[url] = reason(error)
            else:
                os.fsync(file.fileno())
                os.replace(file.name, target)
                return
            rank_zero_info(f"{target.name} did not come from {urlsplit(url).netloc}: {problems[url]}")
        rounds = 1 if length(file) >= most + PROGRESS else rounds + 1
        most = max(most, length(file))
    tried = "; ".join(f"{urlsplit(url).netloc}: {problem}" for url, problem in problems.items())
    kept = f" {length(file):,} bytes are kept, and the next start goes on from there." if length(file) else ""
    raise DownloadError(f"cannot download {target.name} ({tried}).{kept}")


def unpack(archive: Path, target: Path, inner: str | None = None, hint: str = ELSEWHERE) -> None:
    """Unpack a zip file to the folder `target`, complete or not at all.

    Args:
        archive: path of the zip file.
        target: the folder to create; it appears when all files are unpacked, and must not exist before.
        inner: the folder inside the archive that becomes `target`; the archive's root by default.
        hint: advice for the error message if `target` cannot be written.

    Raises:
        DamagedArchiveError: the archive is damaged or cut short; it has been moved aside.
        UserError: the archive has a path that leads out of it, lacks `inner`, would become far larger than images do,
            or cannot be read otherwise.
    """
    try:
        make_once(target, lambda folder: _extract(archive, folder, inner, hint), f"unpacking {archive.name}", hint)
    except RuntimeError as error:  # it asks for a password, or has an unknown compression
        raise UserError(f"cannot unpack {archive} ({error}). Use another copy.") from error
    except DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is None:  # bzip2's, for a damaged stream
            raise _damaged(archive, error) from error
        raise UserError(
            f"cannot unpack {archive} to {target} ({error}). Remove the cause and start again. {hint}"
        ) from error


def _extract(archive: Path, folder: Path, inner: str | None, hint: str) -> None:
    """Write the files of an archive into `folder`, if it has room; each path is checked first."""
    with zipfile.ZipFile(archive) as zipped:
        members = [member for member in zipped.infolist() if not member.is_dir()]
        needed = sum(member.file_size for member in members)
        if needed > max(LITTLE, MOST_TIMES * archive.stat().st_size):
            raise UserError(
                f"{archive} would become {needed / 1e9:.3g} GB, more than {MOST_TIMES} times its size. Use another "
                "copy, or unpack it by hand."
            )
        check_room(folder, needed, f"{archive} unpacks to", f"Make room. {hint}")
        kept = 0
        for member in tqdm(members, desc=f"unpacking {archive.name}", unit="file", disable=len(members) < 256):
            path = PurePosixPath(member.filename.replace("\\", "/"))
            link = stat.S_ISLNK(member.external_attr >> 16)
            if link or not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
                raise UserError(
                    f"{archive} holds the unsafe path {member.filename!r}; nothing was unpacked. Use another copy."
                )
            if inner is not None:
                if path.parts[0] != inner:
                    continue
                path = path.relative_to(inner)
            destination = folder / path
            destination.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(member) as source, destination.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            kept += 1
        if not kept:
            raise UserError(f"{archive} holds no file below {inner or 'its root'}. Is it the right archive?")


def names_in(archive: Path) -> list[str]:
    """Return the paths in a zip file.

    Raises:
        DamagedArchiveError: the archive is damaged or cut short; it has been moved aside.
        UserError: the archive cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            return [name.replace("\\", "/") for name in zipped.namelist()]
    except DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        raise UserError(f"cannot read {archive}: {error.strerror}. Correct its permissions.") from error


def set_aside(path: Path) -> bool:
    """Rename a damaged file to `<name>.damaged`, and return whether that is allowed."""
    try:
        os.replace(path, f"{path}.damaged")
    except OSError:
        return False
    return True


def _damaged(archive: Path, error: Exception) -> DamagedArchiveError:
    """Move an archive aside, and return an exception that says so."""
    now = f"it is now {archive.name}.damaged" if set_aside(archive) else "delete it"
    return DamagedArchiveError(f"{archive} is damaged or cut short ({error}); {now}.")
