"""Improved precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991."""

import torch
from torch import Tensor

AT_ONCE = 1_000  # rows of a matrix of distances


def precision_recall(made: Tensor, real: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """The share of made images that lie among the real ones, and of real images that lie among the made ones.

    A point lies among others when it is no farther from one of them than that one's k-th nearest neighbour in its own
    set is (equations 1 and 2). Both grow with the number of images: compare figures of the same number only.

    Args:
        made: (N, F) features.
        real: (M, F) features.
        neighbours: k; 3 in the paper. Sets with fewer others are taken as they are.

    Returns:
        Precision and recall, in [0, 1].
    """
    return among(made, real, radii(real, neighbours)), among(real, made, radii(made, neighbours))


def radii(points: Tensor, neighbours: int) -> Tensor:
    """(N,) distances from each of the points (N, F) to its k-th nearest neighbour, itself not counted."""
    rank = min(neighbours, len(points) - 1) + 1  # each point is its own nearest
    return torch.cat([torch.cdist(piece, points).kthvalue(rank, 1).values for piece in points.split(AT_ONCE)])


def among(points: Tensor, others: Tensor, radius: Tensor) -> float:
    """The share of the points (N, F) that are within `radius` (M,) of any of the others (M, F)."""
    inside = [(torch.cdist(piece, others) <= radius).any(1) for piece in points.split(AT_ONCE)]
    return float(torch.cat(inside).double().mean())
