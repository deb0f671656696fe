"""InfoGAN's codes: log-densities by hand, and the bound of the information between nothing and its limit."""

import math

import pytest
import torch

from lit_gen.codes import CategoricalCode, ContinuousCode


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
