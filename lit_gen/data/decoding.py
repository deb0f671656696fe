"""The decoding of image files to arrays of one size."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image, ImageOps

from lit_gen.data.image_files import MAX_MEGAPIXELS, open_image
from lit_gen.data.pixel_values import to_eight_bits
from lit_gen.errors import UserError
from lit_gen.files.parallel import map_indices

BYTES_PER_PIXEL = 25  # of memory, while an image is decoded: 4 of a JPEG, 16 where pixels are transparent, 25 of floats
Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, in pixels of the image as stored."""


class Settings(NamedTuple):
    """How an image is decoded; see `decode_image`."""

    size: int
    box: Box | None = None
    channels: int = 3
    stored: tuple[int, int] | None = None
    max_megapixels: int = MAX_MEGAPIXELS


def decode_image(
    path: Path,
    size: int | Callable[[int, int], tuple[int, int]],
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
        size: side of the result in pixels; or what gives width and height of the result by those of the image, which
            is then not cropped.
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
            if image.mode == "LAB":  # which Pillow makes no grey of
                image = image.convert("RGB")
            mode = "RGB" if channels == 3 else "L"
            image = image if image.mode == mode else image.convert(mode)
            if not isinstance(size, int):
                width, height = size(*image.size)
                image = image.resize((width, height), Image.Resampling.LANCZOS)
                return np.asarray(image).reshape(height, width, channels)
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


class ImagesOnDemand:
    """Images as `cached_set` returns them, but decoded each time that rows are read, and not kept."""

    def __init__(self, paths: Sequence[Path], size: int, **settings: Any) -> None:
        self.paths, self.settings = paths, Settings(size, **settings)
        self.shape = (len(paths), size, size, self.settings.channels)
        self.checked = False

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        images = [decode_image(self.paths[row], **self.settings._asdict()) for row in np.asarray(rows).tolist()]
        return np.array(images, np.uint8).reshape(-1, *self.shape[1:])

    def check(self, name: str) -> int:
        """Decode each image once, so that an unreadable image is named before the work begins.

        The number of images that are scaled by their own range is returned; 0 if they have been checked before.
        """
        if self.checked:
            return 0
        self.checked = True
        check = partial(_check, self.settings._replace(size=1))
        by_own_range = map_indices(check, len(self), f"checking {name}", items=self.paths)
        count = sum(by_own_range)
        say_own_range(count, self.paths[by_own_range.index(True)].name if count else "", len(self), name)
        return count


ImageArray = np.ndarray | ImagesOnDemand
"""Images (N, S, S, C), uint8, of which some are read at a time."""


def say_own_range(scaled: int, first: str, count: int, name: str) -> None:
    """Print how many of `count` images were scaled by their own range, if any were, and the file name of the first."""
    if scaled:
        rank_zero_info(
            f"scaled {scaled} of the {count} images for {name} by their own range, from darkest to brightest value: "
            f"{first}{f' and {scaled - 1} more' if scaled > 1 else ''}"
        )


def _check(settings: Settings, index: int, path: Path) -> bool:
    own_range: list[Path] = []
    decode_image(path, own_range=own_range, **settings._asdict())
    return bool(own_range)
