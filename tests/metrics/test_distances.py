"""Distances against closed forms."""

import math

import pytest
import torch

from lit_gen.metrics.distances import median_distance, mmd


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
