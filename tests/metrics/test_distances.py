"""Distances against closed forms, and against loops."""

import itertools
import math

import pytest
import torch

from lit_gen.metrics import distances as module
from lit_gen.metrics.distances import kernel_distance, median_distance, mmd


def test_mmd_of_two_points():
    first, second = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert mmd(first, second, 2.0) == pytest.approx(math.sqrt(2 - 2 * math.exp(-25 / 8)))
    assert mmd(first, first, 2.0) == 0


@pytest.mark.parametrize("shift, scale", [(0.0, 2.0), (1.5, 1.0)])
def test_mmd_of_two_gaussians(shift, scale):
    """E k(x, y) of N(m, s^2) and N(n, t^2) is h / r exp(-(m - n)^2 / 2 r^2) with r^2 = h^2 + s^2 + t^2."""
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(4_000, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    bandwidth = 1.3

    def expected(s, t, distance):
        spread = bandwidth**2 + s**2 + t**2
        return bandwidth / math.sqrt(spread) * math.exp(-(distance**2) / (2 * spread))

    squared = expected(1, 1, 0) + expected(scale, scale, 0) - 2 * expected(1, scale, shift)
    assert mmd(first, shift + scale * second, bandwidth) == pytest.approx(math.sqrt(squared), rel=0.05)


def test_median_distance_by_hand():
    assert median_distance(torch.tensor([[0.0], [1.0], [4.0]])) == 3  # of 1, 3, 4


def kid_by_loops(made, real):
    """The unbiased estimate of the squared discrepancy under (x.y / F + 1)^3."""

    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    within = sum(
        sum(kernel(a, b) for a, b in itertools.permutations(points, 2)) / (len(points) * (len(points) - 1))
        for points in (made, real)
    )
    return within - 2 * sum(kernel(a, b) for a in made for b in real) / (len(made) * len(real))


def test_kid_by_loops():
    torch.manual_seed(0)
    made, real = torch.randn(12, 5).double(), torch.randn(12, 5).double() + 0.3
    value, deviation = kernel_distance(made, real)
    assert value == pytest.approx(kid_by_loops(made.numpy(), real.numpy()), rel=1e-6) and deviation is None


def test_kid_of_many_pictures_is_a_mean_over_subsets_with_a_deviation(monkeypatch):
    monkeypatch.setattr(module, "SUBSET_SIZE", 20)
    torch.manual_seed(0)
    made, real = torch.randn(100, 5).double(), torch.randn(60, 5).double() + 0.5
    torch.manual_seed(1)
    value, deviation = kernel_distance(made, real)
    assert value == pytest.approx(kid_by_loops(made.numpy(), real.numpy()), rel=0.2)
    draws = torch.tensor([kid_by_loops(*(points[torch.randperm(len(points), generator=torch.Generator().manual_seed(
        seed))[:20]].numpy() for points in (made, real))) for seed in range(60)])  # fmt: skip
    assert deviation == pytest.approx(float(draws.std()), rel=0.3)
    assert (value, deviation) == kernel_distance(made, real)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(1)))


def test_subsets_are_100_of_1000():
    assert (module.SUBSETS, module.SUBSET_SIZE) == (100, 1_000)
