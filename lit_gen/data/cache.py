"""Image files decoded once into one uint8 array on disk, which is memory-mapped ever after."""

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

from lit_gen.data.files import complete_file
from lit_gen.data.parallel import map_indices
from lit_gen.errors import UserError

FORMAT = 2  # goes into every key: raise it when decoding changes, and old caches are left alone

Box = tuple[int, int, int, int]
"""Left, upper, right, lower: pixels of the image as stored."""


def decode_image(
    path: Path, size: int, box: Box | None = None, channels: int = 3, stored: tuple[int, int] | None = None
) -> np.ndarray:
    """One image file as (size, size, channels) uint8: EXIF rotation applied, cropped, resized with antialiasing.

    What is transparent is shown on white.

    Args:
        path: any format that Pillow reads.
        size: side in pixels.
        box: what is cut out; by default the largest centred square.
        channels: 3 for RGB, 1 for grey.
        stored: width and height that the image must have, where `box` was meant for those.

    Raises:
        UserError: the file is missing, is not an image, is cut short, or has another size than `stored`.
    """
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if stored is not None and image.size != stored:
                raise ValueError(f"it has {image.width}x{image.height} pixels, not {stored[0]}x{stored[1]}")
            if image.mode.startswith("I"):  # 16-bit grey
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
            if image.has_transparency_data:  # the colours behind are not meant to be seen
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB" if channels == 3 else "L")
            if box is None:
                side = min(image.size)
                left, upper = (image.width - side) // 2, (image.height - side) // 2
                box = (left, upper, left + side, upper + side)
            # Box filtering is exact where the ratio is a whole number, as from 128 to 64.
            exact = (box[2] - box[0]) % size == 0
            image = image.resize((size, size), Image.Resampling.BOX if exact else Image.Resampling.LANCZOS, box=box)
            return np.asarray(image).reshape(size, size, channels)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path} ({error}). Replace or remove that file.") from error


def cached_images(
    paths: Sequence[Path],
    folder: Path,
    name: str,
    size: int,
    box: Box | None = None,
    channels: int = 3,
    stored: tuple[int, int] | None = None,
) -> np.ndarray:
    """The images at `paths` as a read-only memory map of shape (N, size, size, channels), uint8.

    The array lies in `folder` under a name made of `name` and of everything that went into it: the files (names with
    their folders', sizes, times of change), and the settings of `decode_image`. So a changed file or setting decodes
    anew. It is written aside and renamed.

    Raises:
        UserError: an image cannot be read (it is named), or `folder` cannot be written or has no room.
    """
    if not paths:
        raise UserError(f"there is no image for {name}. Check the folder that the data were to be read from.")
    shape = (len(paths), size, size, channels)
    target = folder / f"{name}-{size}px-{_digest(paths, size, box, channels, stored)}.npy"
    array = _load(target)
    if array is None or array.shape != shape:
        with complete_file(target) as partial_file:
            needed, free = math.prod(shape), shutil.disk_usage(folder).free
            if needed > free:  # a map of a file that the disk cannot hold would end the process without a word
                raise UserError(
                    f"{target} needs {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free. Make room, or "
                    "choose smaller images."
                )
            array = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
            array.flush()
            write = partial(_decode_into, partial_file, paths, size, box, channels, stored)
            map_indices(write, len(paths), f"decoding {name} at {size} px")
        array = np.load(target, mmap_mode="r")
    return array


def readable_rows(
    paths: Sequence[Path], folder: Path, name: str, box: Box | None = None, stored: tuple[int, int] | None = None
) -> np.ndarray:
    """Which of `paths` `cached_images` can read: their numbers (M,) in order; a line says how many cannot be.

    Each file is decoded once to find out. The answer lies in `folder`, as the arrays do.

    Raises:
        UserError: no image can be read, or `folder` cannot be written.
    """
    there = np.array([row for row, path in enumerate(paths) if path.is_file()], int)
    candidates = [paths[row] for row in there]
    target = folder / f"{name}-readable-{_digest(candidates, box, stored)}.npy"
    readable = _load(target)
    if readable is None or len(readable) != len(there):
        found = map_indices(partial(_is_readable, candidates, box, stored), len(there), f"checking {name}")
        readable = np.array(found, bool)
        with complete_file(target) as partial_file, partial_file.open("wb") as file:
            np.save(file, readable)
    rows = there[readable]
    skipped = [path.name for path in np.delete(np.array(paths, object), rows)]
    if skipped:
        first = ", ".join(skipped[:3]) + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
        what = f"{len(skipped)} of the {len(paths)} files for {name}, which cannot be read: {first}"
        if not len(rows):
            raise UserError(f"skip_broken would skip {what}. Without it the message says why.")
        rank_zero_info(f"skipped {what}")
    return rows


def _digest(paths: Sequence[Path], *settings: object) -> str:
    """Twelve characters that stand for files as they are now, and for settings."""
    digest = hashlib.sha1(repr((FORMAT, *settings, len(paths))).encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"the image {path} is missing. Put it back, or unpack the dataset again.") from error
        place = f"{path.parent.name}/{path.name}|{status.st_size}|{status.st_mtime_ns}\n"
        digest.update(os.fsencode(place))  # a name need not be UTF-8
    return digest.hexdigest()[:12]


def _load(path: Path) -> np.ndarray | None:
    """An array as a read-only memory map; None when it is not there or not whole, as after a copy that broke off."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None


def _decode_into(
    file: Path,
    paths: Sequence[Path],
    size: int,
    box: Box | None,
    channels: int,
    stored: tuple[int, int] | None,
    index: int,
) -> None:
    np.load(file, mmap_mode="r+")[index] = decode_image(paths[index], size, box, channels, stored)


def _is_readable(paths: Sequence[Path], box: Box | None, stored: tuple[int, int] | None, index: int) -> bool:
    try:
        decode_image(paths[index], 1, box, stored=stored)
    except UserError:
        return False
    return True
