"""Cartoon-but-soft human faces in the on-disk format of the CelebA "aligned" distribution.

A face is drawn in two steps: `sample_scene` draws who is in the picture (a `Scene`: sex, age, hair, expression, ...),
and `draw_scene` paints it. The 40 attributes are read off the scene, so that they agree with the pixels.

The skin is shaded like a solid: bumps (nose, cheeks, chin, ...) are summed to a height field at half resolution, lit
from one direction, and everything else (eyes, lips, hair, clothes) is painted over it with soft masks. Lengths are
pixels of the aligned picture; "head coordinates" have their origin between the eyes, x to the right and y down, before
the pose.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lit_gen.data.celeba_names import ATTRIBUTES, LANDMARKS
from lit_gen.data.parallel import map_indices
from lit_gen.errors import UserError

HEIGHT, WIDTH = 218, 178
JPEG_QUALITY = 92
TRAIN_TENTHS, VALID_TENTHS = 8, 1  # the rest is the test part, as in the official split

EYE_HALF_DISTANCE = 19.5
MOUTH_Y = 41.0
CURVATURE = 26.0  # how far the side of the face (at FACE_HALF_WIDTH) lies behind its middle
FACE_HALF_WIDTH = 46.0

SKIN_TONES = {
    "pale": (252, 231, 221),
    "light": (240, 204, 180),
    "medium": (226, 180, 148),
    "tan": (198, 148, 112),
    "brown": (158, 108, 78),
    "dark": (112, 74, 54),
}
HAIR_COLOURS = {
    "black": ((30, 24, 24), (40, 31, 27), (22, 21, 26)),
    "brown": ((92, 60, 38), (76, 48, 32), (116, 78, 50), (104, 64, 44)),
    "blond": ((216, 178, 112), (230, 200, 142), (196, 156, 92), (236, 214, 168)),
    "gray": ((168, 168, 170), (200, 200, 202), (142, 143, 148)),
    "red": ((158, 74, 36), (176, 92, 50), (132, 54, 32)),
}
IRIS_COLOURS = ((70, 44, 28), (96, 64, 36), (58, 92, 128), (92, 128, 150), (78, 104, 70), (112, 92, 50))
LIPSTICKS = ((186, 34, 52), (206, 70, 92), (168, 40, 70), (214, 96, 104), (142, 30, 48), (226, 110, 132))
CLOTHES = (
    (28, 28, 34), (60, 64, 76), (228, 228, 230), (30, 46, 92), (150, 28, 40), (40, 90, 70), (196, 160, 60),
    (120, 60, 120), (90, 130, 170), (210, 120, 110), (80, 60, 48), (180, 180, 170),
)  # fmt: skip
SHADOW_TINT = np.array((0.86, 1.0, 1.04), np.float32)  # light that went through skin makes shadows warm


class Face(NamedTuple):
    """One picture and its annotations."""

    image: np.ndarray  # uint8 (218, 178, 3), RGB
    attributes: dict[str, bool]  # the 40 names of `ATTRIBUTES`, in that order
    landmarks: dict[str, int]  # the 10 names of `LANDMARKS`, in that order; pixels of `image`


@dataclass(frozen=True)
class Scene:
    """Everything that decides a picture; `texture_seed` stands for the rest: strands, background, clothes, grain."""

    male: bool
    young: bool
    tone: tuple[float, float, float]  # RGB of lit skin
    pale: bool
    hair_style: str  # bald, fringe, short, bob, long, updo
    hair_colour: str  # a key of HAIR_COLOURS
    hair_rgb: tuple[float, float, float]
    hair_volume: float  # pixels above the skull
    hair_wave: str  # straight, wavy, plain
    parting: float  # x of the parting
    bangs: bool
    receding: bool
    beard: str  # none, shadow, mustache, goatee, full
    sideburns: bool
    glasses: str  # none, frame, sun
    hat: str  # none, beanie, cap, brim
    smile: float  # 0 serious ... 1 broad; a smile is over 0.5
    mouth_open: float  # pixels between the lips
    lipstick: bool
    makeup: bool
    earrings: bool
    necklace: bool
    clothes: str  # tee, vneck, suit, tie, bare
    arched_brows: bool
    bushy_brows: bool
    narrow_eyes: bool
    eye_bags: bool
    big_nose: bool
    pointy_nose: bool
    big_lips: bool
    high_cheekbones: bool
    oval: bool
    chubby: bool
    double_chin: bool
    rosy: bool
    blurry: bool
    yaw: float  # radians, positive: the nose moves right
    pitch: float  # radians, positive: the nose moves down
    roll: float  # radians
    scale: float
    centre: tuple[float, float]  # pixel between the eyes
    length: float  # stretch of the face below the eyes
    light: tuple[float, float, float]  # direction to the light; y down, z to the viewer
    ambient: float
    texture_seed: int


def render_face(rng: np.random.Generator) -> Face:
    """A random face: uint8 picture (218, 178, 3), its 40 attributes and 10 landmark coordinates in pixels."""
    return draw_scene(sample_scene(rng))


def write_celeba(folder: Path, count: int, seed: int = 0) -> None:
    """Writes `count` faces and the five annotation files of CelebA into `folder`, which must exist.

    Args:
        folder: receives `img_align_celeba/000001.jpg`, ..., `list_attr_celeba.txt`, `list_eval_partition.txt`,
            `list_landmarks_align_celeba.txt` and `identity_CelebA.txt`. Every picture shows another person.
        count: how many pictures; the first 80 % are for training, the next 10 % for validation, the rest for tests.
        seed: picture i is a function of (seed, i) alone.
    """
    if count < 1:
        raise UserError(f"cannot write {count} faces: ask for at least 1.")
    (folder / "img_align_celeba").mkdir()
    annotations = map_indices(functools.partial(_write_picture, folder, seed), count, "drawing faces")
    names = [_file_name(index) for index in range(count)]
    attributes = [
        f"{name} " + " ".join(f"{value:2d}" for value in row) for name, (row, _) in zip(names, annotations, strict=True)
    ]
    landmarks = [
        f"{name} " + " ".join(f"{value:4d}" for value in row) for name, (_, row) in zip(names, annotations, strict=True)
    ]
    partition = [f"{name} {_part(index, count)}" for index, name in enumerate(names)]
    identity = [f"{name} {index + 1}" for index, name in enumerate(names)]
    _write_lines(folder / "list_attr_celeba.txt", [str(count), " ".join(ATTRIBUTES), *attributes])
    _write_lines(folder / "list_landmarks_align_celeba.txt", [str(count), " ".join(LANDMARKS), *landmarks])
    _write_lines(folder / "list_eval_partition.txt", partition)
    _write_lines(folder / "identity_CelebA.txt", identity)


def _write_picture(folder: Path, seed: int, index: int) -> tuple[list[int], list[int]]:
    face = render_face(np.random.default_rng([seed, index]))
    path = folder / "img_align_celeba" / _file_name(index)
    Image.fromarray(face.image).save(path, quality=JPEG_QUALITY)
    return [1 if value else -1 for value in face.attributes.values()], list(face.landmarks.values())


def _file_name(index: int) -> str:
    return f"{index + 1:06d}.jpg"


def _part(index: int, count: int) -> int:
    """0 for training, 1 for validation, 2 for tests."""
    if 10 * index < TRAIN_TENTHS * count:
        return 0
    return 1 if 10 * index < (TRAIN_TENTHS + VALID_TENTHS) * count else 2


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


# ---------------------------------------------------------------------------------------------------------------------
# Who is in the picture


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draws a scene; the frequencies are roughly those of CelebA."""

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    def choice(options: dict[str, float]) -> str:
        weights = np.array(list(options.values()))
        return str(rng.choice(list(options), p=weights / weights.sum()))

    male = chance(0.42)
    young = chance(0.64 if male else 0.86)
    pale = chance(0.05)
    tone_name = "pale" if pale else choice({"light": 0.42, "medium": 0.28, "tan": 0.13, "brown": 0.09, "dark": 0.08})
    tone = np.array(SKIN_TONES[tone_name]) * rng.uniform(0.95, 1.0) + rng.uniform(-5, 5, 3)
    dark_skinned = tone_name in ("brown", "dark")

    if not young and chance(0.26):
        hair_colour = "gray"
    elif dark_skinned:
        hair_colour = choice({"black": 0.8, "brown": 0.15, "blond": 0.05})
    else:
        hair_colour = choice({"black": 0.25, "brown": 0.38, "blond": 0.29, "red": 0.08})
    palette = HAIR_COLOURS[hair_colour]
    hair_rgb = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.92, 1.08)
    if male:
        bald = chance(0.025 if young else 0.13)
        hair_style = (
            choice({"bald": 0.5, "fringe": 0.0 if young else 0.5}) if bald else choice({"short": 0.9, "bob": 0.1})
        )
    else:
        hair_style = choice({"long": 0.64, "bob": 0.15, "updo": 0.15, "short": 0.06})
    flowing = hair_style in ("long", "bob")
    wave = choice(
        {"straight": 0.32, "wavy": 0.5, "plain": 0.18} if flowing else {"straight": 0.1, "wavy": 0.14, "plain": 1}
    )
    hat = choice({"beanie": 0.3, "cap": 0.35, "brim": 0.35}) if chance(0.06) else "none"
    receding = hair_style == "short" and male and chance(0.12 if young else 0.4)
    bangs = hair_style not in ("bald", "fringe") and not receding and chance(0.1 if male else 0.23)

    beard = choice({"none": 0.62, "shadow": 0.1, "mustache": 0.06, "goatee": 0.09, "full": 0.13}) if male else "none"
    glasses = choice({"frame": 0.75, "sun": 0.25}) if chance(0.07 if young else 0.17) else "none"
    smiling = chance(0.42 if male else 0.53)
    parted_lips = chance(0.75 if smiling else 0.24)
    makeup = not male and chance(0.66)
    big_nose = chance(0.36 if male else 0.13)
    chubby = chance(0.06 if young else 0.13)
    dressy = chance(0.17) and male
    return Scene(
        male=male,
        young=young,
        tone=tuple(float(value) for value in np.clip(tone, 0, 255)),
        pale=pale,
        hair_style=hair_style,
        hair_colour=hair_colour,
        hair_rgb=tuple(float(value) for value in np.clip(hair_rgb, 0, 255)),
        hair_volume=float(rng.uniform(2, 13) if hair_style == "short" else rng.uniform(5, 13)),
        hair_wave=wave,
        parting=float(rng.choice((-1, 1)) * rng.uniform(2, 15)),
        bangs=bangs,
        receding=receding,
        beard=beard,
        sideburns=male and hair_style == "short" and (beard == "full" or chance(0.1)),
        glasses=glasses,
        hat=hat,
        smile=float(rng.uniform(0.65, 1.0) if smiling else rng.uniform(-0.1, 0.2)),
        mouth_open=float(rng.uniform(4.0, 7.5) if parted_lips else 0.0),
        lipstick=not male and (makeup or chance(0.3)),
        makeup=makeup,
        earrings=chance(0.02 if male else 0.3),
        necklace=chance(0.02 if male else 0.2),
        clothes=("tie" if dressy else choice({"tee": 0.5, "vneck": 0.2, "suit": 0.3}))
        if male
        else choice({"tee": 0.3, "vneck": 0.35, "suit": 0.1, "bare": 0.25}),
        arched_brows=chance(0.04 if male else 0.44),
        bushy_brows=chance(0.26 if male else 0.06),
        narrow_eyes=chance(0.12),
        eye_bags=chance(0.16 if young else 0.38),
        big_nose=big_nose,
        pointy_nose=not big_nose and chance(0.34),
        big_lips=chance(0.14 if male else 0.32),
        high_cheekbones=chance(0.75 if smiling else 0.2),
        oval=not chubby and chance(0.3),
        chubby=chubby,
        double_chin=chance(0.55 if chubby else 0.015),
        rosy=not male and not dark_skinned and chance(0.14),
        blurry=chance(0.05),
        yaw=float(np.clip(rng.normal(0, 0.16), -0.38, 0.38)),
        pitch=float(np.clip(rng.normal(0, 0.07), -0.14, 0.14)),
        roll=float(np.clip(rng.normal(0, 0.025), -0.06, 0.06)),
        scale=float(rng.uniform(0.96, 1.04)),
        centre=(float(88.5 + rng.normal(0, 1.0)), float(111 + rng.normal(0, 0.8))),
        length=float(rng.uniform(0.95, 1.05)),
        light=(float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.7, -0.25)), 1.0),
        ambient=float(rng.uniform(0.4, 0.58)),
        texture_seed=int(rng.integers(2**31)),
    )


def scene_attributes(scene: Scene) -> dict[str, bool]:
    """The 40 CelebA attributes that follow from a scene; what something else hides counts as absent."""
    bald = scene.hair_style in ("bald", "fringe") and scene.hat == "none"
    hair_seen = _hair_is_seen(scene)
    eyes_seen = scene.glasses != "sun"
    colour = scene.hair_colour if hair_seen else "none"
    wave = scene.hair_wave if hair_seen else "none"
    bearded = scene.beard != "none"
    wrong = (
        scene.chubby or scene.double_chin or scene.big_nose or scene.blurry or bald or (scene.eye_bags and eyes_seen)
    )
    found = {
        "5_o_Clock_Shadow": scene.beard == "shadow",
        "Arched_Eyebrows": scene.arched_brows,
        "Attractive": scene.young and not wrong,  # a matter of taste; this one at least follows from the picture
        "Bags_Under_Eyes": scene.eye_bags and eyes_seen,
        "Bald": bald,
        "Bangs": scene.bangs and scene.hat == "none",
        "Big_Lips": scene.big_lips,
        "Big_Nose": scene.big_nose,
        "Black_Hair": colour == "black",
        "Blond_Hair": colour == "blond",
        "Blurry": scene.blurry,
        "Brown_Hair": colour == "brown",
        "Bushy_Eyebrows": scene.bushy_brows,
        "Chubby": scene.chubby,
        "Double_Chin": scene.double_chin,
        "Eyeglasses": scene.glasses != "none",
        "Goatee": scene.beard == "goatee",
        "Gray_Hair": colour == "gray",
        "Heavy_Makeup": scene.makeup,
        "High_Cheekbones": scene.high_cheekbones,
        "Male": scene.male,
        "Mouth_Slightly_Open": scene.mouth_open > 0,
        "Mustache": scene.beard in ("mustache", "full"),
        "Narrow_Eyes": scene.narrow_eyes and eyes_seen,
        "No_Beard": not bearded,
        "Oval_Face": scene.oval,
        "Pale_Skin": scene.pale,
        "Pointy_Nose": scene.pointy_nose,
        "Receding_Hairline": scene.receding and scene.hat == "none",
        "Rosy_Cheeks": scene.rosy,
        "Sideburns": scene.sideburns,
        "Smiling": scene.smile > 0.5,
        "Straight_Hair": wave == "straight",
        "Wavy_Hair": wave == "wavy",
        "Wearing_Earrings": scene.earrings,
        "Wearing_Hat": scene.hat != "none",
        "Wearing_Lipstick": scene.lipstick,
        "Wearing_Necklace": scene.necklace,
        "Wearing_Necktie": scene.clothes == "tie",
        "Young": scene.young,
    }
    return {name: found[name] for name in ATTRIBUTES}


def _hair_is_seen(scene: Scene) -> bool:
    if scene.hat != "none":
        return scene.hair_style in ("long", "bob")
    return scene.hair_style not in ("bald", "fringe")


# ---------------------------------------------------------------------------------------------------------------------
# Painting


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


def _box_around(points: np.ndarray, margin: float) -> Box | None:
    x, y = points[:, 0], points[:, 1]
    box = Box(
        max(math.floor(x.min() - margin), 0),
        max(math.floor(y.min() - margin), 0),
        min(math.ceil(x.max() + margin) + 1, WIDTH),
        min(math.ceil(y.max() + margin) + 1, HEIGHT),
    )
    return box if box.left < box.right and box.top < box.bottom else None


def _to_patch(image: Image.Image, box: Box, scale: int, blur: float) -> Patch:
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


def _polygon(shapes: np.ndarray | list, blur: float = 0.0, scale: int = 3, box: Box | None = None) -> Patch | None:
    """The inside of a polygon of (n, 2) pixels, or of several; drawn `scale` times as large for smooth edges."""
    shapes = shapes if isinstance(shapes, list) else [shapes]
    box = box or _box_around(np.concatenate(shapes), 2.5 * blur + 1)
    if box is None:
        return None
    image = Image.new("L", ((box.right - box.left) * scale, (box.bottom - box.top) * scale))
    draw = ImageDraw.Draw(image)
    for points in shapes:
        draw.polygon(((points - (box.left, box.top)) * scale).ravel().tolist(), fill=255)
    return _to_patch(image, box, scale, blur)


def _stroke(lines: np.ndarray | list, width: float, blur: float = 0.5, scale: int = 2) -> Patch | None:
    """A line of `width` pixels through (n, 2) pixels, or several lines."""
    lines = lines if isinstance(lines, list) else [lines]
    box = _box_around(np.concatenate(lines), 2.5 * blur + width + 1)
    if box is None:
        return None
    image = Image.new("L", ((box.right - box.left) * scale, (box.bottom - box.top) * scale))
    draw = ImageDraw.Draw(image)
    for points in lines:
        corners = ((points - (box.left, box.top)) * scale).ravel().tolist()
        draw.line(corners, fill=255, width=max(1, round(width * scale)))
    return _to_patch(image, box, scale, blur)


def _blob(centre: np.ndarray, sigma_x: float, sigma_y: float) -> Patch | None:
    """A Gaussian blob of height 1 at a pixel (2,)."""
    reach = np.array((3 * sigma_x, 3 * sigma_y))
    box = _box_around(np.stack((centre - reach, centre + reach)), 0)
    if box is None:
        return None
    x = (np.arange(box.left, box.right, dtype=np.float32) - np.float32(centre[0])) / np.float32(sigma_x)
    y = (np.arange(box.top, box.bottom, dtype=np.float32) - np.float32(centre[1])) / np.float32(sigma_y)
    mask = np.exp(-0.5 * y * y)[:, None] * np.exp(-0.5 * x * x)[None]
    return Patch(slice(box.top, box.bottom), slice(box.left, box.right), mask)


def _soft_polygon(points: np.ndarray, blur: float, box: Box) -> Patch:
    """`_polygon` for blurs of several pixels, drawn at half size, where nothing is lost."""
    columns, rows = box.right - box.left, box.bottom - box.top
    image = Image.new("L", (columns // 2 + 1, rows // 2 + 1))
    ImageDraw.Draw(image).polygon(((points - (box.left, box.top)) / 2).ravel().tolist(), fill=255)
    image = image.filter(ImageFilter.GaussianBlur(blur / 2))
    size = (image.width * 2, image.height * 2)
    return _to_patch(image.resize(size, Image.BILINEAR).crop((0, 0, columns, rows)), box, 1, 0)


def _times(patch: Patch | None, other: Patch | None) -> Patch | None:
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


def _curve(points: Sequence | np.ndarray, closed: bool = True, steps: int = 6) -> np.ndarray:
    """A smooth curve through (n, 2) points."""
    points = np.asarray(points, float)
    if closed:
        padded = np.concatenate((points[-1:], points, points[:2]))
    else:
        padded = np.concatenate((points[:1], points, points[-1:]))
    windows = np.stack([padded[offset : len(padded) - 3 + offset] for offset in range(4)])
    curve = np.einsum("sk,knd->nsd", _spline_weights(steps), windows).reshape(-1, 2)
    return curve if closed else np.concatenate((curve, points[-1:]))


def _mirrored(right: Sequence) -> np.ndarray:
    """A closed outline from its right half, listed from the top to the bottom."""
    right = np.asarray(right, float)
    return np.concatenate((right, right[::-1] * (-1, 1)))


@functools.cache
def _noise_line() -> np.ndarray:
    """4096 smooth random numbers in 0..1 that go round in a circle: strands of hair."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=4096))
    frequency = np.arange(len(spectrum))
    line = np.fft.irfft(spectrum * np.exp(-((frequency / 700) ** 2)) / (1 + frequency / 300))
    return np.clip(0.5 + 0.25 * line / line.std(), 0, 1).astype(np.float32)


@functools.cache
def _noise_plane() -> np.ndarray:
    """(512, 512) random numbers of mean 0 and deviation 1: the grain of the skin and of the camera."""
    rng = np.random.default_rng(1)
    fine = rng.normal(size=(512, 512))
    coarse = np.asarray(
        Image.fromarray(rng.normal(size=(128, 128)).astype(np.float32)).resize((512, 512), Image.BICUBIC)
    )
    mixed = 0.6 * fine + coarse
    return (mixed / mixed.std()).astype(np.float32)


def _noise_crop(rng: np.random.Generator) -> np.ndarray:
    top, left = rng.integers(512 - HEIGHT), rng.integers(512 - WIDTH)
    return _noise_plane()[top : top + HEIGHT, left : left + WIDTH]


# ---------------------------------------------------------------------------------------------------------------------
# The picture, from back to front


def draw_scene(scene: Scene) -> Face:
    """Paints a scene: uint8 picture (218, 178, 3), attributes and landmarks."""
    # One stream per part, so that changing one part (glasses on, glasses off) leaves the others as they are.
    streams = {
        name: np.random.default_rng([scene.texture_seed, number])
        for number, name in enumerate(("background", "body", "skin", "eyes", "hair", "wear", "camera"))
    }
    pose = Pose(scene)
    canvas = Canvas(_background(streams["background"]))
    skin, light_level = _skin(scene, pose)
    outer, opening = _hair_outlines(scene, pose, streams["hair"])
    hair = _HairPainter(scene, pose, outer, streams["hair"])
    if scene.hair_style in ("long", "bob"):
        hair.paint(canvas, outer, None, brightness=0.55)
    _draw_body(canvas, scene, pose, streams["body"])
    _draw_ears(canvas, scene, pose)
    face_mask = _draw_skin(canvas, scene, pose, skin, streams["skin"])
    if not scene.young:
        _draw_age(canvas, scene, pose)
    _draw_nose(canvas, scene, pose)
    _draw_eyes(canvas, scene, pose, light_level, streams["eyes"])
    _draw_brows(canvas, scene, pose)
    _draw_beard(canvas, scene, pose, hair)
    mouth_corners = _draw_mouth(canvas, scene, pose, light_level, streams["skin"])
    if outer is not None:
        hair.paint_with_shadow(canvas, outer, opening, face_mask)
    if scene.earrings:
        _draw_earrings(canvas, scene, pose, streams["wear"])
    if scene.glasses != "none":
        _draw_glasses(canvas, scene, pose, streams["wear"])
    if scene.hat != "none":
        _draw_hat(canvas, scene, pose, face_mask, streams["wear"])
    image = _develop(canvas, scene, streams["camera"])
    eyes = pose.place(((-EYE_HALF_DISTANCE, 0), (EYE_HALF_DISTANCE, 0)))
    points = np.concatenate((eyes, pose.place((0, 27), lift=16), mouth_corners))
    coordinates = np.rint(points).astype(int).ravel().tolist()
    return Face(image, scene_attributes(scene), dict(zip(LANDMARKS, coordinates, strict=True)))


def _background(rng: np.random.Generator) -> np.ndarray:
    """Out-of-focus surroundings, planar float32 (3, 218, 178)."""
    small_width, small_height = WIDTH // 3 + 1, HEIGHT // 3 + 1
    kind = rng.choice(("studio", "colour", "blocks", "outdoors", "night"), p=(0.3, 0.2, 0.2, 0.18, 0.12))
    if kind == "studio":
        base = np.full(3, rng.choice((238, 205, 150, 90, 40))) + rng.uniform(-12, 12, 3)
    elif kind == "night":
        base = rng.uniform(10, 50, 3)
    else:
        base = rng.uniform(50, 225) + rng.uniform(-38, 38, 3)
    end = base * rng.uniform(0.55, 1.1) + rng.uniform(-18, 18, 3)
    across, down = np.linspace(0, 1, small_width), np.linspace(0, 1, small_height)
    angle = rng.uniform(0, 2 * math.pi)
    ramp = 0.5 + math.cos(angle) * (across[None] - 0.5) + math.sin(angle) * (down[:, None] - 0.5)
    small = base + ramp[..., None] * (end - base)
    image = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)

    def blob(colour: np.ndarray, radius: float) -> None:
        x, y = rng.uniform(0, small_width), rng.uniform(0, small_height)
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=tuple(int(c) for c in np.clip(colour, 0, 255))
        )

    blur = 4.0
    if kind == "studio":
        blob(base * 1.12, rng.uniform(8, 22))
        blur = 9.0
    elif kind == "colour":
        for _ in range(6):
            blob(base + rng.uniform(-30, 30) + rng.uniform(-20, 20, 3), rng.uniform(6, 18))
        blur = 6.0
    elif kind == "blocks":
        for _ in range(7):
            x, y = rng.uniform(-5, small_width), rng.uniform(-5, small_height)
            colour = tuple(int(c) for c in np.clip(base + rng.uniform(-55, 55) + rng.uniform(-25, 25, 3), 0, 255))
            draw.rectangle((x, y, x + rng.uniform(6, 25), y + rng.uniform(6, 45)), fill=colour)
        blur = rng.uniform(1.0, 3.0)
    elif kind == "outdoors":
        leaf, sky = np.array((80, 115, 60)), np.array((180, 205, 230))
        for _ in range(16):
            mix = rng.random()
            blob((leaf * mix + sky * (1 - mix)) * rng.uniform(0.6, 1.15), rng.uniform(5, 14))
        blur = 3.0
    else:
        for _ in range(9):
            blob(rng.uniform(60, 255, 3) * (1.0, 0.85, 0.7), rng.uniform(2, 6))
        blur = 1.6
    image = image.filter(ImageFilter.GaussianBlur(blur)).resize((WIDTH, HEIGHT), Image.BICUBIC)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), dtype=np.float32)


GRID_STEP = 2.0
GRID_U = np.arange(-74, 75, GRID_STEP)
GRID_V = np.arange(-92, 93, GRID_STEP)


def _bumps(pose: Pose, bumps: list[tuple[float, ...]]) -> np.ndarray:
    """The sum of Gaussian bumps over the canonical grid.

    Each is (height, x, y, sigma_x, sigma_y, lift); those with x > 0 come in pairs, left and right.
    """
    table = np.array(bumps + [(a, -x, *rest) for a, x, *rest in bumps if x > 0])
    height, x, y, sigma_x, sigma_y, lift = table.T
    u, v = pose.turn(x, y, lift, None)
    across = np.exp(-0.5 * ((GRID_U - u[:, None]) / sigma_x[:, None]) ** 2)
    down = np.exp(-0.5 * ((GRID_V - v[:, None]) / sigma_y[:, None]) ** 2)
    return (height[:, None] * down).T @ across


def _skin(scene: Scene, pose: Pose) -> tuple[Image.Image, float]:
    """Lit skin of the face over the canonical grid (as if it had no eyes or mouth), and how light its middle is."""
    old = not scene.young
    nose_width = 1.3 if scene.big_nose else 0.8 if scene.pointy_nose else 1.0
    cheek = 4.5 + 3.0 * max(scene.smile, 0) + (2.0 if scene.high_cheekbones else 0) + (2.0 if scene.chubby else 0)
    bumps = [
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


def _face_outline(scene: Scene, pose: Pose) -> np.ndarray:
    wide = 4.0 * scene.chubby - 2.5 * scene.oval + (1.0 if scene.male else -0.5)
    jaw = wide + (3.0 if scene.male else -1.5) + 2.5 * scene.chubby - 1.0 * scene.oval
    chin = (3.0 if scene.male else 0.0) + 2.0 * scene.chubby
    bottom = 70 + 2 * scene.oval + 1.5 * scene.male
    right = (
        (9, -73), (26, -66), (39, -51), (44.5 + wide, -30), (45.5 + wide, -8), (44.5 + wide, 14), (40 + jaw, 34),
        (32 + jaw, 50), (20 + chin + jaw / 2, 63), (8 + chin, bottom),
    )  # fmt: skip
    return pose.place(_curve(_mirrored(right)))


def _draw_skin(canvas: Canvas, scene: Scene, pose: Pose, skin: Image.Image, rng: np.random.Generator) -> Patch:
    """Paints the face and gives its mask over the whole picture."""
    outline = _face_outline(scene, pose)
    below = outline + (0, 5)
    canvas.shade(_soft_polygon(below, 5, _box_around(below, 12) or FULL_BOX), 0.45)  # the chin's shadow on the neck
    box = _box_around(outline, 3) or FULL_BOX
    patch = _polygon(outline, blur=1.1, scale=1, box=box)
    step = GRID_STEP * pose.scale
    a, b = pose.cos_roll / step, pose.sin_roll / step
    x, y = pose.centre - (box.left, box.top)
    columns = (a, b, -a * x - b * y - GRID_U[0] / GRID_STEP + 0.5)
    rows = (-b, a, b * x - a * y - GRID_V[0] / GRID_STEP + 0.5)
    size = (box.right - box.left, box.bottom - box.top)
    part = skin.transform(size, Image.AFFINE, (*columns, *rows), Image.BILINEAR)
    colour = np.asarray(part).transpose(2, 0, 1).astype(np.float32, order="C")
    roughness = 0.008 if scene.makeup else 0.013 if scene.young else 0.02
    colour *= 1 + np.float32(roughness) * _noise_crop(rng)[patch.rows, patch.columns]
    canvas.paint(patch, colour)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[patch.rows, patch.columns] = patch.mask
    face = Patch(slice(0, HEIGHT), slice(0, WIDTH), mask)
    if scene.double_chin:
        arc = pose.place(_curve(((-24, 66), (-12, 74), (0, 77), (12, 74), (24, 66)), closed=False), lift=4)
        canvas.shade(_stroke(arc, 2.2, blur=1.6), 0.45)
        canvas.shade(_stroke(arc - (0, 5), 4, blur=2.5), -0.1)
    return face


def _draw_age(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    """Wrinkles; they go with the hollow cheeks and the rough skin of `_skin` and `_draw_skin`."""
    rows = ((-26, 22), (-32, 25), (-38, 22))
    forehead = [
        pose.place(_curve(((-x, y + 1.5), (-x / 2, y - 1), (0, y + 0.5), (x / 2, y - 1), (x, y + 1.5)), False))
        for y, x in rows
    ]
    canvas.shade(_stroke(forehead, 1.0, blur=0.7), 0.3)
    canvas.shade(_stroke([line + (0, 1.8) for line in forehead], 1.0, blur=0.8), -0.08)
    sides = (-1, 1)
    folds = [_curve(((side * 11, 25), (side * 18, 32), (side * 23, 41), (side * 24, 51)), False) for side in sides]
    canvas.shade(_stroke([pose.place(fold, lift=3) for fold in folds], 1.6, blur=1.0), 0.42)
    feet = [
        pose.place(((side * 32, 0), (side * (32 + 7.5 * math.cos(angle)), 7.5 * math.sin(angle))))
        for side in sides
        for angle in (-0.5, 0.0, 0.45)
    ]
    below = [pose.place(_curve(((side * 11, 7), (side * 18, 11), (side * 27, 9)), False)) for side in sides]
    canvas.shade(_stroke(feet + below, 0.9, blur=0.7), 0.28)
    jowls = [pose.place(_curve(((side * 21, 50), (side * 24, 57), (side * 22, 63)), False), lift=2) for side in sides]
    canvas.shade(_stroke(jowls, 1.6, blur=1.3), 0.3)


def _draw_nose(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    width = 1.3 if scene.big_nose else 0.78 if scene.pointy_nose else 1.0
    size = 1.15 if scene.big_nose else 1.0
    base = 31 + (1.5 if scene.big_nose else 0) + (1.0 if scene.pointy_nose else 0)
    canvas.shade(_blob(pose.place((0, base + 3), lift=8)[0], 9 * width, 3.2), 0.13)
    shadow_side = -1 if scene.light[0] > 0 else 1
    flank = _curve(
        ((shadow_side * 5.5 * width, 2), (shadow_side * 6 * width, 14), (shadow_side * 9 * width, 26)), False
    )
    canvas.shade(_stroke(pose.place(flank, lift=5), 3.0, blur=2.2), 0.08 + 0.16 * abs(scene.light[0]))
    wings, nostrils, folds = [], [], []
    for side in (-1, 1):
        wing = _curve(((side * 9.5 * width, 23.5), (side * 11.5 * width, 28), (side * 9.5 * width, base + 0.5)), False)
        wings.append(pose.place(wing, lift=7))
        nostril = (
            (side * 2.4 * width, base), (side * 4.5 * width, base - 1.8 * size), (side * 7 * width, base + 0.3),
            (side * 4.5 * width, base + 1.0),
        )  # fmt: skip
        nostrils.append(pose.place(_curve(nostril), lift=10))
        folds.append(pose.place(_curve(((side * 12 * width, 27), (side * 18, 33), (side * 23, 40)), False), lift=3))
    canvas.shade(_stroke(wings, 1.4, blur=1.0), 0.26)
    canvas.shade(_polygon(nostrils, blur=0.6), 0.52)
    if scene.smile > 0.5 and scene.young:
        canvas.shade(_stroke(folds, 1.6, blur=1.4), 0.24)
    tip = pose.place((0, 24 + scene.pointy_nose * 2.0), lift=14)[0] + (2 * scene.light[0], -1)
    canvas.shade(_blob(tip, 2.6 * width, 2.6), -0.12)


def _draw_eyes(canvas: Canvas, scene: Scene, pose: Pose, level: float, rng: np.random.Generator) -> None:
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

    contours, shadows, lashes, below, creases, bags = [], [], [], [], [], []
    t = np.linspace(-1, 1, 13)  # from the inner to the outer corner
    for side in (-1, 1):
        x = side * (EYE_HALF_DISTANCE + half_width * t)
        upper_lid = np.stack((x, -upper * (1 - t**2) ** 0.7 - cant * t), axis=1)
        lower_lid = np.stack((x, lower * (1 - t**2) ** 0.8 - cant * t), axis=1)
        lid = pose.place(upper_lid)
        contours.append(np.concatenate((lid, pose.place(lower_lid)[::-1])))
        shadows.append(lid + (0, 1.2))
        taper = (0.45 + 0.55 * (t + 1) / 2)[:, None] * (0.0, -lash)
        if not scene.male:
            lid = np.concatenate((lid, pose.place((side * (EYE_HALF_DISTANCE + half_width + 2.2), -cant - 1.6))))
            taper = np.concatenate((taper, ((0.0, -0.3),)))
        lashes.append(np.concatenate((lid + (0, 0.4), (lid + taper)[::-1])))
        below.append(pose.place(lower_lid[2:]))
        creases.append(pose.place((upper_lid + (0, -2.6))[2:]))
        bags.append(pose.place(_curve(((side * 10.5, 5), (side * 18, 10.5), (side * 28, 7)), False)))
        canvas.shade(_blob(pose.place((side * 17, -6))[0], 9, 4), 0.12)
        if scene.makeup:
            canvas.paint(_blob(pose.place((side * 21, -5.5))[0], 9, 3.6), tint, 0.55)
        if scene.eye_bags:
            canvas.shade(_blob(pose.place((side * 19, 6.5))[0], 6, 1.6), -0.07)
    if scene.eye_bags:
        canvas.shade(_stroke(bags, 2.4, blur=1.2), 0.42)

    white = _polygon(contours, blur=0.35)
    canvas.paint(white, np.array((236, 231, 226)) * bright)
    middles = pose.place(((-EYE_HALF_DISTANCE, -0.3), (EYE_HALF_DISTANCE, -0.3))) + gaze
    x = np.arange(white.columns.start, white.columns.stop, dtype=np.float32)[None] + np.float32(0.5)
    y = np.arange(white.rows.start, white.rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)

    def discs(shift: tuple[float, float], radius: float) -> Patch:
        """A disc in each eye, within its white."""
        (left, top), (right, low) = (middles + shift).astype(np.float32)
        distance = np.sqrt(np.minimum((x - left) ** 2 + (y - top) ** 2, (x - right) ** 2 + (y - low) ** 2))
        return white._replace(mask=white.mask * np.clip(np.float32(radius + 0.5) - distance, 0, 1))

    canvas.paint(discs((0, 0), 4.5), iris * 0.5 * bright)
    canvas.paint(discs((0, 0), 3.7), iris * bright)
    canvas.paint(discs((0.3, 1.5), 1.6), iris * 1.5 + 15, 0.35)
    canvas.paint(discs((0, 0), 1.9), (14, 11, 11))
    canvas.shade(_stroke(shadows, 2.6, blur=0.9), 0.3)
    canvas.paint(_polygon(lashes, blur=0.35), (34, 22, 20), 0.92)
    canvas.shade(_stroke(below, 0.9, blur=0.5), 0.5 if scene.makeup else 0.35)
    canvas.shade(_stroke(creases, 1.0, blur=0.7), 0.32)
    canvas.paint(discs((1.3 if scene.light[0] > 0 else -1.3, -1.5), 0.9), (255, 255, 255), 0.9)


def _draw_brows(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    thick = (3.6 if scene.male else 2.5) + (2.6 if scene.bushy_brows else 0)
    y = -14.0 - (0.0 if scene.male else 1.5) - 0.5 * thick / 2
    arch = 5.5 if scene.arched_brows else 2.0
    t = np.linspace(0, 1, 9)
    x = 8.0 - 1.5 * scene.bushy_brows + 24.5 * t
    middle = y - arch * np.sin(np.pi * np.clip(t, 0, 1) ** 1.35) + (1.5 if scene.arched_brows else 2.5) * t**2
    half = thick / 2 * (0.75 + 0.5 * np.sin(np.pi * np.clip(t + 0.25, 0, 1))) * np.clip((1.05 - t) / 0.5, 0, 1) ** 0.7
    contour = np.concatenate((np.stack((x, middle - half), 1), np.stack((x, middle + half), 1)[::-1]))
    patch = _polygon([pose.place(contour * (side, 1), lift=1) for side in (-1, 1)], blur=0.8)
    canvas.paint(patch, _brow_colour(scene), 0.9 if scene.bushy_brows else 0.8)


def _brow_colour(scene: Scene) -> np.ndarray:
    hair = np.array(scene.hair_rgb)
    if scene.hair_style in ("bald", "fringe") and scene.hair_colour == "blond":
        return np.array((96, 70, 46))
    darker = {"blond": np.array((0.66, 0.55, 0.5)), "red": 0.7, "gray": 0.75}.get(scene.hair_colour, 0.8)
    # Brows lighter than the skin would be invisible.
    return np.minimum(hair * darker, np.array(scene.tone) * 0.7)


def _draw_mouth(canvas: Canvas, scene: Scene, pose: Pose, level: float, rng: np.random.Generator) -> np.ndarray:
    """Paints the lips and gives the pixels (2, 2) of the mouth's left and right corner."""
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

    def between(top: np.ndarray, bottom: np.ndarray, blur: float) -> Patch | None:
        contour = np.concatenate((np.stack((x, top), 1), np.stack((x, bottom), 1)[::-1]))
        return _polygon(pose.place(contour, lift=lift), blur=blur)

    bright = min(1.05, 0.45 + 0.55 * level)
    tone = np.array(scene.tone)
    if scene.lipstick:
        colour, alpha = np.array(LIPSTICKS[rng.integers(len(LIPSTICKS))]) * (0.7 + 0.3 * tone.mean() / 220), 0.88
    else:
        colour, alpha = tone * ((0.86, 0.66, 0.64) if scene.male else (0.92, 0.64, 0.64)), 0.75
    canvas.shade(_blob(pose.place((0, lower_outer.max() + 2.5), lift=lift)[0], 10, 2.2), 0.25)
    canvas.paint(between(upper_outer, upper_inner + 0.6, 0.6), colour * bright * 0.84, alpha)
    canvas.paint(between(lower_inner - 0.6, lower_outer, 0.6), colour * bright, alpha)
    shine = pose.place((-2 * scene.light[0], (lower_inner + 0.42 * (lower_outer - lower_inner)).max()), lift=lift)[0]
    canvas.paint(_blob(shine, 5.5, 1.3), (255, 240, 235), 0.32 if scene.lipstick else 0.18)
    corners = pose.place(((-half_width, corner_y), (half_width, corner_y)), lift=lift)
    if gap > 0:
        inside = between(upper_inner, lower_inner, 0.4)
        canvas.paint(inside, (58, 18, 20))
        teeth_bottom = upper_inner + (lower_inner - upper_inner) * (0.92 if smile > 0.5 else 0.45)
        teeth = between(upper_inner, teeth_bottom, 0.5)
        canvas.paint(teeth, np.array((244, 239, 230)) * min(1.0, bright) * (1.0 if scene.young else 0.93), 0.95)
        canvas.shade(_stroke(pose.place(np.stack((x, upper_inner), 1), lift=lift), 1.0, blur=0.6), 0.35)
        for corner in corners:
            canvas.shade(_blob(corner + (2.0 * np.sign(pose.centre[0] - corner[0]), 0.3), 2.5, 1.8), 0.5)
    else:
        canvas.shade(_stroke(pose.place(np.stack((x, line), 1), lift=lift), 1.5, blur=0.5), 0.68)
        for corner in corners:
            canvas.shade(_blob(corner, 1.8, 1.5), 0.4)
    if smile > 0.5:
        for side, corner in zip((-1, 1), corners, strict=True):
            dimple = corner + _curve(((side * 1.5, -4), (side * 3.5, 0), (side * 2.0, 4)), False)
            canvas.shade(_stroke(dimple, 1.5, blur=1.0), 0.3)
    return corners


def _draw_beard(canvas: Canvas, scene: Scene, pose: Pose, hair: "_HairPainter") -> None:
    if scene.beard == "none":
        return
    jaw = 40 + 4 * scene.chubby - 2.5 * scene.oval + 4.0
    wide = 45.5 + 4.0 * scene.chubby - 2.5 * scene.oval
    mustache = np.array(
        ((0, 33.5), (8, 32.8), (16, 36.5), (20.5, 43), (17.5, 43.5), (11, 39.5), (0, 38.5))
    )  # fmt: skip
    mustache_line = pose.place(_curve(_mirrored(mustache)), lift=5)
    sides = np.array(((wide, 6), (wide + 1, 18), (jaw + 2, 36), (34 + 4 * scene.chubby, 54), (20, 69), (7, 76)))
    inner = np.array(((0, 33), (9, 33.5), (17, 37), (26, 35), (35, 24), (41, 6)))
    cheeks = pose.place(_curve(np.concatenate((_mirrored(sides), (inner * (-1, 1))[::-1], inner[1:]))), lift=1)
    if scene.beard == "shadow":
        colour = np.array(scene.tone) * 0.3 + np.array((22, 22, 26))
        patch = _polygon(cheeks, blur=3.2, scale=1)
        canvas.paint(patch, colour, 0.48)
        canvas.paint(_polygon(mustache_line, blur=1.6), colour, 0.25)
        return
    if scene.beard == "full":
        hair.paint_fur(canvas, cheeks, blur=2.2)
    elif scene.beard == "goatee":
        chin = _mirrored(((0, 51), (9, 50), (17, 43), (21.5, 44), (21, 55), (17, 67), (8, 75)))
        hair.paint_fur(canvas, pose.place(_curve(chin), lift=5), blur=1.4)
        hair.paint_fur(canvas, mustache_line, blur=1.0)
    if scene.beard in ("mustache", "full"):
        hair.paint_fur(canvas, mustache_line, blur=1.0)


def _hair_outlines(scene: Scene, pose: Pose, rng: np.random.Generator) -> tuple[np.ndarray | None, np.ndarray | None]:
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
    outer = _mirrored(right)
    if scene.hair_wave == "wavy":
        outer = _curve(outer, steps=3)
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
    outline = pose.place(_curve(outer, steps=4), depth=-34)

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
    hole = _curve(np.concatenate(((side * (-1, 1))[::-1], top, side)), closed=False)
    if ends:
        corners = np.array(ends, float)
        hole = np.concatenate(((corners * (-1, 1))[::-1], hole, corners))
    return outline, pose.place(hole)


class _HairPainter:
    """Strands of one person's hair: on the head, and in the beard."""

    def __init__(self, scene: Scene, pose: Pose, outline: np.ndarray | None, rng: np.random.Generator) -> None:
        self.scene, self.pose, self.rng = scene, pose, rng
        self.rgb = np.array(scene.hair_rgb, np.float32)
        self.box = _box_around(outline, 5) if outline is not None else None
        self.colour, self.strands = self._strands(self.box) if self.box is not None else (None, None)

    def _strands(self, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """RGB (3, rows, columns) of hair everywhere in `box`, and its strands (rows, columns) from 0 to 1."""
        scene, rng = self.scene, self.rng
        x, y = self.pose.unplace(box)
        x = x + np.float32(34 * self.pose.sin_yaw)
        offsets = rng.integers(0, 4096, 2)
        line = _noise_line()
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
        patch = _polygon(outline, blur=1.8, scale=1, box=self.box)
        mask = patch.mask
        if hole is not None:
            mask = mask * (1 - _polygon(hole, blur=1.6, scale=1, box=self.box).mask)
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
        outside = _soft_polygon(hole + (0, 4), 4.0, self.box)
        rows, columns = outside.rows, outside.columns
        shadow = (1 - outside.mask) * face.mask[rows, columns]
        canvas.shade(Patch(rows, columns, shadow), 0.42)
        self.paint(canvas, outline, hole)

    def paint_fur(self, canvas: Canvas, outline: np.ndarray, blur: float) -> None:
        """Beard inside `outline`."""
        box = _box_around(outline, 3 * blur + 1)
        if box is None:
            return
        patch = _polygon(outline, blur=blur, scale=1, box=box)
        noise = _noise_plane()[box.top : box.bottom, box.left : box.right]
        rgb = self.rgb * ((0.72, 0.6, 0.5) if self.scene.hair_colour == "blond" else (0.85, 0.85, 0.85))
        if not self.scene.young and self.scene.hair_colour != "gray":
            rgb = rgb * 0.8 + 24
        frayed = np.clip(
            (patch.mask - np.float32(0.42)) * 2 + np.float32(0.5) + noise * patch.mask * (1 - patch.mask), 0, 1
        )
        colour = rgb[:, None, None] * (np.float32(0.9) + np.float32(0.16) * noise)
        canvas.paint(Patch(patch.rows, patch.columns, frayed), colour, 0.9)


def _draw_body(canvas: Canvas, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    """Neck, shoulders, clothes, and what is worn on them. The body does not turn with the head."""
    tone = np.array(scene.tone)
    level = 0.5 + 0.35 * scene.ambient
    skin = tone * np.array((0.86, 0.8, 0.77)) * (0.72 + 0.5 * level)
    neck = (30 if scene.male else 24) + 4 * scene.chubby

    def place(points: Sequence) -> np.ndarray:
        return pose.place(points, depth=-30)

    torso = _mirrored(((neck, 20), (neck, 66), (neck + 4, 82), (neck + 22, 92), (76, 99), (100, 112), (110, 150)))
    outline = place(torso)
    patch = _polygon(outline, blur=1.1, scale=1, box=FULL_BOX)
    across = np.abs(np.arange(WIDTH, dtype=np.float32) - place((-6 * scene.light[0], 80))[0, 0]) / np.float32(neck + 8)
    fall = 1 - np.float32(0.22) * np.clip(across, 0, 1.3) ** 2
    canvas.paint(patch, skin[:, None, None].astype(np.float32) * fall[None, None])
    bones = [place(_curve(((side * 7, 97), (side * 22, 94), (side * 48, 92)), False)) for side in (-1, 1)]
    canvas.shade(_stroke(bones, 2.0, blur=1.6), 0.18)

    colour = np.array(CLOTHES[rng.integers(len(CLOTHES))], float) * rng.uniform(0.8, 1.1)
    second = np.array(CLOTHES[rng.integers(len(CLOTHES))], float)
    shoulder = ((neck + 24, 89), (78, 96), (104, 110), (112, 152))
    if scene.clothes == "bare":
        garment = _mirrored(((0, 112), (30, 110), (52, 106), (60, 112), (60, 152)))
    elif scene.clothes == "vneck":
        garment = _mirrored(((0, 116), (14, 102), (neck + 6, 86), *shoulder))
    elif scene.clothes == "tee":
        garment = _mirrored(((0, 97), (16, 95), (neck + 3, 84), *shoulder))
    else:
        garment = _mirrored(((0, 116), (12, 100), (neck + 3, 80), *shoulder))
    if scene.clothes in ("suit", "tie"):
        shirt = np.array((232, 232, 236)) if rng.random() < 0.7 or scene.clothes == "tie" else second
        collar = _mirrored(((0, 98), (neck - 4, 84), (neck + 3, 74), (neck + 8, 86), (30, 125)))
        canvas.paint(_polygon(place(collar), blur=0.6), shirt * level * 1.25)
        if scene.clothes == "tie":
            knot = _mirrored(((6, 92), (4.5, 101), (10, 125)))
            tie = np.array(((150, 28, 40), (30, 50, 110), (40, 40, 48), (100, 40, 90)))[rng.integers(4)]
            canvas.paint(_polygon(place(knot), blur=0.5), tie * level * 1.3)
            canvas.shade(_stroke(place(((-5, 101), (5, 101))), 1.2, blur=0.6), 0.35)
        colour = colour * 0.55
    patch = _polygon(place(garment), blur=0.7)
    if patch is not None:
        folds = 1 + 0.12 * np.sin(np.arange(WIDTH)[None] / rng.uniform(5, 9) + rng.uniform(0, 6))
        shading = (level * 1.2 * folds)[:, patch.columns]
        canvas.paint(patch, colour[:, None, None] * shading)
        if scene.clothes in ("suit", "tie"):
            for side in (-1, 1):
                canvas.shade(_stroke(place(((side * 12, 101), (side * (neck + 4), 80))), 1.6, blur=0.8), 0.4)
    if scene.necklace:
        arc = place(_curve(((-neck, 78), (-neck * 0.6, 90), (0, 97), (neck * 0.6, 90), (neck, 78)), False))
        metal = ((228, 196, 110), (225, 225, 232), (240, 232, 225))[rng.integers(3)]
        canvas.shade(_stroke(arc + (0, 1.2), 2.0, blur=0.9), 0.35)
        canvas.paint(_stroke(arc, rng.uniform(1.2, 2.4), blur=0.3), metal, 0.95)
        canvas.paint(_blob(place((0, 99))[0], 2.2, 2.6), metal)


def _ear_centre(scene: Scene, pose: Pose, side: int) -> np.ndarray:
    wide = 4.0 * scene.chubby - 2.5 * scene.oval + (1.0 if scene.male else -0.5)
    return pose.place((side * (47.5 + wide), 10), depth=-34)[0]


def _draw_ears(canvas: Canvas, scene: Scene, pose: Pose) -> None:
    if scene.hair_style in ("long", "bob"):
        return
    ring = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    circle = np.stack((np.cos(ring), np.sin(ring)), axis=1)
    tone = np.array(scene.tone) * (0.9, 0.79, 0.75)
    for side in (-1, 1):
        centre = _ear_centre(scene, pose, side)
        lit = 0.86 + 0.2 * side * scene.light[0]
        shape = circle * (6.5, 14) + np.stack((side * -2.0 * circle[:, 1], np.zeros(20)), axis=1)
        canvas.paint(_polygon(centre + shape, blur=0.7), tone * lit)
        canvas.shade(_polygon(centre + (side * 0.8, -1) + shape * (0.5, 0.62), blur=1.2), 0.32)


def _draw_earrings(canvas: Canvas, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    metal = np.array(((232, 202, 120), (230, 230, 238), (210, 60, 80), (70, 170, 170)))[rng.integers(4)]
    ring = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    circle = np.stack((np.cos(ring), np.sin(ring)), axis=1)
    kind = rng.choice(("hoop", "drop", "stud"))
    for side in (-1, 1):
        lobe = _ear_centre(scene, pose, side) + (side * -1.0, 14)
        if kind == "hoop":
            canvas.paint(_stroke(lobe + (0, 7) + np.concatenate((circle, circle[:1])) * (4.5, 7), 1.5, blur=0.3), metal)
        elif kind == "drop":
            canvas.paint(_stroke(np.stack((lobe, lobe + (0, 9))), 1.0, blur=0.3), metal)
            canvas.paint(_polygon(lobe + (0, 11) + circle * (2.8, 4.2), blur=0.4), metal)
        else:
            canvas.paint(_polygon(lobe + circle * 3.2, blur=0.4), metal)
        canvas.paint(_blob(lobe + (-0.8, 3), 1.0, 1.0), (255, 255, 255), 0.8)


def _draw_glasses(canvas: Canvas, scene: Scene, pose: Pose, rng: np.random.Generator) -> None:
    dark = scene.glasses == "sun"
    frame = np.array(((22, 20, 22), (24, 22, 26), (70, 42, 26), (110, 24, 34), (56, 58, 66)))[rng.integers(5)]
    thick = rng.uniform(2.6, 3.8)
    half_width, half_height = rng.uniform(14.0, 16.0), rng.uniform(10.0, 12.5) + 1.5 * dark
    squareness = rng.uniform(0.45, 1.0)
    ring = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    cos, sin = np.cos(ring), np.sin(ring)
    shape = np.stack((np.sign(cos) * np.abs(cos) ** squareness, np.sign(sin) * np.abs(sin) ** squareness), axis=1)
    lift = 5.0
    for side in (-1, 1):
        rim = np.array((side * (EYE_HALF_DISTANCE + 0.5), 2.0)) + shape * (half_width, half_height)
        pixels = pose.place(rim, lift=lift)
        closed = np.concatenate((pixels, pixels[:2]))
        canvas.shade(_stroke(closed + (0, 3), thick, blur=1.6), 0.25)
        lens = _polygon(pixels, blur=0.4)
        if lens is None:
            continue
        if dark:
            down = np.linspace(0, 1, lens.mask.shape[0], dtype=np.float32)[None, :, None]
            canvas.paint(lens, np.array((26, 22, 24), np.float32)[:, None, None] * (1 + 1.4 * down), 0.93)
        else:
            canvas.paint(lens, (225, 235, 245), 0.09)
        gleam = pose.place(((side * EYE_HALF_DISTANCE - 9, -5), (side * EYE_HALF_DISTANCE - 3, -7)), lift=lift)
        canvas.paint(_stroke(gleam, 2.0, blur=1.0), (255, 255, 255), 0.35)
        canvas.paint(_stroke(closed, thick, blur=0.4), frame, 0.97)
        temple = pose.place(((side * (EYE_HALF_DISTANCE + half_width), -2), (side * 47, -3)), lift=2)
        canvas.paint(_stroke(temple, thick * 0.8, blur=0.5), frame, 0.95)
    bridge = _curve(((-6, 1), (0, -2), (6, 1)), False)
    canvas.paint(_stroke(pose.place(bridge, lift=lift + 5), thick * 0.9, blur=0.4), frame, 0.97)


def _draw_hat(canvas: Canvas, scene: Scene, pose: Pose, face: Patch, rng: np.random.Generator) -> None:
    colour = np.array(CLOTHES[rng.integers(len(CLOTHES))], float)
    band = np.array(CLOTHES[rng.integers(len(CLOTHES))], float) * 0.8

    def cover(points: Sequence | np.ndarray, rgb: np.ndarray, blur: float = 0.8, depth: float = -22) -> None:
        """Paints a part of the hat, lighter towards the light."""
        patch = _polygon(pose.place(points, depth=depth), blur=blur, scale=2)
        if patch is None:
            return
        rows, columns = patch.mask.shape
        across = np.linspace(-1, 1, columns, dtype=np.float32)[None] + np.float32(25 * pose.sin_yaw / 60)
        down = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
        level = 1.02 - 0.3 * across**2 + 0.3 * across * np.float32(scene.light[0]) - 0.22 * down
        canvas.paint(patch, rgb[:, None, None].astype(np.float32) * level)

    brim = _mirrored(((20, -90), (60, -60), (60, -26), (0, -20)))
    shadow = _soft_polygon(pose.place(brim), 4, FULL_BOX)
    canvas.shade(_times(shadow, face), 0.5)
    if scene.hat == "beanie":
        cover(_curve(_mirrored(((8, -93), (30, -86), (48, -64), (54, -36), (52, -28), (20, -34)))), colour)
        cover(_curve(_mirrored(((10, -50), (40, -47), (54, -44), (55, -27), (38, -30), (10, -32)))), colour * 0.82)
        for x in range(-48, 49, 8):
            canvas.shade(_stroke(pose.place(((x, -48), (x, -31)), depth=-22), 1.2, blur=0.9), 0.22)
    elif scene.hat == "cap":
        cover(_curve(_mirrored(((8, -92), (30, -86), (47, -66), (52, -42), (50, -30), (20, -38)))), colour)
        cover(
            _curve(_mirrored(((6, -50), (30, -47), (46, -38), (50, -29), (38, -27), (20, -31), (6, -32)))),
            band,
            depth=8,
        )
        canvas.shade(_stroke(pose.place(_curve(((-44, -38), (0, -50), (44, -38)), False), depth=0), 1.6, blur=1.2), 0.4)
    else:
        cover(_curve(_mirrored(((14, -99), (30, -97), (40, -86), (46, -46), (20, -40)))), colour)
        cover(_mirrored(((0, -57), (44, -55), (47, -45), (0, -42))), band)
        cover(
            _curve(_mirrored(((10, -48), (45, -48), (72, -42), (84, -34), (64, -30), (30, -32), (10, -33)))),
            colour * 0.9,
        )
        canvas.shade(
            _stroke(pose.place(_curve(((-72, -36), (-30, -33), (30, -33), (72, -36)), False), depth=-22), 1.8, 1.2), 0.3
        )


def _develop(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """What the camera does: exposure, colour of the light, grain, and focus. Gives uint8 (218, 178, 3)."""
    gain = rng.uniform(0.9, 1.06) * (1 + rng.uniform(-0.04, 0.04, 3) * (1, 0.3, 1))
    pixels = canvas.pixels * gain[:, None, None].astype(np.float32)
    if not scene.blurry:
        pixels += np.float32(rng.uniform(0.5, 2.2)) * _noise_crop(rng)
    image = np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    if scene.blurry:
        blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(rng.uniform(2.2, 3.2))))
        image = np.asarray(blurred)
    return image
