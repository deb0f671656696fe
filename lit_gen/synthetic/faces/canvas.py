"""Where a face is painted: the pose of the head, the canvas, and shapes on it.

Lengths are pixels of the aligned picture. "Head coordinates" have their origin between the eyes, x to the right and y
down, before the pose.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lit_gen.synthetic.drawing import Box, Patch, noise_plane, to_patch
from lit_gen.synthetic.faces.scene import Scene

HEIGHT, WIDTH = 218, 178
CURVATURE = 26.0  # how far the side of the face (at FACE_HALF_WIDTH) lies behind its middle
FACE_HALF_WIDTH = 46.0
SHADOW_TINT = np.array((0.86, 1.0, 1.04), np.float32)  # light that went through skin makes shadows warm
FULL_BOX = Box(0, 0, WIDTH, HEIGHT)


class Pose:
    """Puts head coordinates into the picture."""

    def __init__(self, scene: Scene) -> None:
        self.sin_yaw, self.cos_yaw = math.sin(scene.yaw), math.cos(scene.yaw)
        self.sin_pitch = math.sin(scene.pitch)
        self.length = scene.length
        self.scale = scene.scale
        self.sin_roll, self.cos_roll = math.sin(scene.roll), math.cos(scene.roll)
        self.centre = np.array(scene.centre)

    def turn(self, x: np.ndarray, y: np.ndarray, lift: np.ndarray | float, depth: float | None) -> tuple:
        """Head coordinates after yaw, pitch and the face's own length; before roll, scale and shift."""
        z = lift - CURVATURE * (x / FACE_HALF_WIDTH) ** 2 if depth is None else depth
        stretched = y + (self.length - 1) * np.maximum(y, 0)
        return x * self.cos_yaw + z * self.sin_yaw, stretched + lift * self.sin_pitch

    def place(self, points: Sequence | np.ndarray, lift: float = 0.0, depth: float | None = None) -> np.ndarray:
        """(n, 2) head coordinates to (n, 2) pixels; `lift` above the face's surface, or at an absolute `depth`."""
        points = np.asarray(points, float).reshape(-1, 2)
        u, v = self.turn(points[:, 0], points[:, 1], lift, depth)
        pixels = np.empty_like(points)
        pixels[:, 0] = (self.cos_roll * u - self.sin_roll * v) * self.scale + self.centre[0]
        pixels[:, 1] = (self.sin_roll * u + self.cos_roll * v) * self.scale + self.centre[1]
        return pixels

    def unplace(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Head coordinates (without yaw) of every pixel in `box`, as two float32 arrays (rows, columns)."""
        x = (np.arange(box.left, box.right, dtype=np.float32) - np.float32(self.centre[0])) / np.float32(self.scale)
        y = (np.arange(box.top, box.bottom, dtype=np.float32) - np.float32(self.centre[1])) / np.float32(self.scale)
        cos, sin = np.float32(self.cos_roll), np.float32(self.sin_roll)
        return cos * x[None] + sin * y[:, None], cos * y[:, None] - sin * x[None]


class Canvas:
    """A picture of planar float32 pixels (3, 218, 178), from 0 to 255: planes make the arithmetic of masks fast."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def paint(self, patch: Patch | None, colour: Sequence | np.ndarray, alpha: float = 1.0) -> None:
        """Covers with an RGB colour, (3,) or one per pixel (3, rows, columns)."""
        if patch is None:
            return
        colour = np.asarray(colour, np.float32)
        colour = colour[:, None, None] if colour.ndim == 1 else colour
        region = self.pixels[:, patch.rows, patch.columns]
        region += (patch.mask * np.float32(alpha)) * (colour - region)

    def shade(self, patch: Patch | None, strength: float) -> None:
        """Darkens as a shadow on skin; a negative strength brightens."""
        if patch is None:
            return
        region = self.pixels[:, patch.rows, patch.columns]
        region *= 1 - patch.mask * (np.float32(strength) * SHADOW_TINT)[:, None, None]


def box_around(points: np.ndarray, margin: float) -> Box | None:
    x, y = points[:, 0], points[:, 1]
    box = Box(
        max(math.floor(x.min() - margin), 0),
        max(math.floor(y.min() - margin), 0),
        min(math.ceil(x.max() + margin) + 1, WIDTH),
        min(math.ceil(y.max() + margin) + 1, HEIGHT),
    )
    return box if box.left < box.right and box.top < box.bottom else None


def polygon(shapes: np.ndarray | list, blur: float = 0.0, scale: int = 3, box: Box | None = None) -> Patch | None:
    """The inside of a polygon of (n, 2) pixels, or of several; drawn `scale` times as large for smooth edges."""
    shapes = shapes if isinstance(shapes, list) else [shapes]
    box = box or box_around(np.concatenate(shapes), 2.5 * blur + 1)
    if box is None:
        return None
    image = Image.new("L", ((box.right - box.left) * scale, (box.bottom - box.top) * scale))
    draw = ImageDraw.Draw(image)
    for points in shapes:
        draw.polygon(((points - (box.left, box.top)) * scale).ravel().tolist(), fill=255)
    return to_patch(image, box, scale, blur)


def stroke(lines: np.ndarray | list, width: float, blur: float = 0.5, scale: int = 2) -> Patch | None:
    """A line of `width` pixels through (n, 2) pixels, or several lines."""
    lines = lines if isinstance(lines, list) else [lines]
    box = box_around(np.concatenate(lines), 2.5 * blur + width + 1)
    if box is None:
        return None
    image = Image.new("L", ((box.right - box.left) * scale, (box.bottom - box.top) * scale))
    draw = ImageDraw.Draw(image)
    for points in lines:
        corners = ((points - (box.left, box.top)) * scale).ravel().tolist()
        draw.line(corners, fill=255, width=max(1, round(width * scale)))
    return to_patch(image, box, scale, blur)


def soft_blob(centre: np.ndarray, sigma_x: float, sigma_y: float) -> Patch | None:
    """A Gaussian blob of height 1 at a pixel (2,)."""
    reach = np.array((3 * sigma_x, 3 * sigma_y))
    box = box_around(np.stack((centre - reach, centre + reach)), 0)
    if box is None:
        return None
    x = (np.arange(box.left, box.right, dtype=np.float32) - np.float32(centre[0])) / np.float32(sigma_x)
    y = (np.arange(box.top, box.bottom, dtype=np.float32) - np.float32(centre[1])) / np.float32(sigma_y)
    mask = np.exp(-0.5 * y * y)[:, None] * np.exp(-0.5 * x * x)[None]
    return Patch(slice(box.top, box.bottom), slice(box.left, box.right), mask)


def noise_crop(rng: np.random.Generator) -> np.ndarray:
    top, left = rng.integers(512 - HEIGHT), rng.integers(512 - WIDTH)
    return noise_plane()[top : top + HEIGHT, left : left + WIDTH]
