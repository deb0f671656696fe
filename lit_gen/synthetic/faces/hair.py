"""The hair on a head, strand by strand, and the beard."""

import numpy as np

from lit_gen.synthetic.drawing import Box, Patch, closed_spline, mirrored, noise_line, noise_plane, soft_polygon, spline
from lit_gen.synthetic.faces.canvas import Canvas, Pose, box_around, polygon
from lit_gen.synthetic.faces.scene import Scene


class Hair:
    """The hair on the head of a scene: its outlines and its strands."""

    def __init__(self, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
        self.outline = _outline(scene, pose, rng)
        self.opening = _opening(scene, pose, rng)
        self.box = box_around(self.outline, 5)
        self.mask = polygon(self.outline, blur=1.8, scale=1, box=self.box).mask
        self.colour, self.strands = _strands(scene, pose, self.box, rng)

    def paint_behind(self, canvas: Canvas) -> None:
        """Paint the hair behind the head."""
        self._paint(canvas, self.mask, brightness=0.55)

    def paint(self, canvas: Canvas, face: Patch) -> None:
        """Paint the hair around the opening that shows the face, and its shadow on the face (of mask `face`)."""
        rows, columns, lit = soft_polygon(self.opening + (0, 4), 4.0, self.box)
        canvas.shade(Patch(rows, columns, (1 - lit) * face.mask[rows, columns]), 0.42)
        self._paint(canvas, self.mask * (1 - polygon(self.opening, blur=1.6, scale=1, box=self.box).mask))

    def _paint(self, canvas: Canvas, mask: np.ndarray, brightness: float = 1.0) -> None:
        # Where the edge is soft the strands decide, which frays it.
        frayed = (mask - 0.5) * 2.2 + 0.5
        frayed += (self.strands - 0.5) * (mask * (1 - mask)) * 6
        canvas.paint(self.box.patch(np.clip(frayed, 0, 1)), self.colour * brightness)


def has_hair(scene: Scene) -> bool:
    """Return whether there is hair to paint; a hat hides what does not hang."""
    return scene.hair_style != "bald" and (scene.hat == "none" or scene.hair_style not in ("short", "fringe"))


def _outline(scene: Scene, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Return the pixels around the hair, (N, 2)."""
    style, v = scene.hair_style, scene.hair_volume
    if scene.hat != "none":
        v = min(v, 5.0)
    jitter = rng.uniform(-1.5, 1.5, 40)
    sway = rng.uniform(-3, 3)
    if scene.hair_hangs:
        end = {"long": 118, "bob": rng.uniform(46, 68)}[style]
        bell = rng.uniform(-2, 7)
        right = [(10, -74 - v), (30, -67 - v), (47, -50 - 0.6 * v), (53 + 0.4 * v, -24), (54 + 0.6 * v, 0),
                 (55 + 0.6 * v + bell / 2, 25), (54 + 0.5 * v + bell, 0.75 * end)]  # fmt: skip
        right += [(50 + 0.4 * v + bell, end), (34, end + 3)] if style == "bob" else [(58 + 0.4 * v + bell, end)]
    elif style == "updo":
        right = [(10, -73 - v), (28, -66 - v), (42, -53 - 0.5 * v), (49, -30), (50, -8), (47, 3), (44, 8)]
    elif style == "fringe":
        right = [(8, -66), (20, -60), (41, -40), (50, -25), (52, -8), (50, 8), (45, 13)]
    else:
        right = [(10, -73 - v), (28, -67 - v), (43, -53 - 0.6 * v), (50, -32), (50.5, -12), (49, 4), (45, 9)]
    outer = mirrored(np.array(right) + (_width_beside(scene), 0))
    if scene.hair_wave == "wavy":
        outer = closed_spline(outer, steps=3)
        phase = rng.uniform(0, 6, 2)[(outer[:, 0] > 0).astype(int)]
        size = (3.2 if scene.hair_hangs else 2.0) * np.clip((outer[:, 1] + 60) / 60, 0.35, 1)
        outer[:, 0] += np.sign(outer[:, 0]) * size * np.sin(outer[:, 1] / 6.5 + phase)
    outer[:, 0] += jitter[: len(outer)] if len(outer) <= 40 else 0
    if style == "short":
        # The top leans to the side of the parting.
        outer[:, 1] -= np.clip(-outer[:, 1] - 50, 0, None) / 25 * np.sign(scene.parting) * outer[:, 0] * 0.07
    outer[:, 0] += sway * np.clip(-outer[:, 1] - 40, 0, None) / 30
    return pose.place(closed_spline(outer, steps=4), depth=-34)


def _opening(scene: Scene, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Return the pixels around the hole in the hair that shows the face, (N, 2)."""
    style, p, wide = scene.hair_style, scene.parting, _width_beside(scene)
    hairline = -43 + rng.uniform(-4, 4)
    ends: tuple = ()
    if scene.hair_hangs:
        cover = rng.uniform(0.9, 0.98) if scene.bangs else rng.uniform(0.88, 1.04)
        side = np.array(((36, -27), (43, -6), (45, 20), (42, 44), (38, 66), (36, 90), (40, 130)))
        side = side * (cover, 1) + (wide, 0)
    elif style == "fringe":
        side = np.array(((39, -30), (41, -14), (44, 4)))
        ends = ((80, 4), (80, 150))
    else:
        ear = 24 if scene.sideburns else 1
        slim = 2.5 if scene.sideburns else 0
        side = np.array(((38.5, -27), (42 - slim, -12), (45 - slim, ear - 4), (46.5, ear))) + (wide, 0)
        if style == "updo":
            side = np.array(((37, -28), (42, -12), (45.5, 2))) + (wide, 0)
        ends = ((80, ear + 2), (80, 150))
    if style == "fringe":
        top = np.array(((-30, -70), (0, -90), (30, -70)))
    elif scene.bangs:
        low = rng.uniform(-21, -17)
        slope = rng.uniform(-0.16, 0.16) if rng.random() < 0.5 else 0.0
        across = np.linspace(-33, 33, 11)
        top = np.stack((across, low + slope * across + rng.uniform(-2.2, 2.2, 11) + 0.003 * across**2), axis=1)
    elif scene.receding:
        top = np.array(((-33, -48), (-24, -63), (-12, -58), (0, -54), (12, -58), (24, -63), (33, -48)))
    elif scene.hair_hangs:
        top = np.array(((max(p - 22, -32), hairline + 6 - 0.2 * p), (p - 8, hairline - 6), (p, hairline - 11),
                        (p + 8, hairline - 6), (min(p + 22, 32), hairline + 6 + 0.2 * p)))  # fmt: skip
    else:
        top = np.array(((-32, hairline + 7), (-17, hairline), (0, hairline - 1 + p * 0.1), (17, hairline),
                        (32, hairline + 7)))  # fmt: skip
        top[:, 1] += rng.uniform(-1.5, 1.5, 5) + np.sign(p) * top[:, 0] * 0.06
    hole = spline(np.concatenate(((side * (-1, 1))[::-1], top, side)))
    if ends:
        corners = np.array(ends, float)
        hole = np.concatenate(((corners * (-1, 1))[::-1], hole, corners))
    return pose.place(hole)


def _width_beside(scene: Scene) -> float:
    return 3.0 * scene.chubby - 2.0 * scene.oval


def _strands(scene: Scene, pose: Pose, box: Box, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the RGB (3, rows, columns) of hair everywhere in `box`, and its strands (rows, columns), 0 to 1."""
    x, y = pose.unplace(box)
    x = x + 34 * pose.sin_yaw
    offsets = rng.integers(0, 4096, 2)
    lowered = np.minimum(y + 18, 0)
    radius = np.sqrt(x * x + lowered * lowered * 0.8)
    if scene.hair_hangs:
        # Strands hang from the parting and go round the head: lines of equal distance from its axis.
        along = radius
        if scene.hair_wave != "straight":
            waves = 3.4 if scene.hair_wave == "wavy" else 0.9
            phase = rng.uniform(0, 6)
            along = along + waves * np.clip((y + 45) * 0.02, 0, 1) * np.sin(y * (1 / 6.5) + phase)
        if scene.bangs:
            # Bangs fall from the crown over the forehead, and the rest beside them.
            along = along - radius + x * 70 / np.clip(y + 125, 45, 110)
        along = along + (x > scene.parting) * np.float32(0 if scene.bangs else 300) + y * 0.04
    elif scene.hair_wave == "wavy":
        curl = np.sin(x * 0.5 + 2 * np.sin(y * 0.27)) * 3.5
        along = x + y * 0.7 + curl + np.sin(y * 0.6) * 3
    else:
        # Short hair is combed away from the parting, back over the head.
        along = np.arctan2(y + 10, x - scene.parting) * 34 + radius * 0.5
    line = noise_line()
    coarse = line[(along * 2.4 + offsets[0]).astype(np.int32) & 4095]
    fine = line[(along * 6.5 + offsets[1]).astype(np.int32) & 4095]
    strands = 0.6 * coarse + 0.4 * fine
    round_light = (x * scene.light[0] + lowered * (0.8 * scene.light[1])) * (1 / 60)
    level = (0.76 + 0.28 * scene.ambient) + 0.3 * round_light - 0.22 * np.clip((y - 10) * (1 / 70), 0, 1)
    band = (lowered + 38 - 0.1 * np.abs(x)) * (1 / 11)
    sheen = np.exp(-band * band) * strands * (0.55 if scene.hair_colour == "black" else 0.45)
    rgb = np.array(scene.hair_rgb, np.float32)[:, None, None]
    colour = rgb * (level * (0.74 + 0.48 * strands)) + np.minimum(rgb * 0.7 + 62, 255) * (sheen * 0.62)
    if _goes_grey(scene):
        # Single grey strands; few enough for the colour to keep its name.
        grey = np.clip((coarse - 0.5) * 3, 0, 1) * 0.34
        colour += grey * (150 - colour)
    return colour, strands


def _goes_grey(scene: Scene) -> bool:
    return not scene.young and scene.hair_colour != "gray"


def draw_beard(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    """Paint the beard: stubble, a mustache, a goatee or a full beard."""
    if scene.beard == "none":
        return
    wide = 45.5 + 4.0 * scene.chubby - 2.5 * scene.oval
    jaw = 40 + 4 * scene.chubby - 2.5 * scene.oval + 4.0
    mustache = ((0, 33.5), (8, 32.8), (16, 36.5), (20.5, 43), (17.5, 43.5), (11, 39.5), (0, 38.5))
    lip = pose.outline(mirrored(mustache), lift=5)
    sides = ((wide, 6), (wide + 1, 18), (jaw + 2, 36), (34 + 4 * scene.chubby, 54), (20, 69), (7, 76))
    inner = np.array(((0, 33), (9, 33.5), (17, 37), (26, 35), (35, 24), (41, 6)))
    cheeks = pose.outline(np.concatenate((mirrored(sides), (inner * (-1, 1))[::-1], inner[1:])), lift=1)
    if scene.beard == "shadow":
        colour = np.array(scene.tone) * 0.3 + np.array((22, 22, 26))
        canvas.paint(polygon(cheeks, blur=3.2, scale=1), colour, 0.48)
        canvas.paint(polygon(lip, blur=1.6), colour, 0.25)
        return
    if scene.beard == "full":
        _paint_fur(canvas, scene, cheeks, blur=2.2)
    elif scene.beard == "goatee":
        chin = mirrored(((0, 51), (9, 50), (17, 43), (21.5, 44), (21, 55), (17, 67), (8, 75)))
        _paint_fur(canvas, scene, pose.outline(chin, lift=5), blur=1.4)
    _paint_fur(canvas, scene, lip, blur=1.0)


def _paint_fur(canvas: Canvas, scene: Scene, outline: np.ndarray, blur: float) -> None:
    rows, columns, mask = polygon(outline, blur=blur, scale=1, box=box_around(outline, 3 * blur + 1))
    noise = noise_plane()[rows, columns]
    rgb = np.array(scene.hair_rgb, np.float32)
    rgb = rgb * ((0.72, 0.6, 0.5) if scene.hair_colour == "blond" else (0.85, 0.85, 0.85))
    if _goes_grey(scene):
        rgb = rgb * 0.8 + 24
    frayed = np.clip((mask - 0.42) * 2 + 0.5 + noise * mask * (1 - mask), 0, 1)
    canvas.paint(Patch(rows, columns, frayed), rgb[:, None, None] * (0.9 + 0.16 * noise), 0.9)
