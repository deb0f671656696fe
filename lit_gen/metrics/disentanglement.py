"""MIG and DCI: whether single codes stand for single factors that rendered images were drawn from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_gen.data.contract import DataModule
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import ENCODED_AT_ONCE
from lit_gen.metrics.processes import as_model_input, from_first

POINTS = 10_000  # as Locatello et al. have it
BINS = 20  # of a code, equally wide
LEVELS = 10  # of a factor that is a real number, equally frequent
SWEEPS = 500
ALPHA = 0.02  # weight of the Lasso's penalty, as in InfoGAN-CR


class Disentanglement(Evaluator):
    """Metrics of codes of training images against the factors of their scenes, as the renderer knows them.

    - `mig` (↑): the mutual information gap, Chen et al. 2018 (arXiv:1802.04942), as in Locatello et al. 2019
      (arXiv:1811.12359): per factor the mutual information with the code that has most of it, less that with the
      second, over the factor's entropy; then the mean, from 0 to 1. `mig_<factor>` is that of one factor.
    - `dci_lasso_disentanglement`, `dci_lasso_completeness`, `dci_lasso_informativeness` (↑): Eastwood & Williams 2018,
      with importances by a Lasso (alpha 0.02): how far each code depends on one factor only, how far each factor is in
      one code only, and the fraction of a factor's variance that the codes predict for the other half of the images.
      Values by boosted trees, as in disentanglement_lib, are others.

    10,000 training images at most. Codes have 20 bins of equal width, real factors 10 levels of equal frequency. Data
    that are not rendered have no such metric. The factors of faces are not all independent (hair style and sex): the
    gap of such a factor stays below 1.

    Args:
        encode: function from images (B, C, H, W) in [-1, 1] to codes (B, K).
        categorical: for each of the K codes, whether its values are numbers of categories; none by default.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], categorical: Sequence[bool] = ()) -> None:
        super().__init__()
        self.encode, self.categorical = encode, categorical
        self.found: dict[str, Figure] = {}

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        self.found = from_first(lambda: self.measure(model.device, data))

    def measure(self, device: torch.device, data: Any) -> dict[str, Figure]:
        """Return the metrics, from the same images on every call."""
        dataset = data.datasets["train"]
        places = np.random.default_rng(0).permutation(len(dataset))[:POINTS]
        factors = data.factors("train", places)
        if factors is None:
            return {}
        pieces = np.split(places, range(ENCODED_AT_ONCE, len(places), ENCODED_AT_ONCE))
        batches = (as_model_input(data, dataset, piece.tolist(), device) for piece in pieces)
        codes = np.concatenate([self.encode(batch.image).double().cpu().numpy() for batch in batches])
        gaps = information_gaps(codes, factors)
        if not gaps:
            return {}
        values = {"mig": float(np.mean(list(gaps.values())))} | {f"mig_{name}": gap for name, gap in gaps.items()}
        for name, value in dci_by_lasso(codes, factors, self.categorical).items():
            values[f"dci_lasso_{name}"] = value
        return {name: Figure(value, len(codes)) for name, value in values.items()}

    def compute(self) -> dict[str, Figure]:
        return self.found


def information_gaps(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the gap of each factor (N,) among codes (N, K); a factor with a single value has none."""
    binned = [np.digitize(code, np.histogram(code, BINS)[1][1:-1]) for code in codes.T]
    gaps = {}
    for name, factor in factors.items():
        levels = levels_of(factor)
        entropy = mutual_information(levels, levels)
        if entropy > 0:
            first, second, *_ = [*sorted((mutual_information(code, levels) for code in binned), reverse=True), 0.0]
            gaps[name] = (first - second) / entropy
    return gaps


def levels_of(factor: np.ndarray) -> np.ndarray:
    """Return the values of a factor (N,) as numbers of levels, from 0."""
    if factor.dtype.kind == "f":
        return np.digitize(factor, np.unique(np.quantile(factor, np.arange(1, LEVELS) / LEVELS)))
    return np.unique(factor, return_inverse=True)[1]


def mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mutual information in nats of two series of small whole numbers, by their frequencies."""
    joint = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(joint, (first, second), 1 / len(first))
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / independent[there])).sum())


def dci_by_lasso(
    codes: np.ndarray, factors: Mapping[str, np.ndarray], categorical: Sequence[bool] = ()
) -> dict[str, float]:
    """Return disentanglement, completeness and informativeness of codes (N, K) for factors (N,).

    Categories have a column of 0 and 1 each. Their importances are added up in a code, and averaged in a factor.
    """
    kinds = list(categorical) or [False] * codes.shape[1]
    inputs = [columns_of(code.astype(int) if kind else code) for code, kind in zip(codes.T, kinds, strict=True)]
    targets = [columns_of(factor) for factor in factors.values()]
    code_of, factor_of = (np.repeat(range(len(many)), [part.shape[1] for part in many]) for many in (inputs, targets))
    given, wanted, half = np.concatenate(inputs, 1), np.concatenate(targets, 1), len(codes) // 2
    weights = lasso(given[:half], wanted[:half])
    importance = np.zeros((len(inputs), len(targets)))
    np.add.at(importance, (code_of[:, None], factor_of[None]), np.abs(weights))
    importance /= np.bincount(factor_of)
    left = wanted[half:] - given[half:] @ weights
    explained = 1 - (left**2).mean(0) / np.maximum((wanted[half:] ** 2).mean(0), 1e-12)
    return {
        "disentanglement": one_sided(importance),
        "completeness": one_sided(importance.T),
        "informativeness": float(np.mean([explained[factor_of == k].mean() for k in range(len(targets))])),
    }


def columns_of(values: np.ndarray) -> np.ndarray:
    """Return real numbers (N,) as a column, anything else as one column per value, with mean 0 and deviation 1."""
    columns = values[:, None] if values.dtype.kind == "f" else values[:, None] == np.unique(values)
    columns = columns - columns.mean(0)
    deviation = columns.std(0)
    return columns / np.where(deviation > 1e-12, deviation, 1)


def lasso(given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the weights (D, T) that minimize |wanted - given weights|^2 / 2N + alpha |weights|, by coordinate descent.

    `given` is (N, D), `wanted` (N, T); at most `SWEEPS` passes over the coordinates are made.
    """
    gram, products = given.T @ given / len(given), given.T @ wanted / len(given)
    weights = np.zeros_like(products)
    for _ in range(SWEEPS):
        before = weights.copy()
        for row in np.flatnonzero(gram.diagonal() > 0):
            rest = products[row] - gram[row] @ weights + gram[row, row] * weights[row]
            weights[row] = np.sign(rest) * np.maximum(np.abs(rest) - ALPHA, 0) / gram[row, row]
        if np.abs(weights - before).max() < 1e-5:
            break
    return weights


def one_sided(importance: np.ndarray) -> float:
    """Return how far each row has its importance in one column, from 0 to 1; the mean, weighted by the rows' sums."""
    sums = importance.sum(1, keepdims=True)
    parts = importance / np.where(sums > 0, sums, 1)
    entropy = -(parts * np.log(np.where(parts > 0, parts, 1))).sum(1) / np.log(max(2, importance.shape[1]))
    return float(((1 - entropy) * sums[:, 0]).sum() / max(sums.sum(), 1e-12))
