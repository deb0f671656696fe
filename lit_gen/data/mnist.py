"""MNIST (LeCun, Cortes, Burges): 60,000 + 10,000 grey digits of 28x28 pixels in IDX files."""

import os
import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional
from torchvision.datasets import MNIST as TorchvisionMNIST

from lit_gen.data.base import ArrayDataset, ImageData, resize_batch
from lit_gen.data.batches import DataSpec, LabelledImages
from lit_gen.data.files import make_folder, remove_if_empty
from lit_gen.data.idx import read_idx
from lit_gen.data.synthetic.digits import write_mnist
from lit_gen.errors import UserError

SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/"  # torchvision's
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class MNIST(ImageData):
    """MNIST: images of digits and their labels, read from `root/MNIST/raw` (plain or gzipped IDX files).

    Args:
        root: folder that holds the datasets.
        image_size: side in pixels; 28 as stored, more by padding to 32 and enlarging.
        batch_size: images a batch and process.
        val_size: how many training images, the last ones, make the validation split.
        num_workers: loading processes; none is fastest, because a batch is one read from a memory map.
        horizontal_flip: mirror each training image with probability 1/2; digits should not be.
        synthetic: use rendered digits, made on first use.
        synthetic_count: how many training digits are rendered; a sixth of it more for the test split.
        download: fetch the files when they are not there.
    """

    batch_type = LabelledImages
    public = True

    def __init__(
        self,
        root: Path = Path("data"),
        image_size: int = 28,
        batch_size: int = 128,
        val_size: int = 5_000,
        num_workers: int = 0,
        horizontal_flip: bool = False,
        synthetic: bool = False,
        synthetic_count: int = 24_000,
        download: bool = True,
    ) -> None:
        super().__init__(
            root, image_size, batch_size, num_workers, horizontal_flip, synthetic, synthetic_count, download
        )
        self.val_size = val_size

    @property
    def spec(self) -> DataSpec:
        return DataSpec(image_shape=[1, self.image_size, self.image_size], num_classes=10, attributes=[])

    @property
    def raw_folder(self) -> Path:
        return self.source / "MNIST" / "raw"

    def render(self, folder: Path) -> None:
        (folder / "MNIST" / "raw").mkdir(parents=True)
        write_mnist(folder / "MNIST" / "raw", self.synthetic_count, self.synthetic_count // 6)

    def find_or_download(self) -> None:
        if all(self._path(name) for names in FILES.values() for name in names):
            return
        if self.download:
            there = self.root.exists()
            try:
                self._fetch()
                return
            except (OSError, RuntimeError) as error:
                reason = f"could not be downloaded ({(str(error).splitlines() or [type(error).__name__])[-1]})"
                remove_if_empty(self.raw_folder, self.raw_folder.parent, *([] if there else [self.root]))
        else:
            reason = "is not there, and download is off"
        raise UserError(
            f"MNIST {reason}. Put {', '.join(name for names in FILES.values() for name in names)} (or the same ending "
            f"in .gz) into {self.raw_folder}; they are at {SOURCE}, see data/README.md. For "
            "rendered digits set --data.synthetic=true."
        )

    def _fetch(self) -> None:
        make_folder(self.raw_folder)
        with tempfile.TemporaryDirectory(prefix=".download.", dir=self.raw_folder) as scratch:
            TorchvisionMNIST(scratch, download=True)
            for names in FILES.values():
                for name in names:
                    os.replace(Path(scratch) / "MNIST" / "raw" / name, self.raw_folder / name)

    def _path(self, name: str) -> Path | None:
        candidates = (self.raw_folder / name, self.raw_folder / f"{name}.gz")
        return next((path for path in candidates if path.is_file()), None)

    def setup(self, stage: str) -> None:
        arrays = {}
        for split, names in FILES.items():
            images, labels = (read_idx(self._path(name) or self.raw_folder / name) for name in names)
            if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
                raise UserError(
                    f"{names[0]} ({images.shape}) and {names[1]} ({labels.shape}) in {self.raw_folder} do not belong "
                    "together. Delete both and download them again."
                )
            arrays[split] = images[..., None], labels.astype(np.int64)  # (N, 28, 28, 1), (N,)
        count = len(arrays["train"][0])
        if not 0 <= self.val_size < count:
            raise UserError(
                f"val_size must be from 0 to {count - 1}, not {self.val_size}: there are {count} training images."
            )
        rows = np.arange(count)
        self.datasets = {
            "train": ArrayDataset(LabelledImages, arrays["train"], rows[: count - self.val_size]),
            "val": ArrayDataset(LabelledImages, arrays["train"], rows[count - self.val_size :]),
            "test": ArrayDataset(LabelledImages, arrays["test"]),
        }

    def resize(self, image: Tensor) -> Tensor:
        stored = image.shape[-1]
        if self.image_size == stored:
            return image
        if self.image_size >= 32 and stored == 28:
            image = functional.pad(image, (2, 2, 2, 2))  # as the literature does: 32 is a power of two
        return image if image.shape[-1] == self.image_size else resize_batch(image, self.image_size)
