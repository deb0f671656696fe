"""The skin of the face, shaded like a solid.

Bumps (nose, cheeks, chin, ...) are summed to a height field at half resolution, which is lit from one direction. "The
grid" are the places of that field: head coordinates after yaw and pitch.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lit_gen.synthetic.drawing import Patch, mirrored, noise_crop, soft_polygon, spline
from lit_gen.synthetic.faces.canvas import (
    CURVATURE,
    FACE_HALF_WIDTH,
    FULL_BOX,
    HEIGHT,
    WIDTH,
    Canvas,
    Pose,
    box_around,
    polygon,
    stroke,
)
from lit_gen.synthetic.faces.scene import Scene

MOUTH_Y = 41.0  # head coordinate of the line between the lips

GRID_STEP = 2.0
GRID_U = np.arange(-74, 75, GRID_STEP)
GRID_V = np.arange(-92, 93, GRID_STEP)


def _bumps(pose: Pose, bumps: Sequence[tuple[float, ...]]) -> np.ndarray:
    """Return the sum of Gaussian bumps over the grid.

    A bump is height, x, y, standard deviation along x and y, and lift (all in pixels); one with x > 0 has a twin at -x.
    """
    table = np.array([*bumps, *((a, -x, *rest) for a, x, *rest in bumps if x > 0)])
    height, x, y, sigma_x, sigma_y, lift = table.T
    u, v = pose.turn(x, y, lift, None)
    across = np.exp(-0.5 * ((GRID_U - u[:, None]) / sigma_x[:, None]) ** 2)
    down = np.exp(-0.5 * ((GRID_V - v[:, None]) / sigma_y[:, None]) ** 2)
    return (height[:, None] * down).T @ across


def shaded_skin(scene: Scene, pose: Pose) -> tuple[Image.Image, float]:
    """Return the lit skin over the grid, as if the face had no eyes or mouth, and the brightness of its middle."""
    old = not scene.young
    nose_width = 1.3 if scene.big_nose else 0.8 if scene.pointy_nose else 1.0
    cheek = 4.5 + 3.0 * max(scene.smile, 0) + (2.0 if scene.high_cheekbones else 0) + (2.0 if scene.chubby else 0)
    bumps: list[tuple[float, ...]] = [
        (-5.5, 19, -1, 9, 7, 0),  # eye sockets
        (3.0 if scene.male else 1.2, 17, -15, 14, 4.5, 0),  # brow ridge
        (2.0, 0, -40, 26, 16, 0),  # forehead
        (4.6, 0, 8, 4.6 * nose_width, 13, 8),  # bridge of the nose
        (5.5 + 1.5 * scene.big_nose, 0, 24, 5.8 * nose_width, 7.0 if not scene.pointy_nose else 6.0, 14),  # its tip
        (3.6 + 1.0 * scene.big_nose, 8.0 * nose_width, 28, 3.6 * nose_width, 3.6, 7),  # its wings
        (cheek, 26, 17 - 2 * max(scene.smile, 0), 11, 9, 0),
        (4.5, 0, MOUTH_Y, 18, 10, 4),  # lips
        (-2.5, 0, MOUTH_Y + 12, 13, 3.5, 4),  # below the lips
        (4.5, 0, 63, 9 if scene.male else 7, 6, 5),  # chin
        ((-4.5 if old and not scene.chubby else -1.0 - 2.0 * scene.high_cheekbones), 31, 38, 8, 11, 0),  # hollow cheeks
        (-2.0 if old else -0.8, 38, -28, 8, 12, 0),  # temples
    ]
    if scene.chubby:
        bumps.append((4.5, 28, 38, 11, 12, 0))
    height = _bumps(pose, bumps)
    base = CURVATURE * 1.15 * np.abs((GRID_U + CURVATURE * pose.sin_yaw) / FACE_HALF_WIDTH) ** 2.3
    crown = 14 * np.clip((-GRID_V - 25) / 40, 0, None) ** 2 + 9 * np.clip((GRID_V - 52) / 20, 0, None) ** 2
    height -= base[None] + crown[:, None]
    slope_v, slope_u = np.gradient(height, GRID_STEP)
    norm = np.sqrt(slope_u**2 + slope_v**2 + 1)
    light = np.array(scene.light) / np.linalg.norm(scene.light)
    facing = (-slope_u * light[0] - slope_v * light[1] + light[2]) / norm
    level = scene.ambient + (1.06 - scene.ambient) * np.clip(facing, 0, None)
    # The underside of the nose sees the lit upper lip: without that light it would look like a moustache.
    level += _bumps(pose, [(0.2, 0, 36, 10, 4.5, 9)])
    half = light + (0, 0, 1)
    half /= np.linalg.norm(half)
    glint = np.clip((-slope_u * half[0] - slope_v * half[1] + half[2]) / norm, 0, None) ** 18

    red = [(0.35, 27, 20, 12, 10, 0), (0.6, 0, 26, 6, 6, 14), (0.3, 0, 62, 10, 7, 5), (0.35, 19, 5, 9, 5, 0)]
    if scene.rosy:
        red.append((1.7, 29, 19, 9, 8, 0))
    if scene.makeup:
        red.append((0.5, 31, 18, 10, 6, 0))
    redness = _bumps(pose, red)
    tone = np.array(scene.tone)
    if old:
        tone = tone * 0.93 + 0.07 * tone.mean()
    # Light skin shows blood more than dark skin does.
    blush = redness[..., None] * np.array((0.01, -0.085, -0.065)) * (0.4 + 0.6 * tone.mean() / 220)
    colour = tone * (1 + blush) * level[..., None] ** np.array((0.8, 1.0, 1.1))
    colour += (glint * (10 if scene.makeup or scene.young else 18))[..., None]
    middle = float(level[len(GRID_V) // 2 - 8, len(GRID_U) // 2])
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)), middle


def extra_width(scene: Scene) -> float:
    """Return the width that half the face has over the usual one, in pixels."""
    return 4.0 * scene.chubby - 2.5 * scene.oval + (1.0 if scene.male else -0.5)


def draw_skin(canvas: Canvas, scene: Scene, pose: Pose, skin: Image.Image, rng: np.random.Generator) -> Patch:
    """Paint the face, and return its mask over the whole image."""
    wide = extra_width(scene)
    jaw = wide + (3.0 if scene.male else -1.5) + 2.5 * scene.chubby - 1.0 * scene.oval
    chin = (3.0 if scene.male else 0.0) + 2.0 * scene.chubby
    bottom = 70 + 2 * scene.oval + 1.5 * scene.male
    right = (
        (9, -73), (26, -66), (39, -51), (44.5 + wide, -30), (45.5 + wide, -8), (44.5 + wide, 14), (40 + jaw, 34),
        (32 + jaw, 50), (20 + chin + jaw / 2, 63), (8 + chin, bottom),
    )  # fmt: skip
    outline = pose.outline(mirrored(right))
    below = outline + (0, 5)
    canvas.shade(soft_polygon(below, 5, box_around(below, 12)), 0.45)  # the chin's shadow on the neck
    box = box_around(outline, 3)
    patch = polygon(outline, blur=1.1, scale=1, box=box)
    step = GRID_STEP * pose.scale
    a, b = pose.cos_roll / step, pose.sin_roll / step
    x, y = pose.centre - (box.left, box.top)
    columns = (a, b, -a * x - b * y - GRID_U[0] / GRID_STEP + 0.5)
    rows = (-b, a, b * x - a * y - GRID_V[0] / GRID_STEP + 0.5)
    size = (box.right - box.left, box.bottom - box.top)
    part = skin.transform(size, Image.Transform.AFFINE, (*columns, *rows), Image.Resampling.BILINEAR)
    colour = np.asarray(part).transpose(2, 0, 1).astype(np.float32, order="C")
    roughness = 0.008 if scene.makeup else 0.013 if scene.young else 0.02
    colour *= 1 + np.float32(roughness) * noise_crop(rng, HEIGHT, WIDTH)[patch.rows, patch.columns]
    canvas.paint(patch, colour)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[patch.rows, patch.columns] = patch.mask
    if scene.double_chin:
        arc = pose.curve(((-24, 66), (-12, 74), (0, 77), (12, 74), (24, 66)), lift=4)
        canvas.shade(stroke(arc, 2.2, blur=1.6), 0.45)
        canvas.shade(stroke(arc - (0, 5), 4, blur=2.5), -0.1)
    return FULL_BOX.patch(mask)


def draw_age(canvas: Canvas, pose: Pose) -> None:
    """Paint wrinkles; the hollow cheeks and the rough skin of old age are `shaded_skin`'s and `draw_skin`'s."""
    rows = ((-26, 22), (-32, 25), (-38, 22))
    forehead = [
        pose.curve(((-x, y + 1.5), (-x / 2, y - 1), (0, y + 0.5), (x / 2, y - 1), (x, y + 1.5))) for y, x in rows
    ]
    canvas.shade(stroke(forehead, 1.0, blur=0.7), 0.3)
    canvas.shade(stroke([line + (0, 1.8) for line in forehead], 1.0, blur=0.8), -0.08)
    canvas.shade(stroke(pose.pair(spline(((11, 25), (18, 32), (23, 41), (24, 51))), lift=3), 1.6, blur=1.0), 0.42)
    crow_feet = [
        pose.place(((side * 32, 0), (side * (32 + 7.5 * math.cos(angle)), 7.5 * math.sin(angle))))
        for side in (-1, 1)
        for angle in (-0.5, 0.0, 0.45)
    ]
    canvas.shade(stroke(crow_feet + pose.pair(spline(((11, 7), (18, 11), (27, 9)))), 0.9, blur=0.7), 0.28)
    canvas.shade(stroke(pose.pair(spline(((21, 50), (24, 57), (22, 63))), lift=2), 1.6, blur=1.3), 0.3)  # jowls
