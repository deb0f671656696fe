"""Distances between sets of points."""

import torch
from torch import Tensor


def mmd(first: Tensor, second: Tensor, bandwidth: float) -> float:
    """Return the maximum mean discrepancy of two samples under a Gaussian kernel: not squared, biased, at least 0.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 5. Compare it with the discrepancy of two samples of
    n points from one distribution, which is about n^(-1/2).

    Args:
        first: points (N, D).
        second: points (M, D).
        bandwidth: standard deviation of the kernel; the median distance between points is the usual choice.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # In place, to save memory: there are N M numbers.
        return torch.cdist(a.double(), b.double()).square_().mul_(-0.5 / bandwidth**2).exp_().mean()

    squared = kernel(first, first) + kernel(second, second) - 2 * kernel(first, second)
    return float(squared.clamp(min=0).sqrt())


def median_distance(points: Tensor) -> float:
    """Return the median distance between two of the points (N, D)."""
    return float(torch.pdist(points.float()).median())
