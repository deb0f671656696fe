"""Where a face is painted: the pose of the head, the canvas, and masks of shapes on it.

"Pixels" are pixels of the aligned image. "Head coordinates" have the same unit and their origin between the eyes, x to
the right and y down, before the head is posed.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lit_gen.synthetic.drawing import EMPTY, Box, Patch, blend, closed_spline, spline, to_patch
from lit_gen.synthetic.faces.scene import Scene

HEIGHT, WIDTH = 218, 178
FULL_BOX = Box(0, 0, WIDTH, HEIGHT)
FACE_HALF_WIDTH = 46.0
CURVATURE = 26.0  # how far the side of the face (at FACE_HALF_WIDTH) lies behind its middle
SHADOW_TINT = np.array((0.86, 1.0, 1.04), np.float32)  # light that went through skin makes shadows warm


class Pose:
    """The pose of a scene's head: takes head coordinates to pixels."""

    def __init__(self, scene: Scene) -> None:
        self.sin_yaw, self.cos_yaw = math.sin(scene.yaw), math.cos(scene.yaw)
        self.sin_pitch = math.sin(scene.pitch)
        self.length = scene.length
        self.scale = scene.scale
        self.sin_roll, self.cos_roll = math.sin(scene.roll), math.cos(scene.roll)
        self.centre = np.array(scene.centre)

    def turn(self, x: np.ndarray, y: np.ndarray, lift: np.ndarray | float, depth: float | None) -> tuple:
        """Return head coordinates after yaw, pitch and the face's own length; before roll, scale and shift."""
        z = lift - CURVATURE * (x / FACE_HALF_WIDTH) ** 2 if depth is None else depth
        stretched = y + (self.length - 1) * np.maximum(y, 0)
        return x * self.cos_yaw + z * self.sin_yaw, stretched + lift * self.sin_pitch

    def place(self, points: Sequence | np.ndarray, lift: float = 0.0, depth: float | None = None) -> np.ndarray:
        """Return the pixels of points on the head, (N, 2) head coordinates, or one point.

        `lift` is the distance from the face's surface towards the viewer in pixels, `depth` that from the plane of the
        eyes; by default that of the surface, raised by `lift`.
        """
        points = np.asarray(points, float).reshape(-1, 2)
        u, v = self.turn(points[:, 0], points[:, 1], lift, depth)
        pixels = np.empty_like(points)
        pixels[:, 0] = (self.cos_roll * u - self.sin_roll * v) * self.scale + self.centre[0]
        pixels[:, 1] = (self.sin_roll * u + self.cos_roll * v) * self.scale + self.centre[1]
        return pixels

    def curve(self, points: Sequence | np.ndarray, lift: float = 0.0, depth: float | None = None) -> np.ndarray:
        """Return the pixels of a smooth line through points on the head; arguments as of `place`."""
        return self.place(spline(points), lift, depth)

    def pair(self, points: Sequence | np.ndarray, lift: float = 0.0) -> list[np.ndarray]:
        """Return the pixels of the mirror image of points on the head, and of the points; arguments as of `place`."""
        return [self.place(np.array(points) * (side, 1), lift) for side in (-1, 1)]

    def outline(self, points: Sequence | np.ndarray, lift: float = 0.0) -> np.ndarray:
        """Return the pixels of a smooth outline through points on the head; arguments as of `place`."""
        return self.place(closed_spline(points), lift)

    def unplace(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """Return the head coordinates (without yaw) of every pixel in `box`: two float32 arrays (rows, columns)."""
        x, y = _from_centre(box, self.centre, self.scale, self.scale)
        cos, sin = np.float32(self.cos_roll), np.float32(self.sin_roll)
        return cos * x[None] + sin * y[:, None], cos * y[:, None] - sin * x[None]


class Canvas:
    """An image of planar float32 pixels (3, 218, 178), from 0 to 255: planes make the arithmetic of masks fast."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def paint(self, patch: Patch, colour: Sequence | np.ndarray, alpha: float = 1.0) -> None:
        """Cover a mask with an RGB colour, (3,) or one per pixel (3, rows, columns)."""
        colour = np.asarray(colour, np.float32)
        colour = colour[:, None, None] if colour.ndim == 1 else colour
        blend(self.pixels[:, patch.rows, patch.columns], patch.mask * np.float32(alpha), colour)

    def shade(self, patch: Patch, strength: float) -> None:
        """Darken a mask as a shadow on skin does; a negative strength brightens it."""
        region = self.pixels[:, patch.rows, patch.columns]
        region *= 1 - patch.mask * (np.float32(strength) * SHADOW_TINT)[:, None, None]


def box_around(points: np.ndarray, margin: float) -> Box:
    """Return the part of the canvas within `margin` pixels of points, (N, 2) pixels."""
    x, y = points[:, 0], points[:, 1]
    return Box(
        max(math.floor(x.min() - margin), 0),
        max(math.floor(y.min() - margin), 0),
        min(math.ceil(x.max() + margin) + 1, WIDTH),
        min(math.ceil(y.max() + margin) + 1, HEIGHT),
    )


def polygon(
    shapes: np.ndarray | list[np.ndarray], blur: float = 0.0, scale: int = 3, box: Box | None = None, width: float = 0
) -> Patch:
    """Return the inside of a polygon, (N, 2) pixels, or of several; a line instead, where it has a `width` in pixels.

    `blur` is a standard deviation in pixels, `scale` the factor of the size in which edges are drawn before they are
    averaged. The mask's place is by default what the polygons need.
    """
    shapes = shapes if isinstance(shapes, list) else [shapes]
    box = box or box_around(np.concatenate(shapes), 2.5 * blur + width + 1)
    if box.is_empty:
        return EMPTY
    image = Image.new("L", ((box.right - box.left) * scale, (box.bottom - box.top) * scale))
    pen = ImageDraw.Draw(image)
    for points in shapes:
        corners = ((points - (box.left, box.top)) * scale).ravel().tolist()
        if width:
            pen.line(corners, fill=255, width=max(1, round(width * scale)))
        else:
            pen.polygon(corners, fill=255)
    return to_patch(image, box, scale, blur)


def stroke(lines: np.ndarray | list[np.ndarray], width: float, blur: float = 0.5) -> Patch:
    """Return a line of `width` pixels, (N, 2) pixels, or several; `blur` is that of `polygon`."""
    return polygon(lines, blur, scale=2, width=width)


def soft_blob(centre: np.ndarray, sigma_x: float, sigma_y: float) -> Patch:
    """Return a Gaussian blob of height 1 around a pixel, (2,)."""
    reach = np.array((3 * sigma_x, 3 * sigma_y))
    box = box_around(np.stack((centre - reach, centre + reach)), 0)
    if box.is_empty:
        return EMPTY
    x, y = _from_centre(box, centre, sigma_x, sigma_y)
    mask = np.exp(-0.5 * y * y)[:, None] * np.exp(-0.5 * x * x)[None]
    return box.patch(mask)


def _from_centre(box: Box, centre: np.ndarray, unit_x: float, unit_y: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the columns and the rows of `box` lie from `centre`, in the given units, as float32."""
    x = (np.arange(box.left, box.right, dtype=np.float32) - np.float32(centre[0])) / np.float32(unit_x)
    y = (np.arange(box.top, box.bottom, dtype=np.float32) - np.float32(centre[1])) / np.float32(unit_y)
    return x, y
