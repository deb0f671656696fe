"""The manifest of a cache: what the files were like that it was made of, so that a start need not look at each of them.

A cache is taken for that of the files as they are now if no folder of theirs has changed, which shows files that are
added, removed, renamed or replaced, and if some files, evenly spread, have the same size and time of change. These are
all files of a small set. So an image that is overwritten in place may be missed, but only in a set of more than
`MOST_FILES`; `prepare` compares each file.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_gen.files.atomic import write_text

MOST_FILES = 10_000
FINE, COARSE = 0.05, 2.0  # seconds within which two changes may have one time, on a disk that knows fractions or not

Times = list[int]
"""The times in nanoseconds of a folder's last change: of its files' names, and of anything."""


def folder_times(folder: str | Path) -> Times:
    """Return the times of a folder, so that any later change of it has another time."""
    status = os.stat(folder)
    tick = FINE if status.st_ctime_ns % 10**9 else COARSE
    wait = status.st_ctime_ns / 1e9 + tick - time.time()
    if 0 < wait <= tick:
        time.sleep(wait)
        status = os.stat(folder)
    return [status.st_mtime_ns, status.st_ctime_ns]


class Manifest:
    """A file beside the caches in `folder`; paths in it are relative to `folder`, so that both can be moved together.

    Args:
        folder: folder of the cache.
        name: name of the file without its ending. It must differ where anything differs that the facts depend on,
            except the files.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.path = folder, folder / f"{name}.json"

    def read(self) -> dict[str, Any] | None:
        """Return the facts that were written, or None if there are none, or the files have changed."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            folders = {self._absolute(place): times for place, times in content["folders"].items()}
            files = {self._absolute(place): status for place, status in content["files"].items()}
            for folder, times in folders.items():
                status = os.stat(folder)
                if times != [status.st_mtime_ns, status.st_ctime_ns]:
                    return None
            if any(found != _status(path) for path, found in files.items()):
                return None
            return content["facts"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged, or a folder is gone
            return None

    def write(self, facts: Mapping[str, Any], folders: Mapping[str, Times], files: Mapping[str, Any]) -> None:
        """Write the facts, of plain types, that `read` is to return; `files` are a result of `some_files`.

        `folders` are all that the files are in, with their times from before they were listed.

        Raises:
            CannotWriteError: the folder of the cache cannot be written, or has no room.
        """
        content = {
            "folders": {os.path.relpath(folder, self.folder): times for folder, times in folders.items()},
            "files": {os.path.relpath(path, self.folder): status for path, status in files.items()},
            "facts": facts,
        }
        write_text(self.path, json.dumps(content))

    def _absolute(self, place: str) -> str:
        return os.path.normpath(os.path.join(os.path.abspath(self.folder), place))


def some_files(paths: Sequence[Path]) -> dict[str, list[int] | None]:
    """Return the sizes and times of at most `MOST_FILES` files, evenly spread; None for one that is missing."""
    return {os.fspath(path): _status(path) for path in paths[:: -(-len(paths) // MOST_FILES) or 1]}


def _status(path: str | Path) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
