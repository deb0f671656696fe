"""AAE's regulariser: codes come to follow a prior that has no density, so that no KL divergence to it exists.

Stated elsewhere: whose gradient each term is, and the match of mean and spread for a Gaussian prior, in
tests/models/test_aae.py; the kernel distance of two Gaussians against its closed form, in
tests/metrics/test_distances.py.
"""

import pytest
import torch
from torch.distributions import MultivariateNormal

from lit_gen.data.batches import DataSpec, LabelledImages
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.metrics.distances import mmd
from lit_gen.models import AAE
from lit_gen.schedules import constant_then_linear

BANDWIDTH = 0.3  # the roll's windings are 1 apart
COUNT = 1000
STEPS, LEARNING_RATE = 2000, 2e-3


def images(count):
    """Images of 4 independent, uniform pixels: they fill more dimensions than the codes have."""
    return LabelledImages(torch.rand(count, 1, 2, 2) * 2 - 1, torch.zeros(count, dtype=torch.int64))


def test_codes_come_to_follow_a_swiss_roll():
    torch.manual_seed(0)
    model = AAE(
        DataSpec(image_shape=[1, 2, 2], num_classes=0, attributes=[]),
        latent_dim=2, prior="swiss_roll", prior_scale=1.0, encoder=network(MLPEncoder, hidden_sizes=[64, 64]),
        discriminator_sizes=[128, 128],
        learning_rate=LEARNING_RATE, discriminator_learning_rate=LEARNING_RATE,
        adversarial_weight=0.3, input_dropout=0.0,
    )  # fmt: skip
    with pytest.raises(NotImplementedError):
        model.prior.log_density(torch.zeros(1, 2))

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
