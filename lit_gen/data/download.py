"""The download and unpacking of archives: checked, with a progress bar, complete or not at all."""

import http.client
import shutil
import stat
import urllib.error
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from torch.hub import download_url_to_file
from tqdm import tqdm

from lit_gen.errors import UserError
from lit_gen.files.atomic import ELSEWHERE, complete_file, complete_folder

ROOT_HINT = "Set --data.root to a folder that can be written, or put the files there."


def fetch(url: str, target: Path, sha256_prefix: str | None = None, hint: str = ELSEWHERE) -> None:
    """Download the file at `url` to `target` with a progress bar, unless `target` exists.

    Args:
        url: address of the file.
        target: path of the downloaded file.
        sha256_prefix: first characters of the file's SHA-256 checksum in hexadecimal; not checked by default.
        hint: advice for the error message if `target` cannot be written.

    Raises:
        UserError: the server cannot be reached, the checksum does not match, or a `.zip` file is not a whole zip file.
    """
    if target.is_file():
        return
    try:
        with complete_file(target, hint) as partial:
            download_url_to_file(url, str(partial), hash_prefix=sha256_prefix)
            if target.suffix == ".zip" and not zipfile.is_zipfile(partial):  # a lost connection raises nothing
                raise OSError("the downloaded file is not a whole zip file")
    except (urllib.error.URLError, http.client.HTTPException, OSError, RuntimeError) as error:
        raise UserError(f"cannot download {url} ({getattr(error, 'reason', error)}).") from error


def unpack(archive: Path, target: Path, inner: str | None = None, hint: str = ELSEWHERE) -> None:
    """Unpack a zip file to the folder `target`, complete or not at all.

    Args:
        archive: path of the zip file.
        target: the folder to create; it appears when all files are unpacked, and must not exist before.
        inner: the folder inside the archive that becomes `target`; the archive's root by default.
        hint: advice for the error message if `target` cannot be written.

    Raises:
        UserError: the archive is damaged, has a path that leads out of it, or lacks `inner`.
    """
    try:
        with zipfile.ZipFile(archive) as zipped, complete_folder(target, hint) as partial:
            members = [member for member in zipped.infolist() if not member.is_dir()]
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
                destination = partial / path
                destination.parent.mkdir(parents=True, exist_ok=True)
                with zipped.open(member) as source, destination.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                kept += 1
            if not kept:
                raise UserError(f"{archive} holds no file below {inner or 'its root'}. Is it the right archive?")
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:  # a RuntimeError asks for a password
        raise UserError(f"{archive} is damaged or cut short ({error}). Delete it and download it again.") from error
    except OSError as error:
        raise UserError(
            f"cannot unpack {archive} to {target} ({error}). Remove the cause and start again. {hint}"
        ) from error
