"""The scene of an image: landscape, light and the animals' poses; all except whether they are horses or zebras.

The coat of a horse follows from the landscape and the light, so that a scene decides its image in both domains.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

SIZE = 256  # pixels of the image's side
SCALE = 2  # factor of the size in which edges are drawn ("the large image") before they are averaged

Domain = Literal["horse", "zebra"]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Animal:
    """Pose and place of one animal."""

    width: float  # width of its bounding box, as a fraction of the image's
    center: float  # place of its bounding box, from 0 (as far left as it fits) to 1 (as far right as it fits)
    feet: float  # place of the ground under it, from the top, as a fraction of the image's height
    yaw: float  # turn about the vertical in radians; 0 faces right, pi faces left
    neck: float  # angle of the neck above the horizontal in radians; grazing is negative
    nod: float  # angle of the head in radians, relative to what goes with the neck
    stride: float  # swing of the legs in radians; 0 stands
    phase: float  # phase of the step in radians
    tail: float  # swing of the tail, -1 to 1
    girth: float  # thickness of the trunk, relative to the usual one
    legs: float  # length of the legs, relative to the usual one


@dataclass(frozen=True)
class Scene:
    """Everything that decides an image, except the domain."""

    landscape: str  # key of LANDSCAPES
    daytime: str  # key of DAYTIMES
    horizon: float  # place of the horizon, from the top, as a fraction of the image's height
    sun: float  # side that the light comes from, -1 (left) to 1 (right)
    fence: bool  # whether a fence runs behind the animals
    details: int  # seed of all that is placed at random: clouds, ridges, trees, grass
    animals: tuple[Animal, ...]  # from the farthest to the nearest


@dataclass(frozen=True)
class Landscape:
    """A kind of country: its colours, and what stands in it."""

    ground_far: Colour  # at the horizon
    ground_near: Colour  # in front
    ridge: Colour  # of mountains
    leaves: Colour
    tree: str  # its shape: round, acacia, conifer, dead
    trees: tuple[int, int]  # least and largest number of trees
    bushes: tuple[int, int]  # the same for bushes
    mountains: float  # probability of mountains
    hills: float  # probability of hills
    treeline: float  # probability of a wood at the horizon
    water: float  # probability of a lake or river
    fence: float  # probability of a fence
    grass: int  # number of blades of grass
    patches: float  # contrast of the ground, 0 to 1


@dataclass(frozen=True)
class Daytime:
    """The light of a time of day."""

    zenith: Colour  # of the sky at the top
    horizon: Colour  # of the sky at the horizon
    cloud: Colour
    sun: Colour  # of the direct light
    ambient: Colour  # of the light in the shade
    elevation: float  # height of the sun; shadows are longer where it is lower
    shadow: float  # darkness of shadows, 0 to 1


@dataclass(frozen=True)
class Coat:
    """The colours of a horse; `socks` are white hind feet, a `blaze` is a white face."""

    body: Colour
    hair: Colour
    legs: Colour
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

# The coat follows from what is seen around the animal: the country, and the light (of the day, or not).
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
    """Return a random scene, with one or two animals; `rng` alone decides it."""
    landscape = str(rng.choice(list(LANDSCAPES)))
    daytime = str(rng.choice(list(DAYTIMES), p=[0.22, 0.3, 0.16, 0.2, 0.12]))
    horizon = rng.uniform(0.28, 0.55)
    first = _sample_animal(rng, rng.uniform(0.48, 0.75), rng.uniform(0.80, 0.93))
    animals = [first]
    if rng.random() < 0.2:
        side = 0.0 if first.center > 0.5 else 1.0
        feet = rng.uniform(max(horizon + 0.16, 0.62), first.feet - 0.04)
        other = _sample_animal(rng, rng.uniform(0.35, 0.46), feet)
        # The two stand at opposite sides, so that they overlap only a little.
        animals = [
            replace(other, center=side),
            replace(first, width=min(first.width, 0.6), center=1.0 - side),
        ]
    elif rng.random() < 0.25:
        feet = rng.uniform(max(horizon + 0.2, 0.66), 0.85)
        animals = [replace(first, width=rng.uniform(0.35, 0.5), feet=feet)]
    return Scene(
        landscape=landscape,
        daytime=daytime,
        horizon=horizon,
        sun=rng.uniform(-1, 1),
        fence=rng.random() < LANDSCAPES[landscape].fence,
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
        center=rng.uniform(0, 1),
        feet=feet,
        yaw=math.pi - turn if left else turn,
        neck=neck,
        nod=rng.uniform(-0.15, 0.15),
        stride=stride,
        phase=rng.uniform(0, 2 * math.pi),
        tail=rng.uniform(-1, 1),
        girth=rng.uniform(0.92, 1.08),
        legs=rng.uniform(0.93, 1.06),
    )
