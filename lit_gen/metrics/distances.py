"""Distances between sets of points."""

import torch
from torch import Tensor


def mmd(first: Tensor, second: Tensor, bandwidth: float) -> float:
    """Maximum mean discrepancy between two samples under a Gaussian kernel; not squared, biased, at least 0.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 5. Two samples of n points of one distribution are
    about n^(-1/2) apart, which is what other pairs are to be compared with.

    Args:
        first: (N, D).
        second: (M, D).
        bandwidth: standard deviation of the kernel; the median distance between points is the usual choice.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # In place: there are N M numbers.
        return torch.cdist(a.double(), b.double()).square_().mul_(-0.5 / bandwidth**2).exp_().mean()

    squared = kernel(first, first) + kernel(second, second) - 2 * kernel(first, second)
    return float(squared.clamp(min=0).sqrt())


def median_distance(points: Tensor) -> float:
    """The median distance between two of the points (N, D)."""
    return float(torch.pdist(points.float()).median())
