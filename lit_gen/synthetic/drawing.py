"""Tools for drawing that know neither faces nor animals: soft patches, smooth curves, noise."""

import functools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


class Patch(NamedTuple):
    """A soft mask over a rectangle of the picture."""

    rows: slice
    columns: slice
    mask: np.ndarray  # float32 (rows, columns), 0 to 1


class Box(NamedTuple):
    """A rectangle of pixels; the ends are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def to_patch(image: Image.Image, box: Box, scale: int, blur: float) -> Patch:
    if scale > 1:
        image = image.reduce(scale)
    if blur >= 1.5:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    elif blur > 0:
        # One box of the same deviation: as soft to the eye, at a third of the time.
        image = image.filter(ImageFilter.BoxBlur((math.sqrt(12 * blur * blur + 1) - 1) / 2))
    # Quicker than np.asarray(image), which asks the image for its layout first.
    bytes_ = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width)
    mask = np.multiply(bytes_, np.float32(1 / 255), dtype=np.float32)
    return Patch(slice(box.top, box.bottom), slice(box.left, box.right), mask)


def soft_polygon(points: np.ndarray, blur: float, box: Box) -> Patch:
    """`polygon` for blurs of several pixels, drawn at half size, where nothing is lost."""
    columns, rows = box.right - box.left, box.bottom - box.top
    image = Image.new("L", (columns // 2 + 1, rows // 2 + 1))
    ImageDraw.Draw(image).polygon(((points - (box.left, box.top)) / 2).ravel().tolist(), fill=255)
    image = image.filter(ImageFilter.GaussianBlur(blur / 2))
    size = (image.width * 2, image.height * 2)
    return to_patch(image.resize(size, Image.BILINEAR).crop((0, 0, columns, rows)), box, 1, 0)


def product(patch: Patch | None, other: Patch | None) -> Patch | None:
    """The product of two patches over the same box."""
    if patch is None or other is None:
        return None
    return Patch(patch.rows, patch.columns, patch.mask * other.mask)


@functools.cache
def _spline_weights(steps: int) -> np.ndarray:
    """(steps, 4): Catmull-Rom weights of four neighbouring points at `steps` places between the middle two."""
    t = np.arange(steps) / steps
    powers = np.stack((np.ones_like(t), t, t**2, t**3), axis=1)
    return powers @ (0.5 * np.array(((0, 2, 0, 0), (-1, 0, 1, 0), (2, -5, 4, -1), (-1, 3, -3, 1))))


def spline(points: Sequence | np.ndarray, closed: bool = True, steps: int = 6) -> np.ndarray:
    """A smooth curve through (n, 2) points."""
    points = np.asarray(points, float)
    if closed:
        padded = np.concatenate((points[-1:], points, points[:2]))
    else:
        padded = np.concatenate((points[:1], points, points[-1:]))
    windows = np.stack([padded[offset : len(padded) - 3 + offset] for offset in range(4)])
    curve = np.einsum("sk,knd->nsd", _spline_weights(steps), windows).reshape(-1, 2)
    return curve if closed else np.concatenate((curve, points[-1:]))


def mirrored(right: Sequence) -> np.ndarray:
    """A closed outline from its right half, listed from the top to the bottom."""
    right = np.asarray(right, float)
    return np.concatenate((right, right[::-1] * (-1, 1)))


@functools.cache
def noise_line() -> np.ndarray:
    """4096 smooth random numbers in 0..1 that go round in a circle: strands of hair."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=4096))
    frequency = np.arange(len(spectrum))
    line = np.fft.irfft(spectrum * np.exp(-((frequency / 700) ** 2)) / (1 + frequency / 300))
    return np.clip(0.5 + 0.25 * line / line.std(), 0, 1).astype(np.float32)


@functools.cache
def noise_plane() -> np.ndarray:
    """(512, 512) random numbers of mean 0 and deviation 1: the grain of the skin and of the camera."""
    rng = np.random.default_rng(1)
    fine = rng.normal(size=(512, 512))
    coarse = np.asarray(
        Image.fromarray(rng.normal(size=(128, 128)).astype(np.float32)).resize((512, 512), Image.BICUBIC)
    )
    mixed = 0.6 * fine + coarse
    return (mixed / mixed.std()).astype(np.float32)


@lru_cache(maxsize=1)
def noise_tile() -> np.ndarray:
    """Smooth noise of many scales that repeats at its borders, float32 (512, 512), mean 0, deviation 1."""
    rng = np.random.default_rng(7)
    total = np.zeros((512, 512), np.float32)
    for cells in (8, 16, 32, 64, 128, 256):
        # Four cells more on each side and cut off after enlarging: the tile then repeats without a seam.
        coarse = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 4, mode="wrap")
        border = 4 * 512 // cells
        fine = Image.fromarray(coarse).resize((512 + 2 * border,) * 2, Image.Resampling.BICUBIC)
        total += np.asarray(fine)[border:-border, border:-border] * (8 / cells) ** 0.6
    return (total - total.mean()) / total.std()


def noise_window(rng: np.random.Generator, height: int, width: int, step: int) -> np.ndarray:
    """A random window of the noise; a larger `step` gives finer noise."""
    row, column = rng.integers(0, 512, 2)
    rows = (row + step * np.arange(height)) & 511
    columns = (column + step * np.arange(width)) & 511
    return noise_tile()[rows[:, None], columns]


def blend(picture: np.ndarray, amount: np.ndarray, color: np.ndarray) -> None:
    """Mixes `color` into `picture` in place; both arguments broadcast against (height, width, 3)."""
    picture += amount * (color - picture)
