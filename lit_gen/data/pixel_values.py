"""Grey values of more than 8 bits, signed ones and floats, as 8 bits."""

import numpy as np
from PIL import Image

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF 6.0
WHITE_IS_ZERO = 0
UNSIGNED, SIGNED = (1,), (2,)
DARKEST = 1 / 8
"""A type's range is taken to be meant if the brightest value reaches this part of it."""
MIDDLE = 128


def to_eight_bits(opened: Image.Image, image: Image.Image) -> tuple[Image.Image, bool]:
    """An image with values of 0 to 255, and whether its own range was stretched to that.

    Values of 8 and 16 bits (and 12, in TIFF) are scaled by the range of their type. Where the file does not say what is
    meant, that is the first of [0, 1] (floats only), 8 and 16 bits that holds all values, if the brightest reaches an
    eighth of it. All else is scaled by the lowest and the highest value of the image: other floats and integers of 32
    bits, and signed values. If those two are equal, it becomes grey.

    Args:
        opened: the image as Pillow opened it, which knows its format.
        image: the same, perhaps turned.

    Raises:
        ValueError: a value is infinite or not a number.
    """
    tags = getattr(opened, "tag_v2", {})
    bits, sample_format = tags.get(BITS_PER_SAMPLE, (16,))[0], tags.get(SAMPLE_FORMAT, UNSIGNED)
    values, own = np.asarray(image), False
    if image.mode == "L" and sample_format == SIGNED:  # Pillow overlooks the sign
        levels, own = _scale(values.view(np.int8), signed=True)
    elif image.mode.startswith("I;16"):
        levels = values >> (bits - 8)
    elif image.mode == "I" and opened.format != "TIFF":  # so Pillow gives the 16 bits of PGM, and some versions of PNG
        levels = values >> 8
    elif image.mode == "I":
        whole = values.view(np.uint32) if sample_format == UNSIGNED else values  # Pillow knows no unsigned ones
        levels, own = _scale(whole, signed=sample_format == SIGNED and bits < 32)
    elif image.mode == "F":
        levels, own = _scale(values, signed=False)
    else:
        return image, False
    if image.mode != "L" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow minds it for 8 bits only
        levels = 255 - levels
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8)), own


def _scale(values: np.ndarray, signed: bool) -> tuple[np.ndarray, bool]:
    """Levels from 0 to 255, and whether they were made from the lowest and the highest value.

    Args:
        values: numbers of any type.
        signed: they are of 8 or 16 bits and may be negative; Pillow writes any integers as signed ones of 32 bits.
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
