"""Image files decoded once into one uint8 array on disk, which is memory-mapped ever after."""

import hashlib
import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lit_gen.data.files import complete_file
from lit_gen.data.parallel import map_indices
from lit_gen.errors import UserError

FORMAT = 1  # goes into every key: raise it when decoding changes, and old caches are left alone

Box = tuple[int, int, int, int]
"""Left, upper, right, lower: pixels of the image as stored."""


def decode_image(path: Path, size: int, box: Box | None = None, channels: int = 3) -> np.ndarray:
    """One image file as (size, size, channels) uint8: EXIF rotation applied, cropped, resized with antialiasing.

    Args:
        path: any format that Pillow reads.
        size: side in pixels.
        box: what is cut out; by default the largest centred square.
        channels: 3 for RGB, 1 for grey.

    Raises:
        UserError: the file is missing, is not an image, or is cut short.
    """
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16-bit grey
                image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
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
    paths: Sequence[Path], folder: Path, name: str, size: int, box: Box | None = None, channels: int = 3
) -> np.ndarray:
    """The images at `paths` as a read-only memory map of shape (N, size, size, channels), uint8.

    The array lies in `folder` under a name made of `name` and of everything that went into it: the files (names with
    their folders', sizes, times of change), the size and the box. So a changed file or setting decodes anew. It is
    written aside and renamed.

    Raises:
        UserError: an image cannot be read (it is named), or `folder` cannot be written or has no room.
    """
    if not paths:
        raise UserError(f"there is no image for {name}. Check the folder that the data were to be read from.")
    digest = hashlib.sha1(repr((FORMAT, size, box, channels, len(paths))).encode())
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(f"the image {path} is missing. Put it back, or unpack the dataset again.") from error
        digest.update(f"{path.parent.name}/{path.name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    target = folder / f"{name}-{size}px-{digest.hexdigest()[:12]}.npy"
    if not target.is_file():
        with complete_file(target) as partial_file:
            shape = (len(paths), size, size, channels)
            needed, free = math.prod(shape), shutil.disk_usage(folder).free
            if needed > free:  # a map of a file that the disk cannot hold would end the process without a word
                raise UserError(
                    f"{target} needs {needed / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free. Make room, or "
                    "choose smaller images."
                )
            array = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
            array.flush()
            write = partial(_decode_into, partial_file, paths, size, box, channels)
            map_indices(write, len(paths), f"decoding {name} at {size} px")
    return np.load(target, mmap_mode="r")


def _decode_into(file: Path, paths: Sequence[Path], size: int, box: Box | None, channels: int, index: int) -> None:
    np.load(file, mmap_mode="r+")[index] = decode_image(paths[index], size, box, channels)
