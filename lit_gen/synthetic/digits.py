"""Rendered digits in the format of MNIST: smooth pen strokes of random shape, pose, thickness and pressure."""

from functools import partial
from pathlib import Path

import numpy as np

from lit_gen.files.idx import write_idx
from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.drawing import spline_weights

SIDE = 28  # pixels of an image
BOX = 20  # pixels of the square that MNIST fits a digit into
SAMPLE_SPACING = 0.022  # between neighbouring points of a stroke, in digit heights: less than half a pixel

# How people write a digit: the points a pen passes through, "x y" from the top left in percent of the digit's height.
# "/" lifts the pen, and a point given twice is a corner. All ways of a digit are equally likely, so a common one may
# appear more than once.
WAYS = {
    0: (
        "56 2, 32 8, 14 30, 11 58, 24 88, 48 98, 74 88, 89 60, 86 30, 70 8, 50 2, 36 6",
        "66 8, 44 2, 20 18, 10 50, 18 82, 42 98, 70 88, 86 56, 84 24, 64 6, 42 10",
        "74 4, 44 6, 20 30, 14 66, 30 94, 60 94, 82 68, 86 34, 70 12, 50 6, 44 18",
        "54 1, 36 14, 27 40, 29 70, 44 97, 62 90, 73 66, 73 36, 64 10, 50 2",
        "36 8, 16 30, 10 62, 26 92, 54 97, 80 78, 90 46, 76 16, 52 4, 32 10",
        "48 0, 20 10, 4 40, 10 76, 36 98, 70 92, 94 62, 92 28, 70 5, 44 1",
    ),
    1: (
        "50 0, 50 50, 50 100",
        "52 0, 49 35, 51 68, 50 100",
        "54 0, 48 50, 52 100",
        "46 0, 53 50, 48 100",
        "34 20, 44 12, 54 0, 54 0, 53 50, 54 100",
        "28 24, 42 14, 54 0, 54 0, 54 50, 54 100 / 28 100, 54 98, 78 100",
    ),
    2: (
        "22 22, 36 5, 58 2, 74 20, 66 48, 42 76, 20 96, 20 96, 50 95, 82 97",
        "22 22, 42 3, 66 8, 72 32, 54 66, 28 95, 15 88, 26 76, 52 86, 86 95",
        "26 16, 50 2, 70 18, 62 50, 36 88, 18 91, 18 76, 38 77, 60 93, 88 82",
        "14 26, 34 6, 62 4, 76 22, 62 52, 38 76, 16 92, 16 92, 40 86, 64 92, 94 98",
        "24 10, 52 2, 72 14, 70 40, 52 70, 30 90, 24 94, 48 94, 84 86",
        "10 26, 34 6, 66 10, 68 38, 42 68, 6 90, 6 90, 50 86, 98 94",
        "20 16, 50 4, 66 24, 52 62, 26 96, 8 86, 24 70, 56 82, 98 76",
    ),
    3: (
        "24 12, 48 2, 70 14, 66 36, 44 46, 44 46, 70 56, 76 78, 52 97, 22 88",
        "24 5, 50 4, 74 4, 74 4, 58 22, 42 42, 42 42, 70 52, 76 76, 52 97, 22 90",
        "24 14, 50 2, 70 16, 60 40, 40 48, 37 43, 48 44, 72 58, 72 82, 48 98, 20 88",
        "28 8, 56 2, 72 18, 58 40, 38 48, 38 48, 62 52, 74 70, 60 92, 36 98, 18 92",
        "20 18, 42 2, 68 8, 70 28, 50 44, 50 44, 78 58, 78 84, 52 98, 16 82",
        "18 10, 46 3, 78 8, 66 28, 46 44, 46 44, 66 54, 66 76, 42 94, 10 98",
    ),
    4: (
        "28 4, 23 28, 22 50, 22 50, 50 54, 78 49 / 72 3, 70 50, 66 100",
        "62 2, 40 30, 14 64, 14 64, 50 64, 88 62 / 62 2, 62 50, 62 100",
        "26 6, 22 36, 36 52, 60 46, 74 14, 74 6, 68 52, 62 100",
        "66 4, 34 26, 12 54, 12 54, 50 57, 90 50 / 68 3, 66 50, 60 100",
        "32 2, 20 30, 18 58, 18 58, 46 60, 80 55 / 64 28, 62 60, 58 100",
        "20 14, 14 34, 12 56, 12 56, 46 58, 96 52 / 78 2, 72 50, 68 98",
        "42 2, 28 28, 12 58, 12 58, 46 56, 84 54 / 66 20, 58 58, 50 98",
    ),
    5: (
        "30 4, 28 24, 24 46, 24 46, 48 38, 72 50, 74 76, 52 97, 22 90 / 30 4, 54 5, 80 2",
        "78 4, 54 5, 32 6, 32 6, 28 26, 26 44, 26 44, 52 40, 74 56, 70 84, 44 98, 20 88",
        "78 5, 46 7, 31 26, 42 43, 66 56, 70 80, 46 97, 16 90",
        "34 8, 28 30, 30 50, 54 48, 70 64, 62 88, 38 98, 16 86 / 34 8, 60 6, 92 3",
        "84 2, 60 5, 40 8, 40 8, 33 26, 28 42, 28 42, 54 46, 68 64, 58 86, 30 97, 10 94",
        "36 20, 32 36, 34 50, 54 52, 64 68, 54 90, 30 98, 10 88 / 38 18, 64 10, 98 2",
        "66 3, 42 4, 36 12, 34 36, 34 36, 56 42, 66 60, 62 82, 50 98, 34 92",
    ),
    6: (
        "64 2, 40 20, 24 52, 26 82, 48 98, 72 84, 70 62, 50 55, 28 70",
        "50 0, 34 32, 23 70, 34 95, 60 94, 72 75, 58 59, 36 66, 25 82",
        "74 10, 56 2, 32 28, 22 64, 36 94, 64 92, 74 70, 56 54, 28 66",
        "78 2, 44 26, 20 66, 28 93, 56 96, 76 78, 64 64, 40 72, 26 90",
        "36 0, 26 36, 24 74, 42 98, 66 88, 70 66, 52 58, 32 70, 26 78",
        "60 0, 36 28, 20 64, 30 92, 54 98, 82 84, 90 62, 74 54, 54 70, 48 94",
        "44 2, 28 32, 22 70, 34 96, 62 94, 84 70, 78 46, 58 48, 42 68, 40 92",
    ),
    7: (
        "20 8, 48 6, 78 4, 78 4, 62 36, 50 68, 44 100",
        "16 12, 46 9, 80 3, 80 3, 62 36, 46 68, 34 100",
        "20 10, 48 6, 78 5, 78 5, 62 36, 52 68, 46 100 / 36 52, 56 49, 80 48",
        "19 23, 22 6, 22 6, 50 8, 78 5, 78 5, 60 44, 48 100",
        "18 14, 40 5, 70 7, 75 22, 58 56, 46 100",
        "8 9, 40 6, 80 4, 80 4, 68 46, 58 100",
        "18 26, 30 10, 54 12, 80 2, 80 2, 62 42, 50 100",
        "10 6, 42 8, 74 6, 86 14, 72 44, 46 70, 30 98",
    ),
    8: (
        "70 14, 50 2, 28 14, 34 36, 56 50, 74 70, 64 94, 42 98, 24 82, 34 60, 58 42, 72 24, 68 10, 52 3",
        "50 2, 30 14, 34 38, 50 46, 68 36, 70 14, 50 2 / 50 46, 28 60, 26 86, 50 98, 74 86, 72 60, 50 46",
        "84 6, 56 3, 30 14, 34 34, 56 52, 64 76, 48 98, 28 90, 34 66, 58 42, 82 14, 90 2",
        "74 18, 60 2, 36 10, 34 32, 52 48, 62 72, 52 96, 30 94, 26 74, 46 50, 68 30, 74 14",
        "64 40, 72 18, 52 2, 32 16, 40 38, 60 52, 72 76, 52 98, 30 86, 34 62, 56 46, 70 28",
        "66 14, 44 4, 22 16, 30 38, 52 50, 62 72, 50 96, 30 92, 34 66, 56 42, 74 22, 86 8",
        "74 10, 48 2, 28 18, 42 40, 62 54, 64 78, 44 98, 26 84, 40 58, 66 40, 82 22, 68 6",
        "26 8, 34 34, 58 52, 72 78, 50 98, 24 84, 38 58, 62 40, 72 16, 48 2, 26 12",
    ),
    9: (
        "70 14, 50 4, 28 18, 28 42, 50 50, 70 34, 72 12, 72 12, 70 50, 66 100",
        "72 22, 54 2, 28 16, 28 42, 52 48, 70 26, 74 16, 74 50, 62 88, 30 96",
        "68 9, 42 5, 26 26, 40 46, 62 34, 72 8, 68 50, 54 100",
        "74 12, 46 3, 24 26, 38 48, 62 40, 74 14, 66 50, 52 78, 40 100",
        "70 24, 60 4, 34 8, 26 34, 46 46, 66 30, 66 30, 70 60, 68 100",
        "73 10, 48 5, 24 26, 28 46, 50 44, 71 18, 66 50, 58 100",
        "66 16, 52 2, 38 12, 36 32, 52 40, 66 22, 66 22, 62 60, 58 100",
    ),
}


class _Way:
    """One way to write a digit, a text of `WAYS`: its points, and the matrix that draws smooth strokes through them."""

    def __init__(self, text: str) -> None:
        strokes = [np.array([pair.split() for pair in part.split(",")], float) / 100 for part in text.split("/")]
        blocks = [_spline_matrix(stroke) for stroke in strokes]
        self.points = np.concatenate(strokes)
        self.matrix = np.zeros((sum(map(len, blocks)), len(self.points)))
        # Per point of the pen's path: which stroke it belongs to, and how far along that stroke it is in [0, 1].
        self.stroke = np.repeat(np.arange(len(strokes)), list(map(len, blocks)))
        self.along = np.concatenate([np.linspace(0, 1, len(block)) for block in blocks])
        row = column = 0
        for block in blocks:
            self.matrix[row : row + block.shape[0], column : column + block.shape[1]] = block
            row, column = row + block.shape[0], column + block.shape[1]


def _spline_matrix(points: np.ndarray) -> np.ndarray:
    """Return the matrix from P points to samples of the spline through them, equally dense everywhere: (samples, P)."""
    count = len(points)
    blocks = []
    for start in range(count - 1):
        steps = max(2, round(np.linalg.norm(points[start + 1] - points[start]) / SAMPLE_SPACING))
        weights = spline_weights(steps, end=start == count - 2)
        block = np.zeros((len(weights), count))
        for offset, column in enumerate(weights.T, start - 1):
            block[:, min(max(offset, 0), count - 1)] += column
        blocks.append(block)
    return np.concatenate(blocks)


_WAYS = {label: [_Way(text) for text in texts] for label, texts in WAYS.items()}


def render_digit(label: int, rng: np.random.Generator) -> np.ndarray:
    """Return the image of one digit, (28, 28) uint8, light strokes on black; `rng` decides all that varies.

    As in MNIST, the longer side of the digit is 20 pixels; its centre of mass lies at the image's centre, as nearly as
    whole pixels and the image's border allow.
    """
    ways = _WAYS[label]
    way = ways[rng.integers(len(ways))]
    path, _ = _pen_path(way, rng)
    radius, _ = _pen_radius(way, rng)

    # Fit path and pen into the box, as MNIST scales every digit by its longer side.
    low, high = path.min(0), path.max(0)
    size = BOX - 2 * radius.mean()
    path = (path - (low + high) / 2) * (size / (high - low).max()) + BOX / 2
    return _centred(_ink(path, radius, softness=rng.uniform(0.8, 1.4)))


def write_mnist(folder: Path, train_count: int, test_count: int, seed: int = 0) -> None:
    """Write MNIST's four IDX files, uncompressed, with rendered digits, into an existing folder.

    Image and label i of a split are a function of (seed, split, i) alone: a smaller set is the start of a larger one.
    """
    for split, (name, count) in enumerate([("train", train_count), ("t10k", test_count)]):
        digits = map_indices(partial(_labelled_digit, seed, split), count, f"rendering digits ({name})")
        labels = np.array([label for label, _ in digits], np.uint8)
        images = np.array([image for _, image in digits], np.uint8).reshape(count, SIDE, SIDE)
        write_idx(folder / f"{name}-images-idx3-ubyte", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)


def _labelled_digit(seed: int, split: int, index: int) -> tuple[int, np.ndarray]:
    rng = np.random.default_rng([seed, split, index])
    label = int(rng.integers(10))
    return label, render_digit(label, rng)


def digit_factors(index: int, split: int) -> dict[str, float]:
    """Return what image `index` of a split (0 for training, 1 for test) of `write_mnist` was drawn from.

    Returns:
        The `digit`, its `slant` (x per y), its `rotation` in radians, its `width` over its way's own, and the
        `thickness` of the pen, half the width of a stroke in pixels.
    """
    rng = np.random.default_rng([0, split, index])  # with the seed that `write_mnist` has by default
    label = int(rng.integers(10))
    way = _WAYS[label][rng.integers(len(_WAYS[label]))]
    _, pose = _pen_path(way, rng)
    _, thickness = _pen_radius(way, rng)
    return {"digit": label, **pose, "thickness": thickness}


def _pen_path(way: _Way, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """Return the pen's path, (samples, 2) as x and y: the way's points moved at random, joined smoothly, and posed.

    The second value is the pose.
    """
    points = way.points
    # A hand makes parts of a digit larger or smaller: bend both axes.
    points = points ** np.exp(rng.normal(0, 0.13, 2))
    # Move the points by smooth waves, so that points close together (a corner, a crossing) move together.
    waves = 4
    direction = rng.uniform(-5, 5, (waves, 2))
    phase = rng.uniform(0, 2 * np.pi, waves)
    amount = rng.uniform(-0.075, 0.075, (waves, 2))
    points = points + np.sin(points @ direction.T + phase) @ amount
    points = points + rng.normal(0, 0.006, points.shape)

    path = way.matrix @ points
    path += rng.normal(0, 0.015, (way.stroke[-1] + 1, 2))[way.stroke]  # where the pen comes down again
    path -= 0.5
    # Slant (to the right more often than to the left), rotation, and the width in relation to the height.
    slant = np.clip(rng.normal(0.17, 0.25), -0.35, 0.7)
    angle = rng.normal(0, 0.09)
    width = np.exp(rng.normal(0.0, 0.19))
    cosine, sine = np.cos(angle), np.sin(angle)
    x = width * path[:, 0] - slant * path[:, 1]
    y = path[:, 1]
    posed = np.stack([cosine * x - sine * y, sine * x + cosine * y], 1)
    return posed, {"slant": float(slant), "rotation": float(angle), "width": float(width)}


def _pen_radius(way: _Way, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Return half the stroke's width in pixels, (samples,): one pen per digit, its pressure changing on the way.

    The second value is that of the pen.
    """
    pressure = 0.12 * np.sin(way.along * rng.uniform(2, 9) + rng.uniform(0, 2 * np.pi))
    ends = rng.uniform(-0.3, 0.1, 2)  # strokes mostly begin and end thinner
    pressure += ends[0] * np.exp(-way.along / 0.06) + ends[1] * np.exp((way.along - 1) / 0.06)
    pressure += rng.normal(0, 0.05, len(way.along))  # a rough outline
    pen = float(np.clip(np.exp(rng.normal(0.22, 0.28)), 0.8, 2.1))
    return pen * (1 + pressure), pen


def _ink(path: np.ndarray, radius: np.ndarray, softness: float) -> np.ndarray:
    """Return the ink, (20, 20), 0 to 1: from full to none over `softness` pixels, at `radius` from the path."""
    centres = np.arange(BOX, dtype=np.float32) + 0.5
    x, y = path.T.astype(np.float32)
    across = (centres[:, None] - x) ** 2
    down = (centres[:, None] - y) ** 2
    distance = np.sqrt(down[:, None, :] + across[None, :, :])
    depth = (radius.astype(np.float32) - distance).max(2)
    return np.clip(depth / softness + 0.5, 0, 1)


def _centred(ink: np.ndarray) -> np.ndarray:
    """Return the image, (28, 28) uint8: the ink moved by whole pixels until its centre of mass is at the centre."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    places = np.arange(BOX) + 0.5
    total = ink.sum()
    top, left = (min(max(round(SIDE / 2 - float(ink.sum(axis) @ places / total)), 0), SIDE - BOX) for axis in (1, 0))
    image[top : top + BOX, left : left + BOX] = np.rint(ink * 255)
    return image
