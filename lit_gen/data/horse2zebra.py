"""horse2zebra and the other datasets of CycleGAN (Zhu et al. 2017, arXiv:1703.10593): images of two domains."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torchvision.transforms.functional import center_crop

from lit_gen.data.base import ArrayDataset, ImageData
from lit_gen.data.batches import DataSpec, UnpairedImages
from lit_gen.data.cache import HINT, CachedSet, cached_images
from lit_gen.data.decoding import ImageArray
from lit_gen.data.download import ROOT_HINT, DamagedArchiveError, DownloadError, Remote, fetch, unpack
from lit_gen.data.image_files import MAX_MEGAPIXELS, NoImageError, image_files
from lit_gen.data.splits import parts_by_place
from lit_gen.errors import UserError, nearest
from lit_gen.limits import NonNegativeInt, PositiveInt
from lit_gen.synthetic.animals.write import write_horse2zebra

SITE = "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/"
MIRROR = "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/"  # where they were before
# Checksums and sizes as TensorFlow Datasets records them.
SETS = {
    "horse2zebra": ("a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", 116_867_962),
    "apple2orange": ("845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", 78_456_409),
    "summer2winter_yosemite": ("167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9", 132_640_856),
    "monet2photo": ("88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", 305_231_073),
    "cezanne2photo": ("3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", 279_885_071),
    "ukiyoe2photo": ("02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", 292_946_532),
    "vangogh2photo": ("362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", 306_590_349),
    "maps": ("639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", 1_476_754_427),
    "facades": ("9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", 35_135_868),
    "iphone2dslr_flower": ("8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", 339_964_458),
}


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
            fields.append(torch.from_numpy(images[own[chosen]]).permute(0, 3, 1, 2))  # (B, C, H, W)
        if self.size is not None:
            fields = [center_crop(field, self.size) for field in fields]
        return UnpairedImages(*fields)


class Horse2Zebra(ImageData):
    """Unpaired images of two domains, such as horse2zebra, in `root/<dataset>/{trainA,trainB,testA,testB}`.

    The public datasets have no third split: some of the training images (`val_fraction`) are for validation.

    Args:
        root: folder that holds the datasets.
        dataset: name of one of the CycleGAN authors' datasets, or of a folder of your own in the same layout.
        image_size: side of the images in pixels after cropping.
        load_size: side in pixels to which training images are resized before random cropping (286 for 256 in the
            paper); 1.12 times `image_size` by default.
        batch_size: pairs per batch and process.
        val_fraction: fraction of the training images of each domain that is kept for validation, where `best.ckpt` is
            chosen. A hash of a file's name decides. The paper trains on all: 0.
        num_workers: number of loading processes; 0 is fastest, because a batch is one read from a memory map.
        horizontal_flip: mirror each training image with probability 1/2.
        synthetic: use rendered animals; they are rendered on first use.
        synthetic_count: number of training images to render per domain; a tenth as many again are rendered for the test
            split.
        download: download the dataset if it is missing.
        skip_broken: leave out unreadable image files, and print their number; by default the first stops the run.
        max_megapixels: size of the largest image file that is decoded, in millions of pixels; decoding takes 4 to
            25 bytes of memory per pixel and process.
        cache_folder: folder for decoded, unpacked and rendered images, if not in `root`. Set it if `root` cannot be
            written; `predict` needs none.
    """

    batch_type = UnpairedImages
    split_before: ClassVar[Mapping[str, Any]] = {"rule": "test images for validation"}

    def __init__(
        self,
        root: Path = Path("data"),
        dataset: str = "horse2zebra",
        image_size: int = 256,
        load_size: int | None = None,
        batch_size: int = 1,
        num_workers: NonNegativeInt = 0,
        horizontal_flip: bool = True,
        synthetic: bool = False,
        synthetic_count: int = 1_000,
        download: bool = True,
        skip_broken: bool = False,
        max_megapixels: PositiveInt = MAX_MEGAPIXELS,
        cache_folder: Path | None = None,
        val_fraction: float = 0.05,
    ) -> None:
        super().__init__(
            root,
            image_size,
            batch_size,
            num_workers,
            horizontal_flip,
            synthetic,
            synthetic_count,
            download,
            cache_folder,
        )
        if not 0 <= val_fraction < 1:
            raise UserError(f"val_fraction must be at least 0 and below 1, not {val_fraction}.")
        self.split = {"rule": "hash of the name", "val_fraction": val_fraction}
        self.dataset, self.skip_broken, self.max_megapixels = dataset, skip_broken, max_megapixels
        self.load_size = load_size or round(image_size * 286 / 256)
        if self.load_size < image_size:
            raise UserError(f"load_size ({self.load_size}) must not be smaller than image_size ({image_size}).")

    @property
    def spec(self) -> DataSpec:
        return DataSpec(image_shape=[3, self.image_size, self.image_size], num_classes=0, attributes=[])

    @property
    def public(self) -> bool:
        return self.dataset in SETS

    @property
    def folder(self) -> Path:
        if self.synthetic:
            return self.source / "horse2zebra"
        return self.unpacked_folder(self.root / self.dataset, self.root / f"{self.dataset}.zip")

    def render(self, folder: Path) -> None:
        (folder / "horse2zebra").mkdir()
        write_horse2zebra(folder / "horse2zebra", self.synthetic_count, self.synthetic_count // 10)

    @property
    def val_fraction(self) -> float:
        return self.split["val_fraction"]

    def prepare_data(self) -> None:
        super().prepare_data()
        _ = self.sets  # decoded now, by one process, and kept for setup

    def find_or_download(self) -> None:
        folder, archive = self.folder, self.root / f"{self.dataset}.zip"
        if all((folder / part).is_dir() for part in ("trainA", "trainB")):
            return
        reason = "is not there, and download is off."
        if self.dataset not in SETS:
            reason = f"is not one of the public sets.{nearest(self.dataset, list(SETS))}"
        may_download = self.download and self.dataset in SETS
        if archive.is_file():
            try:
                unpack(archive, folder, inner=self.dataset, hint=HINT)
                return
            except DamagedArchiveError as error:
                if not may_download:
                    raise
                rank_zero_info(f"{error} {self.dataset} is downloaded again")
        if may_download:
            try:
                urls = tuple(f"{site}{self.dataset}.zip" for site in (SITE, MIRROR))
                fetch(Remote(urls, *SETS[self.dataset]), archive, ROOT_HINT)
                unpack(archive, self.folder, inner=self.dataset, hint=HINT)
                return
            except DownloadError as error:
                reason = f"could not be downloaded: {error}"
        raise UserError(
            f"{self.dataset} {reason} Put trainA/, trainB/, testA/ and testB/ into {folder}, or "
            f"{archive.name} (the public ones are at {SITE}) into {self.root}; see data/README.md. For "
            "rendered animals set --data.synthetic=true."
        )

    def setup(self, stage: str) -> None:
        images_a, images_b = self.sets["trainA"].images, self.sets["trainB"].images
        test = UnpairedDataset(self.sets["testA"].images, self.sets["testB"].images, fixed=True)
        if self.split["rule"] == self.split_before["rule"]:
            self.datasets = {"train": UnpairedDataset(images_a, images_b, fixed=False), "val": test, "test": test}
            return
        parts = [parts_by_place(self.sets[part].places, self.val_fraction) for part in ("trainA", "trainB")]
        train, val = ([part[number] for part in parts] for number in range(2))
        self.datasets = {
            "train": UnpairedDataset(images_a, images_b, fixed=False, rows=train),
            "val": UnpairedDataset(images_a, images_b, fixed=True, rows=val, size=self.image_size),
            "test": test,
        }

    @property
    def arrays(self) -> dict[str, ImageArray]:
        """The images of each part, (N, S, S, 3) uint8: memory maps, or for `predict` possibly decoded when read."""
        return {part: found.images for part, found in self.sets.items()}

    @cached_property
    def sets(self) -> dict[str, CachedSet]:
        """What was found of each part."""
        sets: dict[str, CachedSet] = {}
        for part in ("trainA", "trainB", "testA", "testB"):
            folder = self.folder / part
            if not folder.is_dir():
                raise UserError(f"the folder {folder} is missing. Unpack {self.dataset} again.")
            size = self.load_size if part.startswith("train") else self.image_size
            try:
                sets[part] = self.decoded_set(self.images_below(folder), f"{self.dataset}-{part}", size)
            except NoImageError:
                if part.startswith("train"):
                    raise
                # Training needs no test images.
                sets[part] = CachedSet(np.zeros((0, size, size, 3), np.uint8), None, {}, 0, np.zeros(0, np.int64))
        return sets

    def how_to_fill(self, split: str) -> str:
        if split == "val" and self.split["rule"] != self.split_before["rule"]:
            if self.val_fraction:
                return f"Put images into trainA and trainB in {self.folder}; each needs at least two."
            return "Set --data.val_fraction above 0, and train anew: all images were for training."
        return f"Put images into testA and testB in {self.folder}; each needs at least one."

    def domain_examples(self) -> UnpairedDataset:
        """Return a dataset of fixed pairs of training images of both domains, for a classifier to learn from."""
        return UnpairedDataset(self.arrays["trainA"], self.arrays["trainB"], fixed=True)

    def test_images(self, domain: str) -> dict[str, ImageArray]:
        """Return the test images of domain A or B, each once, (N, S, S, 3) uint8.

        Returns:
            The images as `test`. Rendered data also have `truth`, their counterparts in the other domain, and `mask`,
            which is not 0 where the animal is.
        """
        images = {"test": self.arrays[f"test{domain}"]}
        if (self.folder / f"truth{domain}").is_dir():
            for part in ("truth", "mask"):
                files = image_files(self.folder / f"{part}{domain}")
                images[part] = cached_images(files, self.cache_folder, f"{part}{domain}", self.image_size)
        return images

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
