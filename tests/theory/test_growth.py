"""ProGAN's growth as a whole: from the first image to the last, nothing that G or D compute ever jumps.

Stated elsewhere, layer by layer: the ends of each fade and that it is linear between them, in
tests/models/test_progan.py (test_fade_of_the_generator, test_fade_of_the_discriminator,
test_fade_of_the_discriminator_is_linear_in_its_features); the schedule's table in tests/test_schedules.py; the output
variance of equalized layers and the minibatch standard deviation by hand in tests/layers/test_equalized.py
(test_equalized_layers_scale_unit_input_to_the_square_of_the_gain, test_minibatch_stddev_against_numpy).
"""

import pytest
import torch
from torch import nn

from lit_gen.models import ProGAN
from lit_gen.schedules import growth
from tests.models import tiny

STABLE = 5


@torch.no_grad()
def history(fade):
    """What G and D give at each number of images seen, until the last of three stages has been stable for a while: all
    pictures at full size (N, 4, 3, 16, 16), and all of D's scores of real images (N, 4)."""
    model = tiny.build(ProGAN, 3)
    latent, reals = torch.randn(4, 8), tiny.images(4, 3)
    pictures, scores = [], []
    for seen in range(3 * STABLE + 2 * fade + 1):
        model.stage, model.alpha = growth(seen, fade, STABLE, model.last_stage)
        pictures.append(nn.functional.interpolate(model.generator(latent, model.stage, model.alpha), size=16))
        scores.append(model.score(model.reals(reals)).flatten())
    assert (model.stage, model.alpha) == (2, 1.0)
    return torch.stack(pictures), torch.stack(scores)


def steps(values):
    """The largest change from each number of images to the next."""
    return (values[1:] - values[:-1]).flatten(1).abs().amax(1)


@pytest.mark.parametrize("what", ["pictures", "scores"])
def test_a_fade_of_twice_the_length_changes_half_as_much_at_once(what):
    """So there is no jump: not where a fade begins, not where it ends. A jump would not shrink."""
    index = ["pictures", "scores"].index(what)
    short, long = (steps(history(fade)[index]) for fade in (50, 100))
    assert short.max() > 1e-3, "nothing changes, and there is nothing to see"
    assert long.max() < 0.6 * short.max()


def test_nothing_changes_outside_of_the_fades():
    fade = 20
    for values in history(fade):
        changes = steps(values)
        inside = torch.cat([changes[STABLE : STABLE + fade], changes[2 * STABLE + fade : 2 * STABLE + 2 * fade]])
        # From the last image of a stable phase to alpha 0 nothing is to change either, but rounding.
        outside = torch.cat([changes[:STABLE], changes[STABLE + fade : 2 * STABLE + fade], changes[-STABLE:]])
        assert outside.max() < 1e-5 < 1e-3 < inside.max()
