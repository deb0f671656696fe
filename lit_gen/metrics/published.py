"""The published protocol of generated images' metrics: `--evaluation.protocol=published`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lit_gen.data.batches import BatchReader
from lit_gen.data.contract import DataModule
from lit_gen.data.loaders import IN_WORDS
from lit_gen.data.pixel_values import as_bytes
from lit_gen.metrics.attributes import single_changes
from lit_gen.metrics.comparison import Names, feature_figures, patch_figures, similarity_figures
from lit_gen.metrics.evaluator import Evaluator, Figure, Options
from lit_gen.metrics.features import Features
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.ms_ssim import SMALLEST, pair_similarities
from lit_gen.metrics.processes import in_pieces
from lit_gen.metrics.real_images import RealImages, Rows
from lit_gen.metrics.sliced_wasserstein import PATCH

FULL = 50_000  # generated images of StyleGAN2-ADA's fid50k_full
FOR_SWD, FOR_PAIRS = 16_384, 10_000  # images and pairs of Karras et al., arXiv:1710.10196
MOST_BYTES = 4e9  # of the generated images that SWD needs: 16,384 of 256x256 fit
AT_ONCE = 2**20  # pixels that are generated together
TRAIN = "train"


class PublishedQuality(Evaluator):
    """The metrics of `SampleQuality`, by the protocol that published values have.

    - 50,000 images are generated, whatever the number of real ones. The conditions, if a model needs any (sentences,
      patches), are those of the test images, again and again; a translation without noise is made once of each.
    - Real images are all of the training split, unmirrored, or of `split`. Of the test split, a model that makes images
      of real ones gets every other image, and is compared with the rest.
    - `fid50k_full_<network>`, `kid50k_full_<network>`: as of StyleGAN2-ADA, 50,000 against all training images. Other
      numbers stand in the name, as `fid1000_test_<network>`. `…_infinity` is extrapolated from 15 values of N from
      5,000 on, `…_deviation` is that of KID over 100 subsets of 1,000.
    - `precision50k_full_<network>`, `recall…`: on VGG-16's features, not with the published weights: see `vgg16`.
    - `swd16384_<side>`, `swd16384_mean`, and `swd<N>_real_…` of two sets of real images. (Karras et al. mirror real
      images for it where the training does.)
    - `ms_ssim` of 10,000 pairs of images that were generated one after the other, `ms_ssim_real` of random real ones.

    With fewer images, N is the number there is. Of images larger than 256x256, SWD has as many as 4 GB hold. The values
    depend neither on the number of processes nor on the batch size.

    The arguments are those of `SampleQuality`, and `once`: whether one row gives the same image each time.
    """

    def __init__(
        self,
        options: Options,
        image_shape: Sequence[int],
        make: Callable[[Any], Tensor],
        features: Features | None = None,
        from_real: bool = False,
        once: bool = False,
    ) -> None:
        super().__init__()
        self.options, self.make, self.from_real, self.once = options, make, from_real, once
        self.features = features or Features(options.features, image_shape, published=True)
        channels, height, width = image_shape
        self.side, self.values = min(height, width), channels * height * width
        self.at_once = pieces(height * width)

    def prepare(self, model: Any, data: DataModule) -> None:
        """Generate and look at all images, together with the other processes."""
        split, self.where = self.options.split or TRAIN, model.device
        sources, rows = source_and_real_rows(data, split, model.device, self.from_real)
        self.networks, self.real = self.features.load(model.device), RealImages(rows)
        for network in self.networks:
            self.real.prepare(network, self.at_once)
        count = min(self.options.generated, len(sources)) if self.once else self.options.generated
        kept = min(FOR_SWD, count, len(rows), int(MOST_BYTES // self.values))
        full = split == TRAIN and count == FULL and all_training(data) is not None
        self.names = Names(f"{IN_WORDS[split]} images", "50k_full" if full else f"{count}_{split}")

        def look(piece: int, numbers: range) -> dict[str, Tensor]:
            batch = sources.batch([number % len(sources) for number in numbers])
            with own_noise(piece, model.device):
                made = as_bytes(self.make(batch))
            found = {network.title: network(made) for network in self.networks}
            if self.side >= PATCH and numbers.start < kept:
                found["images"] = made[: kept - numbers.start]
            pairs = len(made[: 2 * FOR_PAIRS - numbers.start]) // 2 if numbers.start < 2 * FOR_PAIRS else 0
            if self.side >= SMALLEST and pairs:
                found["pairs"] = pair_similarities(made[: 2 * pairs : 2], made[1 : 2 * pairs : 2])
            return found

        self.made = in_pieces(count, self.at_once, look, f"generating {count:,} images")

    def figures(self) -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        for network in tqdm(self.networks, desc="comparing", unit="network"):
            made, real = self.made.pop(network.title), self.real.features(network)
            figures |= feature_figures(network, made.to(self.where), real.to(self.where), self.names)
        rows, half = self.real.shuffled(), len(self.real) // 2
        if "images" in self.made:
            made = self.made.pop("images")
            figures |= patch_figures(made, self.real.many(rows[: len(made)]), self.names, device=self.where)
            count = min(len(made), half)
            if half > 1:
                one, other = self.real.many(rows[:count]), self.real.many(rows[count : 2 * count])
                figures |= patch_figures(other, one, self.names, "_real", self.where)
        if "pairs" in self.made:
            figures["ms_ssim"] = Figure(float(self.made["pairs"].double().mean()), len(self.made["pairs"]))
        if half:
            pairs = self.real.many(rows[: 2 * min(FOR_PAIRS, half)])
            figures |= similarity_figures(pairs, self.names, "_real")
        return figures


class PublishedTargetDomains(Evaluator):
    """`TargetDomains` against real images that have the attribute, all those of the training split, or of `split`.

    Each test image without an attribute is translated to it once. Of the test split, every other image is translated,
    and the rest is compared with. The arguments are those of `TargetDomains`.
    """

    def __init__(self, options: Options, names: Sequence[str], features: Features) -> None:
        super().__init__()
        self.options, self.names, self.features = options, list(names), features

    def prepare(self, model: Any, data: DataModule) -> None:
        """Translate and look at all images, together with the other processes."""
        self.networks, at_once = self.features.load(model.device), pieces(model.image_shape[1] * model.image_shape[2])
        self.split = self.options.split or TRAIN
        sources, rows = source_and_real_rows(data, self.split, model.device, from_real=True)
        self.real = RealImages(rows, model.labels)
        for network in self.networks:
            self.real.prepare(network, at_once)

        def look(piece: int, numbers: range) -> dict[str, Tensor]:
            batch, found = sources.batch(numbers), dict[str, Tensor]()
            labels = model.labels(batch)
            for index, target in enumerate(single_changes(labels, self.names)):
                lacking = (labels[:, index] != target[:, index]) & (target[:, index] > 0)
                if not lacking.any():
                    continue
                made = as_bytes(model.translate(batch.image[lacking], target[lacking]))
                found |= {f"{index} {network.title}": network(made) for network in self.networks}
            return found

        count = min(self.options.generated, len(sources))
        self.made = in_pieces(count, at_once, look, f"translating {count:,} images") if self.networks else {}

    def figures(self) -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        for network in self.networks:
            real = self.real.features(network)
            for index, name in enumerate(self.names):
                made = self.made.get(f"{index} {network.title}", torch.empty(0))
                words, numbers = f"{IN_WORDS[self.split]} images that have it", f"{len(made)}_{self.split}"
                names = Names(words, numbers, f"{name}_")
                figures |= feature_figures(network, made, real[self.real.labels[:, index] > 0], names, brief=True)
        return figures


def pieces(pixels: int) -> int:
    """Return how many images of so many pixels are generated together: an even number, a function of nothing else."""
    return min(100, max(2, AT_ONCE // pixels // 2 * 2))


def all_training(data: Any) -> BatchReader | None:
    """Return all training images of the data; None if the training split lacks some."""
    return getattr(data, "all_training", getattr(data, "datasets", {}).get(TRAIN))


def source_and_real_rows(data: Any, split: str, device: torch.device, from_real: bool) -> tuple[Rows, Rows]:
    """Return the rows that images are made of, which are test images, and those that they are compared with."""
    if split == "test" and from_real:
        return Rows(data, "test", device, slice(0, None, 2)), Rows(data, "test", device, slice(1, None, 2))
    return Rows(data, "test", device), Rows(data, split, device, dataset=all_training(data) if split == TRAIN else None)
