"""The README's picture."""

import numpy as np
from PIL import Image

from benchmarks import overview
from benchmarks.overview import SIDE, composed, corner, digit, mosaic


def test_only_whole_images_of_a_sample_grid_are_shown(tmp_path):
    """Eight columns of 28 pixels, with gaps of 2: seven fill a panel."""
    grid = Image.new("RGB", (242, 302), "black")
    grid.save(tmp_path / "grid.png")
    assert corner(tmp_path / "grid.png", 28).size == (7 * 30 - 2, 7 * 30 - 2)


def test_panels_with_their_titles():
    panels = {f"panel {number}": Image.new("RGB", (SIDE, SIDE), (number, 0, 0)) for number in range(5)}
    pixels = np.asarray(composed(panels))
    for number in range(5):
        assert (pixels == (number, 0, 0)).all(2).sum() >= SIDE * SIDE
    assert pixels.shape[1] == 4 * SIDE + 3 * overview.GAP
    assert (pixels[:10, :60] < 128).any()  # its title


def test_a_mosaic_of_rendered_images():
    pixels = np.asarray(mosaic([digit(index) for index in range(36)], 32))
    assert pixels.shape == (SIDE, SIDE, 3) and (pixels[:32, :32] > 200).any() and (pixels[:32, 32:34] == 255).all()


def test_every_mosaic_is_there():
    assert all((overview.DOCS / file).is_file() for file, _ in overview.GRIDS.values())
