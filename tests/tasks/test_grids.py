"""Sample grids as pictures: enlarged, titled, with heads above columns and sentences above rows."""

import pytest
import torch

from lit_gen.callbacks.sample_grids import save_picture
from lit_gen.tasks.grids import Grid, as_grid, grid, lettering, side_by_side, stack
from tests.models import tiny


def dark(picture):
    return (picture < 0).any(0)


@pytest.mark.parametrize("channels", [1, 3])
def test_lettering(channels):
    one, several = lettering("a man", 300, channels), lettering("a woman with long wavy hair " * 6, 300, channels)
    assert one.shape[0] == channels and one.shape[2] == several.shape[2] == 300
    assert several.shape[1] > 2 * one.shape[1]
    for picture in (one, several):
        assert picture.max() == 1 and picture.min() < -0.5, "black on white"
        assert (picture[:, :, -2:] == 1).all(), "the text does not run out of the picture"
    assert not torch.equal(one, lettering("a boy", 300, channels))
    assert (lettering("", 300, channels) == 1).all()


@pytest.mark.parametrize("size", [10, 14, 18, 20])
def test_words_have_gaps_between_them(size):
    """Wider ones than any two letters: `not smiling` was read as one word."""

    def gaps(text):
        columns = dark(lettering(text, 400, 1, size)).any(0).nonzero().flatten()
        return sorted((columns[1:] - columns[:-1] - 1).tolist())

    letters, words = gaps("notsmiling"), gaps("not smiling")
    assert words[-1] >= letters[-1] + 2 and words[-1] >= 0.4 * size - 1


def test_accents_which_the_font_lacks_are_left_out():
    for text in ("L\u00e4chelnd \u00e9t\u00e9", "La\u0308chelnd e\u0301te\u0301"):
        assert torch.equal(lettering(text, 200, 1), lettering("Lachelnd ete", 200, 1))
        picture = torch.zeros(1, 8, 8)
        assert torch.equal(Grid(picture, "", [text]).drawn(), Grid(picture, "", ["Lachelnd ete"]).drawn())


def test_stack():
    stacked = stack([torch.zeros(1, 2, 3), -torch.ones(1, 1, 5)])
    assert stacked[0].tolist() == [[0, 0, 0, 1, 1]] * 2 + [[-1] * 5]


@pytest.mark.parametrize(
    ("images", "columns", "factor"),
    [(16, 4, 11), (64, 8, 6), (1, 1, 48), (40, 1, 2), (1000, 25, 2), (4000, 2, 1)],
)
def test_pictures_are_large_by_a_whole_factor(images, columns, factor):
    """768 pixels wide or more, unless they became higher than 2,048."""
    raw = grid(torch.rand(images, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1, columns)
    shown = Grid(raw, "samples").drawn()
    assert shown.shape[2] == max(512, raw.shape[2] * factor) and shown.shape[1] > raw.shape[1] * factor
    assert shown.shape[2] >= 768 or raw.shape[1] * (factor + 1) > 2048
    below = shown[:, -raw.shape[1] * factor :, : raw.shape[2] * factor]
    assert all(torch.equal(below[:, row::factor, column::factor], raw) for row, column in ((0, 0), (factor - 1, 0)))


def test_heads_have_room_above_many_rows():
    """Of sixty-four rows of seven images."""
    for heads, width in (((), 126), (["generated"] * 7, 5 * 126)):
        assert Grid(torch.zeros(1, 64 * 18, 7 * 18), "", heads).drawn().shape[-1] == max(512, width)


def test_heads_stand_above_their_columns():
    raw = grid(torch.ones(4, 1, 16, 16), 4)
    without, shown = Grid(raw, "title").drawn(), Grid(raw, "title", ("one", "", "", "Wavy_Hair_and_more")).drawn()
    height = shown.shape[1] - without.shape[1]
    top = without.shape[1] - raw.shape[1] * (shown.shape[2] // raw.shape[2])
    columns = dark(shown[:, top : top + height]).any(0).nonzero().flatten() / shown.shape[2]
    assert columns[columns < 0.5].mean() == pytest.approx(0.125, abs=0.02) and columns[columns < 0.5].max() < 0.25
    assert columns[columns > 0.5].min() > 0.75 and columns.max() < 1


@pytest.mark.parametrize(("each", "cells", "gap"), [(2, 4, 6), (3, 2, 6), (7, 2, 6), (5, 1, 0)])
def test_heads_stand_above_the_middles_of_columns_in_cells(each, cells, gap):
    """Each head is a bar, which is as wide left of its middle as right of it."""
    raw = grid(side_by_side([torch.zeros(cells, 1, 16, 16) for _ in range(each)]), cells, gap)
    lefts = [gap + cell * (each * 18 - 2 + gap) + column * 18 for cell in range(cells) for column in range(each)]
    assert (raw[0, gap, lefts] == 0).all() and (raw[0, gap, [left + 15 for left in lefts]] == 0).all()
    for number, left in enumerate(lefts):
        heads = ["|" if head == number else "" for head in range(len(lefts))]
        shown = Grid(raw, "t", heads, (), cells, gap).drawn()
        factor = max(1, -(-768 // raw.shape[2]))
        above = shown[:, : shown.shape[1] - raw.shape[1] * factor]
        ink = dark(above[:, above.shape[1] // 2 + 4 :]).any(0).nonzero().flatten().float()
        assert ink.mean() / factor == pytest.approx(left + 7.5, abs=1.5)


def test_lines_stand_above_their_rows():
    rows = torch.cat([grid(torch.full((4, 1, 16, 16), shade), 4) for shade in (-1.0, -0.5)], 1)
    shown = Grid(rows, "title", (), ("first", "second")).drawn()[0]
    factor = shown.shape[1] // rows.shape[2]
    height = lettering("first", 10**4, 1).shape[1]
    middle = shown[:, 10 * factor]
    assert (middle[-20 * factor :] == -0.5).sum() == 16 * factor and (middle == -1).sum() == 16 * factor
    between = shown[-20 * factor - height : -20 * factor]
    assert torch.equal(between, lettering("second", shown.shape[1], 1)[0])


def test_a_picture_of_a_task_of_ones_own_needs_no_title():
    picture = torch.zeros(3, 16, 16)
    assert as_grid(picture, "my_samples") == Grid(picture, "my samples")
    assert as_grid(Grid(picture, "mine"), "other").title == "mine"


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_every_grid_has_a_title_and_fits_its_heads(model_class, tmp_path):
    model = tiny.build(model_class, channels=3)
    made = model.task.sample_grids(model, tiny.batch(8, 3, kind=tiny.kind_for(model_class)), 8)
    for name, one in made.items():
        shown = one.drawn()
        assert one.title and shown.shape[0] == 3 and shown.shape[2] >= 512, name
        save_picture(shown, tmp_path / f"{name}.png")
