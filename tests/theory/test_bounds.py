"""Bounds, where the bounded quantity is known: the evidence of linear-Gaussian models, the information of channels.

Stated elsewhere, by sampling and on models that are not linear: tests/losses/test_likelihood.py
(test_bound_rises_with_the_number_of_samples_and_never_passes_log_p) and tests/models/test_vae.py
(test_bounds_against_the_integral); the entropy as the bound's ceiling for a code that is read without error, and the
bound of a continuous code, in tests/models/test_infogan.py (test_information_of_a_categorical_code_is_between_nothing_
and_its_entropy, test_information_of_a_continuous_code_is_that_of_a_gaussian_channel). Here nothing is sampled.
"""

import itertools
import math

import numpy
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from lit_gen.data.batches import DataSpec, LabelledImages
from lit_gen.distributions import CategoricalCode
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.losses.likelihood import gaussian_kl, importance_weighted_bound
from lit_gen.models import VAE

DEVIATION = 0.6


def linear_vae(latent_dim, **settings):
    """z ~ N(0, I), x ~ N(Wz + b, 0.36 I) for images of 4 pixels, and a q(z|x) that is linear in x: no hidden layers."""
    torch.manual_seed(0)
    spec = DataSpec(image_shape=[1, 2, 2], num_classes=0, attributes=[])
    return VAE(
        spec,
        latent_dim,
        likelihood="gaussian",
        pixel_deviation=DEVIATION,
        encoder=network(MLPEncoder, hidden_sizes=[]),
        **settings,
    )


def weights(model):
    """W (4, Z) and b (4,) in float64."""
    layer = model.decoder[0]
    return layer.weight.detach().double(), layer.bias.detach().double()


def evidence(model, image):
    """log N(x; b, WW' + s^2 I), one value an image."""
    weight, bias = weights(model)
    covariance = weight @ weight.T + DEVIATION**2 * torch.eye(4, dtype=torch.float64)
    return MultivariateNormal(bias, covariance).log_prob(image.flatten(1).double())


def true_posterior(model, image):
    """p(z|x) = N((I + W'W / s^2)^-1 W'(x - b) / s^2, (I + W'W / s^2)^-1), by completing the square."""
    weight, bias = weights(model)
    covariance = torch.linalg.inv(torch.eye(weight.shape[1]).double() + weight.T @ weight / DEVIATION**2)
    mean = (image.flatten(1).double() - bias) @ weight @ covariance / DEVIATION**2
    return MultivariateNormal(mean, covariance)


@torch.no_grad()
def exact_elbo(model, image):
    """E_q[log p(x|z)] - KL(q || p(z)), one value an image. The expectation of a square function under a Gaussian is its
    mean over the points mean +- sqrt(Z) deviation, one pair an axis."""
    mean, log_variance = model.encode(image)
    size = mean.shape[1]
    steps = math.sqrt(size) * torch.cat([torch.eye(size), -torch.eye(size)])[:, None]  # (2Z, 1, Z)
    points = mean + steps * (log_variance / 2).exp()
    return (model.log_likelihood(image, points).mean(0) - gaussian_kl(mean, log_variance)).double()


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_evidence_is_the_bound_and_the_divergence_from_the_posterior(latent_dim):
    model = linear_vae(latent_dim)
    image = torch.rand(20, 1, 2, 2) * 2 - 1
    mean, log_variance = (head.detach().double() for head in model.encode(image))
    given = MultivariateNormal(mean, torch.diag_embed(log_variance.exp()))
    gap = kl_divergence(given, true_posterior(model, image))
    assert gap.min() > 0.01, "q is to be a bad one, or there is nothing to see"
    torch.testing.assert_close(exact_elbo(model, image) + gap, evidence(model, image), rtol=0, atol=1e-4)


def weighted_bounds(model, image, counts=(1, 2, 3), nodes=40):
    """E[log of the mean of K weights], averaged over the images, for each K: by Gauss-Hermite quadrature, so exact."""
    places, shares = numpy.polynomial.hermite_e.hermegauss(nodes)
    places, shares = torch.from_numpy(places), torch.from_numpy(shares / shares.sum())

    def at_nodes(mean, log_variance, samples):
        assert samples == nodes
        return mean + (log_variance / 2).exp() * places.float()[:, None, None]

    model.sample_posterior = at_nodes
    with torch.no_grad():
        log_weights = model.log_weights(image, nodes).double()  # (nodes, B)
    values = []
    for count in counts:
        chosen = torch.tensor(list(itertools.product(range(nodes), repeat=count))).T  # (K, nodes^K)
        bound = importance_weighted_bound(log_weights[chosen].flatten(1)).view(-1, len(image))  # (nodes^K, B)
        values.append((shares[chosen].prod(0) @ bound).mean().item())
    return values


def test_importance_weighted_bounds_rise_towards_the_evidence():
    """ELBO = L_1 < L_2 < L_3 < log p(x): Burda et al. (arXiv:1509.00519), theorem 1."""
    model = linear_vae(1)
    image = torch.rand(6, 1, 2, 2) * 2 - 1
    exact = evidence(model, image).mean().item()
    first, second, third = weighted_bounds(model, image)
    assert first == pytest.approx(exact_elbo(model, image).mean().item(), abs=1e-4)
    gaps = [exact - bound for bound in (first, second, third)]
    assert gaps[0] > gaps[1] * 1.2 > gaps[2] * 1.2**2 > 0.01


def test_all_bounds_are_the_evidence_once_q_is_the_posterior():
    """All weights are p(x) then, and neither more samples nor luck change anything."""
    model = linear_vae(1)
    image = torch.rand(6, 1, 2, 2) * 2 - 1
    weight, bias = weights(model)
    variance = 1 / (1 + weight.square().sum() / DEVIATION**2)
    with torch.no_grad():
        head = model.encoder[-1]  # of the mean, and of the log-variance
        head.weight.copy_(torch.cat([variance * weight.T / DEVIATION**2, torch.zeros(1, 4)]))
        head.bias.copy_(torch.stack([-variance * (weight.T @ bias)[0] / DEVIATION**2, variance.log()]))
    exact = evidence(model, image)
    torch.testing.assert_close(exact_elbo(model, image), exact, rtol=0, atol=1e-4)
    assert weighted_bounds(model, image) == pytest.approx([exact.mean().item()] * 3, abs=1e-4)


def test_training_finds_the_maximum_of_the_evidence():
    """Of a linear VAE it is known: probabilistic principal components (Tipping & Bishop 1999), with the variances
    l of the data along its axes kept if they are among the Z largest and above s^2, and replaced by s^2 if not."""
    model = linear_vae(2, learning_rate=0.02)
    torch.manual_seed(1)
    axes = torch.linalg.qr(torch.randn(4, 4)).Q
    points = torch.randn(256, 4) * torch.tensor([1.5, 1.0, 0.5, 0.3]) @ axes.T + 0.3
    image = points.view(-1, 1, 2, 2)
    variances, axes = torch.linalg.eigh(torch.cov(points.T.double(), correction=0))  # rising
    kept = torch.where(torch.arange(4) >= 2, variances, torch.tensor(DEVIATION**2, dtype=torch.float64))
    best = MultivariateNormal(points.double().mean(0), axes @ torch.diag(kept) @ axes.T)
    maximum = best.log_prob(points.double()).mean().item()

    before = evidence(model, image).mean().item()
    batch = LabelledImages(image, torch.zeros(256, dtype=torch.int64))
    optimizer = model.configure_optimizers()
    for step in range(1000):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 1000)
        optimizer.zero_grad()
        sum(model.losses(batch).values()).backward()
        optimizer.step()
    reached = evidence(model, image).mean().item()
    assert before < maximum - 1
    assert maximum - 0.03 < reached < maximum + 1e-4
    # q can be the posterior there (one with uncorrelated codes is among the equally good ones), and becomes it.
    bound = exact_elbo(model, image).mean().item()
    assert reached - 0.03 < bound < reached + 1e-4


# Channels: rows are codes, columns what is seen; p(seen | code) in twentieths.
CHANNELS = {
    "noisy": [[14, 3, 3], [3, 14, 3], [3, 3, 14]],
    "lossy": [[20, 0, 0, 0], [20, 0, 0, 0], [0, 10, 5, 5]],
    "deaf": [[4, 16], [4, 16], [4, 16]],
    "clear": [[0, 20, 0], [20, 0, 0], [0, 0, 20]],
}


@pytest.mark.parametrize("name", CHANNELS)
def test_information_bound_is_below_the_information_and_that_below_the_entropy(name):
    """L_I <= I(c; x) <= H(c), and L_I = I(c; x) for Q = p(c | x): Chen et al. (arXiv:1606.03657), equations 4 and 5."""
    counts = torch.tensor(CHANNELS[name])
    joint = counts.double() / counts.sum()
    independent = joint.sum(1, keepdim=True) * joint.sum(0)
    information = torch.where(joint > 0, joint * (joint / independent).log(), 0).sum().item()
    assert -1e-9 <= information <= math.log(3) + 1e-9

    code = CategoricalCode(3)
    sent, seen = torch.cartesian_prod(*map(torch.arange, counts.shape)).repeat_interleave(counts.flatten(), dim=0).T
    one_hot = torch.nn.functional.one_hot(sent, 3).float()
    random = torch.Generator().manual_seed(0)
    for size in (0.1, 1.0, 10.0):
        for _ in range(20):
            logits = size * torch.randn(counts.shape[1], 3, generator=random)
            assert code.information(one_hot, logits[seen]).item() <= information + 1e-6

    logits = torch.zeros(counts.shape[1], 3, requires_grad=True)
    optimizer = torch.optim.Adam([logits], 0.1)
    for _ in range(500):
        optimizer.zero_grad()
        (-code.log_density(one_hot, logits[seen]).mean()).backward()
        optimizer.step()
    assert code.information(one_hot, logits[seen]).item() == pytest.approx(information, abs=0.005)
    torch.testing.assert_close(logits.detach().softmax(1).T.double(), joint / joint.sum(0), rtol=0, atol=0.01)
