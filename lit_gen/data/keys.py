"""The hashes in the names of a cache's files."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from lit_gen.data.image_files import Search, formats
from lit_gen.errors import UserError

FORMAT = 3  # part of every hash: raise it when decoding changes, so that old caches are not read


def key_of(files: Sequence[Path] | Search, folder: Path, *settings: object) -> str:
    """Return 12 hexadecimal characters: a hash of settings and of which files are meant, whatever they hold."""
    digest = hashlib.sha1(repr((FORMAT, *settings)).encode())
    if isinstance(files, Search):
        digest.update(os.fsencode(f"{os.path.relpath(files.folder, folder)}|{formats()}"))
        return digest.hexdigest()[:12]
    places: dict[str, str] = {}
    for path in files:
        digest.update(os.fsencode(f"{_place(path, folder, places)}\n"))
    return digest.hexdigest()[:12]


def digest_of(paths: Sequence[Path], folder: Path, *settings: object) -> str:
    """Return 12 hexadecimal characters: a hash of files (path relative to `folder`, size, time of change) and settings.

    Raises:
        UserError: a file is missing.
    """
    digest = hashlib.sha1(repr((FORMAT, *settings, len(paths))).encode())
    places: dict[str, str] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"the image {path} is missing. Put it back, or unpack the dataset again.") from error
        place = f"{_place(path, folder, places)}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(os.fsencode(place))  # a file name need not be UTF-8
    return digest.hexdigest()[:12]


def _place(path: Path, folder: Path, known: dict[str, str]) -> str:
    """Return a path relative to `folder`; `known` keeps that of each parent, which takes long to find."""
    parent = os.path.dirname(path)
    if parent not in known:
        known[parent] = os.path.relpath(parent, folder)
    return f"{known[parent]}/{path.name}"
