"""Kernel distances between sets of points: the maximum mean discrepancy of codes, and KID of features."""

import torch
from torch import Tensor
from torchmetrics.image.kid import poly_mmd

SUBSETS, SUBSET_SIZE = 100, 1_000  # of KID
SEED = 0


def mmd(first: Tensor, second: Tensor, bandwidth: float) -> float:
    """Return the maximum mean discrepancy of two samples under a Gaussian kernel: not squared, biased, at least 0.

    Gretton et al., "A Kernel Two-Sample Test", JMLR 2012, equation 5. Compare it with the discrepancy of two samples of
    n points from one distribution, which is about n^(-1/2). Points are (N, D) and (M, D). The bandwidth is the kernel's
    standard deviation; the median distance between points is the usual choice.
    """

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # In place, to save memory: there are N M numbers.
        return torch.cdist(a.double(), b.double()).square_().mul_(-0.5 / bandwidth**2).exp_().mean()

    squared = kernel(first, first) + kernel(second, second) - 2 * kernel(first, second)
    return float(squared.clamp(min=0).sqrt())


def median_distance(points: Tensor) -> float:
    """Return the median distance between two of the points (N, D)."""
    return float(torch.pdist(points.float()).median())


def kernel_distance(made: Tensor, real: Tensor) -> tuple[float, float | None]:
    """Return KID, the squared maximum mean discrepancy under (x·y / F + 1)³, and its standard deviation.

    Bińkowski et al., arXiv:1801.01401. KID is the mean of unbiased estimates from 100 pairs of random subsets of 1,000
    images; the deviation is that of the estimates. Smaller sets have smaller subsets. Where one subset is all images,
    there is one estimate and no deviation. Features are (N, F) and (M, F), of two images at least.
    """
    size, generator = min(SUBSET_SIZE, len(made), len(real)), torch.Generator().manual_seed(SEED)
    subsets = 1 if size == max(len(made), len(real)) else SUBSETS
    estimates = torch.empty(subsets, dtype=torch.float64)
    for number in range(subsets):
        one, other = (points[torch.randperm(len(points), generator=generator)[:size]] for points in (made, real))
        estimates[number] = poly_mmd(one.double(), other.double())
    return float(estimates.mean()), float(estimates.std(correction=0)) if subsets > 1 else None
