"""The kernel distance between features of two sets of images: Bińkowski et al., arXiv:1801.01401."""

import torch
from torch import Tensor

SUBSETS, SUBSET_SIZE = 100, 1_000
SEED = 0


def kernel_distance(made: Tensor, real: Tensor) -> tuple[float, float | None]:
    """Return KID, the squared maximum mean discrepancy under a cubic kernel, and its standard deviation.

    KID is the mean of unbiased estimates from 100 pairs of random subsets of 1,000 images; the deviation is that of the
    estimates. Smaller sets have smaller subsets. Where one subset is all images, there is one estimate and no
    deviation.

    Args:
        made: features (N, F) of generated images, at least two.
        real: features (M, F) of real images, at least two.
    """
    size, generator = min(SUBSET_SIZE, len(made), len(real)), torch.Generator().manual_seed(SEED)
    subsets = 1 if size == max(len(made), len(real)) else SUBSETS
    estimates = torch.empty(subsets, dtype=torch.float64)
    for number in range(subsets):
        some = (points[torch.randperm(len(points), generator=generator)[:size]] for points in (made, real))
        estimates[number] = discrepancy(*(points.double() for points in some))
    return float(estimates.mean()), float(estimates.std(correction=0)) if subsets > 1 else None


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Return the unbiased squared discrepancy between points (N, F) and as many others under (x·y / F + 1)³."""
    features, count = first.shape[1], len(first)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / features + 1) ** 3

    within = sum((values.sum() - values.diagonal().sum()) for values in (kernel(first, first), kernel(second, second)))
    return within / (count * (count - 1)) - 2 * kernel(first, second).mean()
