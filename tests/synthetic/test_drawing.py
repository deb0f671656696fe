"""The tools that all renderers share, and what they drew when `VERSION` was last raised."""

import numpy as np
import pytest

from lit_gen.synthetic import VERSION
from lit_gen.synthetic.animals.render import render
from lit_gen.synthetic.animals.scene import sample_scene
from lit_gen.synthetic.digits import render_digit
from lit_gen.synthetic.drawing import closed_spline, lay_over, noise_tile, spline
from lit_gen.synthetic.faces.canvas import HEIGHT, WIDTH, Canvas, polygon, soft_blob, stroke
from lit_gen.synthetic.faces.render import draw_scene
from lit_gen.synthetic.faces.scene import sample_scene as sample_face

POINTS = np.array([(0.0, 0), (1, 2), (3, 3), (4, 0), (6, 1)])


def hermite(points: np.ndarray, index: int, t: float) -> np.ndarray:
    """Between two inner points: the cubic whose slope at each is half the way from its left to its right neighbour."""
    start, end = points[index], points[index + 1]
    slopes = [(points[i + 1] - points[i - 1]) / 2 for i in (index, index + 1)]
    return (
        (2 * t**3 - 3 * t**2 + 1) * start
        + (t**3 - 2 * t**2 + t) * slopes[0]
        + (3 * t**2 - 2 * t**3) * end
        + (t**3 - t**2) * slopes[1]
    )


@pytest.mark.parametrize("straight_ends", [False, True])
def test_a_spline_is_smooth_and_meets_its_points(straight_ends):
    curve = spline(POINTS, steps=5, straight_ends=straight_ends)
    assert len(curve) == 4 * 5 + 1
    np.testing.assert_allclose(curve[::5], POINTS, atol=1e-12)
    for index in (1, 2):
        for step in range(5):
            np.testing.assert_allclose(curve[5 * index + step], hermite(POINTS, index, step / 5), atol=1e-12)


def test_ends_of_a_spline():
    line = np.array([(0.0,), (1,), (2,)])
    np.testing.assert_allclose(spline(line, steps=4, straight_ends=True)[:, 0], np.arange(9) / 4, atol=1e-12)
    assert (spline(line, steps=4)[1:4, 0] < np.array((0.25, 0.5, 0.75)) - 0.01).all()


def test_a_closed_spline_goes_round():
    curve = closed_spline(POINTS, steps=3)
    np.testing.assert_allclose(np.roll(curve, -3, axis=0), closed_spline(np.roll(POINTS, -1, axis=0), steps=3))
    np.testing.assert_allclose(curve[::3], POINTS, atol=1e-12)


def test_the_noise_of_landscapes_has_no_seam():
    for tile in (noise_tile(), noise_tile().T):
        steps = np.abs(np.diff(tile, axis=0, append=tile[:1])).mean(1)
        assert steps[-1] <= steps[:-1].max() < 0.3  # unrelated rows: 1.1


def test_what_lies_beside_the_canvas_is_not_painted():
    canvas = Canvas(np.full((3, HEIGHT, WIDTH), 100, np.float32))
    for far in ((-300, 50), (50, -300), (900, 50), (50, 900)):
        square = np.array(((0, 0), (9, 0), (9, 9), (0, 9))) + far
        for patch in (polygon(square, blur=1), stroke(square, 2), soft_blob(square[0], 3, 3)):
            canvas.paint(patch, (255, 0, 0))
            canvas.shade(patch, 0.5)
    assert (canvas.pixels == 100).all()
    canvas.paint(polygon(np.array(((-5, -5), (4, -5), (4, 4), (-5, 4)))), (255, 0, 0))
    assert canvas.pixels[:, 1, 1].tolist() == [255, 0, 0] and (canvas.pixels[:, 8:, 8:] == 100).all()


def test_a_layer_covers_as_much_as_it_says():
    image, coverage = np.ones((4, 4, 3), np.float32), np.zeros((4, 4), np.float32)
    coverage[1, 2] = 0.25
    lay_over(image, coverage[..., None] * np.array((0, 1, 0), np.float32), coverage)
    assert image[1, 2].tolist() == [0.75, 1, 0.75] and (np.delete(image.reshape(16, 3), 6, 0) == 1).all()


def blocks(image: np.ndarray) -> list[list[float]]:
    """Mean brightness in a grid of 3 x 3."""
    grey = image.reshape(*image.shape[:2], -1).mean(2)
    return [[part.mean() for part in np.array_split(row, 3, axis=1)] for row in np.array_split(grey, 3, axis=0)]


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda rng: render_digit(3, rng), [[3, 48, 15], [0, 84, 15], [41, 26, 0]]),
        (lambda rng: draw_scene(sample_face(rng)).image, [[148, 173, 197], [151, 172, 211], [174, 179, 220]]),
        (lambda rng: render(sample_scene(rng), "horse")[0], [[145, 156, 153], [105, 123, 108], [106, 107, 105]]),
        (lambda rng: render(sample_scene(rng), "zebra")[0], [[145, 156, 153], [98, 117, 108], [93, 107, 105]]),
    ],
)
def test_a_renderer_that_draws_otherwise_needs_another_version(draw, expected):
    """Users keep rendered folders, whose names hold the version: raise it, and write the new numbers here."""
    np.testing.assert_allclose(blocks(draw(np.random.default_rng(0))), expected, atol=1)
    assert VERSION == 1
