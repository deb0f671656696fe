"""The search for image files in a folder, and the safe opening of one."""

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from lit_gen.data.manifest import Times, folder_times
from lit_gen.errors import UserError

# The only formats that Pillow may try. By default it tries all that it knows, and for EPS starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF")
MORE_ENDINGS = {".jif", ".pjpeg", ".pjp", ".mpo"}  # endings of JPEG files that Pillow does not list
SYSTEM_FOLDERS = {"__MACOSX", "@eaDir"}  # copies and thumbnails that archives and file servers add
MOST_REASONS = 6  # reasons listed in a line
MANIFEST, GRID, MOVING = "manifest.json", "grid.png", "interpolation.gif"
"""What `predict` writes beside its images."""
MAX_MEGAPIXELS = 100  # of an image; Pillow's own limit is beyond a user's reach


@cache
def formats() -> tuple[str, ...]:
    """Return the formats among `FORMATS` that the installed Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def endings() -> frozenset[str]:
    """Return the endings of file names of these `formats`, in small letters."""
    known = Image.registered_extensions().items()
    return frozenset(ending for ending, name in known if name in formats()) | MORE_ENDINGS


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file of any of `formats`, whatever its ending: a `.jpg` may hold a PNG.

    Pillow's limit on its size does not hold in the block. Nothing is decoded yet: check the size first.

    Raises:
        OSError: the file is missing, has none of these formats, or is no regular file (reading a pipe would hang).
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path, formats=formats()) as image:
            image.filename = ""  # else Pillow maps the file, and reads a TIFF that is to be turned as if it were so
            yield image
    finally:
        Image.MAX_IMAGE_PIXELS = limit


class NoImageError(UserError):
    """There is no image file where some are needed."""


class Found(NamedTuple):
    """The result of a search."""

    paths: list[Path]  # the image files, sorted
    left_out: dict[str, int]  # number of other files, per reason
    folders: dict[str, Times]  # the folders that were listed, with their times from before that


class Search(NamedTuple):
    """A search for the image files below a folder, which may have to be done."""

    folder: Path
    ignored: Collection[Path] = ()  # folders that are neither searched nor counted

    def find(self) -> Found:
        """Return all image files below the folder.

        Links are followed, but each folder is read only once, however many links lead to it. Files and folders whose
        name begins with a dot are left out, and so are special files, and grids beside images that `predict` has made.
        A broken link with an image's name is kept, so that an error can name it.

        Raises:
            UserError: the folder cannot be listed.
        """
        paths: list[Path] = []
        left_out: Counter[str] = Counter()
        passed_over, done = {os.path.realpath(path) for path in self.ignored}, set()
        times: dict[str, Times] = {}
        folders, links = [os.fspath(self.folder)], list[str]()
        while folders or links:
            # Links come last: a folder that is reached both ways is listed under its path without links.
            place = folders.pop() if folders else links.pop()
            real = os.path.realpath(place)
            if real in done:
                continue
            done.add(real)
            try:
                times[place] = folder_times(place)
                with os.scandir(place) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                if place == os.fspath(self.folder):
                    raise UserError(
                        f"cannot list the folder {self.folder}: {error.strerror}. Correct its permissions."
                    ) from error
                left_out["folder that cannot be listed"] += 1
                continue
            beside = (GRID, MOVING) if any(entry.name == MANIFEST for entry in entries) else ()
            for entry in entries:
                kind = _kind(entry)
                if kind == "folder" and os.path.realpath(entry.path) in passed_over:
                    continue
                ending = os.path.splitext(entry.name)[1].lower()
                if entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS:
                    left_out["hidden"] += _count_files(entry)
                elif kind == "folder":
                    (links if entry.is_symlink() else folders).append(entry.path)
                elif kind == "special":
                    left_out["no regular file"] += 1
                elif entry.name in beside:
                    left_out["grid of predict"] += 1
                elif ending in endings():
                    paths.append(Path(entry.path))
                else:
                    left_out[ending or "without an ending"] += 1
        return Found(sorted(paths), {reason: count for reason, count in left_out.items() if count}, times)


def near_name(path: Path) -> str:
    """Return a hint for a file that is missing: what its link lacks, or an image of the same name in other letters.

    A name without an ending is also that of an image with one.
    """
    if path.is_symlink():
        return f" It is a link to {os.readlink(path)}, which is not there."
    try:
        names = os.listdir(path.parent)
    except OSError:
        names = []
    near = {path.name.lower()} | {f"{path.name.lower()}{ending}" for ending in endings()}
    similar = sorted(name for name in names if name.lower() in near)
    return f" There is {similar[0]!r}." if similar else "" if names else " There is no such folder."


def check_folder(folder: Path, option: str) -> None:
    """Raise a `UserError` if there is no folder of this path.

    Args:
        folder: the path.
        option: the one that gives it.
    """
    if not folder.is_dir():
        what = f"{folder} is a file, and no folder" if folder.exists() else f"the folder {folder} is not there"
        raise UserError(f"{what}. Give {option} a folder of images.")


def in_words(left_out: dict[str, int]) -> str:
    """Return the numbers of left-out files as text, such as `3 files: 2 hidden, 1 .heic`."""
    total = sum(left_out.values())
    reasons = sorted(left_out.items(), key=lambda item: -item[1])
    words = [f"{count} {reason}" for reason, count in reasons[:MOST_REASONS]]
    others = sum(count for _, count in reasons[MOST_REASONS:])
    words += [f"{others} others"] if others else []
    text = f"{total} file{'s' if total > 1 else ''}: {', '.join(words)}"
    return text.encode(errors="replace").decode()  # an ending need not be UTF-8


def _kind(entry: os.DirEntry) -> str:
    """Return the kind of an entry, or of a link's target: folder, file or special; a broken link counts as a file."""
    try:
        if entry.is_dir():
            return "folder"
        return "special" if not entry.is_file() and os.path.exists(entry.path) else "file"
    except OSError:  # a link to itself
        return "file"


def _count_files(entry: os.DirEntry) -> int:
    if not entry.is_dir(follow_symlinks=False):
        return 1
    return sum(len(names) for _, _, names in os.walk(entry.path))
