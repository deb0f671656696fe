"""What is in the picture: landscape, light, and the poses of the animals; everything but the domain.

The coat of the horse follows from the landscape and the light: given a scene, both pictures are determined.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

SIZE = 256
SCALE = 2  # edges are drawn at SCALE x SIZE and averaged down
Domain = Literal["horse", "zebra"]
Color = tuple[float, float, float]


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
