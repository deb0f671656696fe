"""The base of all data modules of images: their settings, folders and caches, and their floats on the device."""

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional

from lit_gen.data.batches import AttributedImages, DataSpec
from lit_gen.data.cache import HINT, CachedSet, cached_set, readable_rows
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.decoding import ImagesOnDemand
from lit_gen.data.image_files import MAX_MEGAPIXELS, Found, Search, in_words
from lit_gen.data.loaders import LoadedData
from lit_gen.data.splits import places_of
from lit_gen.errors import UserError
from lit_gen.files.atomic import CannotWriteError, writing
from lit_gen.files.lock import alone, make_once
from lit_gen.lightning_compat import batches_so_far
from lit_gen.limits import NonNegativeInt
from lit_gen.synthetic import VERSION


class ImageData(LoadedData):
    """A data module of square images; a subclass defines `find_or_download`, and `setup` to fill `datasets`.

    The last two arguments are those of subclasses that read files; the class attributes are their defaults.

    Args:
        root: folder that holds the datasets.
        image_size: side of the images in pixels.
        batch_size: images per batch and process.
        num_workers: number of loading processes; 0 is fastest, because a batch is one read from a memory map.
        horizontal_flip: mirror each training image with probability 1/2.
        synthetic: use rendered data instead of the real dataset; they are rendered on first use.
        synthetic_count: number of images to render.
        download: fetch the real dataset when it is not there.
        cache_folder: folder for all that is made from the dataset (decoded or unpacked images, rendered data,
            classifiers); beside the dataset by default. Several datasets may share one. Set it if `root` cannot be
            written; `predict` needs none.
        skip_broken: leave out unreadable image files, and print their number; by default the first stops the run.
        max_megapixels: size of the largest image file that is decoded, in millions of pixels; decoding takes 4 to
            25 bytes of memory per pixel and process.

    The last two are settings of subclasses that read image files.
    """

    batch_type: ClassVar[type[Any]]
    channels = 3  # 1 of grey images
    predicting = False
    """Whether each image is read only once, so that decoded images need not be kept."""
    compare_every_file = False
    """Whether to look for changes of every image file, where a usual start looks at some of a large set."""
    skip_broken = False
    cache_name = "cache"
    """The name of the cache's folder; it begins with a dot where the folder beside it is the user's own."""
    max_megapixels: int = MAX_MEGAPIXELS
    split: Mapping[str, Any] = {}
    """What decides which images are for training, validation and test, where the dataset itself does not: a checkpoint
    keeps it, and a run that goes on, or is tested, has that of its checkpoint."""
    split_before: ClassVar[Mapping[str, Any]] = {}
    """The part of `split` that held before checkpoints kept it."""

    place_of_files: Sequence[str] = ()
    """The folder of the files below `root`, and patterns of names that some of them have; nothing for any folder."""

    def __init__(
        self,
        root: Path = Path("data"),
        image_size: int = 64,
        batch_size: int = 64,
        num_workers: NonNegativeInt = 0,
        horizontal_flip: bool = False,
        synthetic: bool = False,
        synthetic_count: int = 10_000,
        download: bool = True,
        cache_folder: Path | None = None,
    ) -> None:
        super().__init__()
        self.keep_settings()
        if image_size < 4:
            raise UserError(f"image_size must be at least 4 pixels, not {image_size}.")
        if image_size > 4096:  # a larger network would fill all memory without an error
            raise UserError(f"image_size must be at most 4096 pixels, not {image_size}.")
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, not {batch_size}.")
        if synthetic_count < 100:
            raise UserError(f"synthetic_count must be at least 100, not {synthetic_count}.")
        self.root, self.image_size, self.batch_size = Path(root).expanduser(), image_size, batch_size
        self.num_workers, self.horizontal_flip, self.download = num_workers, horizontal_flip, download
        self.synthetic, self.synthetic_count = synthetic, synthetic_count
        self.own_folder = None if cache_folder is None else Path(cache_folder).expanduser()
        self.datasets: dict[str, ArrayDataset] = {}
        self._taken_split: Mapping[str, Any] | None = None
        self.left_out = 0  # number of files that were found, but not read
        self.own_range = 0  # number of images that were scaled by their own lowest and highest value

    def keep_settings(self) -> None:
        """Keep the arguments of the constructor, derived classes' too, as plain values: a checkpoint has them."""
        self.save_hyperparameters(logger=False, frame=inspect.currentframe().f_back)  # type: ignore[union-attr]
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in self.hparams.items()}
        self.save_hyperparameters(plain, logger=False)

    @property
    def spec(self) -> DataSpec:
        """The facts that a model is built from, computed from the settings alone, before any file exists."""
        return DataSpec(image_shape=[self.channels, self.image_size, self.image_size], num_classes=0, attributes=[])

    @property
    def public(self) -> bool:
        """Whether anyone may pass on the real dataset's images. A derived class does not inherit it."""
        return False

    @property
    def may_be_shared(self) -> bool:
        """Whether images, and grids of them, may be uploaded: rendered images and those of public datasets may."""
        # A class derived from that of a public dataset may read other files.
        return self.synthetic or ("public" in vars(type(self)) and self.public)

    @property
    def source(self) -> Path:
        """The folder that is read: `root`, or the folder of rendered data."""
        return self.rendered_folder(self._name) if self.synthetic else self.root

    @property
    def _name(self) -> str:
        return getattr(self, "pictures", type(self).__name__.lower())  # with captions or without

    def rendered_folder(self, pictures: str) -> Path:
        """Return the folder of rendered data of one kind: below `root`, or below the user's cache folder."""
        inner = Path("rendered") / f"{pictures}-{self.synthetic_count}-v{VERSION}"
        if self.own_folder is None or (self.root / inner).is_dir():
            return self.root / inner
        return self.own_folder / inner

    @property
    def cache_folder(self) -> Path:
        """The folder for decoded images, and for everything else that is computed from the data."""
        return self.own_folder or self.source / self.cache_name

    def unpacked_folder(self, usual: Path, archive: Path) -> Path:
        """Return the folder of an archive's files: `usual`, or a folder named by a hash in the user's cache folder."""
        if self.own_folder is None or usual.is_dir() or not archive.is_file():
            return usual
        status = archive.stat()
        key = f"{os.path.abspath(archive)}|{status.st_size}|{status.st_mtime_ns}"
        return self.own_folder / f"{usual.name}-{hashlib.sha1(os.fsencode(key)).hexdigest()[:12]}"

    def split_by(self, rule: str, val_fraction: float) -> None:
        """Have a fraction of the training images kept for validation; `rule` says in words which."""
        if not 0 <= val_fraction < 1:
            raise UserError(f"val_fraction must be at least 0 and below 1, not {val_fraction}.")
        self.split = {"rule": rule, "val_fraction": val_fraction}

    @property
    def val_fraction(self) -> float:
        return self.split["val_fraction"]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({"split": dict(self.split)} if self.split else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self.take_split(state_dict) and self.datasets:
            self.setup(self._command() or "fit")

    def take_split(self, state_dict: Mapping[str, Any]) -> bool:
        """Take the split of a checkpoint, given the state of its data; return whether it is another, and say so."""
        split = {**self.split, **state_dict.get("split", self.split_before)}
        if split in (self.split, self._taken_split):
            return False
        words = ", ".join(f"{name} = {value}" for name, value in split.items() if value != self.split.get(name))
        rank_zero_info(f"the split of the images is that of the checkpoint: {words}")
        self.split = self._taken_split = split
        return True

    def prepare_data(self) -> None:
        """Render, find or download the files. Of several processes that call it, one does the work; the others wait."""
        if self.synthetic:
            with writing(f"write to {self.source}", HINT):
                make_once(self.source, self.render, f"rendering {self.source.name}", HINT)
            return
        self.check_root()
        with alone(self.root / self._name, f"finding or downloading {self._name}"):
            self.find_or_download()

    def check_root(self) -> None:
        """Raise a `UserError` if `root` has the files itself, and not the folder that they are read from.

        They would be downloaded once more otherwise.
        """
        place, *patterns = self.place_of_files or ("",)
        inner, root = Path(place).parts, Path(os.path.abspath(self.root))
        if (root / place).exists():
            return
        for depth in range(1, len(inner) + 1):
            found = root.joinpath(*inner[depth:])
            if any(any(found.glob(pattern)) for pattern in patterns):
                named = root.parts[-depth:] == inner[:depth]
                advice = f"Set --data.root={root.parents[depth - 1]}" if named else "Move them there"
                raise UserError(f"the files are in {found}, and are read from {root / place}. {advice}.")

    def render(self, folder: Path) -> None:
        """Write the rendered dataset into `folder`, in the format of the real one."""
        raise UserError(f"{type(self).__name__} has no rendered data. Leave out --data.synthetic and set --data.root.")

    def find_or_download(self) -> None:
        """Find the real dataset below `root` or download it there, or raise a `UserError`."""
        raise NotImplementedError

    def images_below(self, folder: Path) -> Search:
        """Return the search for the image files below `folder`."""
        return Search(folder, (self.cache_folder, self.root / ".cache"))

    def decoded_set(self, files: Sequence[Path] | Search, name: str, size: int, **settings: Any) -> CachedSet:
        """Return what `cached_set` does; for `predict`, the cache need not be writable. A line counts other files."""
        settings["max_megapixels"] = self.max_megapixels
        how: dict[str, Any] = {"skip_broken": self.skip_broken, "every_file": self.compare_every_file}
        try:
            found = cached_set(files, self.cache_folder, name, size, **how, **settings)
        except CannotWriteError:
            if not (self.predicting or self._command() == TrainerFn.PREDICTING):
                raise
            paths, left_out, _ = files.find() if isinstance(files, Search) else Found(list(files), {}, {})
            rows = np.arange(len(paths))
            if self.skip_broken:
                rows = readable_rows(paths, None, name, **settings)
                paths = [paths[row] for row in rows]
            places = np.array(places_of(paths, files.folder) if isinstance(files, Search) else [], np.int64)
            found = CachedSet(ImagesOnDemand(paths, size, **settings), rows, left_out, 0, places)
        if isinstance(files, Search) and found.left_out:
            self.left_out += sum(found.left_out.values())
            rank_zero_info(f"left out {in_words(found.left_out)} (in {files.folder})")
        self.own_range += found.own_range
        return found

    @property
    def remarks(self) -> list[str]:
        """Notes on the images for the summary of a run, such as "3 left out"."""
        counts = {"left out": self.left_out, "scaled by their own range": self.own_range}
        return [f"{count} {what}" for what, count in counts.items() if count]

    def preview_batch(self, count: int) -> Any:
        """Return a batch of the first `count` validation images, or of all if there are fewer, as floats on the CPU.

        Without a validation split they are training images, the same each time.
        """
        dataset = self.previewed
        return self.to_floats(dataset.__getitems__(range(min(count, len(dataset)))), flip=False)

    @property
    def previewed(self) -> Any:
        """The dataset of which `preview_batch` has the first rows."""
        return self.datasets["train" if self.previews_training_images else "val"]

    @property
    def previews_training_images(self) -> bool:
        """Whether there is no validation image to preview."""
        return not len(self.datasets.get("val", ()))

    def training_batches(self, count: int, size: int, generator: torch.Generator) -> Iterator[Any]:
        """Yield batches of `size` training rows, `count` rows in all, drawn at random, as floats on the CPU."""
        dataset = self.datasets["train"]
        for rows in torch.randperm(len(dataset), generator=generator)[:count].split(size):
            yield self.to_floats(dataset.__getitems__(rows.tolist()), flip=False)

    def mean_image(self) -> Tensor:
        """Return the mean (C, H, W) of all training images, none mirrored, as floats in [-1, 1]."""
        count = len(self.datasets["train"])
        batches = self.training_batches(count, 1_000, torch.Generator().manual_seed(0))
        return sum(batch[0].double().sum(0) for batch in batches) / count

    @property
    def has_attributes(self) -> bool:
        """Whether a classifier can learn attributes of the images."""
        return "attributes" in self.batch_type._fields

    def attribute_examples(self, names: Sequence[str]) -> ArrayDataset:
        """Return a dataset of images and the named attributes, for a classifier to learn from.

        It holds the training images, and the images of held-out combinations that are kept for classifiers: without
        them, the classifier would err on these combinations as the models do.
        """
        images, attributes = self.datasets["train"].arrays
        columns = [self.spec["attributes"].index(name) for name in names]
        rows = [self.datasets[split].rows for split in ("for_judges", "train") if split in self.datasets]
        return ArrayDataset(AttributedImages, (images, attributes[:, columns]), np.concatenate(rows))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        training = self.trainer is not None and self.trainer.training
        model: Any = self.trainer.lightning_module if training and self.draws_in_training else None
        if hasattr(model, "seed"):
            model.seed("mirror", batches_so_far(self.trainer))
        return self.to_floats(batch, flip=training and self.horizontal_flip)

    @property
    def draws_in_training(self) -> bool:
        """Whether `to_floats` draws something for a batch of training images."""
        return self.horizontal_flip

    def to_floats(self, batch: Any, flip: bool) -> Any:
        """Return a batch with its uint8 images as floats in [-1, 1]; with `flip`, mirror each with probability 1/2."""
        images = {}
        for field, value in batch._asdict().items():
            if not field.startswith("image"):
                continue
            # In place, since each new array of some megabytes takes longer than what is computed.
            image = self.resize(value).to(torch.float32, copy=True).div_(127.5).sub_(1)
            if flip:
                mirrored = torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5
                image = torch.where(mirrored, image.flip(-1), image)
            images[field] = image
        return batch._replace(**images)

    def resize(self, image: Tensor) -> Tensor:
        """Return images (B, C, H, W) at the training size; a subclass with arrays of another size resizes them here."""
        return image


def resize_batch(image: Tensor, size: int) -> Tensor:
    """Return uint8 images (B, C, H, W) at side `size` as floats in [0, 255], bilinear with antialiasing."""
    return functional.interpolate(
        image.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
    ).clamp(0, 255)
