"""The body of an animal: a small 3-D model of chains of balls (trunk, neck, head, legs, tail), joined by cones.

The unit is about the height of the withers; x points forward, y up, z to the animal's right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lit_gen.synthetic.animals.scene import Animal
from lit_gen.synthetic.drawing import spline

BODY, NECK, HEAD, EAR, FRONT_LEG, HIND_LEG, HOOF, TAIL, MANE, EYE = range(10)


@dataclass
class Chain:
    """Balls along a line."""

    part: int  # part of the body, from BODY to EYE
    nodes: np.ndarray  # (balls, 4): x, y, z and radius in the pose
    rest: np.ndarray  # (balls, 2): x, y in the standing pose, where stripes and colours are fixed


TRUNK = np.array([
    # x, y, z, radius
    (-0.455, 0.735, 0, 0.125), (-0.37, 0.755, 0, 0.180), (-0.22, 0.738, 0, 0.190), (-0.04, 0.712, 0, 0.203),
    (0.13, 0.712, 0, 0.212), (0.27, 0.735, 0, 0.205), (0.38, 0.725, 0, 0.165), (0.435, 0.70, 0, 0.115),
])  # fmt: skip
WITHERS = np.array([(-0.02, 0.80, 0, 0.11), (0.17, 0.855, 0, 0.115), (0.30, 0.86, 0, 0.12)])
# Along the neck: distance (1 is its end), height above the straight line, radius.
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


def _chain(
    part: int, line: np.ndarray, z: ArrayLike, radius: ArrayLike, rest_x: ArrayLike, rest_y: ArrayLike = 0.0
) -> Chain:
    """Return a chain along `line`, (balls, 2) as x and y; a number stands for an equal value of all balls."""
    nodes, rest = np.empty((len(line), 4)), np.empty((len(line), 2))
    nodes[:, :2], nodes[:, 2], nodes[:, 3] = line, z, radius
    rest[:, 0], rest[:, 1] = rest_x, rest_y
    return Chain(part, nodes, rest)


def _smooth(points: np.ndarray) -> np.ndarray:
    return spline(points, steps=2, straight_ends=True)


def _bend(points: np.ndarray, joint: int, angle: float) -> None:
    """Turn the points after `joint` about it in place, by `angle` radians (forwards is positive)."""
    offset = points[joint + 1 :, :2] - points[joint, :2]
    cosine, sine = math.cos(angle), math.sin(angle)
    points[joint + 1 :, 0] = points[joint, 0] + cosine * offset[:, 0] - sine * offset[:, 1]
    points[joint + 1 :, 1] = points[joint, 1] + sine * offset[:, 0] + cosine * offset[:, 1]


def _leg(animal: Animal, front: bool, side: int, phase: float) -> list[Chain]:
    """Return a leg and its hoof; `side` is 1 for a right leg, -1 for a left one, `phase` (radians) that of its step."""
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
    points, rest = _smooth(points), _smooth(rest)
    lateral = np.interp(np.arange(len(points)), [0, 6], [0.07, 0.095]) * side
    last, before = points[-1, :2], points[-3, :2]
    hoof = np.stack((last, last + (last - before) * 0.75))
    return [
        _chain(FRONT_LEG if front else HIND_LEG, points[:, :2], lateral, points[:, 2], rest[:, 0], rest[:, 1]),
        _chain(HOOF, hoof, lateral[-1], (0.037, 0.046), hoof[:, 0], hoof[:, 1]),
    ]


def _neck_and_head(animal: Animal) -> list[Chain]:
    low = max(0.0, -animal.neck)
    root = np.array((0.30 + 0.06 * low, 0.80 - 0.10 * low))
    along = np.array((math.cos(animal.neck), math.sin(animal.neck)))
    above = np.array((-along[1], along[0]))
    reach, rise, radius = _smooth(NECK_SHAPE).T[:, :, None]
    reach = NECK_LENGTH * reach
    neck = root + reach * along + (1 - 0.6 * low) * rise * above
    crest = neck + (radius + 0.006) * above
    crest_radius = np.linspace(0.018, 0.048, len(crest))

    poll = neck[-1]
    aim = -0.85 + 0.30 * (animal.neck - 0.8) + animal.nod - 0.15 * low
    forward = np.array((math.cos(aim), math.sin(aim)))
    crown = np.array((-forward[1], forward[0]))

    def at(ahead: Sequence[float], up: Sequence[float]) -> np.ndarray:
        """Return points beside the poll, in the direction of the head."""
        return poll + np.array(ahead)[:, None] * forward + np.array(up)[:, None] * crown

    ahead, up, head_radius = HEAD_SHAPE.T
    chains = [
        _chain(NECK, neck, 0, radius[:, 0], reach[:, 0]),
        _chain(MANE, crest[1:], 0, crest_radius[1:], reach[1:, 0], 0.1),
        _chain(HEAD, at(ahead, up), 0, head_radius, ahead),
        _chain(MANE, at((0.0, 0.10), (0.085, 0.075)), 0, (0.035, 0.018), (0.6, 0.7), 0.1),
    ]
    step = np.array([(0.0,), (0.012,)]) * forward
    for side in (-1, 1):
        ear_side = np.array((0.045, 0.055, 0.055)) * side
        ear = at((0.0, -0.02, -0.01), (0.06, 0.13, 0.19))
        chains.append(_chain(EAR, ear, ear_side, (0.028, 0.030, 0.008), (0.0, 0.06, 0.12)))
        chains.append(_chain(EYE, at((0.135,), (0.035,)) + step, (0.072 * side, 0.070 * side), (0.019, 0.015), 0))
        nostril = at((0.395,), (0.018,)) + step
        chains.append(_chain(EYE, nostril, (0.040 * side, 0.038 * side), (0.013, 0.012), 0))
    return chains


def _tail(animal: Animal) -> Chain:
    swing, back = animal.tail, 0.10 * animal.stride + 0.02
    points = np.array([
        (-0.50, 0.84, 0, 0.040), (-0.555 - back, 0.80, 0.02 * swing, 0.040),
        (-0.585 - 1.5 * back, 0.68, 0.06 * swing, 0.048), (-0.580 - 1.6 * back, 0.54, 0.11 * swing, 0.050),
        (-0.565 - 1.6 * back - 0.04 * abs(swing), 0.42, 0.15 * swing, 0.042),
        (-0.555 - 1.6 * back - 0.08 * abs(swing), 0.33, 0.17 * swing, 0.014),
    ])  # fmt: skip
    points = _smooth(points)
    return _chain(TAIL, points[:, :2], points[:, 2], points[:, 3], np.linspace(0, 0.55, len(points)))


def chains_of(animal: Animal) -> list[Chain]:
    """Return the animal in its pose, its lowest hoof on the ground (y = 0)."""
    trunk = TRUNK.copy()
    trunk[:, 3] *= animal.girth
    chains = [Chain(BODY, trunk, trunk[:, :2]), Chain(BODY, WITHERS, WITHERS[:, :2])]
    chains += [*_neck_and_head(animal), _tail(animal)]
    legs = []
    # The order of the feet in a walk or trot: diagonal legs go nearly together.
    for front, side, shift in ((True, 1, 0.0), (True, -1, math.pi), (False, 1, math.pi + 0.5), (False, -1, 0.5)):
        legs += _leg(animal, front, side, animal.phase + shift)
    drop = min(float((chain.nodes[:, 1] - chain.nodes[:, 3]).min()) for chain in legs)
    chains += legs
    for chain in chains:
        chain.nodes = chain.nodes - np.array((0, drop, 0, 0))
    return chains
