"""Priors of codes: draws; codes: their draws, log densities and bounds."""

import math

import pytest
import torch

from lit_gen.distributions import CategoricalCode, ContinuousCode, Gaussian, GaussianMixture, SwissRoll, Uniform


def draws(prior, count=20_000, component=None):
    torch.manual_seed(0)
    labels = torch.randint(prior.components, (count,)) if component is None else torch.full((count,), component)
    return prior.sample(labels)


def test_gaussian():
    prior = Gaussian(3, 5.0)
    samples = draws(prior)
    assert samples.shape == (20_000, 3)
    torch.testing.assert_close(samples.std(0), torch.full((3,), 5.0), rtol=0.03, atol=0)
    torch.testing.assert_close(samples.mean(0), torch.zeros(3), rtol=0, atol=0.15)


def test_uniform():
    prior = Uniform(2, 3.0)
    samples = draws(prior)
    assert samples.abs().max() <= 3
    torch.testing.assert_close(samples.std(0), torch.full((2,), 3 / math.sqrt(3)), rtol=0.03, atol=0)


def test_mixture_is_ten_turned_gaussians():
    prior = GaussianMixture(2.0)
    for k in range(10):
        angle = 2 * math.pi * k / 10
        turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        mean = 2 * turn @ torch.tensor([1.4, 0.0])
        covariance = 4 * turn @ torch.diag(torch.tensor([0.5, 0.05])) @ turn.T
        samples = draws(prior, component=k)
        torch.testing.assert_close(samples.mean(0), mean, rtol=0, atol=0.05)
        torch.testing.assert_close(samples.T.cov(), covariance, rtol=0, atol=0.1)


@pytest.mark.parametrize(("deviations", "share"), [(GaussianMixture.deviations, 0.15), ((0.5, 0.05), 0.007)])
def test_petals_overlap_as_their_words_say(deviations, share):
    """The share of draws of one petal that are likelier in another: of these petals, and of public code's."""
    prior = GaussianMixture()
    prior.deviations = deviations
    samples = draws(prior, component=0)
    angle = torch.arange(10) * (2 * math.pi / 10)
    along = samples @ torch.stack([angle.cos(), angle.sin()]) - prior.shift
    across = samples @ torch.stack([-angle.sin(), angle.cos()])
    nearest = ((along / deviations[0]).square() + (across / deviations[1]).square()).argmin(1)
    assert float((nearest != 0).float().mean()) == pytest.approx(share, abs=0.01 if share > 0.1 else 0.002)


def test_swiss_roll_winds_twice_and_slices_follow_it():
    prior = SwissRoll(3.0)
    samples = draws(prior)
    radius = samples.norm(dim=1) / 3
    assert radius.max() <= 2 and radius.max() > 1.95
    angle = torch.atan2(samples[:, 1], samples[:, 0])
    torch.testing.assert_close(torch.cos(angle), torch.cos(2 * math.pi * radius), rtol=0, atol=1e-3)
    for k in range(10):
        within = (draws(prior, 1_000, component=k).norm(dim=1) / 6) ** 2
        assert within.min() >= k / 10 - 1e-5 and within.max() <= (k + 1) / 10 + 1e-5


@pytest.mark.parametrize("prior", [Gaussian(2), Uniform(2), GaussianMixture(), SwissRoll()])
def test_draws_come_again_with_a_generator(prior):
    component = torch.zeros(5, dtype=torch.int64)
    first, again, other = (prior.sample(component, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_log_density_of_a_categorical_code_by_hand():
    code = CategoricalCode(3)
    value = torch.tensor([[0.0, 1, 0], [1, 0, 0]])
    probabilities = torch.tensor([[0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    output = probabilities.log() + 7  # logits are equal up to a constant
    torch.testing.assert_close(code.log_density(value, output), torch.tensor([0.5, 0.1]).log())
    expected = math.log(3) + (math.log(0.5) + math.log(0.1)) / 2
    assert code.information(value, output).item() == pytest.approx(expected, abs=1e-5)


def test_information_of_a_categorical_code_is_between_nothing_and_its_entropy():
    code = CategoricalCode(10)
    value = code.sample(500, torch.device("cpu"), torch.Generator().manual_seed(0))
    assert code.information(value, torch.zeros(500, 10)).item() == pytest.approx(0, abs=1e-5)
    assert code.information(value, 50 * value).item() == pytest.approx(math.log(10), abs=1e-5)


@pytest.mark.parametrize("learnt_std", [False, True])
def test_log_density_of_a_continuous_code(learnt_std):
    code = ContinuousCode(learnt_std)
    value, mean, std = torch.tensor([[0.5], [-0.2]]), torch.tensor([[0.1], [0.3]]), torch.ones(2, 1)
    output = mean
    if learnt_std:
        std = torch.tensor([[0.5], [2.0]])
        output = torch.cat([mean, 2 * std.log()], dim=1)
    expected = torch.distributions.Normal(mean, std).log_prob(value).squeeze(1)
    torch.testing.assert_close(code.log_density(value, output), expected)


@pytest.mark.parametrize("learnt_std", [False, True])
def test_information_of_a_continuous_code_is_that_of_a_gaussian_channel(learnt_std):
    """c seen through an error of standard deviation 0.1: H(c) - H(error) = ln 2 - ln(0.1 sqrt(2 pi e)) = 1.577."""
    code = ContinuousCode(learnt_std)
    random = torch.Generator().manual_seed(0)
    value = code.sample(20_000, torch.device("cpu"), random)
    mean = value + 0.1 * torch.randn(20_000, 1, generator=random)
    output = torch.cat([mean, torch.full_like(mean, math.log(0.01))], dim=1)[:, : code.outputs]
    assert code.information(value, output).item() == pytest.approx(1.577, abs=0.02)
    nothing = torch.cat([torch.zeros_like(mean), torch.full_like(mean, math.log(1 / 3))], dim=1)[:, : code.outputs]
    assert -0.2 < code.information(value, nothing).item() < 0
