import math

import pytest
import torch

from lit_gen.metrics import precision_recall as module
from lit_gen.metrics.precision_recall import precision_recall


def brute_force(made, real, k):
    """Equations 1 and 2 word for word."""

    def share(points, others):
        def inside(point):
            for one in others:
                to_rest = sorted(math.dist(one, other) for other in others if other is not one)
                if math.dist(point, one) <= to_rest[k - 1]:
                    return True
            return False

        return sum(map(inside, points)) / len(points)

    return share(made, real), share(real, made)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("pieces", [1_000, 7])
def test_brute_force(k, pieces, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", pieces)
    generator = torch.Generator().manual_seed(k)
    real = torch.randn(40, 3, generator=generator)
    made = torch.randn(30, 3, generator=generator) * 0.7 + 1.3
    expected = brute_force(made.tolist(), real.tolist(), k)
    assert 0 < min(expected) and max(expected) < 1
    assert precision_recall(made, real, k) == pytest.approx(expected)


def test_numbers_on_a_line():
    """Real 0, 1, 2, 10 with k = 1: intervals of radius 1, 1, 1, 8. Made 2.5, 2.6, 50: radius 0.1, 0.1, 47.4."""
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    made = torch.tensor([[2.5], [2.6], [50.0]])
    precision, recall = precision_recall(made, real, 1)
    assert precision == pytest.approx(2 / 3)  # 50 is far from all
    assert recall == pytest.approx(1 / 4)  # only 10 is within 47.4 of 50


def test_collapse_and_invention():
    torch.manual_seed(0)
    real = torch.randn(200, 8)
    precision, recall = precision_recall(real[:1] + 0.01 * torch.randn(100, 8), real)
    assert precision == 1 and recall < 0.05  # a generator of one picture
    precision, recall = precision_recall(real + 100, real)
    assert precision == recall == 0


def test_tiny_sets():
    assert precision_recall(torch.zeros(2, 4), torch.zeros(3, 4)) == (1, 1)
