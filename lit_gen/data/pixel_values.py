"""The conversion of pixels: of images in [-1, 1] to bytes and back, and of other values in files to 8 bits."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF 6.0
WHITE_IS_ZERO = 0
UNSIGNED, SIGNED = (1,), (2,)
DARKEST = 1 / 8
"""Values are scaled by the range of a type only if the brightest value reaches this fraction of the range."""
MIDDLE = 128


def as_bytes(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as uint8, rounded; values beyond become the nearest of these."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def as_floats(images: Tensor) -> Tensor:
    """Return images, uint8, as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_eight_bits(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return an image with values from 0 to 255, and whether it was scaled by its own lowest and highest value.

    Values of 8 and 16 bits (and 12, in TIFF) are scaled by the range of their type. Floats and integers of 32 bits are
    scaled by the first of the ranges [0, 1] (floats only), 8 bits and 16 bits that holds all values, if the brightest
    value reaches an eighth of it. All other values, signed ones included, are scaled by the image's own lowest and
    highest value. If these two are equal, the image becomes grey.

    Args:
        image: as Pillow opened it, with its format and tags.

    Raises:
        ValueError: a value is infinite or not a number.
    """
    tags = getattr(image, "tag_v2", {})
    bits, sample_format = tags.get(BITS_PER_SAMPLE, (16,))[0], tags.get(SAMPLE_FORMAT, UNSIGNED)
    if not image.mode.startswith(("I", "F")) and (image.mode, sample_format) != ("L", SIGNED):
        return image, False
    values, own = np.asarray(image), False
    if image.mode == "L":  # Pillow ignores the sign
        levels, own = _scale(values.view(np.int8), signed=True)
    elif image.mode.startswith("I;16"):
        levels = values >> (bits - 8)
    elif image.mode == "I" and image.format != "TIFF":  # Pillow's mode for PGM of 16 bits, and in some versions PNG
        levels = values >> 8
    elif image.mode == "I":
        whole = values.view(np.uint32) if sample_format == UNSIGNED else values  # Pillow has no unsigned type
        levels, own = _scale(whole, signed=sample_format == SIGNED and bits < 32)
    else:
        levels, own = _scale(values, signed=False)
    if image.mode != "L" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts values of 8 bits only
        levels = 255 - levels
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8)), own


def _scale(values: np.ndarray, signed: bool) -> tuple[np.ndarray, bool]:
    """Return levels from 0 to 255, and whether they were scaled by the lowest and the highest value.

    `signed` tells of values from a signed type of 8 or 16 bits. One of 32 bits says nothing about the values: Pillow
    writes all integers as it.
    """
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds values that are infinite or not a number")
    whole = np.issubdtype(values.dtype, np.integer)
    top = next((top for top in ((255, 65535) if whole else (1, 255, 65535)) if high <= top), None)
    if not signed and low >= 0 and top is not None and (high == 0 or high >= DARKEST * top):
        if whole:
            return values >> 8 if top == 65535 else values, False
        return np.round(values.astype(np.float64) * (255 / top)), False
    if low == high:
        return np.full(values.shape, MIDDLE), True
    return np.round((values.astype(np.float64) - low) * (255 / (high - low))), True
