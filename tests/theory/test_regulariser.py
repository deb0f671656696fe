"""AAE's regulariser: codes come to follow a prior that has no density, so that no KL divergence to it exists.

Stated elsewhere: whose gradient each term is, and the match of mean and spread for a Gaussian prior, in
tests/models/test_aae.py; the kernel distance of two Gaussians against its closed form, in
tests/metrics/test_distances.py.
"""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from lit_gen.data.batches import DataSpec, LabelledImages
from lit_gen.distributions import SwissRoll
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.losses.likelihood import gaussian_kl, gaussian_log_density
from lit_gen.metrics.distances import mmd
from lit_gen.models import AAE
from lit_gen.schedules import constant_then_linear

BANDWIDTH = 0.3  # the roll's windings are 1 apart
COUNT = 1000
STEPS, LEARNING_RATE = 2000, 2e-3


def images(count):
    """Images of 4 independent, uniform pixels: they fill more dimensions than the codes have."""
    return LabelledImages(torch.rand(count, 1, 2, 2) * 2 - 1, torch.zeros(count, dtype=torch.int64))


@pytest.mark.slow
def test_codes_come_to_follow_a_swiss_roll():
    torch.manual_seed(0)
    model = AAE(
        DataSpec(image_shape=[1, 2, 2], num_classes=0, attributes=[]),
        latent_dim=2, prior="swiss_roll", prior_scale=1.0, encoder=network(MLPEncoder, hidden_sizes=[64, 64]),
        discriminator_sizes=[128, 128],
        learning_rate=LEARNING_RATE, discriminator_learning_rate=LEARNING_RATE,
        adversarial_weight=0.3, input_dropout=0.0,
    )  # fmt: skip

    prior, held_out = model.sample_latent(COUNT), images(COUNT).image

    def distance(points):
        return mmd(points, prior, BANDWIDTH)

    before = distance(model.encode(held_out).detach())
    optimizer = model.configure_optimizers()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * constant_then_linear(step / STEPS)
        optimizer.zero_grad()
        sum(model.losses(images(256)).values()).backward()
        optimizer.step()
    after = distance(model.encode(held_out).detach())

    others = [model.sample_latent(COUNT) for _ in range(5)]
    same = sum(map(distance, others)) / 5  # of two samples of the prior: as near as any can be
    # What a regulariser reaches that knows no more than the mean and the covariance.
    normal = MultivariateNormal(others[0].mean(0), torch.cov(others[0].T)).sample((COUNT,))
    assert after < before / 5
    assert after < 3 * same
    assert after < 0.75 * distance(normal)


def test_mean_kl_is_what_codes_tell_and_how_far_all_codes_are_from_the_prior():
    """E_x[KL(q(z|x) || p(z))] = I(x; z) + KL(q(z) || p(z)), where q(z) is the mean of q(z|x) over the images x.

    The VAE's term has both parts, AAE's game the second one only. By the midpoint rule, for three images and one code.
    """
    step = 1e-3
    grid = torch.arange(-20, 20, step, dtype=torch.float64)[:, None]
    mean = torch.tensor([[-2.0], [0.5], [1.5]], dtype=torch.float64)
    log_variance = 2 * torch.tensor([[0.3], [0.8], [0.5]], dtype=torch.float64).log()
    each = torch.stack([gaussian_log_density(grid, *one) for one in zip(mean, log_variance, strict=True)])  # (3, Z)
    every = each.logsumexp(0) - math.log(3)
    prior = Normal(0.0, 1.0).log_prob(grid[:, 0])
    information = (each.exp() * (each - every)).sum(1).mean().item() * step
    mismatch = (every.exp() * (every - prior)).sum().item() * step
    assert 0.1 < information < math.log(3) and mismatch > 0.1, "both parts are to be seen"
    assert gaussian_kl(mean, log_variance).mean().item() == pytest.approx(information + mismatch, abs=1e-6)


def test_a_function_of_a_gaussian_follows_a_swiss_roll():
    """So a Gaussian prior limits no decoder: here one number z becomes a curve in the plane."""
    torch.manual_seed(0)
    place = Normal(0.0, 1.0).cdf(torch.randn(COUNT)).sqrt()  # uniform before the root
    angle = 4 * math.pi * place
    decoded = 2 * place[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    prior, other = (SwissRoll().sample(torch.randint(10, (COUNT,))) for _ in range(2))
    assert mmd(decoded, prior, BANDWIDTH) < 1.5 * mmd(other, prior, BANDWIDTH)
    assert mmd(torch.randn(COUNT, 2), prior, BANDWIDTH) > 3 * mmd(other, prior, BANDWIDTH)
