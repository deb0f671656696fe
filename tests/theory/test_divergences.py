"""What the games measure: the divergence that each discriminator's loss becomes once D is at its best.

Stated elsewhere: the KL divergence of diagonal Gaussians against an integral and against torch, and the best D at a
single point, in tests/losses (test_gaussian_kl_against_an_integral, test_gaussian_kl_against_torch,
test_the_best_discriminator_is_the_density_ratio); the gradient penalty of a linear critic, (|w| - 1)^2, for each image
by itself, there too (test_penalty_of_a_linear_critic, test_penalty_does_not_mix_images).
"""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, kl_divergence

from lit_gen.data.batches import DataSpec, LabelledImages
from lit_gen.losses.adversarial import (
    gradient_penalty,
    minimax_discriminator,
    wasserstein_discriminator,
    wasserstein_generator,
)
from lit_gen.models import GAN

# How often each of nine symbols occurs among 36 reals and 36 fakes.
PAIRS = {
    "overlapping": ([1, 2, 3, 4, 5, 6, 7, 8, 0], [8, 0, 6, 5, 4, 3, 2, 1, 7]),
    "equal": ([4] * 9, [4] * 9),
    "disjoint": ([9, 9, 9, 9, 0, 0, 0, 0, 0], [0, 0, 0, 0, 12, 6, 6, 6, 6]),
}


def jensen_shannon(p, q):
    """In nats, by torch.distributions."""
    middle = Categorical((p + q) / 2)
    return ((kl_divergence(Categorical(p), middle) + kl_divergence(Categorical(q), middle)) / 2).item()


def symbols(counts):
    """An image of 3x3 pixels for each occurrence, with the symbol's pixel lit."""
    lit = torch.eye(9).repeat_interleave(torch.tensor(counts), dim=0)
    return (2 * lit - 1).view(-1, 1, 3, 3)


def trained(name):
    """p and q in float64, the logits of a trained D for each symbol, and the value of the game there."""
    real_counts, fake_counts = PAIRS[name]
    torch.manual_seed(0)
    model = GAN(
        DataSpec(image_shape=[1, 3, 3], num_classes=0, attributes=[]),
        latent_dim=1, generator_sizes=[], discriminator_sizes=[32], maxout_pieces=0,
        input_dropout=0.0, hidden_dropout=0.0, learning_rate=0.03,
    )  # fmt: skip
    reals, fakes = symbols(real_counts), symbols(fake_counts)
    batch = LabelledImages(reals, torch.zeros(len(reals), dtype=torch.int64))
    optimizer = model.configure_optimizers()[0]
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / 600)  # so that it comes to rest
        loss = sum(model.discriminator_loss(batch, fakes).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    p, q = (torch.tensor(counts, dtype=torch.float64) / 36 for counts in (real_counts, fake_counts))
    return p, q, model.discriminator(symbols([1] * 9)).detach().double().flatten(), -loss.item()


@pytest.fixture(scope="module", params=PAIRS)
def game(request):
    return trained(request.param)


def test_trained_discriminator_is_the_share_of_the_reals(game):
    """p / (p + q): Goodfellow et al. (arXiv:1406.2661), proposition 1."""
    p, q, logits, _ = game
    occurring = p + q > 0
    expected = (p / (p + q))[occurring]
    torch.testing.assert_close(logits[occurring].sigmoid(), expected, rtol=0, atol=0.01)


def test_value_of_the_game_is_the_jensen_shannon_divergence(game):
    """2 JSD(p, q) - log 4, from -log 4 where p = q to 0 where they have nothing in common: theorem 1."""
    p, q, _, value = game
    assert value == pytest.approx(2 * jensen_shannon(p, q) - math.log(4), abs=0.005)


def test_no_discriminator_passes_the_divergence(game):
    p, q, best, value = game
    generator = torch.Generator().manual_seed(0)
    counts = (p * 36).long(), (q * 36).long()
    for size in (0.1, 1.0, 10.0):
        others = best.clamp(-3, 3) + size * torch.randn(50, 9, generator=generator, dtype=torch.float64)
        for logits in others:
            terms = minimax_discriminator(*(logits.repeat_interleave(count) for count in counts))
            assert -sum(terms.values()).item() <= 2 * jensen_shannon(p, q) - math.log(4) + 1e-9


@pytest.mark.parametrize("distance, weight", [(0.5, 10.0), (3.0, 10.0), (3.0, 1.0)])
def test_penalized_linear_critic_measures_the_shift(distance, weight):
    """Reals are the fakes moved by d, their Wasserstein distance. A linear critic seeks the most of
    w d - l (|w| - 1)^2, which is at |w| = 1 + d / 2l and is d + d^2 / 4l: d itself as the penalty's weight l grows."""
    torch.manual_seed(0)
    fakes = torch.randn(16, 2, 2, 2)
    shift = torch.randn(2, 2, 2)
    shift *= distance / shift.norm()
    critic = nn.Sequential(nn.Flatten(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(critic.parameters(), 0.5 / weight)
    for _ in range(1000):
        terms = wasserstein_discriminator(critic(fakes + shift), critic(fakes))
        game = -sum(terms.values()).item()
        terms |= gradient_penalty(critic, fakes + shift, fakes, weight)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    slope = 1 + distance / (2 * weight)
    torch.testing.assert_close(critic[1].weight.detach()[0], slope * shift.flatten() / distance, rtol=0, atol=1e-3)
    assert game == pytest.approx(slope * distance, rel=1e-3)
    assert -sum(terms.values()).item() == pytest.approx(distance + distance**2 / (4 * weight), rel=1e-3)
    # A step of G against the critic moves each fake towards the reals.
    moving = fakes.clone().requires_grad_()
    wasserstein_generator(critic(moving))["g_adversarial"].backward()
    direction = -moving.grad.flatten(1)
    assert torch.cosine_similarity(direction, shift.flatten()[None]).min() > 0.999
