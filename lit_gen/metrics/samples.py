"""How good the pictures of a generator are, beside real ones: FID, KID, precision, recall, SWD and MS-SSIM."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, nn
from torchmetrics.image import (
    FrechetInceptionDistance,
    KernelInceptionDistance,
    MultiScaleStructuralSimilarityIndexMeasure,
)
from torchmetrics.utilities import dim_zero_cat

from lit_gen.metrics.evaluator import Evaluator, Figure, Options
from lit_gen.metrics.features import DigitFeatures, Features
from lit_gen.metrics.precision_recall import precision_recall
from lit_gen.metrics.processes import from_first, place
from lit_gen.metrics.sliced_wasserstein import PATCH, sliced_wasserstein

KID_SUBSETS, KID_SUBSET_SIZE = 100, 1_000  # Bińkowski et al., arXiv:1801.01401
MOST_FOR_SWD = 4_096  # images of a set: half a minute a level on a CPU; the paper has 16,384
SSIM_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003
SSIM_WINDOW = 11  # pixels
STATES = ("places", "made", "real", "made_features", "real_features")


class SampleQuality(Evaluator):
    """What a generator's pictures have in common with real ones, and with each other.

    Pictures are looked at as they would be saved, with 8 bits a value. By the features of a network (see
    `lit_gen.metrics.features`), whose name is in the figures' names:

    - `fid`: Fréchet distance between Gaussians of their mean and covariance (Heusel et al., arXiv:1706.08500). It means
      little with fewer pictures than features (128 of `digits`, 2,048 of `inception`), and falls with their number.
    - `kid`: squared maximum mean discrepancy under a cubic kernel, without bias (Bińkowski et al., arXiv:1801.01401).
    - `precision`, `recall`: see `precision_recall`.
    - `least_digit`, `most_digit`: for digits, how often the rarest and the most frequent one are made, over how often
      they are real: 1 where all have their share, 0 where one is missing.

    By the pictures themselves:

    - `swd_<side>` for each level of a pyramid, and `swd_mean`: see `sliced_wasserstein`.
    - `ms_ssim_<n>_scales`: how similar two of the generator's pictures are on average, at random pairs (Odena et al.,
      arXiv:1610.09585; Wang et al. 2003), and the same of the real ones (`..._real`): above it, the generator lacks
      variety. There are as many of the paper's five scales as the pictures are large enough for, their weights scaled
      to sum to 1: figures of different numbers are not comparable.

    With fewer `samples` than test images the first ones are taken: in MNIST, by other writers than the rest.

    The same pictures give the same figures whatever the number of processes. Noise is drawn from seeds of its own, so
    that a checkpoint has the same figures each time.

    Args:
        options: what the user chose.
        image_shape: C, H, W.
        make: a batch to new pictures (B, C, H, W) in [-1, 1], one for each of its rows.
        real: a batch to the real pictures (B, C, H, W) that they should be like.
        prefix: of the figures' names.
        features: where several evaluators share a network.
        distinct: how many of the made and of the real pictures differ, where the data repeat some at the end.
    """

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

    def prepare(self, model: Any, data: LightningDataModule) -> None:
        self.network = self.features.load(model.device)

    def update(self, model: Any, batch: Any) -> None:
        process, processes = place()
        # The processes' shares differ by one picture at most: none stops before all together have enough.
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
        """The figures; each process has all pictures by now, and the first one computes them for all."""
        return from_first(self.figures)

    def figures(self) -> dict[str, Figure]:
        order = dim_zero_cat(self.places).argsort(stable=True)
        orders = [order[: min(self.samples, distinct)] for distinct in self.distinct]
        made, real = (dim_zero_cat(state)[rows] for state, rows in zip((self.made, self.real), orders, strict=True))
        figures = {}
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
    """Images in [-1, 1] as uint8, rounded as they are when they are saved."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


@contextmanager
def own_noise(seed: int, device: torch.device) -> Iterator[None]:
    """Within, what is drawn depends on the seed alone; behind it, all goes on as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed other GPUs' generators too
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


def some(images: Tensor, count: int) -> Tensor:
    """`count` of the images (N, ...) in a random order, always the same; datasets may begin with one kind."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[:count].to(images.device)]


def feature_distances(made: Tensor, real: Tensor) -> dict[str, float]:
    """`fid`, `kid`, `precision` and `recall` of features (N, F) and (M, F), at least two of each."""
    identity = nn.Identity()
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
    """At how many scales images of so many pixels can be compared: the window must fit into the smallest."""
    fitting = [
        count
        for count in range(1, len(SSIM_BETAS) + 1)
        # The second is torchmetrics' own condition.
        if side >> (count - 1) >= SSIM_WINDOW and side // max(1, count - 1) ** 2 >= SSIM_WINDOW
    ]
    return max(fitting, default=0)


def similarity(images: Tensor, scales: int) -> float:
    """The mean MS-SSIM over random pairs of images (N, C, H, W) uint8, each of which is in one pair at most."""
    first, second = some(images, len(images) // 2 * 2).chunk(2)
    betas = tuple(beta / sum(SSIM_BETAS[:scales]) for beta in SSIM_BETAS[:scales])
    metric = MultiScaleStructuralSimilarityIndexMeasure(
        data_range=255.0, betas=betas, sync_on_compute=False, compute_with_cache=False
    ).to(images.device)
    for pair in zip(first.split(100), second.split(100), strict=True):
        metric.update(*(piece.float() for piece in pair))
    return float(metric.compute())
