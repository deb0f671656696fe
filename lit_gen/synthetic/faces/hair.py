"""Hair and beard."""

import numpy as np

from lit_gen.synthetic.drawing import Box, Patch, mirrored, noise_line, noise_plane, soft_polygon, spline
from lit_gen.synthetic.faces.canvas import Canvas, Pose, box_around, polygon
from lit_gen.synthetic.faces.scene import Scene


def draw_beard(canvas: Canvas, scene: Scene, pose: Pose, hair: "HairPainter") -> None:
    if scene.beard == "none":
        return
    jaw = 40 + 4 * scene.chubby - 2.5 * scene.oval + 4.0
    wide = 45.5 + 4.0 * scene.chubby - 2.5 * scene.oval
    mustache = np.array(
        ((0, 33.5), (8, 32.8), (16, 36.5), (20.5, 43), (17.5, 43.5), (11, 39.5), (0, 38.5))
    )  # fmt: skip
    mustache_line = pose.place(spline(mirrored(mustache)), lift=5)
    sides = np.array(((wide, 6), (wide + 1, 18), (jaw + 2, 36), (34 + 4 * scene.chubby, 54), (20, 69), (7, 76)))
    inner = np.array(((0, 33), (9, 33.5), (17, 37), (26, 35), (35, 24), (41, 6)))
    cheeks = pose.place(spline(np.concatenate((mirrored(sides), (inner * (-1, 1))[::-1], inner[1:]))), lift=1)
    if scene.beard == "shadow":
        colour = np.array(scene.tone) * 0.3 + np.array((22, 22, 26))
        patch = polygon(cheeks, blur=3.2, scale=1)
        canvas.paint(patch, colour, 0.48)
        canvas.paint(polygon(mustache_line, blur=1.6), colour, 0.25)
        return
    if scene.beard == "full":
        hair.paint_fur(canvas, cheeks, blur=2.2)
    elif scene.beard == "goatee":
        chin = mirrored(((0, 51), (9, 50), (17, 43), (21.5, 44), (21, 55), (17, 67), (8, 75)))
        hair.paint_fur(canvas, pose.place(spline(chin), lift=5), blur=1.4)
        hair.paint_fur(canvas, mustache_line, blur=1.0)
    if scene.beard in ("mustache", "full"):
        hair.paint_fur(canvas, mustache_line, blur=1.0)


def hair_outlines(scene: Scene, pose: Pose, rng: np.random.Generator) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Pixels (n, 2) around the hair, and around the hole in it that shows the face; None without hair."""
    style, v = scene.hair_style, scene.hair_volume
    if style == "bald" or (scene.hat != "none" and style in ("short", "fringe")):
        return None, None
    if scene.hat != "none":
        v = min(v, 5.0)
    wide = 3.0 * scene.chubby - 2.0 * scene.oval
    jitter = rng.uniform(-1.5, 1.5, 40)
    sway = rng.uniform(-3, 3)
    if style in ("long", "bob"):
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
    right = np.array(right) + (wide, 0)
    outer = mirrored(right)
    if scene.hair_wave == "wavy":
        outer = spline(outer, steps=3)
        phase = rng.uniform(0, 6, 2)
        below = np.clip((outer[:, 1] + 60) / 60, 0.35, 1)
        size = 3.2 if style in ("long", "bob") else 2.0
        outer[:, 0] += (
            np.sign(outer[:, 0]) * size * below * np.sin(outer[:, 1] / 6.5 + phase[(outer[:, 0] > 0).astype(int)])
        )
    outer[:, 0] += jitter[: len(outer)] if len(outer) <= 40 else 0
    if style == "short":
        # The top leans to the side of the parting.
        outer[:, 1] -= np.clip(-outer[:, 1] - 50, 0, None) / 25 * np.sign(scene.parting) * outer[:, 0] * 0.07
    outer[:, 0] += sway * np.clip(-outer[:, 1] - 40, 0, None) / 30
    outline = pose.place(spline(outer, steps=4), depth=-34)

    hairline = -43 + rng.uniform(-4, 4)
    p = scene.parting
    if style in ("long", "bob"):
        cover = rng.uniform(0.88, 1.04) if not scene.bangs else rng.uniform(0.9, 0.98)
        side = np.array(((36, -27), (43, -6), (45, 20), (42, 44), (38, 66), (36, 90), (40, 130))) * (cover, 1) + (
            wide,
            0,
        )
        ends: tuple = ()
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
    elif style in ("long", "bob"):
        top = np.array(((max(p - 22, -32), hairline + 6 - 0.2 * p), (p - 8, hairline - 6), (p, hairline - 11),
                        (p + 8, hairline - 6), (min(p + 22, 32), hairline + 6 + 0.2 * p)))  # fmt: skip
    else:
        top = np.array(
            ((-32, hairline + 7), (-17, hairline), (0, hairline - 1 + p * 0.1), (17, hairline), (32, hairline + 7))
        )
        top[:, 1] += rng.uniform(-1.5, 1.5, 5) + np.sign(p) * top[:, 0] * 0.06
    hole = spline(np.concatenate(((side * (-1, 1))[::-1], top, side)), closed=False)
    if ends:
        corners = np.array(ends, float)
        hole = np.concatenate(((corners * (-1, 1))[::-1], hole, corners))
    return outline, pose.place(hole)


class HairPainter:
    """Strands of one person's hair: on the head, and in the beard."""

    def __init__(self, scene: Scene, pose: Pose, outline: np.ndarray | None, rng: np.random.Generator) -> None:
        self.scene, self.pose, self.rng = scene, pose, rng
        self.rgb = np.array(scene.hair_rgb, np.float32)
        self.box = box_around(outline, 5) if outline is not None else None
        self.colour, self.strands = self._strands(self.box) if self.box is not None else (None, None)

    def _strands(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """RGB (3, rows, columns) of hair everywhere in `box`, and its strands (rows, columns) from 0 to 1."""
        scene, rng = self.scene, self.rng
        x, y = self.pose.unplace(box)
        x = x + np.float32(34 * self.pose.sin_yaw)
        offsets = rng.integers(0, 4096, 2)
        line = noise_line()
        lowered = np.minimum(y + np.float32(18), 0)
        flowing = scene.hair_style in ("long", "bob")
        radius = np.sqrt(x * x + lowered * lowered * np.float32(0.8))
        if flowing:
            # Strands hang from the parting and go round the head: lines of equal distance from its axis.
            if scene.hair_wave != "straight":
                waves = 3.4 if scene.hair_wave == "wavy" else 0.9
                phase = rng.uniform(0, 6)
                strength = np.clip((y + np.float32(45)) * np.float32(0.02), 0, 1)
                along = radius + np.float32(waves) * strength * np.sin(y * np.float32(1 / 6.5) + np.float32(phase))
            else:
                along = radius
            if scene.bangs:
                # A fringe falls from the crown over the forehead, and the rest beside it.
                along = along - radius + x * np.float32(70) / np.clip(y + np.float32(125), 45, 110)
            along = (
                along
                + np.where(x > scene.parting, np.float32(0 if scene.bangs else 300), np.float32(0))
                + y * np.float32(0.04)
            )
        elif scene.hair_wave == "wavy":
            curl = np.sin(x * np.float32(0.5) + 2 * np.sin(y * np.float32(0.27))) * np.float32(3.5)
            along = x + y * np.float32(0.7) + curl + np.sin(y * np.float32(0.6)) * 3
        else:
            # Short hair is combed away from the parting, back over the head.
            along = np.arctan2(y + np.float32(10), x - np.float32(scene.parting)) * np.float32(
                34
            ) + radius * np.float32(0.5)
        coarse = line[(along * np.float32(2.4) + offsets[0]).astype(np.int32) & 4095]
        fine = line[(along * np.float32(6.5) + offsets[1]).astype(np.int32) & 4095]
        strands = np.float32(0.6) * coarse + np.float32(0.4) * fine
        light = scene.light
        round_light = (x * np.float32(light[0]) + lowered * np.float32(-light[1] * -0.8)) * np.float32(1 / 60)
        level = np.float32(0.76 + 0.28 * scene.ambient) + np.float32(0.3) * round_light
        level = level - np.float32(0.22) * np.clip((y - np.float32(10)) * np.float32(1 / 70), 0, 1)
        band = (lowered + np.float32(38) - np.float32(0.1) * np.abs(x)) * np.float32(1 / 11)
        sheen = np.exp(-band * band) * strands * np.float32(0.55 if scene.hair_colour == "black" else 0.45)
        amount = level * (np.float32(0.74) + np.float32(0.48) * strands)
        gloss = np.minimum(self.rgb * 0.7 + 62, 255)
        colour = self.rgb[:, None, None] * amount + gloss[:, None, None] * (sheen * np.float32(0.62))
        if not scene.young and scene.hair_colour != "gray":
            # Single grey strands; few enough for the colour to keep its name.
            grey = np.clip((coarse - np.float32(0.5)) * 3, 0, 1) * np.float32(0.34)
            colour += grey * (np.float32(150) - colour)
        return colour, strands

    def paint(
        self, canvas: Canvas, outline: np.ndarray, hole: np.ndarray | None, brightness: float = 1.0
    ) -> Patch | None:
        """Paints the hair inside `outline` and outside `hole`."""
        if self.box is None:
            return None
        patch = polygon(outline, blur=1.8, scale=1, box=self.box)
        mask = patch.mask
        if hole is not None:
            mask = mask * (1 - polygon(hole, blur=1.6, scale=1, box=self.box).mask)
        # Where the edge is soft the strands decide, which frays it.
        frayed = (mask - np.float32(0.5)) * np.float32(2.2) + np.float32(0.5)
        frayed += (self.strands - np.float32(0.5)) * (mask * (1 - mask)) * np.float32(6)
        patch = Patch(patch.rows, patch.columns, np.clip(frayed, 0, 1))
        canvas.paint(patch, self.colour * np.float32(brightness) if brightness != 1 else self.colour)
        return patch

    def paint_with_shadow(self, canvas: Canvas, outline: np.ndarray, hole: np.ndarray, face: Patch) -> None:
        """The hair in front of the head and its shadow on the face."""
        if self.box is None:
            return
        outside = soft_polygon(hole + (0, 4), 4.0, self.box)
        rows, columns = outside.rows, outside.columns
        shadow = (1 - outside.mask) * face.mask[rows, columns]
        canvas.shade(Patch(rows, columns, shadow), 0.42)
        self.paint(canvas, outline, hole)

    def paint_fur(self, canvas: Canvas, outline: np.ndarray, blur: float) -> None:
        """Beard inside `outline`."""
        box = box_around(outline, 3 * blur + 1)
        if box is None:
            return
        patch = polygon(outline, blur=blur, scale=1, box=box)
        noise = noise_plane()[box.top : box.bottom, box.left : box.right]
        rgb = self.rgb * ((0.72, 0.6, 0.5) if self.scene.hair_colour == "blond" else (0.85, 0.85, 0.85))
        if not self.scene.young and self.scene.hair_colour != "gray":
            rgb = rgb * 0.8 + 24
        frayed = np.clip(
            (patch.mask - np.float32(0.42)) * 2 + np.float32(0.5) + noise * patch.mask * (1 - patch.mask), 0, 1
        )
        colour = rgb[:, None, None] * (np.float32(0.9) + np.float32(0.16) * noise)
        canvas.paint(Patch(patch.rows, patch.columns, frayed), colour, 0.9)
