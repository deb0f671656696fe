"""Tools of all renderers: smooth curves, soft masks, layers with smooth edges, noise and JPEG files."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

JPEG_QUALITY = 92


def save_jpeg(image: np.ndarray, path: Path) -> None:
    """Write an image, uint8 (H, W, 3), to a JPEG file."""
    Image.fromarray(image).save(path, quality=JPEG_QUALITY)


# Curves


@functools.cache
def spline_weights(steps: int, end: bool = False) -> np.ndarray:
    """Return the weights of a Catmull-Rom spline: four neighbouring points give the curve between the middle two.

    They are float64 (steps, 4), for places that are evenly spaced and begin at the second point. With `end`, the third
    point is one more place.
    """
    t = np.arange(steps + end) / steps
    powers = np.stack((np.ones_like(t), t, t**2, t**3), axis=1)
    return powers @ (0.5 * np.array(((0, 2, 0, 0), (-1, 0, 1, 0), (2, -5, 4, -1), (-1, 3, -3, 1))))


def spline(points: Sequence | np.ndarray, steps: int = 6, straight_ends: bool = False) -> np.ndarray:
    """Return a smooth curve through the points of a line, (N, D), with `steps` points per point given.

    With `straight_ends`, the line is continued beyond its ends. Otherwise it stops there, and the curve leaves its ends
    more slowly.
    """
    points = np.asarray(points, float)
    before, after = points[:1], points[-1:]
    if straight_ends:
        before, after = 2 * before - points[1:2], 2 * after - points[-2:-1]
    return np.concatenate((_between(np.concatenate((before, points, after)), steps), points[-1:]))


def closed_spline(points: Sequence | np.ndarray, steps: int = 6) -> np.ndarray:
    """Return a smooth outline through points, (N, D); `steps` is its number of points per point given."""
    points = np.asarray(points, float)
    return _between(np.concatenate((points[-1:], points, points[:2])), steps)


def _between(points: np.ndarray, steps: int) -> np.ndarray:
    windows = np.stack([points[offset : len(points) - 3 + offset] for offset in range(4)])
    return np.einsum("sk,knd->nsd", spline_weights(steps), windows).reshape(-1, points.shape[1])


def mirrored(right: Sequence | np.ndarray) -> np.ndarray:
    """Return a closed outline from its right half, (N, 2), listed from the top to the bottom."""
    right = np.asarray(right, float)
    return np.concatenate((right, right[::-1] * (-1, 1)))


def circle(count: int) -> np.ndarray:
    """Return points of the unit circle, (count, 2)."""
    angles = np.linspace(0, 2 * math.pi, count, endpoint=False)
    return np.stack((np.cos(angles), np.sin(angles)), axis=1)


# Masks


class Patch(NamedTuple):
    """A soft mask over a rectangle of an image."""

    rows: slice
    columns: slice
    mask: np.ndarray  # float32 (rows, columns), 0 to 1


EMPTY = Patch(slice(0, 0), slice(0, 0), np.zeros((0, 0), np.float32))


class Box(NamedTuple):
    """A rectangle of pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def is_empty(self) -> bool:
        """Tell whether there is no pixel in it."""
        return self.left >= self.right or self.top >= self.bottom

    def patch(self, mask: np.ndarray) -> Patch:
        """Return a mask (rows, columns) over the rectangle."""
        return Patch(slice(self.top, self.bottom), slice(self.left, self.right), mask)


def to_patch(image: Image.Image, box: Box, scale: int, blur: float) -> Patch:
    """Return a grey image, `scale` times as large as `box`, as the mask over it.

    It is averaged over squares of `scale` pixels, and blurred by that standard deviation in pixels of `box`.
    """
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
    return box.patch(mask)


def soft_polygon(points: np.ndarray, blur: float, box: Box) -> Patch:
    """Return the inside of a polygon, (N, 2) pixels, as a mask over `box`, blurred by several pixels.

    The polygon is drawn at half size, where such a blur loses nothing.
    """
    columns, rows = box.right - box.left, box.bottom - box.top
    image = Image.new("L", (columns // 2 + 1, rows // 2 + 1))
    ImageDraw.Draw(image).polygon(((points - (box.left, box.top)) / 2).ravel().tolist(), fill=255)
    image = image.filter(ImageFilter.GaussianBlur(blur / 2))
    size = (image.width * 2, image.height * 2)
    return to_patch(image.resize(size, Image.Resampling.BILINEAR).crop((0, 0, columns, rows)), box, 1, 0)


def blend(image: np.ndarray, amount: np.ndarray, colour: np.ndarray) -> None:
    """Mix a colour into an image in place; `amount` (0 to 1) and `colour` broadcast to the image."""
    image += amount * (colour - image)


# Layers


def new_layer(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a transparent square image of `side` pixels, and the pen that draws on it.

    Its mode is RGBa: RGBA with the colours multiplied by the coverage, which is right when pixels are averaged.
    """
    layer = Image.new("RGBa", (side, side))
    return layer, ImageDraw.Draw(layer)


def reduce_layer(layer: Image.Image, scale: int) -> np.ndarray:
    """Return a layer averaged over squares of `scale` pixels: float32 (H, W, 4), 0 to 1, multiplied colours."""
    return np.asarray(layer.reduce(scale)).astype(np.float32) / 255


def lay_over(image: np.ndarray, colour: np.ndarray, coverage: np.ndarray) -> None:
    """Lay a layer over an image (H, W, 3) in place; its `colour` (H, W, 3) is multiplied by its `coverage` (H, W)."""
    rows = np.flatnonzero(coverage.any(1))
    if len(rows):
        window = slice(rows[0], rows[-1] + 1)
        image[window] *= 1 - coverage[window, :, None]
        image[window] += colour[window]


# Noise


@functools.cache
def noise_line() -> np.ndarray:
    """Return the noise of hair: float32 (4096,), smooth, 0 to 1, its end joining its start."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=4096))
    frequency = np.arange(len(spectrum))
    line = np.fft.irfft(spectrum * np.exp(-((frequency / 700) ** 2)) / (1 + frequency / 300))
    return np.clip(0.5 + 0.25 * line / line.std(), 0, 1).astype(np.float32)


@functools.cache
def noise_plane() -> np.ndarray:
    """Return the noise of skin and camera: float32 (512, 512), grainy, mean 0, standard deviation 1."""
    rng = np.random.default_rng(1)
    fine = rng.normal(size=(512, 512))
    coarse = Image.fromarray(rng.normal(size=(128, 128)).astype(np.float32))
    mixed = 0.6 * fine + np.asarray(coarse.resize((512, 512), Image.Resampling.BICUBIC))
    return (mixed / mixed.std()).astype(np.float32)


def noise_crop(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a random window of `noise_plane`, (height, width)."""
    top, left = rng.integers(512 - height), rng.integers(512 - width)
    return noise_plane()[top : top + height, left : left + width]


@functools.cache
def noise_tile() -> np.ndarray:
    """Return the noise of landscapes: float32 (512, 512), of many scales, without a seam where it repeats.

    Its mean is 0, its standard deviation 1.
    """
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
    """Return a random window of `noise_tile`, (height, width); a larger `step` (in cells per pixel) is finer noise."""
    row, column = rng.integers(0, 512, 2)
    rows = (row + step * np.arange(height)) & 511
    columns = (column + step * np.arange(width)) & 511
    return noise_tile()[rows[:, None], columns]
