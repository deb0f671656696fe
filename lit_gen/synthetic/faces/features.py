"""The features of a face: nose, eyes, brows, mouth and ears, painted over the skin."""

import numpy as np

from lit_gen.synthetic.drawing import Patch, circle, closed_spline, spline
from lit_gen.synthetic.faces.canvas import Canvas, Pose, polygon, soft_blob, stroke
from lit_gen.synthetic.faces.scene import Scene
from lit_gen.synthetic.faces.skin import MOUTH_Y, extra_width

EYE_HALF_DISTANCE = 19.5
IRIS_COLOURS = ((70, 44, 28), (96, 64, 36), (58, 92, 128), (92, 128, 150), (78, 104, 70), (112, 92, 50))
LIPSTICKS = ((186, 34, 52), (206, 70, 92), (168, 40, 70), (214, 96, 104), (142, 30, 48), (226, 110, 132))


def draw_nose(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    """Paint the shadows of the nose, whose shape is in the skin, and the nostrils."""
    width = 1.3 if scene.big_nose else 0.78 if scene.pointy_nose else 1.0
    size = 1.15 if scene.big_nose else 1.0
    base = 31 + (1.5 if scene.big_nose else 0) + (1.0 if scene.pointy_nose else 0)
    canvas.shade(soft_blob(pose.place((0, base + 3), lift=8)[0], 9 * width, 3.2), 0.13)
    shadow_side = -1 if scene.light[0] > 0 else 1
    flank = ((shadow_side * 5.5 * width, 2), (shadow_side * 6 * width, 14), (shadow_side * 9 * width, 26))
    canvas.shade(stroke(pose.curve(flank, lift=5), 3.0, blur=2.2), 0.08 + 0.16 * abs(scene.light[0]))
    wing = ((9.5 * width, 23.5), (11.5 * width, 28), (9.5 * width, base + 0.5))
    canvas.shade(stroke(pose.pair(spline(wing), lift=7), 1.4, blur=1.0), 0.26)
    nostril = np.array(((2.4, base), (4.5, base - 1.8 * size), (7, base + 0.3), (4.5, base + 1.0))) * (width, 1)
    canvas.shade(polygon(pose.pair(closed_spline(nostril), lift=10), blur=0.6), 0.52)
    if scene.smile > 0.5 and scene.young:
        canvas.shade(stroke(pose.pair(spline(((12 * width, 27), (18, 33), (23, 40))), lift=3), 1.6, blur=1.4), 0.24)
    tip = pose.place((0, 24 + scene.pointy_nose * 2.0), lift=14)[0] + (2 * scene.light[0], -1)
    canvas.shade(soft_blob(tip, 2.6 * width, 2.6), -0.12)


def _band(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return the outline of what lies between two lines over the same x, (2N, 2)."""
    return np.concatenate((np.stack((x, top), 1), np.stack((x, bottom), 1)[::-1]))


def draw_eyes(canvas: Canvas, scene: Scene, pose: Pose, level: float, rng: np.random.Generator) -> None:
    """Paint both eyes with lids, lashes and what lies around them; `level` is the brightness of the skin."""
    smile = max(scene.smile, 0)
    half_width = 10.0
    upper = (5.4 if not scene.male else 4.7) * (0.5 if scene.narrow_eyes else 1.0) * (1 - 0.1 * smile)
    lower = 3.2 * (0.6 if scene.narrow_eyes else 1.0) * (1 - 0.25 * smile)
    cant = 0.4 if scene.male else 1.1
    lash = (1.3 if scene.male else 2.1) + (0.6 if scene.makeup else 0)
    gaze = rng.normal(0, (1.2, 0.4)) + (3 * pose.sin_yaw, 0)
    iris = np.array(IRIS_COLOURS[rng.integers(len(IRIS_COLOURS))], float)
    if sum(scene.tone) < 420:
        iris = iris * 0.3 + np.array(IRIS_COLOURS[0]) * 0.7
    tint = rng.choice(np.array(((96, 62, 66), (80, 72, 96), (110, 74, 52), (58, 50, 54))))
    bright = min(1.0, 0.55 + 0.45 * level)

    t = np.linspace(-1, 1, 13)  # from the inner to the outer corner
    x = EYE_HALF_DISTANCE + half_width * t
    upper_lid = np.stack((x, -upper * (1 - t**2) ** 0.7 - cant * t), axis=1)
    lower_lid = np.stack((x, lower * (1 - t**2) ** 0.8 - cant * t), axis=1)
    rims = pose.pair(upper_lid)
    contours = [np.concatenate((rim, low[::-1])) for rim, low in zip(rims, pose.pair(lower_lid), strict=True)]
    shadows = [rim + (0, 1.2) for rim in rims]
    taper = (0.45 + 0.55 * (t + 1) / 2)[:, None] * (0.0, -lash)
    if not scene.male:
        rims = pose.pair(np.concatenate((upper_lid, ((x[-1] + 2.2, -cant - 1.6),))))
        taper = np.concatenate((taper, ((0.0, -0.3),)))
    lashes = [np.concatenate((rim + (0, 0.4), (rim + taper)[::-1])) for rim in rims]
    for side in (-1, 1):
        canvas.shade(soft_blob(pose.place((side * 17, -6))[0], 9, 4), 0.12)
        if scene.makeup:
            canvas.paint(soft_blob(pose.place((side * 21, -5.5))[0], 9, 3.6), tint, 0.55)
        if scene.eye_bags:
            canvas.shade(soft_blob(pose.place((side * 19, 6.5))[0], 6, 1.6), -0.07)
    if scene.eye_bags:
        canvas.shade(stroke(pose.pair(spline(((10.5, 5), (18, 10.5), (28, 7)))), 2.4, blur=1.2), 0.42)

    white = polygon(contours, blur=0.35)
    canvas.paint(white, np.array((236, 231, 226)) * bright)
    middles = pose.place(((-EYE_HALF_DISTANCE, -0.3), (EYE_HALF_DISTANCE, -0.3))) + gaze
    columns = np.arange(white.columns.start, white.columns.stop, dtype=np.float32)[None] + np.float32(0.5)
    rows = np.arange(white.rows.start, white.rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)

    def discs(shift: tuple[float, float], radius: float) -> Patch:
        """Return a disc in each eye, within its white."""
        (left, top), (right, low) = (middles + shift).astype(np.float32)
        distance = np.sqrt(
            np.minimum((columns - left) ** 2 + (rows - top) ** 2, (columns - right) ** 2 + (rows - low) ** 2)
        )
        return white._replace(mask=white.mask * np.clip(np.float32(radius + 0.5) - distance, 0, 1))

    canvas.paint(discs((0, 0), 4.5), iris * 0.5 * bright)
    canvas.paint(discs((0, 0), 3.7), iris * bright)
    canvas.paint(discs((0.3, 1.5), 1.6), iris * 1.5 + 15, 0.35)
    canvas.paint(discs((0, 0), 1.9), (14, 11, 11))
    canvas.shade(stroke(shadows, 2.6, blur=0.9), 0.3)
    canvas.paint(polygon(lashes, blur=0.35), (34, 22, 20), 0.92)
    canvas.shade(stroke(pose.pair(lower_lid[2:]), 0.9, blur=0.5), 0.5 if scene.makeup else 0.35)
    canvas.shade(stroke(pose.pair((upper_lid + (0, -2.6))[2:]), 1.0, blur=0.7), 0.32)
    canvas.paint(discs((1.3 if scene.light[0] > 0 else -1.3, -1.5), 0.9), (255, 255, 255), 0.9)


def draw_brows(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    """Paint the eyebrows."""
    thick = (3.6 if scene.male else 2.5) + (2.6 if scene.bushy_brows else 0)
    y = -14.0 - (0.0 if scene.male else 1.5) - 0.5 * thick / 2
    arch = 5.5 if scene.arched_brows else 2.0
    t = np.linspace(0, 1, 9)
    x = 8.0 - 1.5 * scene.bushy_brows + 24.5 * t
    middle = y - arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.35) + (1.5 if scene.arched_brows else 2.5) * t**2
    half = thick / 2 * (0.75 + 0.5 * np.sin(np.pi * np.clip(t + 0.25, 0, 1))) * np.clip((1.05 - t) / 0.5, 0, 1) ** 0.7
    contour = _band(x, middle - half, middle + half)
    patch = polygon(pose.pair(contour, lift=1), blur=0.8)
    if scene.crown_is_bare and scene.hair_colour == "blond":
        colour = np.array((96, 70, 46))
    else:
        darker = {"blond": np.array((0.66, 0.55, 0.5)), "red": 0.7, "gray": 0.75}.get(scene.hair_colour, 0.8)
        # Brows lighter than the skin would be invisible.
        colour = np.minimum(np.array(scene.hair_rgb) * darker, np.array(scene.tone) * 0.7)
    canvas.paint(patch, colour, 0.9 if scene.bushy_brows else 0.8)


def draw_mouth(canvas: Canvas, scene: Scene, pose: Pose, level: float, rng: np.random.Generator) -> np.ndarray:
    """Paint lips and teeth, and return the pixels of the mouth's left and right corner, (2, 2).

    `level` is the brightness of the skin.
    """
    smile, gap = scene.smile, scene.mouth_open
    half_width = 15.5 + 4.5 * max(smile, 0) + 0.8 * scene.male
    full = 1.45 if scene.big_lips else 1.0 if scene.young else 0.8
    full *= 0.85 if scene.male else 1.0
    corner_y = MOUTH_Y - 4.2 * smile
    middle_y = MOUTH_Y + 1.2 * max(smile, 0) - 0.5
    s = np.linspace(-1, 1, 17)
    x = half_width * s
    bow = 1 - s**2
    # How the line between the lips hangs from its corners: a smile's line is a bowl.
    line = middle_y + (corner_y - middle_y) * np.abs(s) ** 1.7
    upper_inner = line - 0.35 * gap * bow
    lower_inner = line + 0.75 * gap * bow**0.8
    cupid = 1 - 0.28 * np.exp(-((s / 0.16) ** 2))
    upper_outer = upper_inner - 3.9 * full * cupid * bow**0.75
    lower_outer = lower_inner + 5.3 * full * (1 - 0.15 * max(smile, 0)) * bow**0.7
    lift = 5.0

    def between(top: np.ndarray, bottom: np.ndarray, blur: float) -> Patch:
        return polygon(pose.place(_band(x, top, bottom), lift=lift), blur=blur)

    bright = min(1.05, 0.45 + 0.55 * level)
    tone = np.array(scene.tone)
    if scene.lipstick:
        colour, alpha = np.array(LIPSTICKS[rng.integers(len(LIPSTICKS))]) * (0.7 + 0.3 * tone.mean() / 220), 0.88
    else:
        colour, alpha = tone * ((0.86, 0.66, 0.64) if scene.male else (0.92, 0.64, 0.64)), 0.75
    canvas.shade(soft_blob(pose.place((0, lower_outer.max() + 2.5), lift=lift)[0], 10, 2.2), 0.25)
    canvas.paint(between(upper_outer, upper_inner + 0.6, 0.6), colour * bright * 0.84, alpha)
    canvas.paint(between(lower_inner - 0.6, lower_outer, 0.6), colour * bright, alpha)
    shine = pose.place((-2 * scene.light[0], (lower_inner + 0.42 * (lower_outer - lower_inner)).max()), lift=lift)[0]
    canvas.paint(soft_blob(shine, 5.5, 1.3), (255, 240, 235), 0.32 if scene.lipstick else 0.18)
    corners = pose.place(((-half_width, corner_y), (half_width, corner_y)), lift=lift)
    if gap > 0:
        canvas.paint(between(upper_inner, lower_inner, 0.4), (58, 18, 20))
        teeth_bottom = upper_inner + (lower_inner - upper_inner) * (0.92 if smile > 0.5 else 0.45)
        teeth = between(upper_inner, teeth_bottom, 0.5)
        canvas.paint(teeth, np.array((244, 239, 230)) * min(1.0, bright) * (1.0 if scene.young else 0.93), 0.95)
        canvas.shade(stroke(pose.place(np.stack((x, upper_inner), 1), lift=lift), 1.0, blur=0.6), 0.35)
        for corner in corners:
            canvas.shade(soft_blob(corner + (2.0 * np.sign(pose.centre[0] - corner[0]), 0.3), 2.5, 1.8), 0.5)
    else:
        canvas.shade(stroke(pose.place(np.stack((x, line), 1), lift=lift), 1.5, blur=0.5), 0.68)
        for corner in corners:
            canvas.shade(soft_blob(corner, 1.8, 1.5), 0.4)
    if smile > 0.5:
        for side, corner in zip((-1, 1), corners, strict=True):
            dimple = corner + spline(((side * 1.5, -4), (side * 3.5, 0), (side * 2.0, 4)))
            canvas.shade(stroke(dimple, 1.5, blur=1.0), 0.3)
    return corners


def ear_centre(scene: Scene, pose: Pose, side: int) -> np.ndarray:
    """Return the pixel in the middle of an ear, (2,); `side` is -1 for the one on the left, else 1."""
    return pose.place((side * (47.5 + extra_width(scene)), 10), depth=-34)[0]


def draw_ears(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    """Paint the ears, where hair does not hang over them."""
    if scene.hair_hangs:
        return
    ring = circle(20)
    tone = np.array(scene.tone) * (0.9, 0.79, 0.75)
    for side in (-1, 1):
        centre = ear_centre(scene, pose, side)
        lit = 0.86 + 0.2 * side * scene.light[0]
        shape = ring * (6.5, 14) + np.stack((side * -2.0 * ring[:, 1], np.zeros(20)), axis=1)
        canvas.paint(polygon(centre + shape, blur=0.7), tone * lit)
        canvas.shade(polygon(centre + (side * 0.8, -1) + shape * (0.5, 0.62), blur=1.2), 0.32)
