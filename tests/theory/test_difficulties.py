"""Why the game is hard in practice, in games so small that all of it can be written down.

Stated elsewhere: the slope of G's two losses at a single fake, in tests/losses/test_adversarial.py
(test_both_generator_losses_push_logits_up_and_only_the_saturating_one_vanishes); the warning of a D that leaves G no
gradient, in tests/callbacks/test_health.py (test_a_discriminator_that_leaves_g_no_gradient_rings).
"""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from lit_gen.losses.adversarial import (
    minimax_discriminator,
    nonsaturating_generator,
    saturating_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)
from lit_gen.training.ema import MovingAverage
from tests.theory.test_divergences import PAIRS, jensen_shannon

# Points in the order of the line, each of them as likely as any other: means over them are integrals.
QUANTILES = Normal(0.0, 1.0).icdf((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)


def distant(distance, generator_loss):
    """Reals are N(0, 1), fakes N(d, 1): the value for the best D, and the slope of G's loss as it moves the fakes."""

    def logits(points):
        return distance**2 / 2 - distance * points  # log p(x) / q(x)

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    fakes = QUANTILES + distance + shift
    value = -sum(minimax_discriminator(logits(QUANTILES), logits(fakes)).values()).item()
    generator_loss(logits(fakes))["g_adversarial"].backward()
    return value, shift.grad.item()


def test_the_saturating_loss_leaves_no_gradient_where_fakes_are_far_away():
    """And it is where G has most to learn. The other loss pulls the harder, the farther they are: with slope d."""
    slopes = [distant(distance, saturating_generator)[1] for distance in (2, 4, 6, 8)]
    assert slopes == sorted(slopes, reverse=True) and slopes[0] > 0.2 and 0 < slopes[-1] < 1e-3
    for distance in (4, 6, 8):
        slope = distant(distance, nonsaturating_generator)[1]
        assert slope == pytest.approx(distance, rel=0.05)


def test_the_divergence_is_flat_where_fakes_are_far_away():
    """2 JSD - log 4 is 0 at most: from a distance of 6 to one of 8 nearly nothing is left to rise."""
    values = [distant(distance, saturating_generator)[0] for distance in (0, 2, 4, 6, 8)]
    assert values[0] == pytest.approx(-math.log(4))
    assert values == sorted(values) and -0.02 < values[3] < values[4] < 0


@pytest.mark.parametrize("loss", [nonsaturating_generator, saturating_generator])
def test_the_best_answer_to_a_discriminator_that_stands_still_is_a_single_mode(loss):
    """E_q[loss of x] is linear in q, so that its least is where all of q is at one x: there D is the most deceived."""
    p = torch.tensor(PAIRS["overlapping"][0], dtype=torch.float64) / 36
    q = torch.full((9,), 1 / 9, dtype=torch.float64)
    best = (p / q).log().clamp(min=-20)  # the logits of D* for the G that draws from q
    price = torch.stack([loss(logit)["g_adversarial"] for logit in best])
    shares = q.log().requires_grad_()
    optimizer = torch.optim.Adam([shares], 0.1)
    for _ in range(500):
        optimizer.zero_grad()
        (shares.softmax(0) @ price).backward()
        optimizer.step()
    answer = shares.detach().softmax(0)
    assert answer.max() > 0.99 and answer.argmax() == p.argmax()
    assert jensen_shannon(p, answer) > 5 * jensen_shannon(p, q), "it was better before"


RATE, STEPS = 0.1, 1000


def circle(discriminator_loss, generator_loss, alternating):
    """Places (steps + 1, 2) of D and G: reals are at 0, fakes at g, and D(x) = d x; the game's only rest is at (0, 0).

    Last, the EMA of G. Mescheder et al., "Which Training Methods for GANs do actually Converge?" (arXiv:1801.04406).
    """
    d, g = torch.tensor(1.0, dtype=torch.float64), nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(g.weight)
    d.requires_grad_()
    ema = MovingAverage(g, 0.995)
    places = [(1.0, 1.0)]
    for _ in range(STEPS):
        fake = g.weight.squeeze()
        (down,) = torch.autograd.grad(sum(discriminator_loss(0 * d, d * fake.detach()).values()), d)
        before = d.detach().clone()
        with torch.no_grad():
            d -= RATE * down
        opponent = d.detach() if alternating else before
        (down,) = torch.autograd.grad(generator_loss(opponent * fake)["g_adversarial"], g.weight)
        with torch.no_grad():
            g.weight -= RATE * down
        ema.update_parameters(g)
        places.append((d.item(), g.weight.item()))
    return torch.tensor(places, dtype=torch.float64), ema.module.weight.item()


def test_simultaneous_steps_spiral_outwards():
    """By the factor sqrt(1 + rate^2) in each step, however small the rate is."""
    places, _ = circle(wasserstein_discriminator, wasserstein_generator, alternating=False)
    radius = places.norm(dim=1)
    torch.testing.assert_close(radius[1:] / radius[:-1], torch.full((STEPS,), math.sqrt(1 + RATE**2)).double())


def test_alternating_steps_run_round_the_solution_for_ever():
    """d^2 + g^2 - rate d g stays what it was: an ellipse. D steps first, as everywhere in this project."""
    places, average = circle(wasserstein_discriminator, wasserstein_generator, alternating=True)
    d, g = places.T
    ellipse = d**2 + g**2 - RATE * d * g
    torch.testing.assert_close(ellipse, torch.full_like(ellipse, 2 - RATE))
    turns = ((g[1:] > 0) & (g[:-1] <= 0)).sum().item()
    assert turns == pytest.approx(STEPS * RATE / (2 * math.pi), abs=1.5)
    assert abs(average) < 0.1, "the EMA of G is where G itself never rests"


def test_the_minimax_game_runs_round_the_solution_too():
    """The rate times d sigmoid(d g) for G and g sigmoid(d g) for D: at a right angle to the way there."""
    places, average = circle(minimax_discriminator, saturating_generator, alternating=True)
    assert places.norm(dim=1).tolist() == pytest.approx([math.sqrt(2)] * (STEPS + 1), rel=0.05)
    assert abs(average) < 0.15


def test_the_nonsaturating_game_comes_to_rest_ever_more_slowly():
    """From r = sqrt(2), r^2 falls as 8 / (rate steps + 4): by dr/dt = -d g tanh(d g / 2) / r, to third order, and with
    the mean of (d g)^2 over a turn, r^4 / 8. So half the distance takes four times the steps."""
    radius = circle(minimax_discriminator, nonsaturating_generator, alternating=True)[0].norm(dim=1)
    for steps in (500, 1000):
        assert radius[steps].item() == pytest.approx(math.sqrt(8 / (RATE * steps + 4)), rel=0.05)
