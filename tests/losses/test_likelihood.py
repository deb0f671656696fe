"""Likelihoods and bounds against torch.distributions, integrals and a model whose log p(x) is known."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

from lit_gen.losses.likelihood import (
    attribute_cross_entropy,
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_density,
    importance_weighted_bound,
    squared_error,
)


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(mean, log_variance):
    return Independent(Normal(mean, (log_variance / 2).exp()), 1)


def test_gaussian_kl_against_torch():
    mean, log_variance = randn(0, 5, 3), randn(1, 5, 3)
    prior = normal(torch.zeros_like(mean), torch.zeros_like(mean))
    expected = kl_divergence(normal(mean, log_variance), prior)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)


@pytest.mark.parametrize("mean, deviation", [(0.0, 1.0), (1.5, 0.4), (-0.7, 2.0)])
def test_gaussian_kl_against_an_integral(mean, deviation):
    z = torch.linspace(-25, 25, 100_001, dtype=torch.float64)
    density = torch.exp(-0.5 * ((z - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
    log_ratio = 0.5 * z**2 - 0.5 * ((z - mean) / deviation) ** 2 - math.log(deviation)
    integral = torch.trapezoid(density * log_ratio, z).item()
    mean, log_variance = torch.tensor([[[mean]], [[2 * math.log(deviation)]]], dtype=torch.float64)
    value = gaussian_kl(mean, log_variance)
    assert value.item() == pytest.approx(integral, abs=1e-8)


def test_gaussian_kl_is_a_divergence_from_the_standard_normal():
    assert gaussian_kl(torch.zeros(2, 4), torch.zeros(2, 4)).tolist() == [0, 0]
    assert (gaussian_kl(randn(2, 1000, 2), randn(3, 1000, 2)) > 0).all()


def test_gaussian_log_density_against_torch():
    x, mean, log_variance = randn(4, 6, 5, 3), randn(5, 5, 3), randn(6, 3)
    expected = normal(mean, log_variance.expand(5, 3)).log_prob(x)
    assert expected.shape == (6, 5)
    torch.testing.assert_close(gaussian_log_density(x, mean, log_variance), expected)


def test_bernoulli_log_likelihood_against_torch():
    logits, target = randn(7, 6, 5, 9), (randn(8, 5, 9) > 0).double()
    expected = Independent(Bernoulli(logits=logits), 1).log_prob(target.expand(6, 5, 9))
    torch.testing.assert_close(bernoulli_log_likelihood(target, logits), expected)


def test_bernoulli_log_likelihood_of_grey_targets_and_extreme_logits():
    p = torch.tensor([0.25], dtype=torch.float64)
    value = bernoulli_log_likelihood(torch.tensor([0.4], dtype=torch.float64), p.logit())
    assert value.item() == pytest.approx(0.4 * math.log(0.25) + 0.6 * math.log(0.75))
    surely = torch.tensor([1e4, -1e4])
    assert bernoulli_log_likelihood(torch.tensor([1.0, 0.0]), surely).item() == 0
    assert bernoulli_log_likelihood(torch.tensor([0.0, 1.0]), surely).item() == -2e4


def test_bound_by_hand():
    weights = torch.tensor([[1.0, 2.0], [3.0, 8.0]], dtype=torch.float64)
    torch.testing.assert_close(
        importance_weighted_bound(weights.log()), torch.tensor([2.0, 5.0], dtype=torch.float64).log()
    )


def test_bound_of_one_sample_is_its_log_weight():
    log_weights = randn(9, 1, 4) * 100
    torch.testing.assert_close(importance_weighted_bound(log_weights), log_weights[0])


def test_bound_neither_overflows_nor_underflows():
    assert importance_weighted_bound(torch.full((3, 1), -1e4)).item() == pytest.approx(-1e4)
    assert importance_weighted_bound(torch.full((3, 1), 1e4)).item() == pytest.approx(1e4)


def test_gradient_gives_better_samples_more_weight():
    """The gradient with respect to the log-weights is the normalized weights (Burda et al., section 3)."""
    log_weights = torch.tensor([[-101.0], [-100.0], [-103.0]], dtype=torch.float64, requires_grad=True)
    importance_weighted_bound(log_weights).sum().backward()
    relative = torch.tensor([math.exp(-1), 1, math.exp(-3)], dtype=torch.float64)
    torch.testing.assert_close(log_weights.grad[:, 0], relative / relative.sum())


def weighted_draws():
    """z ~ N(0, I), x|z ~ N(Wz + b, s^2 I) has x ~ N(b, WW' + s^2 I). Gives log p(x), and log-weights for 2^19 draws of
    a proposal that is not the posterior."""
    x, weight, bias, deviation = randn(10, 3), randn(11, 3, 2), randn(12, 3), 0.8
    covariance = weight @ weight.T + deviation**2 * torch.eye(3, dtype=torch.float64)
    exact = MultivariateNormal(bias, covariance).log_prob(x).item()

    precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / deviation**2
    mean = torch.linalg.solve(precision, weight.T @ (x - bias) / deviation**2) + 0.3
    log_variance = torch.full((2,), math.log(0.5), dtype=torch.float64)
    latent = mean + (log_variance / 2).exp() * randn(13, 2**19, 2)
    zeros = torch.zeros(2, dtype=torch.float64)
    noise = torch.full((3,), 2 * math.log(deviation), dtype=torch.float64)
    log_weights = (
        gaussian_log_density(x, latent @ weight.T + bias, noise)
        + gaussian_log_density(latent, zeros, zeros)
        - gaussian_log_density(latent, mean, log_variance)
    )
    return exact, log_weights


COUNTS = (1, 2, 4, 16, 64, 1024)


def mean_bounds(log_weights):
    """The mean bound of each number of samples; the same draws cut into groups of K."""
    return [importance_weighted_bound(log_weights.view(count, -1)).mean().item() for count in COUNTS]


@pytest.fixture(scope="module")
def linear_gaussian():
    return weighted_draws()


def test_bound_rises_with_the_number_of_samples_and_never_passes_log_p(linear_gaussian):
    """In expectation (Burda et al., theorem 1)."""
    exact, log_weights = linear_gaussian
    bounds = mean_bounds(log_weights)
    assert bounds == sorted(bounds)
    assert exact - bounds[0] > 0.1, "the proposal is to be a bad one, or there is nothing to see"
    gaps = [exact - bound for bound in bounds]
    assert all(gap > -0.003 for gap in gaps) and gaps[1] < 0.9 * gaps[0] and gaps[-1] < 0.02 * gaps[0]


def test_squared_error_is_of_pixels_from_0_to_1():
    """Black against white in one image, half of that in the other; also where the images are in 16 bits."""
    black, white = torch.full((2, 1, 3, 5), -1.0), torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    assert squared_error(black, white.expand(2, 1, 3, 5)).tolist() == [15, 15 / 4]
    assert squared_error(black, white.expand(2, 1, 3, 5).bfloat16()).dtype == torch.float32


def test_bound_converges_to_log_p(linear_gaussian):
    exact, log_weights = linear_gaussian
    assert importance_weighted_bound(log_weights[:, None]).item() == pytest.approx(exact, abs=0.01)


def test_attribute_cross_entropy_is_summed_over_attributes():
    """Sum over attributes, mean over the batch: log 2 each for a D that knows nothing."""
    assert attribute_cross_entropy(torch.zeros(7, 5), torch.ones(7, 5)).item() == pytest.approx(5 * math.log(2))
    logits = torch.tensor([[math.log(3), -math.log(3)], [0, 0]])
    target = torch.tensor([[1, 1], [0, 1.0]])
    expected = (math.log(4 / 3) + math.log(4) + 2 * math.log(2)) / 2
    assert attribute_cross_entropy(logits, target).item() == pytest.approx(expected)
