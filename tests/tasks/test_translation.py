"""Translation: predictions, grids and held-out errors of a CycleGAN by hand."""

import pytest
import torch

from lit_gen.data.batches import Images, UnpairedImages
from tests.models import tiny
from tests.models.test_cyclegan import by_hand


@pytest.mark.parametrize("direction, scale, shift", [("a_to_b", 2, 0), ("b_to_a", 0.5, 0.1)])
def test_prediction(direction, scale, shift):
    model, batch = by_hand(direction=direction)
    source = batch.image_a if direction == "a_to_b" else batch.image_b
    expected = source * scale + shift
    torch.testing.assert_close(model.predict_step(batch, 0), expected)
    torch.testing.assert_close(model.predict_step(Images(source), 0), expected)


def test_grids():
    """Picture, translation, and back, from left to right; three such rows of 1 triple for 9 pictures."""
    model, batch = by_hand()
    grids = tiny.grids(model, UnpairedImages(*(image[:1].repeat(5, 1, 1, 1) for image in batch)), 9)
    shades = {"a_to_b": [0.2, 0.4, 0.3], "b_to_a": [0.6, 0.4, 0.8]}
    assert set(grids) == set(shades)
    for name, values in shades.items():
        assert grids[name].shape == (1, 3 * 22 + 6, 3 * 18 - 2 + 2 * 6)
        for row in range(3):
            middle = grids[name][0, 14 + 22 * row, [14, 32, 50]]
            assert middle.tolist() == pytest.approx(values, abs=1e-5)


def test_held_out_errors(tmp_path):
    """Both cycles in units of the image, without the weight of their terms."""
    model, batch = by_hand()
    logged = {}
    model.log = lambda name, value, *_, **__: logged.update({name: value.item()})
    model.validation_step(batch, 0)
    assert logged == pytest.approx(
        {
            "val/cycle_a": 0.1, "val/cycle_b": 0.2, "val/d_score_a_real": 0.2, "val/d_score_a_fake": 0.4,
            "val/d_score_b_real": 1.1, "val/d_score_b_fake": 0.9,
        },
        abs=1e-5,
    )  # fmt: skip
