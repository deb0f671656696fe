"""What all data modules share: datasets fetched a batch at a time, loaders, and the way to floats on the device."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from lit_gen.data.batches import DataSpec
from lit_gen.data.files import complete_folder
from lit_gen.data.order import EvaluationOrder, ResumableData, SeededFetches, loader_options
from lit_gen.data.synthetic import VERSION
from lit_gen.errors import UserError

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class ArrayDataset(Dataset):
    """Rows of equally long arrays as batches of one type.

    The loader hands `__getitems__` all indices of a batch at once, so nothing in Python is done per image.

    Args:
        batch_type: the named tuple to fill, in the order of `arrays`.
        arrays: one per field; image arrays are (N, H, W, C) uint8 and may be memory maps.
        rows: the rows to use, all by default.
    """

    def __init__(self, batch_type: type, arrays: Sequence[np.ndarray], rows: np.ndarray | None = None) -> None:
        self.batch_type, self.arrays = batch_type, arrays
        self.rows = np.arange(len(arrays[0])) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.batch_type(*(field[0] for field in self.__getitems__([index])))

    def __getitems__(self, indices: Sequence[int]) -> Any:
        rows = self.rows[np.asarray(indices)]
        return self.batch_type(*(_to_tensor(array[rows]) for array in self.arrays))


def _to_tensor(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.permute(0, 3, 1, 2) if array.ndim == 4 else tensor  # (B, C, H, W)


def _as_is(batch: Any) -> Any:
    return batch


class ImageData(ResumableData):
    """A dataset of square images. Subclasses give `spec`, `prepare_data` and `setup`, which fills `datasets`.

    Args:
        root: folder that holds the datasets.
        image_size: side of the images in pixels.
        batch_size: images a batch and process.
        num_workers: loading processes; none is fastest, because a batch is one read from a memory map.
        horizontal_flip: mirror each training image with probability 1/2.
        synthetic: use rendered data, made on first use, in place of the real dataset.
        synthetic_count: how many images are rendered.
        download: fetch the real dataset when it is not there.
    """

    batch_type: ClassVar[type]
    public: bool = False
    """Whether anyone may have the real dataset's images and pass them on. A derived class says so for itself."""

    def __init__(
        self,
        root: Path = Path("data"),
        image_size: int = 64,
        batch_size: int = 64,
        num_workers: int = 0,
        horizontal_flip: bool = False,
        synthetic: bool = False,
        synthetic_count: int = 10_000,
        download: bool = True,
    ) -> None:
        super().__init__()
        if image_size < 4:
            raise UserError(f"image_size must be at least 4 pixels, not {image_size}.")
        if image_size > 4096:  # some networks would fill all memory before anything says that it is short
            raise UserError(f"image_size must be at most 4096 pixels, not {image_size}.")
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, not {batch_size}.")
        if synthetic_count < 100:
            raise UserError(f"synthetic_count must be at least 100, not {synthetic_count}.")
        self.root, self.image_size, self.batch_size = Path(root), image_size, batch_size
        self.num_workers, self.horizontal_flip, self.download = num_workers, horizontal_flip, download
        self.synthetic, self.synthetic_count = synthetic, synthetic_count
        self.datasets: dict[str, Dataset] = {}

    @property
    def spec(self) -> DataSpec:
        """What models need to know; computed from the settings alone, before any file is there."""
        raise NotImplementedError

    @property
    def may_be_shared(self) -> bool:
        """Whether images, and what is made from them, may leave the machine: rendered ones and those of public sets."""
        # A class that derives from a public set's may read other files.
        return self.synthetic or ("public" in vars(type(self)) and self.public)

    @property
    def source(self) -> Path:
        """The folder that is read: `root`, or where the rendered data lie."""
        if not self.synthetic:
            return self.root
        return self.root / "rendered" / f"{type(self).__name__.lower()}-{self.synthetic_count}-v{VERSION}"

    @property
    def cache_folder(self) -> Path:
        return self.source / "cache"

    def prepare_data(self) -> None:
        """Sees that the files are there: renders, finds or downloads them (Lightning calls this in one process)."""
        if not self.synthetic:
            self.find_or_download()
        elif not self.source.is_dir():
            with complete_folder(self.source) as folder:
                self.render(folder)

    def render(self, folder: Path) -> None:
        """Writes the rendered dataset into `folder`, in the format of the real one."""
        raise UserError(f"{type(self).__name__} has no rendered data. Leave out synthetic, and give root.")

    def find_or_download(self) -> None:
        """Raises a `UserError` unless the real dataset is, or could be put, below `root`."""
        raise NotImplementedError

    def train_dataloader(self) -> DataLoader:
        dataset, trainer = self.datasets["train"], self.trainer
        processes = 1 if trainer is None else trainer.world_size
        if len(dataset) < self.batch_size * processes:
            each = f" for each of {processes} processes" if processes > 1 else ""
            raise UserError(
                f"batch_size is {self.batch_size}{each}, but there are only {len(dataset)} training images. "
                "Set --data.batch_size lower."
            )
        if trainer is None:
            return self._loader("train", shuffle=True, drop_last=True, generator=None)
        if trainer.overfit_batches:
            return self._loader("train", drop_last=True)
        return self.training_loader(dataset, self.batch_size, **self._loader_options())

    def val_dataloader(self) -> DataLoader:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _evaluation_loader(self, split: str) -> DataLoader:
        """All rows of a split in their order; several processes share them so that none comes twice."""
        dataset, trainer = self.datasets[split], self.trainer
        processes = 1 if trainer is None else trainer.world_size
        if processes == 1 or trainer.overfit_batches:
            return self._loader(split)
        if 0 < len(dataset) < processes:
            raise UserError(
                f"{processes} processes cannot share {len(dataset)} {split} images. Set --trainer.devices lower, or "
                "hold out more images."
            )
        order = EvaluationOrder(len(dataset), self.batch_size, processes, trainer.global_rank)
        options = loader_options() | self._loader_options()
        return DataLoader(SeededFetches(dataset), batch_size=None, sampler=order, **options)

    def _loader(self, split: str, **options: Any) -> DataLoader:
        options = loader_options() | self._loader_options() | options
        return DataLoader(self.datasets[split], batch_size=self.batch_size, **options)

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
            "collate_fn": _as_is,
        }

    def preview_batch(self, count: int) -> Any:
        """The first `count` validation images (fewer when there are fewer) as a model would get them, on the CPU."""
        split = "val" if len(self.datasets.get("val", ())) else "train"
        dataset = self.datasets[split]
        return self.to_floats(dataset.__getitems__(range(min(count, len(dataset)))), flip=False)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        training = self.trainer is not None and self.trainer.training
        return self.to_floats(batch, flip=self.horizontal_flip and training)

    def to_floats(self, batch: Any, flip: bool) -> Any:
        """uint8 images as floats in [-1, 1] on the same device; each is mirrored with probability 1/2 if `flip`."""
        images = {}
        for field, value in batch._asdict().items():
            if not field.startswith("image"):
                continue
            image = self.resize(value).to(torch.float32) / 127.5 - 1
            if flip:
                mirrored = torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5
                image = torch.where(mirrored, image.flip(-1), image)
            images[field] = image
        return batch._replace(**images)

    def resize(self, image: Tensor) -> Tensor:
        """Arrays that are not stored at the training size are brought to it here, a batch at a time."""
        return image


def resize_batch(image: Tensor, size: int) -> Tensor:
    """(B, C, H, W) uint8 to side `size`, bilinear with antialiasing."""
    return functional.interpolate(
        image.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
    ).clamp(0, 255)


def image_files(folder: Path) -> list[Path]:
    """The image files right in `folder`, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
