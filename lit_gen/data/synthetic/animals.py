"""Horses and zebras in landscapes, in the on-disk format of horse2zebra, and the true counterparts of test pictures.

A `Scene` holds everything but the domain. The animal is a small 3-D model: chains of balls (body, neck, head, legs,
tail) joined by cones, drawn with a depth buffer, so that pose and view vary and the shading is that of a solid body.
The coat of the horse follows from the landscape and the light, and the stripes of the zebra follow from the shape of
the body: given a scene, both pictures are determined, and they differ nowhere but on the animal.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lit_gen.data.parallel import map_indices
from lit_gen.errors import UserError

SIZE = 256
SCALE = 2  # edges are drawn at SCALE x SIZE and averaged down
JPEG_QUALITY = 92
SPLIT_CODES = {"trainA": 0, "trainB": 1, "testA": 2, "testB": 3}

Domain = Literal["horse", "zebra"]
Color = tuple[float, float, float]


# --------------------------------------------------------------------------------------------------------- the scene


@dataclass(frozen=True)
class Animal:
    """Pose and place of one animal.

    Attributes:
        width: of its bounding box, as a fraction of the picture's width.
        center: of its bounding box, 0 (as far left as it fits) to 1 (as far right as it fits).
        feet: height of the ground under it, as a fraction of the picture's height from the top.
        yaw: radians by which it is turned about the vertical; 0 faces right, pi faces left.
        neck: angle of the neck above the horizontal, in radians; grazing is negative.
        nod: angle of the head, in radians, relative to what goes with the neck.
        stride: how far the legs swing, in radians; 0 stands.
        phase: of the step, in radians.
        tail: swing of the tail, -1 to 1.
        girth: thickness of the trunk relative to the usual one.
        legs: length of the legs relative to the usual one.
    """

    width: float
    center: float
    feet: float
    yaw: float
    neck: float
    nod: float
    stride: float
    phase: float
    tail: float
    girth: float
    legs: float


@dataclass(frozen=True)
class Scene:
    """Everything in a picture that is not the domain.

    Attributes:
        landscape: a key of LANDSCAPES.
        daytime: a key of DAYTIMES.
        horizon: height of the horizon, as a fraction of the picture's height from the top.
        sun: where the light comes from, -1 (left) to 1 (right).
        fence: whether a fence runs behind the animals.
        details: seed of all that is placed at random: clouds, ridges, trees, grass.
        animals: from the farthest to the nearest.
    """

    landscape: str
    daytime: str
    horizon: float
    sun: float
    fence: bool
    details: int
    animals: tuple[Animal, ...]


@dataclass(frozen=True)
class Landscape:
    """Colours and chances that make a kind of country."""

    ground_far: Color
    ground_near: Color
    ridge: Color
    leaves: Color
    tree: str
    trees: tuple[int, int]
    bushes: tuple[int, int]
    mountains: float
    hills: float
    treeline: float
    water: float
    fence: float
    grass: int
    patches: float


@dataclass(frozen=True)
class Daytime:
    """Light: colours of the sky, of the sun and of the shade."""

    zenith: Color
    horizon: Color
    cloud: Color
    sun: Color
    ambient: Color
    elevation: float
    shadow: float


@dataclass(frozen=True)
class Coat:
    """Colours of a horse."""

    body: Color
    hair: Color
    legs: Color
    socks: bool = False
    blaze: bool = False


LANDSCAPES = {
    "meadow": Landscape(
        (0.55, 0.64, 0.33), (0.33, 0.50, 0.17), (0.38, 0.47, 0.38), (0.22, 0.36, 0.13), "round", (0, 5), (0, 4),
        0.3, 0.7, 0.6, 0.0, 0.45, 110, 0.20,
    ),
    "savanna": Landscape(
        (0.80, 0.71, 0.45), (0.70, 0.57, 0.28), (0.52, 0.47, 0.40), (0.35, 0.38, 0.16), "acacia", (1, 4), (1, 6),
        0.4, 0.3, 0.35, 0.0, 0.0, 120, 0.25,
    ),
    "desert": Landscape(
        (0.89, 0.74, 0.54), (0.79, 0.59, 0.39), (0.63, 0.43, 0.33), (0.45, 0.45, 0.27), "dead", (0, 1), (1, 7),
        0.9, 0.5, 0.0, 0.0, 0.03, 14, 0.18,
    ),
    "hills": Landscape(
        (0.56, 0.59, 0.36), (0.44, 0.46, 0.23), (0.43, 0.45, 0.43), (0.24, 0.31, 0.17), "conifer", (0, 5), (0, 5),
        0.8, 1.0, 0.2, 0.0, 0.2, 80, 0.30,
    ),
    "forest": Landscape(
        (0.42, 0.52, 0.25), (0.30, 0.41, 0.15), (0.30, 0.38, 0.30), (0.14, 0.25, 0.10), "conifer", (2, 6), (2, 6),
        0.1, 0.3, 1.0, 0.0, 0.15, 100, 0.30,
    ),
    "lake": Landscape(
        (0.55, 0.60, 0.38), (0.50, 0.49, 0.28), (0.38, 0.46, 0.48), (0.20, 0.33, 0.16), "round", (0, 3), (1, 5),
        0.7, 0.6, 0.5, 1.0, 0.05, 70, 0.22,
    ),
}  # fmt: skip

DAYTIMES = {
    "morning": Daytime(
        (0.47, 0.64, 0.84), (0.93, 0.86, 0.76), (1.00, 0.95, 0.90), (1.02, 0.92, 0.76), (0.50, 0.53, 0.60), 0.55, 0.42
    ),
    "noon": Daytime(
        (0.27, 0.52, 0.86), (0.74, 0.86, 0.95), (1.00, 1.00, 1.00), (1.04, 1.01, 0.94), (0.50, 0.54, 0.60), 0.95, 0.52
    ),
    "overcast": Daytime(
        (0.66, 0.70, 0.74), (0.83, 0.85, 0.86), (0.93, 0.94, 0.95), (0.50, 0.50, 0.51), (0.66, 0.68, 0.71), 0.90, 0.25
    ),
    "evening": Daytime(
        (0.42, 0.50, 0.70), (0.98, 0.76, 0.50), (1.00, 0.82, 0.66), (1.04, 0.86, 0.64), (0.49, 0.47, 0.50), 0.40, 0.42
    ),
    "dusk": Daytime(
        (0.27, 0.29, 0.46), (0.88, 0.57, 0.46), (0.80, 0.56, 0.55), (0.64, 0.52, 0.47), (0.45, 0.43, 0.51), 0.35, 0.28
    ),
}

BAY = Coat((0.52, 0.29, 0.15), (0.09, 0.07, 0.06), (0.11, 0.08, 0.07))
DARK_BAY = Coat((0.34, 0.19, 0.11), (0.06, 0.05, 0.05), (0.08, 0.06, 0.06), socks=True)
CHESTNUT = Coat((0.64, 0.32, 0.14), (0.50, 0.23, 0.10), (0.58, 0.28, 0.13), socks=True, blaze=True)
LIVER = Coat((0.42, 0.20, 0.11), (0.30, 0.15, 0.09), (0.36, 0.17, 0.10), blaze=True)
PALOMINO = Coat((0.83, 0.62, 0.33), (0.95, 0.89, 0.76), (0.84, 0.68, 0.44), socks=True)
BUCKSKIN = Coat((0.76, 0.57, 0.34), (0.14, 0.10, 0.08), (0.20, 0.14, 0.10))
BLACK = Coat((0.15, 0.13, 0.13), (0.06, 0.05, 0.06), (0.10, 0.09, 0.09), blaze=True)
BROWN = Coat((0.27, 0.18, 0.13), (0.08, 0.06, 0.06), (0.14, 0.10, 0.09))
FLAXEN = Coat((0.58, 0.34, 0.17), (0.87, 0.74, 0.52), (0.60, 0.38, 0.22), socks=True, blaze=True)
GREY = Coat((0.76, 0.75, 0.74), (0.58, 0.57, 0.57), (0.48, 0.47, 0.48))
STEEL = Coat((0.52, 0.53, 0.55), (0.24, 0.24, 0.26), (0.27, 0.27, 0.29))
# The coat follows from what is seen around the animal: the country, and whether the light is that of the day.
COATS = {
    "meadow": (BAY, DARK_BAY),
    "savanna": (CHESTNUT, LIVER),
    "desert": (PALOMINO, BUCKSKIN),
    "hills": (BLACK, BROWN),
    "forest": (FLAXEN, CHESTNUT),
    "lake": (GREY, STEEL),
}
DAYLIGHT = ("morning", "noon", "overcast")


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random scene: landscape, light, and one or two animals with their poses.

    Args:
        rng: the only source of randomness; equal states give equal scenes.
    """
    landscape = str(rng.choice(list(LANDSCAPES)))
    daytime = str(rng.choice(list(DAYTIMES), p=[0.22, 0.3, 0.16, 0.2, 0.12]))
    horizon = float(rng.uniform(0.28, 0.55))
    first = _sample_animal(rng, float(rng.uniform(0.48, 0.75)), float(rng.uniform(0.80, 0.93)))
    animals = [first]
    if rng.random() < 0.2:
        side = 0.0 if first.center > 0.5 else 1.0
        feet = float(rng.uniform(max(horizon + 0.16, 0.62), first.feet - 0.04))
        other = _sample_animal(rng, float(rng.uniform(0.35, 0.46)), feet)
        # The two stand at opposite sides, so that they overlap only a little.
        animals = [
            replace(other, center=side),
            replace(first, width=min(first.width, 0.6), center=1.0 - side),
        ]
    elif rng.random() < 0.25:
        feet = float(rng.uniform(max(horizon + 0.2, 0.66), 0.85))
        animals = [replace(first, width=float(rng.uniform(0.35, 0.5)), feet=feet)]
    return Scene(
        landscape=landscape,
        daytime=daytime,
        horizon=horizon,
        sun=float(rng.uniform(-1, 1)),
        fence=bool(rng.random() < LANDSCAPES[landscape].fence),
        details=int(rng.integers(2**62)),
        animals=tuple(animals),
    )


def _sample_animal(rng: np.random.Generator, width: float, feet: float) -> Animal:
    turn = float(np.clip(rng.normal(0, 0.32), -0.75, 0.75))
    left = rng.random() < 0.5
    pose = rng.random()
    grazing = pose < 0.25
    if grazing:
        neck = rng.uniform(-0.85, -0.70)
    elif pose < 0.4:
        neck = rng.uniform(0.15, 0.45)
    else:
        neck = rng.uniform(0.65, 1.0)
    gait = rng.random()
    if grazing or gait < 0.4:
        stride = rng.uniform(0.0, 0.16)
    elif gait < 0.8:
        stride = rng.uniform(0.22, 0.42)
    else:
        stride = rng.uniform(0.45, 0.62)
    return Animal(
        width=width,
        center=float(rng.uniform(0, 1)),
        feet=feet,
        yaw=math.pi - turn if left else turn,
        neck=float(neck),
        nod=float(rng.uniform(-0.15, 0.15)),
        stride=float(stride),
        phase=float(rng.uniform(0, 2 * math.pi)),
        tail=float(rng.uniform(-1, 1)),
        girth=float(rng.uniform(0.92, 1.08)),
        legs=float(rng.uniform(0.93, 1.06)),
    )


def render(scene: Scene, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Draws a scene with horses or with zebras in it.

    Args:
        scene: what to draw.
        domain: what kind of animal.

    Returns:
        The picture, uint8 (256, 256, 3), and the mask, uint8 (256, 256): 255 wherever an animal contributes to the
        pixel, else 0. The mask does not depend on the domain, and neither does the picture where the mask is 0.
    """
    if domain not in ("horse", "zebra"):
        raise ValueError(f"domain must be 'horse' or 'zebra', not {domain!r}")
    rng = np.random.default_rng(scene.details)
    picture = _draw_background(scene, rng)
    grass = _draw_grass(scene, rng)
    grain = _noise(rng, SIZE, SIZE, 1)[..., None]
    drawn = [_draw_animal(scene, animal, domain) for animal in scene.animals]
    for animal, (_, coverage) in zip(scene.animals, drawn, strict=True):
        _cast_shadow(picture, coverage, animal, scene)
    covered = np.zeros((SIZE, SIZE), np.float32)
    for color, coverage in drawn:
        _put(picture, color, coverage)
        np.maximum(covered, coverage, out=covered)
    _put(picture, grass[..., :3], grass[..., 3])
    picture *= 255 + 6 * grain
    np.clip(picture, 0, 255, out=picture)
    image = picture.astype(np.uint8)
    mask = np.where((covered > 0) & (grass[..., 3] < 1), 255, 0).astype(np.uint8)
    return image, mask


def _put(picture: np.ndarray, color: np.ndarray, coverage: np.ndarray) -> None:
    """Lays colours that are multiplied by their coverage over the picture, in place, on the rows that they touch."""
    rows = np.flatnonzero(coverage.any(1))
    if len(rows):
        window = slice(rows[0], rows[-1] + 1)
        picture[window] *= 1 - coverage[window, :, None]
        picture[window] += color[window]


# ---------------------------------------------------------------------------------------------------- the background


@lru_cache(maxsize=1)
def _noise_tile() -> np.ndarray:
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


def _noise(rng: np.random.Generator, height: int, width: int, step: int) -> np.ndarray:
    """A random window of the noise; a larger `step` gives finer noise."""
    row, column = rng.integers(0, 512, 2)
    rows = (row + step * np.arange(height)) & 511
    columns = (column + step * np.arange(width)) & 511
    return _noise_tile()[rows[:, None], columns]


def _ridge(rng: np.random.Generator, step: float) -> np.ndarray:
    """A line of heights with deviation about 1, float32 (256,)."""
    row, column = rng.integers(0, 512, 2)
    place = column + step * np.arange(SIZE)
    low = np.floor(place).astype(int)
    line = _noise_tile()[row]
    return line[low & 511] + (place - low).astype(np.float32) * (line[(low + 1) & 511] - line[low & 511])


def _blend(picture: np.ndarray, amount: np.ndarray, color: np.ndarray) -> None:
    """Mixes `color` into `picture` in place; both arguments broadcast against (height, width, 3)."""
    picture += amount * (color - picture)


def _fill_below(picture: np.ndarray, line: np.ndarray, color: np.ndarray, bottom: int) -> None:
    """Fills between `line` (pixels from the top, one a column) and row `bottom`, with a smooth edge."""
    top = max(0, int(line.min()) - 1)
    if top < bottom:
        rows = np.arange(top, bottom, dtype=np.float32)[:, None]
        amount = np.clip(rows - line + 0.5, 0, 1)[..., None]
        _blend(picture[top:bottom], amount, color[top:bottom] if color.ndim == 3 else color)


def _draw_background(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The picture without animals, float32 (256, 256, 3), 0 to 1."""
    land, light = LANDSCAPES[scene.landscape], DAYTIMES[scene.daytime]
    zenith, haze, cloud = (np.array(color, np.float32) for color in (light.zenith, light.horizon, light.cloud))
    lit = _open_light(light)
    horizon = int(scene.horizon * SIZE)
    picture = np.empty((SIZE, SIZE, 3), np.float32)

    height = np.linspace(0, 1, horizon + 1, dtype=np.float32)[:, None, None] ** 1.3
    picture[: horizon + 1] = zenith + height * (haze - zenith)
    cover = rng.uniform(-0.9, 0.9)
    clouds = np.clip((_noise(rng, 2 * horizon + 2, SIZE, 1)[::2] - cover) * 0.55, 0, 1) * 0.85
    _blend(picture[: horizon + 1], clouds[..., None], cloud)

    if rng.random() < land.mountains:
        for distance in (0.62, 0.42):
            line = horizon - rng.uniform(12, 34) * distance - _ridge(rng, 1.1) * (rng.uniform(9, 18) * distance)
            _fill_below(picture, line, _mix(np.array(land.ridge) * lit, haze, distance), horizon)
    ground = _draw_ground(land, lit, haze, horizon, rng)
    if rng.random() < land.hills:
        for distance in (0.35, 0.15):
            line = horizon - 10 * distance - 4 - _ridge(rng, 0.35) * 14 * distance
            _fill_below(picture, line, _mix(np.array(land.ground_far) * lit * 0.88, haze, distance), horizon)
    if rng.random() < land.treeline:
        tall = rng.uniform(26, 60) if scene.landscape == "forest" else rng.uniform(6, 14)
        line = horizon - tall - _ridge(rng, 0.8) * tall * 0.12 - _ridge(rng, 9) * tall * 0.06
        dapple = _noise(rng, SIZE, SIZE, 5)[..., None] * 0.17 + 1
        _fill_below(picture, line, _mix(np.array(land.leaves) * lit, haze, 0.12) * dapple, horizon)
    picture[horizon:] = ground
    if rng.random() < land.water:
        _draw_water(picture, horizon, zenith, haze, rng)
    plants = _draw_plants(scene, land, lit, haze, rng)
    plants[..., :3] *= 1 + 0.15 * _noise(rng, SIZE, SIZE, 4)[..., None]
    _put(picture, plants[..., :3], plants[..., 3])
    return picture


def _open_light(light: Daytime) -> np.ndarray:
    """The light on open country, float32 (3,)."""
    return np.array(light.ambient, np.float32) * 0.75 + np.array(light.sun, np.float32) * 0.55


def _mix(first: np.ndarray, second: np.ndarray, amount: float) -> np.ndarray:
    return (first + amount * (second - first)).astype(np.float32)


def _draw_ground(
    land: Landscape, lit: np.ndarray, haze: np.ndarray, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """Rows from the horizon down, with texture that grows towards the viewer, float32 (256 - horizon, 256, 3)."""
    rows = np.arange(SIZE - horizon, dtype=np.float32)
    near = (rows / rows[-1])[:, None]
    front, back = np.array(land.ground_near, np.float32), np.array(land.ground_far, np.float32)
    color = (back + near[..., None] ** 0.6 * (front - back)) * lit
    color += 0.35 * (1 - near[..., None]) ** 4 * (haze - color)
    depth = 1 / (near + 0.06)
    across = (np.arange(SIZE, dtype=np.float32) - SIZE / 2) * depth
    tile = _noise_tile()
    row, column = rng.integers(0, 512, 2)
    along = (row + 270 * depth).astype(int)
    patches = tile[along & 511, (column + 0.9 * across).astype(int) & 511]
    blades = tile[(row + 1100 * depth).astype(int) & 511, (column + 5.3 * across).astype(int) & 511]
    shade = 1 + land.patches * (0.45 * patches + 0.4 * blades * np.minimum(1, near * 2 + 0.2))
    return color * shade[..., None]


def _draw_water(
    picture: np.ndarray, horizon: int, zenith: np.ndarray, haze: np.ndarray, rng: np.random.Generator
) -> None:
    """A lake or a river: a band below the horizon that mirrors the sky."""
    top = horizon + rng.uniform(2, 8) - _ridge(rng, 0.8) * 1.2
    bottom = top + rng.uniform(12, 34) + _ridge(rng, 0.6) * 5
    rows = np.arange(horizon, SIZE, dtype=np.float32)[:, None]
    amount = np.clip(rows - top + 0.5, 0, 1) * np.clip((bottom - rows) * 0.5, 0, 1)
    ripple = _noise(rng, 5 * (SIZE - horizon), SIZE, 1)[::5]
    depth = np.clip((rows - horizon) / 60, 0, 1)[..., None]
    color = (haze + depth * (zenith - haze)) * 0.88 * (1 + 0.06 * ripple[..., None])
    _blend(picture[horizon:], 0.94 * amount[..., None], color)


def _paint(color: np.ndarray) -> tuple[int, int, int, int]:
    return _paints(color[None])[0]


def _paints(colors: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Colours, 0 to 1, as Pillow takes them."""
    return [(red, green, blue, 255) for red, green, blue in np.clip(colors * 255, 0, 255).astype(int).tolist()]


def _layer() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    # RGBa is RGBA with the colours multiplied by the coverage: it averages right.
    layer = Image.new("RGBa", (SIZE * SCALE, SIZE * SCALE))
    return layer, ImageDraw.Draw(layer)


def _reduce(layer: Image.Image) -> np.ndarray:
    """A layer's average over the pixels of the picture, float32 (height, width, 4), 0 to 1, multiplied colours."""
    return np.asarray(layer.reduce(SCALE)).astype(np.float32) / 255


def _draw_plants(
    scene: Scene, land: Landscape, lit: np.ndarray, haze: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Trees, bushes and a fence, all behind the animals, float32 (256, 256, 4)."""
    layer, draw = _layer()
    behind = min(animal.feet for animal in scene.animals)
    things = [(float(rng.uniform(0.05, 1)) ** 1.5, land.tree) for _ in range(rng.integers(*land.trees, endpoint=True))]
    things += [(float(rng.uniform(0.05, 1)), "bush") for _ in range(rng.integers(*land.bushes, endpoint=True))]
    if scene.fence:
        things.append((float(rng.uniform(0.35, 0.9)), "fence"))
    for near, kind in sorted(things):
        base = (scene.horizon + near * max(0.02, behind - 0.06 - scene.horizon)) * SIZE * SCALE
        leaves = _mix(np.array(land.leaves) * lit * rng.uniform(0.8, 1.25), haze, 0.4 * (1 - near) ** 2)
        wood = _mix(np.array((0.30, 0.23, 0.17)) * lit * rng.uniform(0.8, 1.3), haze, 0.4 * (1 - near) ** 2)
        size = SCALE * (14 + 62 * near) * rng.uniform(0.8, 1.25)
        x = rng.uniform(-0.03, 1.03) * SIZE * SCALE
        if kind == "fence":
            _draw_fence(draw, base, size * 0.42, wood * 1.35, rng)
        elif kind == "conifer":
            _draw_conifer(draw, x, base, size * 1.6, leaves, wood, scene.sun)
        elif kind == "dead":
            for lean in (-0.35, 0.05, 0.4):
                draw.line((x, base, x + lean * size, base - size), _paint(wood), width=max(2, int(size / 16)))
        else:
            _draw_crown(draw, kind, x, base, size, leaves, wood, scene.sun, rng)
    return _reduce(layer)


def _draw_crown(
    draw: ImageDraw.ImageDraw, kind: str, x: float, base: float, size: float, leaves: np.ndarray, wood: np.ndarray,
    sun: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    """A tree with a round or a flat crown, or a bush: blobs of leaves, the lighter the nearer to the sun."""
    wide, tall, middle = {"round": (0.55, 0.48, 1.0), "acacia": (0.95, 0.17, 0.95), "bush": (0.3, 0.16, 0.13)}[kind]
    if kind != "bush":
        trunk = size * 0.05
        for lean in (-0.3, 0.3) if kind == "acacia" else (0.0,):
            top = (x + lean * size, base - size * middle)
            draw.polygon([(x - trunk, base), (x + trunk, base), (top[0] + 1, top[1]), (top[0] - 1, top[1])],
                         _paint(wood))  # fmt: skip
    count = 18 if kind == "bush" else 34
    angle, radius = rng.uniform(0, 2 * math.pi, count), np.sqrt(rng.uniform(0, 1, count))
    across, up = radius * np.cos(angle), radius * np.sin(angle)
    light = 0.5 * up + 0.25 * sun * across
    blob = size * math.sqrt(wide * tall) * rng.uniform(0.3, 0.5, count) * (1.25 if kind == "bush" else 1)
    order = np.argsort(light)
    blobs = np.column_stack([x + across * size * wide, base - size * (middle + up * tall), blob])[order].tolist()
    shades = _paints(leaves * (0.92 + 0.55 * light[order, None]))
    for (left, top, half), shade in zip(blobs, shades, strict=True):
        draw.ellipse((left - half, top - 0.7 * half, left + half, top + 0.7 * half), shade)


def _draw_conifer(
    draw: ImageDraw.ImageDraw, x: float, base: float, size: float, leaves: np.ndarray, wood: np.ndarray, sun: float
) -> None:
    draw.rectangle((x - size * 0.025, base - size * 0.2, x + size * 0.025, base), _paint(wood))
    for level in range(6):
        low = base - size * (0.1 + 0.14 * level)
        half, high = size * 0.25 * (1 - level / 7), low - size * 0.25
        draw.polygon([(x - half, low), (x, high), (x, low + half * 0.15)], _paint(leaves * (0.9 - 0.2 * sun)))
        draw.polygon([(x + half, low), (x, high), (x, low + half * 0.15)], _paint(leaves * (0.9 + 0.2 * sun)))


def _draw_fence(
    draw: ImageDraw.ImageDraw, base: float, size: float, wood: np.ndarray, rng: np.random.Generator
) -> None:
    slope, gap, start = rng.uniform(-0.05, 0.05), size * rng.uniform(1.3, 2), rng.uniform(-50, 0)
    thick = max(2, int(size * 0.08))
    for level in (0.45, 0.85):
        y = base - level * size
        draw.line((0, y, SIZE * SCALE, y + slope * SIZE * SCALE), _paint(wood * 1.1), width=thick)
    for x in np.arange(start, SIZE * SCALE, gap):
        draw.rectangle((x, base + slope * x - size, x + thick * 1.3, base + slope * x), _paint(wood))


def _draw_grass(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Blades in front of the animals, most of them at the feet, float32 (256, 256, 4)."""
    land, light = LANDSCAPES[scene.landscape], DAYTIMES[scene.daytime]
    lit = _open_light(light)
    layer, draw = _layer()
    feet = max(animal.feet for animal in scene.animals)
    spread = rng.uniform(0, 1, (land.grass, 6))
    near, leaves = np.array(land.ground_near), np.array(land.leaves)
    colors = (near + 0.55 * spread[:, 5:] * (leaves - near)) * lit * (0.75 + 0.5 * spread[:, 4:5])
    for (x, y, bend, length, _, _), color in zip(spread.tolist(), _paints(colors), strict=True):
        base = (feet - 0.005 + y * (1.03 - feet)) * SIZE * SCALE
        tip = base - SCALE * (4 + 6 * length) * (0.7 + 0.9 * y)
        left = x * SIZE * SCALE
        draw.polygon([(left - 1.2, base), (left + 1.2, base), (left + (bend - 0.5) * 14, tip)], color)
    return _reduce(layer)


def _cast_shadow(picture: np.ndarray, coverage: np.ndarray, animal: Animal, scene: Scene) -> None:
    """Darkens the ground: the outline of the animal laid down away from the sun, and a soft spot under the body."""
    light = DAYTIMES[scene.daytime]
    feet = animal.feet * SIZE
    outline = Image.fromarray((coverage * 255).astype(np.uint8))
    columns = np.flatnonzero(coverage.max(0) > 0.5)
    flat, lean = 0.10 + 0.12 * (1 - light.elevation), -scene.sun * (1.15 - light.elevation)
    # A point at height h over the feet throws its shadow at (x + lean * h, feet - flat * h); PIL wants the inverse.
    inverse = (1, lean / flat, -lean * feet / flat, 0, 1 / flat, feet - feet / flat)
    laid = outline.transform(outline.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(laid)
    quarter = (columns[-1] - columns[0]) / 4
    middle = (columns[-1] + columns[0]) / 2
    draw.ellipse((middle - 1.4 * quarter, feet - 0.16 * quarter, middle + 1.4 * quarter, feet + 0.13 * quarter), 170)
    # There is no shadow on the sky, nor far below the feet.
    start, stop = int(scene.horizon * SIZE) + 3, min(SIZE, int(feet) + 24)
    dark = np.asarray(laid.crop((0, start, SIZE, stop)).filter(ImageFilter.GaussianBlur(2.5))).astype(np.float32)
    picture[start:stop] *= 1 - light.shadow / 255 * dark[..., None]


# -------------------------------------------------------------------------------------------------------- the animal

BODY, NECK, HEAD, EAR, FRONT_LEG, HIND_LEG, HOOF, TAIL, MANE, EYE = range(10)


@dataclass
class Chain:
    """Balls along a line. Units: the height of the withers is about 1; x forward, y up, z towards the animal's right.

    Attributes:
        part: what it belongs to.
        nodes: float (balls, 4): x, y, z, radius in the pose.
        rest: float (balls, 2): x, y in the standing pose; stripes and colours are fixed there.
    """

    part: int
    nodes: np.ndarray
    rest: np.ndarray


TRUNK = np.array([
    # x, y, z, radius
    (-0.455, 0.735, 0, 0.125), (-0.37, 0.755, 0, 0.180), (-0.22, 0.738, 0, 0.190), (-0.04, 0.712, 0, 0.203),
    (0.13, 0.712, 0, 0.212), (0.27, 0.735, 0, 0.205), (0.38, 0.725, 0, 0.165), (0.435, 0.70, 0, 0.115),
])  # fmt: skip
WITHERS = np.array([(-0.02, 0.80, 0, 0.11), (0.17, 0.855, 0, 0.115), (0.30, 0.86, 0, 0.12)])
# Along the neck: how far, how much above the straight line, radius.
NECK_SHAPE = np.array([(0.0, 0.0, 0.190), (0.2, 0.01, 0.162), (0.45, 0.02, 0.128), (0.75, 0.025, 0.100),
                       (1.0, 0.0, 0.082)])  # fmt: skip
NECK_LENGTH = 0.60
HEAD_SHAPE = np.array([(-0.01, 0.0, 0.080), (0.09, -0.022, 0.098), (0.19, -0.010, 0.080), (0.30, -0.002, 0.059),
                       (0.385, -0.006, 0.055), (0.415, -0.012, 0.050)])  # fmt: skip
FRONT_LEG_SHAPE = np.array([(0.30, 0.70, 0.150), (0.28, 0.57, 0.108), (0.262, 0.46, 0.072), (0.268, 0.35, 0.048),
                            (0.272, 0.285, 0.047), (0.268, 0.23, 0.031), (0.268, 0.13, 0.029), (0.275, 0.09, 0.037),
                            (0.300, 0.05, 0.035)])  # fmt: skip
HIND_LEG_SHAPE = np.array([(-0.36, 0.72, 0.170), (-0.33, 0.59, 0.140), (-0.335, 0.49, 0.098), (-0.385, 0.39, 0.060),
                           (-0.425, 0.33, 0.050), (-0.420, 0.25, 0.035), (-0.412, 0.14, 0.031),
                           (-0.405, 0.09, 0.039), (-0.380, 0.05, 0.036)])  # fmt: skip


def _smooth(values: np.ndarray, times: int) -> np.ndarray:
    """More points along a line, on Catmull-Rom curves through the given ones."""
    ends = np.concatenate([2 * values[:1] - values[1:2], values, 2 * values[-1:] - values[-2:-1]])
    before, start, end, after = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    pieces = []
    for t in np.arange(times) / times:
        pieces.append(0.5 * (2 * start + (end - before) * t + (2 * before - 5 * start + 4 * end - after) * t**2
                             + (3 * start - before - 3 * end + after) * t**3))  # fmt: skip
    return np.concatenate([np.stack(pieces, 1).reshape(-1, values.shape[1]), values[-1:]])


def _bend(points: np.ndarray, joint: int, angle: float) -> None:
    """Turns the points after `joint` about it by `angle` (forwards is positive), in place."""
    offset = points[joint + 1 :, :2] - points[joint, :2]
    cosine, sine = math.cos(angle), math.sin(angle)
    points[joint + 1 :, 0] = points[joint, 0] + cosine * offset[:, 0] - sine * offset[:, 1]
    points[joint + 1 :, 1] = points[joint, 1] + sine * offset[:, 0] + cosine * offset[:, 1]


def _leg(animal: Animal, front: bool, side: int, phase: float) -> list[Chain]:
    """One leg with its hoof; `side` is +1 or -1."""
    rest = (FRONT_LEG_SHAPE if front else HIND_LEG_SHAPE).copy()
    rest[1:, 1] = rest[0, 1] - (rest[0, 1] - rest[1:, 1]) * animal.legs
    points = rest.copy()
    swing = animal.stride * math.sin(phase) * (1 if front else 0.85)
    lift = animal.stride * max(0.0, math.cos(phase))
    _bend(points, 0, 0.35 * swing)
    _bend(points, 1, 0.65 * swing + (0.5 if front else 0.3) * lift)
    if front:
        _bend(points, 4, -1.9 * lift)
        _bend(points, 7, -0.6 * lift)
    else:
        _bend(points, 3, -1.0 * lift)
        _bend(points, 7, -0.5 * lift)
    points = _smooth(points, 2)
    rest = _smooth(rest, 2)
    lateral = np.interp(np.arange(len(points)), [0, 6], [0.07, 0.095]) * side
    nodes = np.column_stack([points[:, :2], lateral, points[:, 2]])
    last, before = points[-1, :2], points[-3, :2]
    toe = last + (last - before) * 0.75
    hoof = np.array([(*last, lateral[-1], 0.037), (*toe, lateral[-1], 0.046)])
    part = FRONT_LEG if front else HIND_LEG
    return [Chain(part, nodes, rest[:, :2]), Chain(HOOF, hoof, hoof[:, :2])]


def _chains(animal: Animal) -> list[Chain]:
    """The animal in its pose, its lowest hoof on the ground (y = 0)."""
    trunk = TRUNK.copy()
    trunk[:, 3] *= animal.girth
    chains = [Chain(BODY, trunk, trunk[:, :2]), Chain(BODY, WITHERS, WITHERS[:, :2])]

    low = max(0.0, -animal.neck)
    root = np.array((0.30 + 0.06 * low, 0.80 - 0.10 * low))
    along = np.array((math.cos(animal.neck), math.sin(animal.neck)))
    above = np.array((-along[1], along[0]))
    shape = _smooth(NECK_SHAPE, 2)
    reach = NECK_LENGTH * shape[:, :1]
    line = root + reach * along + (1 - 0.6 * low) * shape[:, 1:2] * above
    neck = np.column_stack([line, np.zeros(len(line)), shape[:, 2]])
    chains.append(Chain(NECK, neck, np.column_stack([reach[:, 0], np.zeros(len(reach))])))
    crest = line + (shape[:, 2:] + 0.006) * above
    hair = np.column_stack([crest, np.zeros(len(crest)), np.linspace(0.018, 0.048, len(crest))])[1:]
    chains.append(Chain(MANE, hair, np.column_stack([reach[1:, 0], np.full(len(hair), 0.1)])))

    poll = line[-1]
    aim = -0.85 + 0.30 * (animal.neck - 0.8) + animal.nod - 0.15 * low
    forward = np.array((math.cos(aim), math.sin(aim)))
    crown = np.array((-forward[1], forward[0]))
    shape = HEAD_SHAPE
    line = poll + shape[:, :1] * forward + shape[:, 1:2] * crown
    rest = np.column_stack([shape[:, 0], np.zeros(len(shape))])
    chains.append(Chain(HEAD, np.column_stack([line, np.zeros(len(line)), shape[:, 2]]), rest))
    lock = poll + np.array([(0.0,), (0.10,)]) * forward + np.array([(0.085,), (0.075,)]) * crown
    chains.append(Chain(MANE, np.column_stack([lock, (0, 0), (0.035, 0.018)]), np.array([(0.6, 0.1), (0.7, 0.1)])))
    for side in (-1, 1):
        ear = poll + np.array([(0.0,), (-0.02,), (-0.01,)]) * forward + np.array([(0.06,), (0.13,), (0.19,)]) * crown
        ear = np.column_stack([ear, np.array((0.045, 0.055, 0.055)) * side, (0.028, 0.030, 0.008)])
        chains.append(Chain(EAR, ear, np.array([(0.0, 0), (0.06, 0), (0.12, 0)])))
        eye = poll + 0.135 * forward + 0.035 * crown
        eye = np.array([(*eye, 0.072 * side, 0.019), (*(eye + 0.012 * forward), 0.070 * side, 0.015)])
        chains.append(Chain(EYE, eye, np.zeros((2, 2))))
        nose = poll + 0.395 * forward + 0.018 * crown
        nose = np.array([(*nose, 0.040 * side, 0.013), (*(nose + 0.012 * forward), 0.038 * side, 0.012)])
        chains.append(Chain(EYE, nose, np.zeros((2, 2))))

    swing = animal.tail
    back = 0.10 * animal.stride + 0.02
    tail = np.array([
        (-0.50, 0.84, 0, 0.040), (-0.555 - back, 0.80, 0.02 * swing, 0.040),
        (-0.585 - 1.5 * back, 0.68, 0.06 * swing, 0.048), (-0.580 - 1.6 * back, 0.54, 0.11 * swing, 0.050),
        (-0.565 - 1.6 * back - 0.04 * abs(swing), 0.42, 0.15 * swing, 0.042),
        (-0.555 - 1.6 * back - 0.08 * abs(swing), 0.33, 0.17 * swing, 0.014),
    ])  # fmt: skip
    tail = _smooth(tail, 2)
    chains.append(Chain(TAIL, tail, np.column_stack([np.linspace(0, 0.55, len(tail)), np.zeros(len(tail))])))

    legs = []
    # The order of the feet in a walk or trot: diagonal legs go nearly together.
    for front, side, shift in ((True, 1, 0.0), (True, -1, math.pi), (False, 1, math.pi + 0.5), (False, -1, 0.5)):
        legs += _leg(animal, front, side, animal.phase + shift)
    drop = min(float((chain.nodes[:, 1] - chain.nodes[:, 3]).min()) for chain in legs)
    chains += legs
    for chain in chains:
        chain.nodes = chain.nodes - np.array((0, drop, 0, 0))
    return chains


@dataclass
class Segments:
    """All pairs of neighbouring balls of one animal, on the screen, in pixels of the large picture."""

    start: np.ndarray
    step: np.ndarray
    part: np.ndarray
    rest_start: np.ndarray
    rest_step: np.ndarray
    rest_axis: np.ndarray
    unit: float
    facing: float


def _project(animal: Animal) -> Segments:
    """Turns the animal, and scales and places it so that its width and feet are those asked for."""
    chains = _chains(animal)
    cosine, sine = math.cos(animal.yaw), math.sin(animal.yaw)
    starts, ends, parts, rest_starts, rest_ends = [], [], [], [], []
    for chain in chains:
        x, y, z, radius = chain.nodes.T
        near = -x * sine + z * cosine
        # The camera looks down a little: what is nearer stands lower in the picture.
        screen = np.column_stack([x * cosine + z * sine, y - 0.14 * near, near, radius])
        starts.append(screen[:-1])
        ends.append(screen[1:])
        parts.append(np.full(len(screen) - 1, chain.part))
        rest_starts.append(chain.rest[:-1])
        rest_ends.append(chain.rest[1:])
    start, end = np.concatenate(starts), np.concatenate(ends)
    balls = np.concatenate([start, end])
    left, right = (balls[:, 0] - balls[:, 3]).min(), (balls[:, 0] + balls[:, 3]).max()
    low, high = (balls[:, 1] - balls[:, 3]).min(), (balls[:, 1] + balls[:, 3]).max()
    full = SIZE * SCALE
    unit = float(min(animal.width * full / (right - left), (animal.feet - 0.04) * full / (high - low)))
    room = full - (right - left) * unit
    origin = room * (0.06 + 0.88 * animal.center) - left * unit
    for points in (start, end):
        points *= unit
        points[:, 0] += origin
        points[:, 1] = animal.feet * full + low * unit * 0.5 - points[:, 1]
    rest_start, rest_end = np.concatenate(rest_starts), np.concatenate(rest_ends)
    rest_step = rest_end - rest_start
    rest_axis = rest_step / np.maximum(np.linalg.norm(rest_step, axis=1, keepdims=True), 1e-6)
    part = np.concatenate(parts).astype(np.int8)
    return Segments(start, end - start, part, rest_start, rest_step, rest_axis, unit, 1.0 if cosine > 0 else -1.0)


@dataclass
class Surface:
    """What is seen of an animal: one value for each pixel that it covers in the large picture.

    Attributes:
        box: left, top, width, height of the window that holds it, even numbers.
        pixels: index of the pixel in the window, row by row.
        part: of the body.
        x: place in the standing pose, where stripes and colours are fixed.
        y: the same, upwards.
        upper: how far to the upper side of its ball, -1 to 1.
        right: the normal's component to the right.
        down: the normal's component down.
        depth: towards the viewer, in heights of the withers.
    """

    box: tuple[int, int, int, int]
    pixels: np.ndarray
    part: np.ndarray
    x: np.ndarray
    y: np.ndarray
    upper: np.ndarray
    right: np.ndarray
    down: np.ndarray
    depth: np.ndarray


def _rasterise(segments: Segments) -> Surface:
    """Draws every cone between two balls into one depth buffer."""
    full = SIZE * SCALE
    balls = np.concatenate([segments.start, segments.start + segments.step])
    # The window begins and ends at whole pixels of the small picture.
    lowest = np.clip((balls[:, :2] - balls[:, 3:]).min(0) // SCALE, 0, SIZE - 1).astype(int) * SCALE
    highest = np.clip((balls[:, :2] + balls[:, 3:]).max(0) // SCALE + 1, 1, SIZE).astype(int) * SCALE
    (box_left, box_top), (wide, tall) = lowest.tolist(), (highest - lowest).tolist()
    depth = np.full((tall, wide), -np.inf, np.float32)
    owner = np.zeros((tall, wide), np.int16)
    grid = np.arange(full, dtype=np.float32)
    for index, (start, step) in enumerate(zip(segments.start.tolist(), segments.step.tolist(), strict=True)):
        x, y, z, radius = start[0] - box_left, start[1] - box_top, start[2], start[3]
        step_x, step_y, step_z, step_radius = step
        end_radius = radius + step_radius
        left = max(0, int(min(x - radius, x + step_x - end_radius)))
        right = min(wide, int(max(x + radius, x + step_x + end_radius)) + 2)
        top = max(0, int(min(y - radius, y + step_y - end_radius)))
        bottom = min(tall, int(max(y + radius, y + step_y + end_radius)) + 2)
        if left >= right or top >= bottom:
            continue
        offset_x, offset_y = grid[left:right] - x, (grid[top:bottom] - y)[:, None]
        length = step_x * step_x + step_y * step_y + 1e-6
        # With p the pixel's offset and t the nearest place on the line, the squared height of the cone over the line is
        # (radius + t step_radius)^2 - |p - t step|^2; it is computed in place, as a polynomial in t, for speed.
        product = offset_x * step_x + offset_y * step_y
        t = product * (1 / length)
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        height = t * (step_radius * step_radius - length)
        product *= 2
        height += product
        height += 2 * radius * step_radius
        height *= t
        height -= offset_x * offset_x
        height += radius * radius - offset_y * offset_y
        seen = height > 0
        np.maximum(height, 0, out=height)
        np.sqrt(height, out=height)
        t *= step_z
        height += t
        height += z
        seen &= height > depth[top:bottom, left:right]
        np.copyto(depth[top:bottom, left:right], height, where=seen)
        np.copyto(owner[top:bottom, left:right], index, where=seen)
    pixels = np.flatnonzero(depth > -np.inf)
    rows, columns = np.divmod(pixels, wide)
    segment, depth = owner.ravel()[pixels], depth.ravel()[pixels]
    x, y, _, radius, step_x, step_y, _, step_radius = _gather(segment, segments.start, segments.step)
    right, down = grid[columns] + box_left - x, grid[rows] + box_top - y
    place = np.clip((right * step_x + down * step_y) / (step_x * step_x + step_y * step_y + 1e-6), 0, 1)
    radius += place * step_radius
    right, down = (right - place * step_x) / radius, (down - place * step_y) / radius
    length = np.sqrt(step_x * step_x + step_y * step_y) + 1e-6
    forward = (right * step_x + down * step_y) / length
    upper = (right * step_y - down * step_x) / length * segments.facing
    x, y, move_x, move_y, axis_x, axis_y = _gather(segment, segments.rest_start, segments.rest_step, segments.rest_axis)
    radius /= segments.unit
    x = x + place * move_x + radius * (forward * axis_x - upper * axis_y)
    y = y + place * move_y + radius * (forward * axis_y + upper * axis_x)
    box = (box_left, box_top, wide, tall)
    return Surface(box, pixels, segments.part[segment], x, y, upper, right, down, depth / segments.unit)


def _draw_animal(scene: Scene, animal: Animal, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """The animal's colour times its coverage, float32 (256, 256, 3), and its coverage, float32 (256, 256)."""
    segments = _project(animal)
    surface = _rasterise(segments)
    part = surface.part
    if domain == "zebra":
        color = _zebra_color(part, surface.x, surface.y, surface.upper, segments.unit)
    else:
        coat = COATS[scene.landscape][scene.daytime not in DAYLIGHT]
        color = _horse_color(part, surface.x, surface.y, surface.upper, coat)

    light = DAYTIMES[scene.daytime]
    toward = np.array((scene.sun * 0.8, -light.elevation, 0.75))
    toward = (toward / np.linalg.norm(toward)).astype(np.float32)
    right, down = _soften(surface, segments.unit)
    facing = np.sqrt(np.maximum(1 - right * right - down * down, 0))
    direct = np.maximum(right * toward[0] + down * toward[1] + facing * toward[2], 0)
    open_sky = 0.5 - 0.5 * down
    # Legs of the far side stand in the shade of the body, and so does all that is close under the belly.
    hidden = np.clip((surface.depth + 0.16) / 0.2, 0, 1)
    legs = (part == FRONT_LEG) | (part == HIND_LEG) | (part == HOOF)
    shade = np.where(legs, 0.55 + 0.45 * hidden, 1.0)[:, None].astype(np.float32)
    ambient = np.array(light.ambient, np.float32) * (0.45 + 0.6 * open_sky[:, None])
    color = color * (ambient + np.array(light.sun, np.float32) * 0.75 * direct[:, None]) * shade
    shine = np.square(np.square(np.square(direct))) * np.where(part == EYE, 0.25, 0.05).astype(np.float32)
    color += shine[:, None] * np.array(light.sun, np.float32)

    left, top, wide, tall = surface.box
    opaque = np.full((len(part), 4), 255, np.uint8)
    color *= 255
    np.clip(color, 0, 255, out=color)
    opaque[:, :3] = color
    drawn = np.zeros((tall * wide, 4), np.uint8)
    drawn[surface.pixels] = opaque
    small = _reduce(Image.frombuffer("RGBa", (wide, tall), drawn, "raw", "RGBa", 0, 1))
    whole = np.zeros((SIZE, SIZE, 4), np.float32)
    whole[top // SCALE : (top + tall) // SCALE, left // SCALE : (left + wide) // SCALE] = small
    return whole[..., :3], whole[..., 3]


def _gather(segment: np.ndarray, *tables: np.ndarray) -> list[np.ndarray]:
    """The columns of the tables (one row a segment) at the pixels' segments."""
    return [column.astype(np.float32)[segment] for table in tables for column in table.T]


def _soften(surface: Surface, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """The normals, to the right and down, blurred so that muscles run into each other."""
    _, _, wide, tall = surface.box
    field = np.zeros((tall * wide, 3), np.uint8)
    values = np.full((len(surface.pixels), 3), 255, np.uint8)
    values[:, 0] = surface.right * 127 + 128
    values[:, 1] = surface.down * 127 + 128
    field[surface.pixels] = values
    image = Image.fromarray(field.reshape(tall, wide, 3))
    # A blurred picture needs only a quarter of its pixels.
    small = image.reduce(2).filter(ImageFilter.GaussianBlur(max(0.8, 0.011 * unit)))
    blurred = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR)).reshape(-1, 3)[surface.pixels]
    right, down, weight = (channel.astype(np.float32) for channel in blurred.T)
    scale = (255 / 127) / np.maximum(weight, 1)
    offset = (128 / 255) * weight
    return (right - offset) * scale, (down - offset) * scale


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


def _horse_color(part: np.ndarray, x: np.ndarray, y: np.ndarray, upper: np.ndarray, coat: Coat) -> np.ndarray:
    """Colours of the coat without light, float32 (pixels, 3)."""
    body, hair, legs = (np.array(color, np.float32) for color in (coat.body, coat.hair, coat.legs))
    color = np.broadcast_to(body, (len(part), 3)).copy()
    leg = (part == FRONT_LEG) | (part == HIND_LEG)
    _blend(color, (leg * _ramp(y, 0.46, 0.28))[:, None], legs)
    if coat.socks:
        _blend(color, ((part == HIND_LEG) * _ramp(y, 0.20, 0.17))[:, None], np.array((0.90, 0.88, 0.85), np.float32))
    head = part == HEAD
    _blend(color, (head * _ramp(x, 0.33, 0.41) * 0.75)[:, None], np.array((0.15, 0.12, 0.11), np.float32))
    if coat.blaze:
        face = head * _ramp(upper, 0.55, 0.7) * _ramp(x, 0.08, 0.12)
        _blend(color, face[:, None], np.array((0.93, 0.91, 0.88), np.float32))
    strands = 0.5 * np.sin(x * 83 + 14 * upper) + 0.5 * np.sin(x * 31 + 5 * upper)
    mane = (part == NECK) * _ramp(upper + 0.14 * strands + 0.35 * (x - 0.25), 0.42, 0.56)
    mane = np.maximum(mane, (part == MANE) | (part == TAIL))
    _blend(color, mane[:, None], hair)
    color *= (1 + mane * 0.10 * strands)[:, None]
    color[part == HOOF] = (0.20, 0.17, 0.15)
    color[part == EYE] = (0.05, 0.04, 0.04)
    return color


def _zebra_color(part: np.ndarray, x: np.ndarray, y: np.ndarray, upper: np.ndarray, unit: float) -> np.ndarray:
    """Stripes without light, float32 (pixels, 3)."""
    # The smaller the animal, the wider its stripes: they must be seen at a quarter of the size (3 pixels there).
    period = min(max(3.0 * 4 * SCALE / unit, 0.125), 0.18)
    # The trunk: upright stripes, which fan out over the haunch about a point in the flank until they lie level.
    back, flank, fan = -0.06, 0.47, 0.36
    angle = np.arctan2(np.maximum(back - x, 0), np.maximum(y - flank, 1e-3))
    haunch = back - fan * angle
    trunk = np.where(x > back, x + 0.05 * (y - 0.7), haunch + 0.05 * (y - 0.7))
    below = back - fan * math.pi / 2 - np.maximum(flank - y, 0) * 1.25
    hind = np.where(y > flank, trunk, below)
    front = 0.28 + (0.62 - y) * 1.15 + 0.35 * x * (y > 0.5)
    neck = 0.30 + x * 0.95 + 0.10 * upper * upper
    head = 0.10 + 1.35 * x - 0.05 * upper
    nape = (part == NECK) | (part == MANE)
    way = np.select(
        [part == BODY, part == HIND_LEG, part == FRONT_LEG, nape, part == HEAD, part == TAIL],
        [trunk, hind, front, neck, head, x * 1.1],
        np.float32(0),
    )
    wobble = 0.012 * np.sin(9 * y + 4 * x) + 0.006 * np.sin(31 * y + 13 * x)
    wave = np.sin((way + wobble * (part == BODY)) * (2 * math.pi / period))
    # White prevails under the belly.
    belly = (part == BODY) * _ramp(y, 0.62, 0.50)
    black = np.clip(wave * 2.2 + 0.5 - 2.6 * belly, 0, 1)
    black = np.maximum(black, (part == HEAD) * _ramp(x, 0.32, 0.37))
    black = np.maximum(black, (part == TAIL) * _ramp(x, 0.26, 0.32))
    black = np.maximum(black, (part == EAR) * _ramp(x, 0.07, 0.10))
    black = np.maximum(black, (part == HOOF) | (part == EYE))
    white, dark = np.array((0.96, 0.94, 0.90), np.float32), np.array((0.07, 0.06, 0.06), np.float32)
    return (white + black[:, None] * (dark - white)).astype(np.float32)


# --------------------------------------------------------------------------------------------------------- the files


def write_horse2zebra(folder: Path, train_count: int, test_count: int, seed: int = 0) -> None:
    """Writes a tree like that of horse2zebra: unpaired JPEGs of 256 x 256 in trainA, trainB, testA, testB.

    A is horses, B is zebras. For the test split there are also truthA and truthB, the same scenes in the other domain
    under the same names, and maskA and maskB, PNGs that are 255 on the animal and 0 elsewhere.

    Args:
        folder: existing; files in it of the same names are replaced.
        train_count: pictures in each of trainA and trainB.
        test_count: pictures in each of testA and testB.
        seed: every picture is a function of the seed, its split and its index.
    """
    if train_count < 0 or test_count < 0:
        raise UserError(f"the numbers of pictures must not be negative, not {train_count} and {test_count}.")
    folder = Path(folder)
    for split, code in SPLIT_CODES.items():
        for name in (split,) if code < 2 else (split, f"truth{split[-1]}", f"mask{split[-1]}"):
            (folder / name).mkdir(exist_ok=True)
        count = train_count if code < 2 else test_count
        map_indices(partial(_write_picture, folder, split, seed), count, f"drawing {split}")


def _write_picture(folder: Path, split: str, seed: int, index: int) -> None:
    scene = sample_scene(np.random.default_rng([seed, SPLIT_CODES[split], index]))
    letter = split[-1]
    domain: Domain = "horse" if letter == "A" else "zebra"
    image, mask = render(scene, domain)
    name = f"{index + 1:04d}"
    Image.fromarray(image).save(folder / split / f"{name}.jpg", quality=JPEG_QUALITY)
    if split.startswith("test"):
        truth, _ = render(scene, "zebra" if domain == "horse" else "horse")
        Image.fromarray(truth).save(folder / f"truth{letter}" / f"{name}.jpg", quality=JPEG_QUALITY)
        Image.fromarray(mask).save(folder / f"mask{letter}" / f"{name}.png")
