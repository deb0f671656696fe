"""Unpaired images of two domains: what CycleGAN learns from."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop

from lit_gen.data.base import ImageData
from lit_gen.data.batches import UnpairedImages
from lit_gen.data.cache import CachedSet
from lit_gen.data.datasets import ArrayDataset, to_tensor
from lit_gen.data.decoding import ImageArray
from lit_gen.data.image_files import NoImageError
from lit_gen.data.splits import parts_by_place
from lit_gen.errors import UserError


class UnpairedDataset(ArrayDataset):
    """A dataset of unrelated pairs: row i of the larger domain (A if equal), and a row of the other domain.

    Args:
        images_a: (N_A, H, W, C) uint8.
        images_b: (N_B, H, W, C) uint8.
        fixed: take row i modulo the number of rows of the other domain, for validation and test; by default a random
            row, drawn anew at each fetch.
        rows: numbers of the rows of each domain to use; all by default.
        size: side in pixels of the square in the middle that is taken; all by default.
    """

    def __init__(
        self,
        images_a: ImageArray,
        images_b: ImageArray,
        fixed: bool,
        rows: Sequence[np.ndarray] | None = None,
        size: int | None = None,
    ) -> None:
        self.domains, self.fixed, self.size = (images_a, images_b), fixed, size
        self.rows_of = [np.arange(len(images)) for images in self.domains] if rows is None else list(rows)
        self.batch_type = UnpairedImages

    def __len__(self) -> int:
        counts = [len(rows) for rows in self.rows_of]
        return max(counts) if min(counts) else 0  # an image needs a partner

    def __getitems__(self, indices: Sequence[int]) -> UnpairedImages:
        rows_a, rows_b = self.rows_of
        other = 0 if len(rows_a) < len(rows_b) else 1  # the smaller domain; B when both are equally large
        fields = []
        for domain, (images, own) in enumerate(zip(self.domains, self.rows_of, strict=True)):
            chosen = np.asarray(indices) % len(own)
            if domain == other and not self.fixed:
                chosen = torch.randint(len(own), (len(chosen),)).numpy()
            fields.append(to_tensor(images[own[chosen]]))
        if self.size is not None:
            fields = [center_crop(field, self.size) for field in fields]
        return UnpairedImages(*fields)

    def in_fixed_pairs(self, size: int | None = None) -> "UnpairedDataset":
        """Return these images in the same pairs each time, cut to squares of side `size` if that is given."""
        return UnpairedDataset(*self.domains, fixed=True, rows=self.rows_of, size=size)


class DomainImages:
    """The images of one domain of a dataset of pairs, each once, (N, S, S, C) uint8, read when they are asked for."""

    def __init__(self, dataset: UnpairedDataset, domain: str) -> None:
        number = "AB".index(domain)
        self.images, self.rows, self.size = dataset.domains[number], dataset.rows_of[number], dataset.size
        side = self.size or self.images.shape[1]
        self.shape = (len(self.rows), side, side, self.images.shape[3])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        images, side = self.images[self.rows[rows]], self.shape[1]
        top, left = (round((whole - side) / 2) for whole in images.shape[1:3])
        return images[:, top : top + side, left : left + side]


class TwoDomains:
    """What metrics of translations ask of data of two domains, whose `datasets` hold pairs."""

    datasets: Any

    def domain_examples(self) -> UnpairedDataset:
        """Return a dataset of fixed pairs of training images of both domains, for a classifier to learn from."""
        return cast(UnpairedDataset, self.datasets["train"]).in_fixed_pairs()

    def test_images(self, domain: str) -> dict[str, Any]:
        """Return the test images of domain A or B as `test`, each once, (N, S, S, C) uint8."""
        return {"test": DomainImages(self.datasets["test"], domain)}


class UnpairedData(TwoDomains, ImageData):
    """The base of data of two domains in folders; a subclass defines `parts`, and calls `begin` when it is built.

    Args:
        image_size: side of the images in pixels after cropping.
        load_size: side in pixels to which training images are resized before random cropping (286 for 256 in the
            paper); 1.12 times `image_size` by default.
        batch_size: pairs per batch and process.
    """

    batch_type = UnpairedImages
    load_size: int

    def begin(
        self, rule: str, val_fraction: float, load_size: int | None, skip_broken: bool, max_megapixels: int
    ) -> None:
        """Keep the settings that all such data have; `rule` is as of `split_by`."""
        self.split_by(rule, val_fraction)
        self.skip_broken, self.max_megapixels = skip_broken, max_megapixels
        self.load_size = load_size or round(self.image_size * 286 / 256)
        if self.load_size < self.image_size:
            raise UserError(f"load_size ({self.load_size}) must not be smaller than image_size ({self.image_size}).")

    @property
    def parts(self) -> dict[str, Path]:
        """The folder of each part that there is: trainA and trainB, and if there are such, valA, valB, testA, testB."""
        raise NotImplementedError

    def name_of(self, part: str) -> str:
        """Return words for the images of a part, in the names of caches and in messages."""
        return part

    def prepare_data(self) -> None:
        super().prepare_data()
        _ = self.sets  # decoded now, by one process, and kept for setup

    @cached_property
    def sets(self) -> dict[str, CachedSet]:
        """What was found of each of `parts`."""
        sets, nothing = dict[str, CachedSet](), np.zeros(0, np.int64)
        for part, folder in self.parts.items():
            if not folder.is_dir():
                raise UserError(f"the folder {folder} is missing. Put it back, or unpack the dataset again.")
            size = self.load_size if part.startswith("train") else self.image_size
            try:
                sets[part] = self.decoded_set(self.images_below(folder), self.name_of(part), size)
            except NoImageError:
                if part.startswith("train"):
                    raise
                # Training needs no others.
                sets[part] = CachedSet(np.zeros((0, size, size, 3), np.uint8), nothing, {}, 0, nothing)
        return sets

    def setup(self, stage: str) -> None:
        images_a, images_b = self.sets["trainA"].images, self.sets["trainB"].images
        fractions = [0.0 if f"{split}A" in self.sets else self.val_fraction for split in ("val", "test")]
        parts = [parts_by_place(self.sets[part].places, *fractions) for part in ("trainA", "trainB")]
        train, val, test = ([rows[number] for rows in parts] for number in range(3))
        self.datasets = {"train": UnpairedDataset(images_a, images_b, fixed=False, rows=train)}
        for split, rows in (("val", val), ("test", test)):
            if f"{split}A" in self.sets:
                own_a, own_b = self.sets[f"{split}A"].images, self.sets[f"{split}B"].images
                self.datasets[split] = UnpairedDataset(own_a, own_b, fixed=True)
            else:
                self.datasets[split] = UnpairedDataset(images_a, images_b, True, rows, self.image_size)

    @property
    def previewed(self) -> Any:
        if not self.previews_training_images:
            return super().previewed
        return cast(UnpairedDataset, self.datasets["train"]).in_fixed_pairs(self.image_size)

    @property
    def draws_in_training(self) -> bool:
        return super().draws_in_training or self.load_size > self.image_size

    def to_floats(self, batch: Any, flip: bool) -> Any:
        batch = super().to_floats(batch, flip)
        return type(batch)(*(self._crop(image) for image in batch))

    def _crop(self, image: Tensor) -> Tensor:
        """Cut out a square of side `image_size` at a random place, the same for the whole batch."""
        spare = image.shape[-1] - self.image_size
        if spare == 0:
            return image
        top, left = torch.randint(spare + 1, (2,)).tolist()
        return image[..., top : top + self.image_size, left : left + self.image_size]
