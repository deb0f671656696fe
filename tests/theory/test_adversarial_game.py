"""The game of G and D, played to its end on eight Gaussians in the plane, by the package's GAN and its training steps.

Stated elsewhere: the games with conditions by hand, in tests/models/test_text2image.py (test_three_pairs_by_hand) and
tests/models/test_stargan.py (test_discriminator_loss_by_hand, test_generator_loss_by_hand); what CycleGAN's critics
see, how often the pool swaps and where the rates end, in tests/models/test_cyclegan.py (test_receptive_field,
test_pool_when_it_is_full, test_rates_are_constant_and_then_fall_to_0).
"""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lit_gen.data.batches import DataSpec, LabelledImages
from lit_gen.losses.adversarial import minimax_discriminator
from lit_gen.models import GAN
from tests.models import tiny

RADIUS, DEVIATION = 0.7, 0.1
ANGLES = torch.arange(8) * math.pi / 4
CENTRES = RADIUS * torch.stack([ANGLES.cos(), ANGLES.sin()], dim=1)  # (8, 2), 0.54 from one to the next
NOTHING_LEFT = -math.log(4)  # the value of the game where G draws from the distribution of the data


def ring(count):
    """(count, 2, 1, 1): points in the plane, as images of one pixel and two channels."""
    points = CENTRES[torch.randint(8, (count,))] + DEVIATION * torch.randn(count, 2)
    return points.view(count, 2, 1, 1)


def value(critic, reals, fakes):
    """E[log D(x)] + E[log(1 - D(G(z)))]."""
    return -sum(minimax_discriminator(critic(reals), critic(fakes)).values())


def value_for_a_new_critic(model):
    """The game's value for a D that has learnt against this very G and nothing else, on points that it has not seen.

    G's own opponent may be weak: this one shows what there still is to tell.
    """
    layers = [nn.Flatten(), nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]
    critic = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(critic.parameters(), 3e-3)
    for _ in range(300):
        optimizer.zero_grad()
        (-value(critic, ring(512), model.generate(512))).backward()
        optimizer.step()
    with torch.no_grad():
        return value(critic, ring(20_000), model.generate(20_000)).item()


def play(folder, **settings):
    """The GAN after 1500 steps, and the value of the game, for a new critic, before them."""
    torch.manual_seed(0)
    model = GAN(
        DataSpec(image_shape=[2, 1, 1], num_classes=0, attributes=[]),
        latent_dim=4, generator_sizes=[64, 64], discriminator_sizes=[128, 128], maxout_pieces=0,
        input_dropout=0.0, hidden_dropout=0.0, learning_rate=1e-3, ema_decay=0.995,
    )  # fmt: skip
    before = value_for_a_new_critic(model)
    batches = [LabelledImages(ring(256), torch.zeros(256, dtype=torch.int64)) for _ in range(1500)]
    trainer = tiny.trainer(folder, limit_val_batches=0, **settings)
    loader = DataLoader(batches, batch_size=None)
    trainer.fit(model, loader, loader)
    return model.eval(), before


def found(fakes):
    """Of fakes (N, 2): the nearest centre of each, whether it is near, and the share of all that each centre has."""
    distance, mode = torch.cdist(fakes, CENTRES).min(1)
    near = distance < 3 * DEVIATION  # 98.9 % of the data
    return mode, near, torch.bincount(mode[near], minlength=8) / len(fakes)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return play(tmp_path_factory.mktemp("ring"))


def test_value_tends_to_minus_log_4(played):
    """Goodfellow et al. (arXiv:1406.2661), theorem 1: G's own opponent can no longer tell, and a new one hardly can."""
    model, before = played
    torch.manual_seed(1)
    with torch.no_grad():
        own = value(model.discriminator, ring(20_000), model.generate(20_000)).item()
    assert before > -0.1, "at the start all fakes can be told"
    assert own == pytest.approx(NOTHING_LEFT, abs=0.06)
    assert NOTHING_LEFT - 0.01 < value_for_a_new_critic(model) < -0.9


def test_no_mode_is_left_out(played):
    """Each of the eight has its eighth of the fakes, within half, and few fakes are anywhere else."""
    model, _ = played
    fakes = model.generate(10_000, torch.Generator().manual_seed(0)).flatten(1)
    mode, near, shares = found(fakes)
    assert near.float().mean() > 0.85
    assert shares.min() > 0.5 / 8 and shares.max() < 1.5 / 8
    # And they are spread about their centre as the data are, and not copies of it.
    inside = [(fakes[near & (mode == index)] - CENTRES[index]).std(0).mean().item() for index in range(8)]
    assert all(0.5 * DEVIATION < deviation < 1.5 * DEVIATION for deviation in inside), inside
