"""MNIST (LeCun, Cortes, Burges): 60,000 + 10,000 grey digits of 28x28 pixels in IDX files."""

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional

from lit_gen.data.base import ImageData, resize_batch
from lit_gen.data.batches import UNLABELLED, DataSpec, Images, LabelledImages
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.download import ROOT_HINT, DownloadError, Remote, fetch, set_aside
from lit_gen.errors import UserError
from lit_gen.files.atomic import CannotWriteError, complete_file
from lit_gen.files.idx import DamagedFileError, read_idx
from lit_gen.synthetic.digits import digit_factors, write_mnist

SITES = (  # torchvision's, and that of TensorFlow Datasets
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Checksums and sizes of the gzipped files.
SUMS = {
    "train-images-idx3-ubyte": ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
    "train-labels-idx1-ubyte": ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
    "t10k-images-idx3-ubyte": ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
    "t10k-labels-idx1-ubyte": ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
}


class MNIST(ImageData):
    """MNIST: images of digits with labels, read from plain or gzipped IDX files in `root/MNIST/raw`.

    Args:
        image_size: side of the images in pixels: 28 as stored, 32 and more by padding to 32 and enlarging.
        val_size: number of training images, the last ones, that form the validation split.
        labelled: number of training images that keep their labels, equally many per class as far as possible; all by
            default. The run's seed chooses them. The others have the label -1 in training batches; validation, test
            and metrics see all labels.
        synthetic_count: number of training digits to render; a sixth as many again are rendered for the test split.
    """

    batch_type: ClassVar[type[Any]] = LabelledImages
    channels = 1
    public = True
    place_of_files = ("MNIST/raw", "*-ubyte", "*-ubyte.gz")

    def __init__(
        self,
        root: Path = Path("data"),
        image_size: int = 28,
        batch_size: int = 128,
        val_size: int = 5_000,
        synthetic_count: int = 24_000,
        labelled: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, image_size, batch_size, synthetic_count=synthetic_count, **kwargs)
        if labelled is not None and self.batch_type is not LabelledImages:
            raise UserError(f"{type(self).__name__} has no labels to hide. Leave --data.labelled out.")
        self.split, self.asked_val_size, self.labelled = {"val_size": val_size}, val_size, labelled

    @property
    def spec(self) -> DataSpec:
        return {**super().spec, "num_classes": 10}

    @property
    def val_size(self) -> int:
        return self.split["val_size"]

    @property
    def all_training(self) -> ArrayDataset:
        """The images of the training files, those held back for validation included."""
        return ArrayDataset(Images, self.datasets["train"].arrays[:1])

    @property
    def raw_folder(self) -> Path:
        return self.source / "MNIST" / "raw"

    def render(self, folder: Path) -> None:
        (folder / "MNIST" / "raw").mkdir(parents=True)
        write_mnist(folder / "MNIST" / "raw", self.synthetic_count, self.synthetic_count // 6)

    def find_or_download(self) -> None:
        missing = [name for names in FILES.values() for name in names if not self._is_whole(name)]
        if not missing:
            return
        reason = "is not there, and download is off."
        if self.download:
            try:
                for name in missing:
                    self._fetch(name)
                return
            except DownloadError as error:
                reason = f"could not be downloaded: {error}"
        raise UserError(
            f"MNIST {reason} Put {', '.join(missing)} (or the same ending in .gz) into {self.raw_folder}; they are at "
            f"{' and '.join(SITES)}, see data/README.md. For rendered digits set --data.synthetic=true."
        )

    def _is_whole(self, name: str) -> bool:
        """Return whether a file is there; one that is damaged is moved aside if it can be downloaded again."""
        path = self._path(name)
        if path is None:
            return False
        try:
            read_idx(path)
        except DamagedFileError as error:
            if not (self.download and set_aside(path)):
                raise
            rank_zero_info(f"{error} This is done now; the old one is {path.name}.damaged.")
            return False
        return True

    def _fetch(self, name: str) -> None:
        archive, target = self.raw_folder / f"{name}.gz", self.raw_folder / name
        fetch(Remote(tuple(f"{site}{name}.gz" for site in SITES), *SUMS[name]), archive, ROOT_HINT)
        try:
            with complete_file(target, ROOT_HINT) as partial, gzip.open(archive) as source, partial.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        except OSError as error:
            if not target.is_file():  # otherwise another process has done the same, and removed the archive
                raise CannotWriteError(f"cannot write {target}: {error.strerror}. {ROOT_HINT}") from error
        archive.unlink(missing_ok=True)

    def _path(self, name: str) -> Path | None:
        names = (name, f"{name}.gz", name.replace("-idx", ".idx"))  # the last is Kaggle's
        return next((path for one in names if (path := self.raw_folder / one).is_file()), None)

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
        if self.val_size >= count and self.val_size != self.asked_val_size:
            rank_zero_info(
                f"the checkpoint's val_size is too large for {count} training images; {self.asked_val_size} is used"
            )
            self.split = {"val_size": self.asked_val_size}
        if not 0 <= self.val_size < count:
            raise UserError(
                f"val_size must be from 0 to {count - 1}, not {self.val_size}: there are {count} training images. "
                "Set --data.val_size."
            )
        rows = np.arange(count)
        self.datasets = {
            "train": ArrayDataset(LabelledImages, arrays["train"], rows[: count - self.val_size]),
            "val": ArrayDataset(LabelledImages, arrays["train"], rows[count - self.val_size :]),
            "test": ArrayDataset(LabelledImages, arrays["test"]),
        }
        if self.labelled is not None and not 0 <= self.labelled <= count - self.val_size:
            raise UserError(
                f"labelled must be from 0 to the number of training images, {count - self.val_size}, not "
                f"{self.labelled}. Set --data.labelled."
            )

    def training_dataset(self) -> ArrayDataset:
        """Return the training split, with the labels of all except `labelled` images hidden."""
        dataset = self.datasets["train"]
        if self.labelled is None:
            return dataset
        images, labels = dataset.arrays
        kept = dataset.rows[self._labelled_rows()]
        shown = np.full_like(labels, UNLABELLED)
        shown[kept] = labels[kept]
        rank_zero_info(f"labels: {len(kept)} of {len(dataset)} training images keep theirs")
        return ArrayDataset(dataset.batch_type, (images, shown), dataset.rows)

    def labelled_images(self) -> LabelledImages:
        """Return all training images whose labels are known, with these, as stored: images (N, 1, 28, 28) uint8."""
        return self.datasets["train"].__getitems__(self._labelled_rows().tolist())

    def _labelled_rows(self) -> np.ndarray:
        dataset = self.datasets["train"]
        if self.labelled is None:
            return np.arange(len(dataset))
        return balanced_rows(dataset.arrays[1][dataset.rows], self.labelled, self.run_seed)

    def factors(self, split: str, places: Sequence[int]) -> dict[str, np.ndarray] | None:
        """Return what rendered digits, rows of a split, were drawn from, each (N,) by its name; None for real ones."""
        if not self.synthetic:
            return None
        rows, known = self.datasets[split].rows[np.asarray(places, int)], self.datasets[split].arrays[1]
        found = [digit_factors(int(row), int(split == "test")) for row in rows]
        columns = {name: np.array([one[name] for one in found]) for name in found[0]} if found else {}
        labels = known if known.ndim == 1 else known.argmax(1)  # attributes, with captions
        return columns if found and np.array_equal(columns["digit"], labels[rows]) else None  # another's digits

    def how_to_fill(self, split: str) -> str:
        if split == "val":
            return "Set --data.val_size above 0, and train anew: all images were for training."
        return f"Replace {FILES[split][0]} and its labels in {self.raw_folder}, which hold none."

    def resize(self, image: Tensor) -> Tensor:
        stored = image.shape[-1]
        if self.image_size == stored:
            return image
        if self.image_size >= 32 and stored == 28:
            image = functional.pad(image, (2, 2, 2, 2))  # the usual padding: 32 is a power of two
        return image if image.shape[-1] == self.image_size else resize_batch(image, self.image_size)


def balanced_rows(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return `count` of the N rows, in ascending order, drawn at random by `seed`.

    They are equally many per class, by the class indices `labels` (N,), as far as the classes have them.
    """
    order = np.random.default_rng([seed, len(labels)]).permutation(len(labels))
    shuffled = labels[order]
    turn = np.empty(len(labels), int)  # 0 for the first image of each class, 1 for the second, and so on
    for label in np.unique(labels):
        of_class = np.flatnonzero(shuffled == label)
        turn[of_class] = np.arange(len(of_class))
    return np.sort(order[np.argsort(turn, kind="stable")[:count]])
