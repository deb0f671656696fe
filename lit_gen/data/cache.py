"""The cache of decoded images: one uint8 array on disk per set of image files, decoded once and memory-mapped."""

import hashlib
import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.data.decoding import ImageArray, Settings, decode_image, say_own_range
from lit_gen.data.image_files import NoImageError, Search, endings, formats, near_name
from lit_gen.data.manifest import Manifest, folder_times, some_files
from lit_gen.data.splits import places_of
from lit_gen.errors import UserError
from lit_gen.files.arrays import begin_array, load_array, map_array, save_array, write_values
from lit_gen.files.atomic import CannotWriteError, check_room, complete_file, make_folder, remove_partial_of
from lit_gen.files.lock import alone
from lit_gen.files.parallel import map_indices

HINT = "Set --data.cache_folder to a folder that can be written and has room."
FORMAT = 3  # part of every hash in a name: raise it when decoding changes, so that old caches are not read


class CachedSet(NamedTuple):
    """Decoded images, and what was found when their files were read."""

    images: ImageArray
    """(N, S, S, C), uint8."""
    rows: np.ndarray
    """Numbers (N,) of the files whose images these are: all, or those that can be read."""
    left_out: dict[str, int]
    """Numbers of other files in the folder that was searched, per reason."""
    own_range: int
    """Number of images that were scaled by their own lowest and highest value."""
    places: np.ndarray
    """Places (N,) of their files, as `lit_gen.data.splits` has them; none (0,) unless a folder was searched."""


def cached_set(
    files: Sequence[Path] | Search,
    folder: Path,
    name: str,
    size: int,
    skip_broken: bool = False,
    every_file: bool = False,
    **settings: Any,
) -> CachedSet:
    """Return the images of some files as a read-only memory map of shape (N, size, size, channels), uint8.

    The array lies in `folder`. Its file name holds `name` and a hash of the image files (paths relative to `folder`,
    sizes, times of change) and of the settings of `decode_image`. So a changed file or setting is decoded anew, and
    several datasets may share a folder. A manifest says what the files were like, so that a later start finds the array
    without a look at each file.

    Of several processes that need the array, one makes it, and the others wait. Its room is reserved first. It is
    written to a temporary file, which is then renamed; what a killed process left of such a file is removed.

    Args:
        files: the image files, or a search for them, which is done only if there is no manifest of them as they are.
        folder: folder of the cache.
        name: words for the images, in the files' names, the progress bar and messages.
        size: side of the images in pixels.
        skip_broken: leave out unreadable files; a line counts them.
        every_file: compare each file, and not only what a manifest compares.
        settings: further `Settings` of the decoding.

    Raises:
        CannotWriteError: the array does not exist, and `folder` cannot be written or has no room.
        UserError: there is no image, or one cannot be read; the message names it.
    """
    how = Settings(size, **settings)
    manifest = Manifest(folder, f"{name}-{size}px-{key_of(files, folder, *how, skip_broken)}")
    found = None if every_file else _known(manifest)
    if found is None:
        with alone(manifest.path, f"decoding {name} at {size} px"):
            found = None if every_file else _known(manifest)  # another process may have made it in the meantime
            found = found or _make(manifest, files, name, how, skip_broken)
    array, rows, facts = found
    scaled, first = facts["own_range"]
    say_own_range(scaled, first, len(array), name)
    rows = np.arange(len(array)) if rows is None else rows
    return CachedSet(array, rows, facts["left_out"], scaled, np.array(facts["places"], np.int64))


Made = tuple[np.ndarray, np.ndarray | None, dict[str, Any]]
"""Images and rows of a `CachedSet`, None for all, and the facts in the manifest."""


def _known(manifest: Manifest) -> Made | None:
    """Return what a manifest tells of; None if that is not of the files as they are now, or not there."""
    facts = manifest.read()
    if facts is None or "places" not in facts:  # of an older version
        return None
    array, rows = load_array(manifest.folder / facts["array"]), None
    if facts["skipped"] is not None:
        rows = load_array(_rows_file(manifest))
        if rows is None or len(rows) != facts["count"]:
            return None
    if array is None or len(array) != facts["count"]:
        return None
    if facts["skipped"]:
        rank_zero_info(facts["skipped"])
    return array, rows, facts


def _make(manifest: Manifest, files: Sequence[Path] | Search, name: str, settings: Settings, skip_broken: bool) -> Made:
    """List the files, decode them unless there is an array of them as they are, and write the manifest."""
    facts: dict[str, Any] = {"left_out": {}, "skipped": None, "places": []}
    searched = files.folder if isinstance(files, Search) else None
    if isinstance(files, Search):
        where = f"below {files.folder} ({', '.join(sorted(endings()))}). Put some there"
        files, facts["left_out"], folders = files.find()
    else:
        where = f"for {name}. Check the folder that the data are read from"
        places = {os.path.dirname(path) for path in files}
        folders = {place: folder_times(place) for place in places if os.path.isdir(place)}
    if not files:
        raise NoImageError(f"there is no image file {where}.")
    compared, rows, folder = some_files(files), None, manifest.folder
    if skip_broken:
        rows = readable_rows(files, folder, name, **settings._asdict())
        facts["skipped"] = _skipped(files, rows, name) or ""
        files = [files[row] for row in rows]
    if searched is not None:
        facts["places"] = places_of(files, searched)
    target = folder / f"{name}-{settings.size}px-{digest_of(files, folder, *settings[:4])}.npy"
    array: np.ndarray | None = load_array(target)
    if array is None or array.shape != (len(files), settings.size, settings.size, settings.channels):
        array = _decode(files, target, manifest, name, settings)
    scaled = load_array(_own_range_file(target))
    facts["own_range"] = (0, "") if scaled is None else (len(scaled), files[scaled[0]].name)
    facts |= {"array": target.name, "count": len(files)}
    try:
        if rows is not None:
            save_array(_rows_file(manifest), rows, HINT)
        manifest.write(facts, folders, compared)
    except CannotWriteError:
        pass  # the array was there: the next start looks at each file again
    return array, rows, facts


def _rows_file(manifest: Manifest) -> Path:
    return manifest.path.with_name(f"{manifest.path.stem}-rows.npy")


def _own_range_file(target: Path) -> Path:
    """Return the file with the numbers of images scaled by their own range; it exists only if there are any."""
    return target.with_name(f"{target.stem}-own-range.npy")


def _decode(files: Sequence[Path], target: Path, manifest: Manifest, name: str, settings: Settings) -> np.ndarray:
    """Decode the files into the array `target`, while the lock of the manifest is held."""
    remove_partial_of(manifest.path)
    shape = (len(files), settings.size, settings.size, settings.channels)
    # The temporary file has the manifest's name, which stays when files are added: so what is left of it is found.
    with complete_file(target, HINT, name=manifest.path.name) as partial_file:
        check_room(target.parent, math.prod(shape), f"{target} needs", f"Make room, or choose smaller images. {HINT}")
        offset = begin_array(partial_file, shape)
        write = partial(_decode_into, partial_file, offset, settings)
        by_own_range = map_indices(write, len(files), f"decoding {name} at {settings.size} px", items=files)
        if any(by_own_range):
            save_array(_own_range_file(target), np.flatnonzero(by_own_range), HINT)
    return map_array(target, np.uint8, offset, shape)


def _decode_into(file: Path, offset: int, settings: Settings, index: int, path: Path) -> bool:
    own_range: list[Path] = []
    image = decode_image(path, own_range=own_range, **settings._asdict())
    write_values(file, offset + index * image.size, image)
    return bool(own_range)


def readable_rows(paths: Sequence[Path], folder: Path | None, name: str, **settings: Any) -> np.ndarray:
    """Return the indices (M,), in order, of the `paths` that `cached_set` can read; a line counts the others.

    Each file is decoded once to find out. The answer is kept in `folder` under a name like those of the arrays.

    Args:
        paths: the image files.
        folder: folder of the cache; None to keep no answer.
        name: words for the images, in the file's name, the progress bar and messages.
        settings: `Settings` of the decoding; the size and the channels make no difference.

    Raises:
        CannotWriteError: the answer does not exist, and `folder` cannot be written.
        UserError: no image can be read.
    """
    how = Settings(**(settings | {"size": 1}))
    there = np.array([row for row, path in enumerate(paths) if path.is_file()], int)
    candidates = [paths[row] for row in there]
    readable: np.ndarray | None = None
    target = None
    if folder is not None:
        target = (
            folder / f"{name}-readable-{digest_of(candidates, folder, how.box, how.stored, how.max_megapixels)}.npy"
        )
        readable = load_array(target)
    if readable is None or len(readable) != len(there):
        if folder is not None:
            make_folder(folder, HINT)  # an error here comes before the work, not after it
        check = partial(_is_readable, how)
        found = map_indices(check, len(there), f"checking {name}", items=candidates)
        readable = np.array(found, bool)
        if target is not None:
            save_array(target, readable, HINT)
    rows = there[readable]
    line = _skipped(paths, rows, name)
    if line is not None:
        rank_zero_info(line)
    return rows


def _skipped(paths: Sequence[Path], rows: np.ndarray, name: str) -> str | None:
    """Return a line that counts the files that are left out; None if there are none."""
    skipped = [path.name for path in np.delete(np.array(paths, object), rows)]
    if not skipped:
        return None
    first = ", ".join(skipped[:3]) + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
    what = f"{len(skipped)} of the {len(paths)} files for {name}, which cannot be read: {first}"
    if not len(rows):
        raise UserError(f"skip_broken would skip {what}. Leave it out to see why.")
    return f"skipped {what}"


def _is_readable(settings: Settings, index: int, path: Path) -> bool:
    try:
        decode_image(path, **settings._asdict())
    except UserError:
        return False
    return True


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
            advice = "Put it back, or unpack the dataset again."
            raise UserError(f"the image {path} is missing.{near_name(path)} {advice}") from error
        place = f"{_place(path, folder, places)}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(os.fsencode(place))  # a file name need not be UTF-8
    return digest.hexdigest()[:12]


def _place(path: Path, folder: Path, known: dict[str, str]) -> str:
    """Return a path relative to `folder`; `known` keeps that of each parent, which takes long to find."""
    parent = os.path.dirname(path)
    if parent not in known:
        known[parent] = os.path.relpath(parent, folder)
    return f"{known[parent]}/{path.name}"
