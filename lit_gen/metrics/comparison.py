"""The metrics of a set of generated images beside a set of real ones, with their names."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_gen.metrics.distances import kernel_distance
from lit_gen.metrics.evaluator import Figure
from lit_gen.metrics.features import DigitFeatures, Network
from lit_gen.metrics.frechet import FrechetDistance, gaussian
from lit_gen.metrics.ms_ssim import SMALLEST, similarity
from lit_gen.metrics.precision_recall import precision_recall
from lit_gen.metrics.sliced_wasserstein import PATCH, sliced_wasserstein

FEWEST_TO_EXTRAPOLATE = 10


class Names(NamedTuple):
    """How the metrics of a comparison are named."""

    real: str  # which real images are compared with, for the table
    numbers: str = ""  # after `fid`, `kid`, `precision` and `recall`: nothing, or which images they are computed from
    prefix: str = ""  # beginning of all names

    def by(self, count: int, title: str = "") -> str:
        """Return words for the network and the real images."""
        return f"{title}{', ' * bool(title)}against {count:,} {self.real}"


def feature_figures(
    network: Network, made: Tensor, real: Tensor, names: Names, brief: bool = False
) -> dict[str, Figure]:
    """Return the metrics of features (N, F) and (M, F) that a network is asked for; see `SampleQuality`.

    There is none of fewer than two images of a set. With `brief`, there are `fid` and `kid` only.
    """
    figures: dict[str, Figure] = {}
    if min(len(made), len(real)) < 2:
        return figures

    def add(name: str, value: float, ending: str = "", numbers: str = names.numbers, sizes: tuple = ()) -> None:
        images, others = sizes or (len(made), len(real))
        whole = network.named(f"{name}{numbers}{ending}")
        figures[f"{names.prefix}{whole}"] = Figure(value, images, names.by(others, network.title))

    if "fid" in network.measures:
        distance = FrechetDistance(real)
        add("fid", distance.to(gaussian(made)))
        if len(made) >= FEWEST_TO_EXTRAPOLATE and not brief:
            add("fid", distance.extrapolated(made), "_infinity")
        if len(real) >= 4 and not brief:
            one, other = some(real, len(real)).tensor_split(2)
            add("fid", FrechetDistance(one).to(gaussian(other)), "_real", "", (len(other), len(one)))
    if "kid" in network.measures:
        value, deviation = kernel_distance(made, real)
        add("kid", value)
        if deviation is not None and not brief:
            add("kid", deviation, "_deviation")
    if brief:
        return figures
    if "precision" in network.measures:
        for name, value in zip(("precision", "recall"), precision_recall(made.float(), real.float()), strict=True):
            add(name, value)
    if isinstance(network, DigitFeatures):
        made_shares, real_shares = map(network.shares, (made, real))
        ratio = made_shares / real_shares.clamp(min=1 / min(len(made), len(real)))
        for name, extreme in (("least_digit", ratio.min()), ("most_digit", ratio.max())):
            figures[f"{names.prefix}{name}"] = Figure(float(extreme), len(made), names.by(len(real), network.title))
    return figures


def patch_figures(
    made: Tensor, real: Tensor, names: Names, ending: str = "", device: torch.device | None = None
) -> dict[str, Figure]:
    """Return `swd<N>_<side>` for each level of a pyramid and `swd<N>_mean`, of equally many images (N, C, H, W)."""
    if min(made.shape[-2:]) < PATCH:
        return {}
    distances: dict[Any, float] = dict(sliced_wasserstein(made, real, device=device))
    distances["mean"] = sum(distances.values()) / len(distances)
    count = len(made)
    return {
        f"{names.prefix}swd{count}{ending}_{level}": Figure(value, count, names.by(len(real)))
        for level, value in distances.items()
    }


def similarity_figures(images: Tensor, names: Names, ending: str = "") -> dict[str, Figure]:
    """Return `ms_ssim` of adjacent images (N, C, H, W); nothing if they are too small for its scales."""
    if min(images.shape[-2:]) < SMALLEST:
        return {}
    return {f"{names.prefix}ms_ssim{ending}": Figure(similarity(images), len(images) // 2)}


def some(images: Tensor, count: int) -> Tensor:
    """Return `count` of the images (N, ...) in a fixed random order, because datasets may begin with one kind."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[:count].to(images.device)]
