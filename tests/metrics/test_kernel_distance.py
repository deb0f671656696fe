import itertools

import pytest
import torch

from lit_gen.metrics import distances as module
from lit_gen.metrics.distances import kernel_distance


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
