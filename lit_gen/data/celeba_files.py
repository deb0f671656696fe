"""The search for CelebA's files, as its authors, torchvision and Kaggle lay them out, and their download."""

import os
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_info

from lit_gen.data.cache import HINT
from lit_gen.data.download import ROOT_HINT, DamagedArchiveError, DownloadError, Remote, fetch, names_in, unpack
from lit_gen.errors import UserError

IMAGES = "img_align_celeba"
LISTS = ("list_attr_celeba", "list_eval_partition")
PAGE, KAGGLE = (
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    "https://www.kaggle.com/datasets/jessicali9530/celeba-dataset",
)
ON_DRIVE = {
    f"{LISTS[0]}.txt": "0B7EVK8r0v71pblRyaVFSWGxPY0U&resourcekey=0-YW2qIuRcWHy_1C2VaRGL3Q",
    f"{LISTS[1]}.txt": "0B7EVK8r0v71pY0NSMzRuSXJEVkk&resourcekey=0-i4TGCi_51OtQ5K9FSp4EDg",
    f"{IMAGES}.zip": "0B7EVK8r0v71pZjFTYXZWM3FlRnM&resourcekey=0-dYn9z10tMJOBAkviAcfdyQ",
}
"""Identifier and key of each file on the authors' Google Drive."""
DRIVES = (
    "https://drive.usercontent.google.com/download?export=download&confirm=t&id=",
    "https://drive.google.com/uc?export=download&confirm=t&id=",
)
MIRRORS = {f"{IMAGES}.zip": ("https://s3.amazonaws.com/pytorch-tutorial-assets/img_align_celeba.zip",)}
# Checksums and sizes as TensorFlow Datasets records them.
SUMS = {
    f"{LISTS[0]}.txt": ("f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0", 26_721_026),
    f"{LISTS[1]}.txt": ("fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7", 2_836_386),
    f"{IMAGES}.zip": ("46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74", 1_443_490_838),
}
DEPTH = 5  # levels of folders that are searched, such as drive-download.zip, CelebA, Img, img_align_celeba


class CelebAFiles:
    """The files of CelebA in a folder: two lists and `img_align_celeba/`, or zip files that hold them.

    Args:
        folder: folder of the files. They may also lie in folders in it.
        unpacked_folder: function that returns where an archive's files are, given the usual place and the archive.
    """

    def __init__(self, folder: Path, unpacked_folder: Callable[[Path, Path], Path]) -> None:
        self.folder, self.unpacked_folder = folder, unpacked_folder
        self._search()

    def find_or_download(self, download: bool) -> None:
        """Find the files, unpack them, or download them if `download` allows it.

        Raises:
            UserError: something is missing; the message tells two ways to get it by hand.
        """
        reason = self._unpack() or "is not there, and download is off"
        if download and self.missing:
            try:
                for name in self.missing:
                    urls = (*(f"{drive}{ON_DRIVE[name]}" for drive in DRIVES), *MIRRORS.get(name, ()))
                    fetch(Remote(urls, *SUMS[name]), self.folder / name, ROOT_HINT)
                self._search()
                reason = self._unpack()
            except DownloadError as error:
                reason = f"could not be downloaded: {error}"
        if missing := self.missing:
            links = (f"https://drive.google.com/file/d/{ON_DRIVE[name].replace('&', '/view?')}" for name in missing)
            raise UserError(
                f"CelebA {reason.rstrip('.')}. There are two ways by hand. Either open {' and '.join(links)} in a "
                f"browser, and put {', '.join(missing)} into {self.folder} ({IMAGES}/, unpacked, does too; {PAGE} has "
                f"the agreement). Or put Kaggle's zip file there as it is: {KAGGLE} . See data/README.md. For rendered "
                "faces set --data.synthetic=true."
            )

    def list_file(self, name: str) -> Path:
        """Return the path of a list: the authors' `.txt` or Kaggle's `.csv`."""
        paths = [place / f"{name}{ending}" for ending in (".txt", ".csv") for place in self._places]
        return next((path for path in paths if path.is_file()), self.folder / f"{name}.txt")

    @property
    def images_folder(self) -> Path:
        """The folder of the images."""
        unpacked = [self._unpacked(archive) for archive in self._archives if archive.stem == IMAGES]
        found = (place for place in self._places if place.name == IMAGES or place in unpacked)
        folder = next(found, self.folder / IMAGES)
        while (folder / IMAGES).is_dir():  # Kaggle's images lie in img_align_celeba/img_align_celeba
            folder /= IMAGES
        return folder

    @property
    def missing(self) -> list[str]:
        """The names of the authors' files that are not there, nor anything in their place."""
        names = [f"{name}.txt" for name in LISTS if not self.list_file(name).is_file()]
        return names if self.images_folder.is_dir() else [*names, f"{IMAGES}.zip"]

    def _search(self) -> None:
        """Find the folders that may hold files, those of unpacked archives included, and the zip files in them."""
        self._places: list[Path] = []
        self._archives: list[Path] = []
        level = [self.folder]
        for _ in range(DEPTH):
            level = [place for place in dict.fromkeys(level) if place.is_dir() and place not in self._places]
            self._places += level
            below = []
            for place in level:
                if place.name.startswith(IMAGES):  # images need not be listed
                    continue
                try:
                    with os.scandir(place) as listing:
                        entries = sorted((entry.name, entry.is_dir()) for entry in listing if entry.name[0] != ".")
                except OSError:  # a folder that may not be listed
                    continue
                archives = [place / name for name, is_folder in entries if name.endswith(".zip") and not is_folder]
                below += [place / name for name, is_folder in entries if is_folder]
                below += [self._unpacked(archive) for archive in archives]
                self._archives += archives
            level = below

    def _unpacked(self, archive: Path) -> Path:
        return self.unpacked_folder(archive.with_suffix(""), archive)

    def _unpack(self) -> str:
        """Unpack the zip files that hold what is missing, and return why one of them cannot be, or nothing."""
        problem, done = "", set[Path]()
        while missing := {Path(name).stem for name in self.missing}:
            archive = next((archive for archive in self._archives if archive not in done), None)
            if archive is None:
                break
            done.add(archive)
            try:
                names = names_in(archive)
                lists = {Path(name).stem for name in names} & set(LISTS)
                images = IMAGES in missing and any(f"{IMAGES}/" in name or f"{IMAGES}.zip" in name for name in names)
                if (images or lists & missing) and not self._unpacked(archive).is_dir():
                    inner = IMAGES if archive.stem == IMAGES and not lists else None
                    unpack(archive, self._unpacked(archive), inner, HINT)
                    self._search()
            except DamagedArchiveError as error:
                rank_zero_info(str(error))
                problem = f"cannot be unpacked: {error}"
        return problem
