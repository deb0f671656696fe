"""Three moments of a run on one picture."""

import sys

import pytest
from PIL import Image

from benchmarks import moments


def test_first_quarter_and_last(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "gan" / "one" / "samples"
    folder.mkdir(parents=True)
    colours = {10: "red", 40: "green", 60: "blue", 100: "yellow", 200: "black"}
    for batches, colour in colours.items():
        grid = Image.new("RGB", (100, 700), "white")
        grid.paste("gray", (10, 5, 60, 15))  # a title, then rows of images, of which two have room
        for top in range(30, 700, 130):
            grid.paste(colour, (0, top, 100, top + 120))
        grid.save(folder / f"samples-{batches:07d}.png")
        Image.new("RGB", (100, 700), "white").save(folder / f"samples-real-{batches:07d}.png")  # another grid
    monkeypatch.setattr(moments, "FOLDER", tmp_path / "pages")
    monkeypatch.setattr(sys, "argv", ["moments", str(folder.parent)])
    moments.main()
    made = Image.open(tmp_path / "pages" / "gan.jpg")
    assert made.size == (100, 3 * 280 + 2 * 16), "the title and two rows of each"
    red, gap, middle, black = (made.getpixel((50, top)) for top in (90, 288, 400, 700))
    assert red[0] > 200 > 100 > red[1] and min(gap) > 240 and max(black) < 20
    assert middle[1] > 100 > middle[0] and middle[2] < 50, "40 batches are nearest to a quarter of 200"


def test_grids_without_gaps_stand_side_by_side_and_whole():
    """As the decoded plane of codes is, too small below each other; a title of two lines is no row of images."""
    plane = Image.new("RGB", (900, 954), "white")
    plane.paste("gray", (0, 5, 800, 20))
    plane.paste("gray", (0, 25, 200, 40))
    plane.paste("red", (0, 54, 900, 504))
    plane.paste("blue", (0, 504, 900, 954))
    made = moments.stacked([plane, plane])
    assert made.size == (440 + 16 + 440, 54 + 440)
    assert made.getpixel((100, 30)) == plane.getpixel((100, 30)) == (128, 128, 128)
    for left in (0, 456):
        upper, lower = made.getpixel((left + 200, 60)), made.getpixel((left + 200, 488))
        assert upper[0] > 200 > upper[2] and lower[2] > 200 > lower[0], "from its first row to its last"
    assert made.getpixel((447, 200)) == (255, 255, 255)


def test_without_a_grid_the_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["moments", str(tmp_path), "--grid=plane"])
    with pytest.raises(SystemExit, match="2"):
        moments.main()
    assert "has no grid plane" in capsys.readouterr().err
