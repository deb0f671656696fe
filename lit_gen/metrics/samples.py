"""Metrics of generated images beside real ones: FID, KID, precision, recall, SWD and MS-SSIM, at little cost."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lit_gen.data.contract import DataModule
from lit_gen.data.pixel_values import as_bytes
from lit_gen.metrics.comparison import Names, feature_figures, patch_figures, similarity_figures, some
from lit_gen.metrics.evaluator import Evaluator, Figure, Options
from lit_gen.metrics.features import Features
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.processes import is_enough, turn

MOST_FOR_SWD = 4_096  # images per set: half a minute per level on a CPU; the paper has 16,384


class SampleQuality(Evaluator):
    """The quality and variety of generated images, compared with as many test images.

    Images are first rounded to 8 bits per value, as in a saved file. Some metrics compare the features of a network
    (see `lit_gen.metrics.features`). Their names begin with `digit_` if that is the digit classifier, and end with the
    network's name otherwise.

    - `fid` (↓): Fréchet distance between Gaussians with the features' means and covariances (Heusel et al.,
      arXiv:1706.08500). It means little with fewer images than features (128 of digits, 2,048 of Inception), and
      falls with the number of images. `fid_infinity` is its value extrapolated to infinitely many generated images,
      from ten or more, and `fid_real` that of two random halves of the real ones, the floor at half their number.
    - `kid` (↓), `kid_deviation`: see `lit_gen.metrics.distances`.
    - `precision`, `recall` (↑): see `lit_gen.metrics.precision_recall`.
    - `least_digit`, `most_digit`: for digits, the smallest and the largest ratio of a digit's frequency in generated
      images to that in real ones. 1 is ideal; 0 means that a digit is missing.

    Two metrics compare pixels:

    - `swd<N>_<side>` (↓) for each level of a pyramid, and `swd<N>_mean`, of N images: see `sliced_wasserstein`.
    - `ms_ssim`: mean similarity of two generated images in random pairs, and of two real images (`ms_ssim_real`); see
      `lit_gen.metrics.ms_ssim`. Above the real value, the generator lacks variety.

    With fewer `samples` than test images, the first test images are taken (in MNIST, other writers than the rest).

    Noise is drawn from fixed seeds, one per batch, so that a checkpoint has the same values each time. Which images are
    compared does not depend on the number of processes, but their batches may, and with these the noise.
    `PublishedQuality` has the published protocol, and draws alike with any number of processes.

    Args:
        options: the user's settings.
        image_shape: C, H, W.
        make: function from a batch to generated images (B, C, H, W) in [-1, 1], one per row.
        real: function from a batch to the real images (B, C, H, W) to compare with.
        prefix: beginning of the metrics' names.
        features: the feature networks, if several evaluators share them.
        distinct: numbers of distinct generated and real images, if the data repeat some at the end.
        from_real: whether images are generated from the real ones. They are then compared with others: what is made of
            every other row with the rows between.
    """

    pixels = True
    """Whether the metrics that compare pixels are computed."""
    places: list[Tensor]
    made: list[Tensor]
    real: list[Tensor]

    def __init__(
        self,
        options: Options,
        image_shape: Sequence[int],
        make: Callable[[Any], Tensor],
        real: Callable[[Any], Tensor],
        prefix: str = "",
        features: Features | None = None,
        distinct: tuple[int, int] | None = None,
        from_real: bool = False,
    ) -> None:
        super().__init__()
        self.make, self.take, self.prefix, self.published = make, real, prefix, options.published
        self.samples = options.generated if options.published else options.samples
        self.features = features or Features(options.features, image_shape, options.published)
        self.rows = (slice(0, None, 2), slice(1, None, 2)) if from_real else (slice(None), slice(None))
        self.seen = self.samples * (1 + from_real)  # rows of the data
        self.distinct = distinct or (self.seen, self.seen)
        self.batches = self.images = 0
        for state in ("places", "made", "real"):
            self.add_state(state, [], "cat")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.networks = self.features.load(model.device)
        for number in range(len(self.networks)):
            for state in (f"made_features_{number}", f"real_features_{number}"):
                self.add_state(state, [], "cat")

    def update(self, model: Any, batch: Any) -> None:
        if is_enough(self.images, self.seen):
            return
        number = turn(self.batches)
        with own_noise(number, model.device):
            made = as_bytes(self.make(batch))
        real = as_bytes(self.take(batch))
        self.batches, self.images = self.batches + 1, self.images + len(made)
        self.places.append(torch.full((len(made),), number, device=made.device))
        self.made.append(made)
        self.real.append(real)
        for number, network in enumerate(self.networks):
            getattr(self, f"made_features_{number}").append(network(made))
            getattr(self, f"real_features_{number}").append(network(real))

    def figures(self) -> dict[str, Figure]:
        order = dim_zero_cat(self.places).argsort(stable=True)
        orders = [
            order[: min(self.seen, distinct)][rows] for distinct, rows in zip(self.distinct, self.rows, strict=True)
        ]

        def pair(made: Any, real: Any) -> tuple[Tensor, Tensor]:
            return dim_zero_cat(made)[orders[0]], dim_zero_cat(real)[orders[1]]

        made, real = pair(self.made, self.real)
        numbers = f"{len(made)}_test" if self.published else ""
        names, figures = Names("test images", numbers, self.prefix), dict[str, Figure]()
        enough = min(len(made), len(real)) > 1
        for number, network in enumerate(self.networks if enough else []):
            features = pair(getattr(self, f"made_features_{number}"), getattr(self, f"real_features_{number}"))
            figures |= feature_figures(network, features[0], features[1], names)
        if not self.pixels:
            return figures
        count = min(len(made), len(real), MOST_FOR_SWD)
        if count:
            figures |= patch_figures(some(made, count), some(real, count), names)
        for ending, images in (("", made), ("_real", real)):
            if enough:
                figures |= similarity_figures(some(images, len(images)), names, ending)
        return figures
