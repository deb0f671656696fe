"""What is worn: clothes, necklace, earrings, glasses and hats, painted over the body and the head."""

from collections.abc import Sequence

import numpy as np

from lit_gen.synthetic.drawing import Patch, circle, closed_spline, mirrored, soft_polygon, spline
from lit_gen.synthetic.faces.canvas import FULL_BOX, WIDTH, Canvas, Pose, polygon, soft_blob, stroke
from lit_gen.synthetic.faces.features import EYE_HALF_DISTANCE, ear_centre
from lit_gen.synthetic.faces.scene import Scene

CLOTHES = (
    (28, 28, 34), (60, 64, 76), (228, 228, 230), (30, 46, 92), (150, 28, 40), (40, 90, 70), (196, 160, 60),
    (120, 60, 120), (90, 130, 170), (210, 120, 110), (80, 60, 48), (180, 180, 170),
)  # fmt: skip


def draw_body(canvas: Canvas, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    """Paint neck, shoulders, clothes and necklace; the body does not turn with the head."""
    tone = np.array(scene.tone)
    level = 0.5 + 0.35 * scene.ambient
    skin = tone * np.array((0.86, 0.8, 0.77)) * (0.72 + 0.5 * level)
    neck = (30 if scene.male else 24) + 4 * scene.chubby

    def place(points: Sequence | np.ndarray) -> np.ndarray:
        return pose.place(points, depth=-30)

    torso = mirrored(((neck, 20), (neck, 66), (neck + 4, 82), (neck + 22, 92), (76, 99), (100, 112), (110, 150)))
    outline = place(torso)
    patch = polygon(outline, blur=1.1, scale=1, box=FULL_BOX)
    across = np.abs(np.arange(WIDTH, dtype=np.float32) - place((-6 * scene.light[0], 80))[0, 0]) / np.float32(neck + 8)
    fall = 1 - np.float32(0.22) * np.clip(across, 0, 1.3) ** 2
    canvas.paint(patch, skin[:, None, None].astype(np.float32) * fall[None, None])
    bones = [place(spline(((side * 7, 97), (side * 22, 94), (side * 48, 92)))) for side in (-1, 1)]
    canvas.shade(stroke(bones, 2.0, blur=1.6), 0.18)

    colour = np.array(CLOTHES[rng.integers(len(CLOTHES))], float) * rng.uniform(0.8, 1.1)
    second = np.array(CLOTHES[rng.integers(len(CLOTHES))], float)
    shoulder = ((neck + 24, 89), (78, 96), (104, 110), (112, 152))
    formal = scene.clothes in ("suit", "tie")
    garment = {
        "bare": ((0, 112), (30, 110), (52, 106), (60, 112), (60, 152)),
        "vneck": ((0, 116), (14, 102), (neck + 6, 86), *shoulder),
        "tee": ((0, 97), (16, 95), (neck + 3, 84), *shoulder),
    }.get(scene.clothes, ((0, 116), (12, 100), (neck + 3, 80), *shoulder))
    if formal:
        shirt = np.array((232, 232, 236)) if rng.random() < 0.7 or scene.clothes == "tie" else second
        collar = mirrored(((0, 98), (neck - 4, 84), (neck + 3, 74), (neck + 8, 86), (30, 125)))
        canvas.paint(polygon(place(collar), blur=0.6), shirt * level * 1.25)
        if scene.clothes == "tie":
            knot = mirrored(((6, 92), (4.5, 101), (10, 125)))
            tie = np.array(((150, 28, 40), (30, 50, 110), (40, 40, 48), (100, 40, 90)))[rng.integers(4)]
            canvas.paint(polygon(place(knot), blur=0.5), tie * level * 1.3)
            canvas.shade(stroke(place(((-5, 101), (5, 101))), 1.2, blur=0.6), 0.35)
        colour = colour * 0.55
    patch = polygon(place(mirrored(garment)), blur=0.7)
    if patch.mask.size:
        folds = 1 + 0.12 * np.sin(np.arange(WIDTH)[None] / rng.uniform(5, 9) + rng.uniform(0, 6))
        shading = (level * 1.2 * folds)[:, patch.columns]
        canvas.paint(patch, colour[:, None, None] * shading)
        if formal:
            for side in (-1, 1):
                canvas.shade(stroke(place(((side * 12, 101), (side * (neck + 4), 80))), 1.6, blur=0.8), 0.4)
    if scene.necklace:
        arc = place(spline(((-neck, 78), (-neck * 0.6, 90), (0, 97), (neck * 0.6, 90), (neck, 78))))
        metal = ((228, 196, 110), (225, 225, 232), (240, 232, 225))[rng.integers(3)]
        canvas.shade(stroke(arc + (0, 1.2), 2.0, blur=0.9), 0.35)
        canvas.paint(stroke(arc, rng.uniform(1.2, 2.4), blur=0.3), metal, 0.95)
        canvas.paint(soft_blob(place((0, 99))[0], 2.2, 2.6), metal)


def draw_earrings(canvas: Canvas, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    """Paint a pair of earrings: hoops, drops or studs."""
    metal = np.array(((232, 202, 120), (230, 230, 238), (210, 60, 80), (70, 170, 170)))[rng.integers(4)]
    ring = circle(20)
    kind = rng.choice(("hoop", "drop", "stud"))
    for side in (-1, 1):
        lobe = ear_centre(scene, pose, side) + (side * -1.0, 14)
        if kind == "hoop":
            canvas.paint(stroke(lobe + (0, 7) + np.concatenate((ring, ring[:1])) * (4.5, 7), 1.5, blur=0.3), metal)
        elif kind == "drop":
            canvas.paint(stroke(np.stack((lobe, lobe + (0, 9))), 1.0, blur=0.3), metal)
            canvas.paint(polygon(lobe + (0, 11) + ring * (2.8, 4.2), blur=0.4), metal)
        else:
            canvas.paint(polygon(lobe + ring * 3.2, blur=0.4), metal)
        canvas.paint(soft_blob(lobe + (-0.8, 3), 1.0, 1.0), (255, 255, 255), 0.8)


def draw_glasses(canvas: Canvas, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    """Paint glasses or sunglasses."""
    dark = scene.glasses == "sun"
    frame = np.array(((22, 20, 22), (24, 22, 26), (70, 42, 26), (110, 24, 34), (56, 58, 66)))[rng.integers(5)]
    thick = rng.uniform(2.6, 3.8)
    half_width, half_height = rng.uniform(14.0, 16.0), rng.uniform(10.0, 12.5) + 1.5 * dark
    squareness = rng.uniform(0.45, 1.0)
    ring = circle(28)
    shape = np.sign(ring) * np.abs(ring) ** squareness
    lift = 5.0
    for side in (-1, 1):
        rim = np.array((side * (EYE_HALF_DISTANCE + 0.5), 2.0)) + shape * (half_width, half_height)
        pixels = pose.place(rim, lift=lift)
        closed = np.concatenate((pixels, pixels[:2]))
        canvas.shade(stroke(closed + (0, 3), thick, blur=1.6), 0.25)
        lens = polygon(pixels, blur=0.4)
        if dark:
            down = np.linspace(0, 1, lens.mask.shape[0], dtype=np.float32)[None, :, None]
            canvas.paint(lens, np.array((26, 22, 24), np.float32)[:, None, None] * (1 + 1.4 * down), 0.93)
        else:
            canvas.paint(lens, (225, 235, 245), 0.09)
        gleam = pose.place(((side * EYE_HALF_DISTANCE - 9, -5), (side * EYE_HALF_DISTANCE - 3, -7)), lift=lift)
        canvas.paint(stroke(gleam, 2.0, blur=1.0), (255, 255, 255), 0.35)
        canvas.paint(stroke(closed, thick, blur=0.4), frame, 0.97)
        temple = pose.place(((side * (EYE_HALF_DISTANCE + half_width), -2), (side * 47, -3)), lift=2)
        canvas.paint(stroke(temple, thick * 0.8, blur=0.5), frame, 0.95)
    bridge = pose.curve(((-6, 1), (0, -2), (6, 1)), lift=lift + 5)
    canvas.paint(stroke(bridge, thick * 0.9, blur=0.4), frame, 0.97)


def draw_hat(canvas: Canvas, scene: Scene, pose: Pose, face: Patch, rng: np.random.Generator) -> None:
    """Paint a beanie, a cap or a hat with a brim, and its shadow on the face (`face` is the mask of that)."""
    colour = np.array(CLOTHES[rng.integers(len(CLOTHES))], float)
    band = np.array(CLOTHES[rng.integers(len(CLOTHES))], float) * 0.8

    def cover(right: Sequence, rgb: np.ndarray, depth: float = -22, smooth: bool = True) -> None:
        """Paint a part of the hat, given by its right half, lighter towards the light."""
        outline = closed_spline(mirrored(right)) if smooth else mirrored(right)
        patch = polygon(pose.place(outline, depth=depth), blur=0.8, scale=2)
        rows, columns = patch.mask.shape
        across = np.linspace(-1, 1, columns, dtype=np.float32)[None] + np.float32(25 * pose.sin_yaw / 60)
        down = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        level = 1.02 - 0.3 * across**2 + 0.3 * across * np.float32(scene.light[0]) - 0.22 * down
        canvas.paint(patch, rgb[:, None, None].astype(np.float32) * level)

    brim = mirrored(((20, -90), (60, -60), (60, -26), (0, -20)))
    shadow = soft_polygon(pose.place(brim), 4, FULL_BOX)
    canvas.shade(shadow._replace(mask=shadow.mask * face.mask), 0.5)
    if scene.hat == "beanie":
        cover(((8, -93), (30, -86), (48, -64), (54, -36), (52, -28), (20, -34)), colour)
        cover(((10, -50), (40, -47), (54, -44), (55, -27), (38, -30), (10, -32)), colour * 0.82)
        for x in range(-48, 49, 8):
            canvas.shade(stroke(pose.place(((x, -48), (x, -31)), depth=-22), 1.2, blur=0.9), 0.22)
    elif scene.hat == "cap":
        cover(((8, -92), (30, -86), (47, -66), (52, -42), (50, -30), (20, -38)), colour)
        cover(((6, -50), (30, -47), (46, -38), (50, -29), (38, -27), (20, -31), (6, -32)), band, depth=8)
        canvas.shade(stroke(pose.curve(((-44, -38), (0, -50), (44, -38)), depth=0), 1.6, blur=1.2), 0.4)
    else:
        cover(((14, -99), (30, -97), (40, -86), (46, -46), (20, -40)), colour)
        cover(((0, -57), (44, -55), (47, -45), (0, -42)), band, smooth=False)
        cover(((10, -48), (45, -48), (72, -42), (84, -34), (64, -30), (30, -32), (10, -33)), colour * 0.9)
        canvas.shade(stroke(pose.curve(((-72, -36), (-30, -33), (30, -33), (72, -36)), depth=-22), 1.8, 1.2), 0.3)
