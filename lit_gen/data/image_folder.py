"""Your own images: any folder of image files."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch.utils.data import DataLoader

from lit_gen.data.base import ImageData
from lit_gen.data.batches import Images
from lit_gen.data.cache import CachedSet
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.decoding import ImageArray, ImagesOnDemand
from lit_gen.data.image_files import MAX_MEGAPIXELS, check_folder
from lit_gen.data.splits import parts_by_place
from lit_gen.errors import UserError
from lit_gen.limits import NonNegativeInt, PositiveInt


class OwnImages(ImageData):
    """The base of your own images in one folder; a subclass defines `arrays`, and `setup` to fill `datasets`.

    Args:
        channels: 3 for colour, 1 for grey.
        val_fraction: fraction of the images that is kept from training: half of them for validation, half for test. A
            hash of a file's path in `root` decides, so that no image changes its part when others are added.
        cache_folder: folder for the decoded images; `.cache` in `root` by default. Set it if `root` cannot be written;
            `predict` needs none.
    """

    cache_name = ".cache"

    def __init__(
        self,
        root: Path,
        image_size: int = 64,
        channels: PositiveInt = 3,
        batch_size: int = 64,
        val_fraction: float = 0.05,
        num_workers: NonNegativeInt = 0,
        horizontal_flip: bool = False,
        skip_broken: bool = False,
        max_megapixels: PositiveInt = MAX_MEGAPIXELS,
        cache_folder: Path | None = None,
    ) -> None:
        super().__init__(root, image_size, batch_size, num_workers, horizontal_flip, cache_folder=cache_folder)
        if channels not in (1, 3):
            raise UserError(f"channels must be 1 or 3, not {channels}.")
        self.channels, self.skip_broken, self.max_megapixels = channels, skip_broken, max_megapixels
        self.split_by("hash of the path", val_fraction)

    def prepare_data(self) -> None:
        self.find_or_download()  # without a lock in `root`, which would count as a change of the folder

    def find_or_download(self) -> None:
        check_folder(self.root, "--data.root")
        images = self.arrays  # decoded now, by one process, and kept for setup
        if isinstance(images, ImagesOnDemand):
            self.own_range += images.check("images")

    @property
    def arrays(self) -> ImageArray:
        """All images, (N, S, S, C) uint8: a memory map, or for `predict` possibly images decoded when they are read."""
        raise NotImplementedError


class ImageFolder(OwnImages):
    """All image files below a folder, without labels: the largest centred square of each, resized.

    Args:
        root: folder of the images. Folders in it, and links to others, are searched too, except names that begin with
            a dot.
    """

    batch_type = Images
    split_before: ClassVar[Mapping[str, Any]] = {"rule": "evenly spread names, for validation and test alike"}

    def setup(self, stage: str) -> None:
        images, fraction = self.arrays, self.val_fraction
        if self.split["rule"] == self.split_before["rule"]:
            count = min(len(images) - 1, round(len(images) * fraction))
            val = test = np.unique(np.linspace(0, len(images) - 1, count).astype(int))
            train = np.setdiff1d(np.arange(len(images)), val)
        else:
            train, val, test = parts_by_place(self.found.places, fraction / 2, fraction / 2)
        splits = {"train": train, "val": val, "test": test}
        self.datasets = {split: ArrayDataset(Images, (images,), rows) for split, rows in splits.items()}

    def how_to_fill(self, split: str) -> str:
        if self.val_fraction:
            return f"Put more images than {len(self.arrays)} into {self.root}."
        return "Set --data.val_fraction above 0, and train anew: all images were for training."

    def check_split(self, command: str) -> None:
        if command != "predict":  # predict reads all images
            super().check_split(command)

    def predict_dataloader(self) -> DataLoader:
        """Return a loader of all images of the folder, those of training included."""
        self.datasets["predict"] = ArrayDataset(Images, (self.arrays,))
        return self._prediction_loader("predict")

    @property
    def predicted_files(self) -> list[Path]:
        """The files of the images that `predict` reads, in their order."""
        files = self.images_below(self.root).find().paths
        return [files[row] for row in self.found.rows]

    @property
    def arrays(self) -> ImageArray:
        return self.found.images

    @cached_property
    def found(self) -> CachedSet:
        return self.decoded_set(self.images_below(self.root), "images", self.image_size, channels=self.channels)
