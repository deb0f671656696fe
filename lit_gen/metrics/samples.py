"""Metrics of generated images beside real ones: FID, KID, precision, recall, SWD and MS-SSIM."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image import (
    FrechetInceptionDistance,
    KernelInceptionDistance,
    MultiScaleStructuralSimilarityIndexMeasure,
)
from torchmetrics.utilities import dim_zero_cat

from lit_gen.data.contract import DataModule
from lit_gen.metrics.evaluator import Evaluator, Figure, Options
from lit_gen.metrics.features import DigitFeatures, Features
from lit_gen.metrics.precision_recall import precision_recall
from lit_gen.metrics.processes import from_first, place
from lit_gen.metrics.sliced_wasserstein import PATCH, sliced_wasserstein

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1_000  # Bińkowski et al., arXiv:1801.01401
MOST_FOR_SWD = 4_096  # images per set: half a minute per level on a CPU; the paper has 16,384
SSIM_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003
SSIM_WINDOW = 11  # pixels
STATES = ("places", "made", "real", "made_features", "real_features")


class SampleQuality(Evaluator):
    """The quality and variety of generated images, compared with real images.

    Images are first rounded to 8 bits per value, as in a saved file. Four metrics compare the features of a network
    (see `lit_gen.metrics.features`), which the metrics' names end with:

    - `fid` (↓): Fréchet distance between Gaussians with the features' means and covariances (Heusel et al.,
      arXiv:1706.08500). It means little with fewer images than features (128 of `digits`, 2,048 of `inception`), and
      falls with the number of images.
    - `kid` (↓): squared maximum mean discrepancy under a cubic kernel, unbiased (Bińkowski et al., arXiv:1801.01401).
    - `precision`, `recall` (↑): see `precision_recall`.
    - `least_digit`, `most_digit`: for digits, the smallest and the largest ratio of a digit's frequency in generated
      images to that in real ones. 1 is ideal; 0 means that a digit is missing.

    Two metrics compare pixels:

    - `swd_<side>` (↓) for each level of a pyramid, and `swd_mean`: see `sliced_wasserstein`.
    - `ms_ssim_<n>_scales`: mean similarity of two generated images in random pairs (Odena et al., arXiv:1610.09585;
      Wang et al. 2003), and of two real images (`..._real`). Above the real value, the generator lacks variety. Small
      images have fewer than the paper's five scales; the weights of the remaining ones are scaled to sum to 1. Values
      of different numbers of scales are not comparable.

    With fewer `samples` than test images, the first test images are taken (in MNIST, other writers than the rest).

    The values do not depend on the number of processes. Noise is drawn from fixed seeds, so that a checkpoint has the
    same values each time.

    Args:
        options: the user's settings.
        image_shape: C, H, W.
        make: function from a batch to generated images (B, C, H, W) in [-1, 1], one per row.
        real: function from a batch to the real images (B, C, H, W) to compare with.
        prefix: beginning of the metrics' names.
        features: the feature network, if several evaluators share it.
        distinct: numbers of distinct generated and real images, if the data repeat some at the end.
    """

    places: list[Tensor]
    made: list[Tensor]
    real: list[Tensor]
    made_features: list[Tensor]
    real_features: list[Tensor]

    def __init__(
        self,
        options: Options,
        image_shape: Sequence[int],
        make: Callable[[Any], Tensor],
        real: Callable[[Any], Tensor],
        prefix: str = "",
        features: Features | None = None,
        distinct: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.samples, self.make, self.take, self.prefix = options.samples, make, real, prefix
        self.features = features or Features(options.features, image_shape)
        self.distinct = distinct or (options.samples, options.samples)
        self.batches = self.images = 0
        for state in STATES:
            self.add_state(state, [], "cat")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.network = self.features.load(model.device)

    def update(self, model: Any, batch: Any) -> None:
        process, processes = place()
        # The processes' shares differ by one image at most: no process stops before all together have enough.
        if (self.images - 1) * processes + 1 >= self.samples:
            return
        turn = self.batches * processes + process
        with own_noise(turn, model.device):
            made = as_bytes(self.make(batch))
        real = as_bytes(self.take(batch))
        self.batches, self.images = self.batches + 1, self.images + len(made)
        self.places.append(torch.full((len(made),), turn, device=made.device))
        self.made.append(made)
        self.real.append(real)
        if self.network is not None:
            self.made_features.append(self.network(made))
            self.real_features.append(self.network(real))

    def compute(self) -> dict[str, Figure]:
        """Return the metrics, computed by rank 0 for all processes; each already has all images."""
        return from_first(self.figures)

    def figures(self) -> dict[str, Figure]:
        order = dim_zero_cat(self.places).argsort(stable=True)
        orders = [order[: min(self.samples, distinct)] for distinct in self.distinct]
        made, real = (dim_zero_cat(state)[rows] for state, rows in zip((self.made, self.real), orders, strict=True))
        figures: dict[str, Figure] = {}
        if self.network is not None and min(len(made), len(real)) > 1:
            states = self.made_features, self.real_features
            features = [dim_zero_cat(state)[rows] for state, rows in zip(states, orders, strict=True)]
            count, title = min(map(len, features)), self.network.title
            values = feature_distances(*features)
            if isinstance(self.network, DigitFeatures):
                made_shares, real_shares = map(self.network.shares, features)
                ratio = made_shares / real_shares.clamp(min=1 / count)
                values |= {"least_digit": float(ratio.min()), "most_digit": float(ratio.max())}
            figures |= {f"{name}_{title}": Figure(value, count, title) for name, value in values.items()}
        if min(made.shape[-2:]) >= PATCH:
            count = min(len(made), len(real), MOST_FOR_SWD)
            distances = sliced_wasserstein(some(made, count), some(real, count))
            figures |= {f"swd_{side}": Figure(value, count) for side, value in distances.items()}
            figures["swd_mean"] = Figure(sum(distances.values()) / len(distances), count)
        scales = ssim_scales(min(made.shape[-2:]))
        if scales and min(len(made), len(real)) > 1:
            for ending, images in (("", made), ("_real", real)):
                name = f"ms_ssim_{scales}_scale{'s' * (scales > 1)}{ending}"
                figures[name] = Figure(similarity(images, scales), len(images) // 2)
        return {f"{self.prefix}{name}": figure for name, figure in figures.items()}


def as_bytes(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as uint8, rounded as in a saved file."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


@contextmanager
def own_noise(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators within the block, and restore their states after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed other GPUs' generators too
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


def some(images: Tensor, count: int) -> Tensor:
    """Return `count` of the images (N, ...) in a fixed random order, because datasets may begin with one kind."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[:count].to(images.device)]


def feature_distances(made: Tensor, real: Tensor) -> dict[str, float]:
    """Return `fid`, `kid`, `precision` and `recall` of features (N, F) and (M, F), at least two of each."""
    identity: Any = nn.Identity()
    identity.num_features = made.shape[1]
    size = min(KID_SUBSET_SIZE, len(made), len(real))
    subsets = 1 if size == max(len(made), len(real)) else KID_SUBSETS  # a subset of all is always the same
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*will save all extracted features in buffer.*")
        kid = KernelInceptionDistance(identity, subsets, size, sync_on_compute=False)
    fid = FrechetInceptionDistance(identity, sync_on_compute=False).to(made.device)
    for metric in (fid, kid):
        metric.update(made.double(), real=False)
        metric.update(real.double(), real=True)
    with own_noise(0, torch.device("cpu")):  # KID's subsets
        distances = {"fid": float(fid.compute()), "kid": float(kid.compute()[0])}
    precision, recall = precision_recall(made, real)
    return distances | {"precision": precision, "recall": recall}


def ssim_scales(side: int) -> int:
    """Return the number of scales for images of `side` pixels: the window must fit into the smallest."""
    fitting = [
        count
        for count in range(1, len(SSIM_BETAS) + 1)
        # The second is torchmetrics' own condition.
        if side >> (count - 1) >= SSIM_WINDOW and side // max(1, count - 1) ** 2 >= SSIM_WINDOW
    ]
    return max(fitting, default=0)


def similarity(images: Tensor, scales: int) -> float:
    """Return the mean MS-SSIM over random pairs of images (N, C, H, W) uint8; an image is in one pair at most."""
    first, second = some(images, len(images) // 2 * 2).chunk(2)
    betas = tuple(beta / sum(SSIM_BETAS[:scales]) for beta in SSIM_BETAS[:scales])
    metric = MultiScaleStructuralSimilarityIndexMeasure(
        data_range=255.0, betas=betas, sync_on_compute=False, compute_with_cache=False
    ).to(images.device)
    for pair in zip(first.split(100), second.split(100), strict=True):
        metric.update(*(piece.float() for piece in pair))
    return float(metric.compute())
