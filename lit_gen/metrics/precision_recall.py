"""Improved precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991."""

from collections.abc import Iterable

import torch
from torch import Tensor
from tqdm import tqdm

AT_ONCE = 1_000  # rows of a matrix of distances
MANY = 20_000  # rows from which on there is a progress bar


def precision_recall(made: Tensor, real: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Return the fraction of generated images among the real ones, and of real images among the generated ones.

    A point is among the others if the distance to one of them is at most that one's distance to its k-th nearest
    neighbour in its own set (equations 1 and 2); in smaller sets, to the farthest one. Both fractions, precision and
    recall, grow with the number of images: compare values of equal numbers only. Features are (N, F) and (M, F).
    """
    return among(made, real, radii(real, neighbours)), among(real, made, radii(made, neighbours))


def radii(points: Tensor, neighbours: int) -> Tensor:
    """Return the distance of each of the points (N, F) to its k-th nearest neighbour, itself not counted, as (N,)."""
    rank = min(neighbours, len(points) - 1) + 1  # each point is its own nearest
    return torch.cat([torch.cdist(piece, points).kthvalue(rank, 1).values for piece in _pieces(points)])


def among(points: Tensor, others: Tensor, radius: Tensor) -> float:
    """Return the fraction of the points (N, F) that are within `radius` (M,) of any of the others (M, F)."""
    inside = [(torch.cdist(piece, others) <= radius).any(1) for piece in _pieces(points)]
    return float(torch.cat(inside).double().mean())


def _pieces(points: Tensor) -> Iterable[Tensor]:
    pieces = points.split(AT_ONCE)
    return tqdm(pieces, desc="distances of features", unit="batch", disable=len(points) < MANY, leave=False)
