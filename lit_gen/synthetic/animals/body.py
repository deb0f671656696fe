"""The animal as a small 3-D model: chains of balls (body, neck, head, legs, tail) joined by cones."""

import math
from dataclasses import dataclass

import numpy as np

from lit_gen.synthetic.animals.scene import Animal

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


def chains_of(animal: Animal) -> list[Chain]:
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
