"""The Fréchet distance between features of two sets of images (Heusel et al., arXiv:1706.08500), and its bias."""

from typing import NamedTuple

import torch
from torch import Tensor

AT_ONCE = 8_192  # rows of features
SIZES, FEWEST = 15, 5_000  # Chong & Forsyth, arXiv:1911.07023: numbers of images, and the smallest of them
SEED = 0


class Gaussian(NamedTuple):
    """A mean (F,) and a covariance (F, F), float64."""

    mean: Tensor
    covariance: Tensor


def gaussian(features: Tensor, rows: Tensor | None = None) -> Gaussian:
    """Return the mean and the unbiased covariance of features (N, F), or of some rows of them; at least two."""
    pieces = (torch.arange(len(features)) if rows is None else rows).split(AT_ONCE)
    count = sum(map(len, pieces))
    mean = torch.stack([features[piece].double().sum(0) for piece in pieces]).sum(0) / count
    squares = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=mean.device)
    for piece in pieces:
        centred = features[piece].double() - mean
        squares += centred.T @ centred
    return Gaussian(mean, squares / (count - 1))


class FrechetDistance:
    """The squared Fréchet distance of Gaussians to that of some real features, whose square root is taken once.

    Args:
        real: real features (M, F).
    """

    def __init__(self, real: Tensor) -> None:
        self.real = gaussian(real)
        values, vectors = torch.linalg.eigh(self.real.covariance)
        self.root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # (F, F)

    def to(self, made: Gaussian) -> float:
        """Return |μ − μ'|² + tr(Σ + Σ' − 2 (Σ'^½ Σ Σ'^½)^½), with μ' and Σ' of the real features."""
        between = torch.linalg.eigvalsh(self.root @ made.covariance @ self.root).clamp(min=0).sqrt().sum()
        traces = made.covariance.trace() + self.real.covariance.trace()
        return float((made.mean - self.real.mean).square().sum() + traces - 2 * between)

    def extrapolated(self, made: Tensor) -> float:
        """Return the distance for infinitely many generated images, by a line through distances over 1/N.

        A distance falls with the number of images N, in proportion to 1/N (Chong & Forsyth). Each of 15 values of N,
        from 5,000 to all, has its own random rows; of fewer than 50,000 images, the smallest N is a tenth. The bias
        that comes of the finite number of real images stays. The features are (N, F).
        """
        count, generator = len(made), torch.Generator().manual_seed(SEED)
        sizes = torch.linspace(max(2, min(FEWEST, count // 10)), count, SIZES).round().long().unique()
        rows = (torch.randperm(count, generator=generator)[:size] for size in sizes.tolist())
        distances = torch.tensor([self.to(gaussian(made, some)) for some in rows], dtype=torch.float64)
        line = torch.stack([torch.ones(len(sizes)), 1 / sizes], 1).double()
        return float(torch.linalg.lstsq(line, distances).solution[0])
