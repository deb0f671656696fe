"""Your own images of two domains: two folders of any names."""

from collections.abc import Mapping
from pathlib import Path

from lit_gen.data.image_files import MAX_MEGAPIXELS, Search, check_folder
from lit_gen.data.splits import NAMES_OF_SPLITS
from lit_gen.data.unpaired import UnpairedData
from lit_gen.errors import UserError
from lit_gen.limits import NonNegativeInt, PositiveInt


class UnpairedFolders(UnpairedData):
    """Unpaired images of two domains, in two folders of any names, for CycleGAN.

    Splits are those of sub-folders train, val and test (also validation), which both folders have, or neither. Where
    there is no such folder for validation or test, some of the training images are kept for it.

    Args:
        folder_a: folder of the images of domain A. Folders in it are searched too, except names that begin with a dot.
        folder_b: folder of the images of domain B.
        val_fraction: fraction of the training images of each domain that is kept for validation, where `best.ckpt` is
            chosen, and as many again for test, each unless a folder has them. A hash of a file's path decides.
        cache_folder: folder for the decoded images; `.cache` in `folder_a` by default. Set it if that cannot be
            written; `predict` needs none.
    """

    cache_name = ".cache"

    def __init__(
        self,
        folder_a: Path,
        folder_b: Path,
        image_size: int = 256,
        load_size: int | None = None,
        batch_size: int = 1,
        val_fraction: float = 0.05,
        num_workers: NonNegativeInt = 0,
        horizontal_flip: bool = True,
        skip_broken: bool = False,
        max_megapixels: PositiveInt = MAX_MEGAPIXELS,
        cache_folder: Path | None = None,
    ) -> None:
        super().__init__(folder_a, image_size, batch_size, num_workers, horizontal_flip, cache_folder=cache_folder)
        self.folders = {"A": Path(folder_a).expanduser(), "B": Path(folder_b).expanduser()}
        self.begin("hash of the path", val_fraction, load_size, skip_broken, max_megapixels)

    @property
    def remarks(self) -> list[str]:
        return [*super().remarks, f"domain B from {self.folders['B']}"]

    def prepare_data(self) -> None:
        self.find_or_download()  # without a lock in a folder, which would count as a change of it
        _ = self.sets  # decoded now, by one process, and kept for setup

    def find_or_download(self) -> None:
        for domain, folder in self.folders.items():
            check_folder(folder, f"--data.folder_{domain.lower()}")
        real_a, real_b = (folder.resolve() for folder in self.folders.values())
        if real_a.is_relative_to(real_b) or real_b.is_relative_to(real_a):
            raise UserError(
                f"{self.folders['A']} and {self.folders['B']} are one folder, or one is in the other: the domains "
                "would share images. Give --data.folder_a and --data.folder_b two apart."
            )

    @property
    def parts(self) -> dict[str, Path]:
        """The folder of each part that there is: trainA and trainB, and if there are such, valA, valB, testA, testB.

        Raises:
            UserError: only one domain has a folder of a split, or there are images beside these folders.
        """
        of_domain = {domain: split_folders(folder) for domain, folder in self.folders.items()}
        for split in ("train", "val", "test"):
            have = [domain for domain in "AB" if split in of_domain[domain]]
            if len(have) == 1:
                lacking = self.folders["B" if have == ["A"] else "A"]
                raise UserError(f"{of_domain[have[0]][split]} is there, but {lacking} has no folder {split}. Add it.")
        return {f"{split}{domain}": path for domain in "AB" for split, path in of_domain[domain].items()}

    def name_of(self, part: str) -> str:
        return f"{self.folders[part[-1]].resolve().name}-{part}"

    def how_to_fill(self, split: str) -> str:
        folders = " and ".join(str(folder) for folder in self.folders.values())
        if f"{split}A" in self.sets and split != "train":
            return f"Put images into the folders {split} in {folders}; each needs at least one."
        if self.val_fraction or split == "train":
            return f"Put images into {folders}; each needs at least three."
        return "Set --data.val_fraction above 0, and train anew: all images were for training."


def split_folders(folder: Path) -> Mapping[str, Path]:
    """Return the sub-folders of splits, by what these are called here; the folder itself as train, if it has none.

    Raises:
        UserError: there are images beside them, or two for one split.
    """
    inner = sorted(place for place in folder.iterdir() if place.name.lower() in NAMES_OF_SPLITS and place.is_dir())
    found: dict[str, Path] = {}
    for place in inner:
        split = NAMES_OF_SPLITS[place.name.lower()]
        if split in found:
            raise UserError(f"{found[split]} and {place} are both for {split}. Keep one of them.")
        found[split] = place
    if not found:
        return {"train": folder}
    if "train" not in found:
        raise UserError(f"{inner[0]} is that of a split, but {folder} has no folder train. Add it, or rename that one.")
    beside = Search(folder, [*inner, folder / ".cache"]).find().paths
    if beside:
        raise UserError(f"{beside[0]} is in no folder of a split, and others are. Move it to {found['train']}.")
    return found
