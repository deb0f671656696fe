"""The cache of decoded images: one uint8 array on disk per set of image files, decoded once and memory-mapped."""

import errno
import hashlib
import math
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image, ImageOps

from lit_gen.data.image_files import MAX_MEGAPIXELS, open_image
from lit_gen.data.pixel_values import to_eight_bits
from lit_gen.errors import UserError
from lit_gen.files.atomic import CannotWriteError, complete_file, make_folder
from lit_gen.files.parallel import map_indices

FORMAT = 3  # part of every key: raise it when decoding changes, so that old caches are not read

HINT = "Set --data.cache_folder to a folder that can be written and has room."
BYTES_PER_PIXEL = 25  # of memory, while an image is decoded: 4 of a JPEG, 16 where pixels are transparent, 25 of floats
Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, in pixels of the image as stored."""


def decode_image(
    path: Path,
    size: int,
    box: Box | None = None,
    channels: int = 3,
    stored: tuple[int, int] | None = None,
    own_range: list[Path] | None = None,
    max_megapixels: int = MAX_MEGAPIXELS,
) -> np.ndarray:
    """Return an image file as (size, size, channels) uint8: rotated by EXIF, cropped, resized with antialiasing.

    Transparent pixels are shown on white. `to_eight_bits` scales values of more than 8 bits.

    Args:
        path: image file of one of the `FORMATS` of `image_files`, whatever its ending. Only its first image is read.
        size: side of the result in pixels.
        box: part of the image to cut out; by default the largest centred square.
        channels: 3 for RGB, 1 for grey.
        stored: width and height in pixels that the image must have, so that `box` fits it; any by default.
        own_range: list that `path` is added to if the image was scaled by its own lowest and highest value.
        max_megapixels: millions of pixels that the image may have.

    Raises:
        UserError: the file is missing, is not an image, is cut short, holds a value that is not finite, has another
            size than `stored`, or is larger than `max_megapixels`.
    """
    try:
        with open_image(path) as opened:
            image: Image.Image = opened
            if stored is not None and sorted(opened.size) != sorted(stored):  # it may be rotated
                raise ValueError(f"it has {opened.width}x{opened.height} pixels, not {stored[0]}x{stored[1]}")
            megapixels = math.ceil(opened.width * opened.height / 1e6)
            if megapixels > max_megapixels:
                raise UserError(
                    f"the image {path} has {opened.width}x{opened.height} pixels, more than {max_megapixels} million. "
                    f"Remove it, or set --data.max_megapixels={megapixels}: decoding may take "
                    f"{megapixels * BYTES_PER_PIXEL / 1000:.1f} GB of memory per process."
                )
            ImageOps.exif_transpose(opened, in_place=True)  # a copy of a large image would take much memory
            if stored is not None and image.size != stored:
                raise ValueError(f"it has {image.width}x{image.height} pixels, not {stored[0]}x{stored[1]}")
            image, own = to_eight_bits(opened)
            if own and own_range is not None:
                own_range.append(path)
            if image.has_transparency_data:  # transparent pixels may hold any colour
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            mode = "RGB" if channels == 3 else "L"
            image = image if image.mode == mode else image.convert(mode)
            if box is None:
                side = min(image.size)
                left, upper = (image.width - side) // 2, (image.height - side) // 2
                box = (left, upper, left + side, upper + side)
            # Box filtering is exact where the ratio is a whole number, as from 128 to 64.
            exact = (box[2] - box[0]) % size == 0
            image = image.resize((size, size), Image.Resampling.BOX if exact else Image.Resampling.LANCZOS, box=box)
            return np.asarray(image).reshape(size, size, channels)
    except UserError:
        raise
    except Exception as error:  # decoders raise errors of all kinds
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot read the image {path} ({why}). Replace or remove that file.") from error


def cached_images(
    paths: Sequence[Path],
    folder: Path,
    name: str,
    size: int,
    box: Box | None = None,
    channels: int = 3,
    stored: tuple[int, int] | None = None,
    own_range: list[Path] | None = None,
    max_megapixels: int = MAX_MEGAPIXELS,
) -> np.ndarray:
    """Return the images at `paths` as a read-only memory map of shape (N, size, size, channels), uint8.

    The array lies in `folder`. Its file name holds `name` and a hash of the image files (paths relative to `folder`,
    sizes, times of change) and of the settings of `decode_image`. So a changed file or setting is decoded anew, and
    several datasets may share a folder. The array is written to a temporary file, which is then renamed. A line says
    how many images were scaled by their own range, and their paths are added to `own_range`. Messages call the images
    by `name`; the other arguments are those of `decode_image`.

    Raises:
        CannotWriteError: the array does not exist, and `folder` cannot be written or has no room.
        UserError: there is no image, or one cannot be read; the message names it.
    """
    if not paths:
        raise UserError(f"there is no image for {name}. Check the folder that the data are read from.")
    shape = (len(paths), size, size, channels)
    target = folder / f"{name}-{size}px-{_digest(paths, folder, size, box, channels, stored)}.npy"
    rows_file = target.with_name(f"{target.stem}-own-range.npy")  # exists only if an image was scaled so
    array = _load(target)
    if array is None or array.shape != shape:
        with complete_file(target, HINT) as partial_file:
            needed, free = math.prod(shape), shutil.disk_usage(folder).free
            if needed > free:
                raise CannotWriteError(
                    f"{target} needs {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free. Make room, or "
                    f"choose smaller images. {HINT}"
                )
            array = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
            array.flush()
            _reserve(partial_file)
            write = partial(_decode_into, partial_file, paths, size, box, channels, stored, max_megapixels)
            by_own_range = map_indices(write, len(paths), f"decoding {name} at {size} px")
            if any(by_own_range):
                _save(np.flatnonzero(by_own_range), rows_file)
        array = np.load(target, mmap_mode="r")
    rows = _load(rows_file)
    if rows is not None:
        _say_own_range([paths[row] for row in rows], len(paths), name, own_range)
    return array


class ImagesOnDemand:
    """Images as `cached_images` returns them, but decoded each time that rows are read, and not kept."""

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        box: Box | None = None,
        channels: int = 3,
        stored: tuple[int, int] | None = None,
        max_megapixels: int = MAX_MEGAPIXELS,
    ) -> None:
        self.paths, self.settings = paths, (size, box, channels, stored)
        self.max_megapixels = max_megapixels
        self.shape = (len(paths), size, size, channels)
        self.checked = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        settings = *self.settings, None, self.max_megapixels
        images = [decode_image(self.paths[row], *settings) for row in np.asarray(rows).tolist()]
        return np.array(images, np.uint8).reshape(-1, *self.shape[1:])

    def check(self, name: str, own_range: list[Path]) -> None:
        """Decode each image once, so that an unreadable image is named before the work begins."""
        if self.checked:
            return
        self.checked = True
        check = partial(_check, self.paths, *self.settings[1:], self.max_megapixels)
        by_own_range = map_indices(check, len(self), f"checking {name}")
        _say_own_range([self.paths[row] for row in np.flatnonzero(by_own_range).tolist()], len(self), name, own_range)


ImageArray = np.ndarray | ImagesOnDemand
"""Images (N, S, S, C), uint8, of which some are read at a time."""


def readable_rows(
    paths: Sequence[Path],
    folder: Path | None,
    name: str,
    box: Box | None = None,
    stored: tuple[int, int] | None = None,
    max_megapixels: int = MAX_MEGAPIXELS,
) -> np.ndarray:
    """Return the indices (M,), in order, of the `paths` that `cached_images` can read; a line counts the others.

    Each file is decoded once to find out. The answer is kept in `folder` under a name like those of the arrays.

    Args:
        paths: the image files.
        folder: folder of the cache; None to keep no answer.
        name: words for the images, in the file's name, the progress bar and messages.
        box: as for `decode_image`.
        stored: as for `decode_image`.
        max_megapixels: as for `decode_image`.

    Raises:
        CannotWriteError: the answer does not exist, and `folder` cannot be written.
        UserError: no image can be read.
    """
    there = np.array([row for row, path in enumerate(paths) if path.is_file()], int)
    candidates = [paths[row] for row in there]
    readable = target = None
    if folder is not None:
        target = folder / f"{name}-readable-{_digest(candidates, folder, box, stored, max_megapixels)}.npy"
        readable = _load(target)
    if readable is None or len(readable) != len(there):
        if folder is not None:
            make_folder(folder, HINT)  # an error here comes before the work, not after it
        check = partial(_is_readable, candidates, box, stored, max_megapixels)
        found = map_indices(check, len(there), f"checking {name}")
        readable = np.array(found, bool)
        if target is not None:
            _save(readable, target)
    rows = there[readable]
    skipped = [path.name for path in np.delete(np.array(paths, object), rows)]
    if skipped:
        first = ", ".join(skipped[:3]) + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
        what = f"{len(skipped)} of the {len(paths)} files for {name}, which cannot be read: {first}"
        if not len(rows):
            raise UserError(f"skip_broken would skip {what}. Leave it out to see why.")
        rank_zero_info(f"skipped {what}")
    return rows


def _say_own_range(scaled: list[Path], count: int, name: str, own_range: list[Path] | None) -> None:
    if own_range is not None:
        own_range.extend(scaled)
    if scaled:
        rank_zero_info(
            f"scaled {len(scaled)} of the {count} images for {name} by their own range, from darkest to brightest "
            f"value: {scaled[0].name}{f' and {len(scaled) - 1} more' if len(scaled) > 1 else ''}"
        )


def _digest(paths: Sequence[Path], folder: Path, *settings: object) -> str:
    """Return 12 hexadecimal characters: a hash of files (path relative to `folder`, size, time of change) and settings.

    Raises:
        UserError: a file is missing.
    """
    digest = hashlib.sha1(repr((FORMAT, *settings, len(paths))).encode())
    places: dict[str, str] = {}
    for path in paths:
        parent = os.path.dirname(path)
        if parent not in places:
            places[parent] = os.path.relpath(parent, folder)
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"the image {path} is missing. Put it back, or unpack the dataset again.") from error
        place = f"{places[parent]}/{path.name}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(os.fsencode(place))  # a file name need not be UTF-8
    return digest.hexdigest()[:12]


def _load(path: Path) -> np.ndarray | None:
    """Return an array as a read-only memory map; None if the file is missing or not whole, as after a broken copy."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None


def _save(array: np.ndarray, target: Path) -> None:
    try:
        with complete_file(target, HINT) as partial_file, partial_file.open("wb") as file:
            np.save(file, array)
    except OSError as error:
        raise CannotWriteError(f"cannot write {target}: {error.strerror}. Make room. {HINT}") from error


def _reserve(file: Path) -> None:
    """Reserve all the disk space that `file` needs; without it, a memory map on a full disk kills the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):  # other errors: the file system cannot reserve space
                raise CannotWriteError(
                    f"there is no room in {file.parent}: {error.strerror}. Make room. {HINT}"
                ) from error


def _decode_into(
    file: Path,
    paths: Sequence[Path],
    size: int,
    box: Box | None,
    channels: int,
    stored: tuple[int, int] | None,
    max_megapixels: int,
    index: int,
) -> bool:
    own_range: list[Path] = []
    image = decode_image(paths[index], size, box, channels, stored, own_range, max_megapixels)
    np.load(file, mmap_mode="r+")[index] = image
    return bool(own_range)


def _check(
    paths: Sequence[Path],
    box: Box | None,
    channels: int,
    stored: tuple[int, int] | None,
    max_megapixels: int,
    index: int,
) -> bool:
    own_range: list[Path] = []
    decode_image(paths[index], 1, box, channels, stored, own_range, max_megapixels)
    return bool(own_range)


def _is_readable(
    paths: Sequence[Path], box: Box | None, stored: tuple[int, int] | None, max_megapixels: int, index: int
) -> bool:
    try:
        decode_image(paths[index], 1, box, stored=stored, max_megapixels=max_megapixels)
    except UserError:
        return False
    return True
