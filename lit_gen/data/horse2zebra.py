"""horse2zebra and the other datasets of CycleGAN (Zhu et al. 2017, arXiv:1703.10593): images of two domains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch.utilities import rank_zero_info

from lit_gen.data.cache import HINT, cached_set
from lit_gen.data.download import ROOT_HINT, DamagedArchiveError, DownloadError, Remote, fetch, unpack
from lit_gen.data.image_files import MAX_MEGAPIXELS, Search
from lit_gen.data.unpaired import UnpairedData, UnpairedDataset
from lit_gen.errors import UserError, nearest
from lit_gen.limits import PositiveInt
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


class Horse2Zebra(UnpairedData):
    """Unpaired images of two domains, such as horse2zebra, in `root/<dataset>/{trainA,trainB,testA,testB}`.

    The public datasets have no third split: some of the training images (`val_fraction`) are for validation.

    Args:
        dataset: name of one of the CycleGAN authors' datasets, or of a folder of your own in the same layout.
        val_fraction: fraction of the training images of each domain that is kept for validation, where `best.ckpt` is
            chosen. A hash of a file's name decides. The paper trains on all: 0.
        synthetic_count: number of training images to render per domain; a tenth as many again are rendered for the test
            split.
    """

    split_before: ClassVar[Mapping[str, Any]] = {"rule": "test images for validation"}

    def __init__(
        self,
        root: Path = Path("data"),
        dataset: str = "horse2zebra",
        image_size: int = 256,
        load_size: int | None = None,
        batch_size: int = 1,
        horizontal_flip: bool = True,
        synthetic_count: int = 1_000,
        skip_broken: bool = False,
        max_megapixels: PositiveInt = MAX_MEGAPIXELS,
        val_fraction: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            root, image_size, batch_size, horizontal_flip=horizontal_flip, synthetic_count=synthetic_count, **kwargs
        )
        self.dataset, self.place_of_files = dataset, (dataset, "trainA")
        self.begin("hash of the name", val_fraction, load_size, skip_broken, max_megapixels)

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
    def parts(self) -> dict[str, Path]:
        return {part: self.folder / part for part in ("trainA", "trainB", "testA", "testB")}

    def name_of(self, part: str) -> str:
        return f"{self.dataset}-{part}"

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
        super().setup(stage)
        if self.split["rule"] == self.split_before["rule"]:
            images_a, images_b = self.sets["trainA"].images, self.sets["trainB"].images
            self.datasets |= {"train": UnpairedDataset(images_a, images_b, fixed=False), "val": self.datasets["test"]}

    def how_to_fill(self, split: str) -> str:
        if split == "val" and self.split["rule"] != self.split_before["rule"]:
            if self.val_fraction:
                return f"Put images into trainA and trainB in {self.folder}; each needs at least two."
            return "Set --data.val_fraction above 0, and train anew: all images were for training."
        return f"Put images into testA and testB in {self.folder}; each needs at least one."

    def test_images(self, domain: str) -> dict[str, Any]:
        """Return the test images; of rendered ones also `truth`, the counterparts, and `mask`, 0 beside the animal."""
        images = super().test_images(domain)
        if (self.folder / f"truth{domain}").is_dir():
            for part in ("truth", "mask"):
                files = Search(self.folder / f"{part}{domain}").find().paths
                images[part] = cached_set(files, self.cache_folder, f"{part}{domain}", self.image_size).images
        return images
