"""CelebA (Liu et al. 2015, arXiv:1411.7766): 202,599 aligned faces of 178x218 pixels with 40 binary attributes."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lit_gen.data.base import ImageData
from lit_gen.data.batches import AttributedImages, DataSpec
from lit_gen.data.celeba_files import LISTS, CelebAFiles
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.decoding import ImageArray
from lit_gen.data.rendered_faces import factors_of, true_images
from lit_gen.data.splits import SPLITS
from lit_gen.data.text_files import read_text
from lit_gen.errors import UserError, nearest
from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.faces.names import ATTRIBUTES
from lit_gen.synthetic.faces.write import write_celeba

WIDTH, HEIGHT = 178, 218
SEPARATORS = str.maketrans(',;"', "   ")  # of Kaggle's lists, and of what a spreadsheet makes of them
UNSAFE = re.compile(r"[/\\:\0]")  # it may lead out of the folder, on some system


class CelebA(ImageData):
    """CelebA: faces with binary attributes, read from `root/celeba` (`img_align_celeba/` and two list files).

    Args:
        crop_size: side in pixels of the square that is cut out of the 178x218 pixels before resizing.
        crop_center: centre (x, y) of that square in pixels; the middle of the image by default.
        attributes: names of the attributes in a batch, in this order; all 40 by default.
    """

    batch_type: ClassVar[type[Any]] = AttributedImages
    place_of_files = ("celeba", "img_align_celeba*", "list_attr_celeba*")

    def __init__(
        self,
        root: Path = Path("data"),
        image_size: int = 64,
        batch_size: int = 128,
        crop_size: int = 178,
        crop_center: tuple[int, int] | None = None,
        attributes: list[str] | None = None,
        horizontal_flip: bool = True,
        skip_broken: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, image_size, batch_size, horizontal_flip=horizontal_flip, **kwargs)
        for name in attributes or ():
            if name not in ATTRIBUTES:
                hint = nearest(name, list(ATTRIBUTES))
                raise UserError(f"CelebA has no attribute {name!r}.{hint} All names are in data/README.md.")
        self.attributes, self.skip_broken = list(attributes or ATTRIBUTES), skip_broken
        x, y = crop_center or (WIDTH // 2, HEIGHT // 2)
        left, upper = x - crop_size // 2, y - crop_size // 2
        self.box = (left, upper, left + crop_size, upper + crop_size)
        if crop_size < 1 or self.box[0] < 0 or self.box[1] < 0 or self.box[2] > WIDTH or self.box[3] > HEIGHT:
            raise UserError(
                f"the crop of {crop_size} pixels around ({x}, {y}) does not lie within CelebA's {WIDTH}x{HEIGHT} "
                "pixels. Set --data.crop_size lower or --data.crop_center nearer to the middle."
            )

    @property
    def spec(self) -> DataSpec:
        return {**super().spec, "attributes": list(self.attributes)}

    @property
    def files(self) -> CelebAFiles:
        """The files of the dataset, wherever in its folder they lie."""
        return CelebAFiles(self.source / "celeba", self.unpacked_folder)

    def render(self, folder: Path) -> None:
        (folder / "celeba").mkdir()
        write_celeba(folder / "celeba", self.synthetic_count)

    def prepare_data(self) -> None:
        super().prepare_data()
        _ = self.arrays  # decoded now, by one process, and kept for setup

    def find_or_download(self) -> None:
        self.files.find_or_download(self.download)

    def setup(self, stage: str) -> None:
        images, attributes, partition = self.arrays
        columns = attributes[:, [ATTRIBUTES.index(name) for name in self.attributes]]
        self.datasets = {
            split: ArrayDataset(AttributedImages, (images, columns), np.flatnonzero(partition == code))
            for code, split in enumerate(SPLITS)
        }

    @cached_property
    def arrays(self) -> tuple[ImageArray, np.ndarray, np.ndarray]:
        """Images (N, S, S, 3) uint8, attributes (N, 40) float32 in {0, 1}, split codes (N,).

        The images are a memory map, or for `predict` possibly decoded when they are read. N is the number of listed
        images, less the skipped ones.
        """
        names, attributes = read_attributes(self.files.list_file(LISTS[0]))
        partition = read_partition(self.files.list_file(LISTS[1]), names)
        folder = self.files.images_folder
        paths = [folder / name for name in names]
        settings: dict[str, Any] = {"name": "celeba", "box": self.box, "stored": (WIDTH, HEIGHT)}
        images, rows, *_ = self.decoded_set(paths, size=self.image_size, **settings)
        return images, attributes[rows], partition[rows]

    def counterfactuals(
        self, split: str, places: Sequence[int], wanted: Sequence[Sequence[Mapping[str, bool]]]
    ) -> list[list[np.ndarray | None]] | None:
        """Return the true images, (S, S, 3) uint8, of rendered faces with other attributes; None for real faces.

        Images of rows of a split are wanted with these values of attributes by their names; others stay as they are.
        An image that does not exist (the hair of a bald head) is None.
        """
        if not self.synthetic:
            return None
        rows, attributes = self.datasets[split].rows[np.asarray(places, int)], self.arrays[1]
        faces = [(int(row), attributes[row], of_row) for row, of_row in zip(rows, wanted, strict=True)]
        draw = partial(true_images, self.image_size, self.box)
        return map_indices(draw, len(faces), "rendering true images", items=faces)

    def factors(self, split: str, places: Sequence[int]) -> dict[str, np.ndarray] | None:
        """Return what rendered faces, rows of a split, were drawn from, each (N,) by its name; None for real faces."""
        if not self.synthetic:
            return None
        rows = self.datasets[split].rows[np.asarray(places, int)]
        return factors_of(rows.tolist(), self.arrays[1][rows])

    def how_to_fill(self, split: str) -> str:
        partition = self.files.list_file(LISTS[1])
        skipped = ", or repair the skipped images" if self.skip_broken else ""
        return f"Give some images the code {SPLITS.index(split)} in {partition}{skipped}."


def read_attributes(path: Path) -> tuple[list[str], np.ndarray]:
    """Return the file names and attributes (N, 40), float32 in {0, 1}, of CelebA's or Kaggle's list, in its order.

    Raises:
        UserError: the file cannot be read, or is not CelebA's list of attributes.
    """
    rows = _rows(path)
    try:
        if len(rows) < 2:
            raise ValueError("it has less than two lines")
        count = int(rows.pop(0)[0]) if len(rows[0]) == 1 else len(rows) - 1  # Kaggle's list does not say it
        header = tuple(word for word in rows.pop(0) if word != "image_id")
        if header != ATTRIBUTES:
            raise ValueError("the line before the first image does not hold the 40 attribute names")
        if len(rows) != count:
            raise ValueError(f"the first line says {count} images, but {len(rows)} follow")
        names = [row[0] for row in rows]
        if len(set(names)) != count:
            raise ValueError("an image is listed twice")
        if outside := next((name for name in names if name in (".", "..") or UNSAFE.search(name)), None):
            raise ValueError(f"{outside!r} is no name of a file")
        if any(len(row) != len(ATTRIBUTES) + 1 or not {"-1", "1"}.issuperset(row[1:]) for row in rows):
            raise ValueError("a line does not hold 40 values of -1 or 1")
    except ValueError as error:
        raise UserError(f"{path} is not CelebA's list of attributes ({error}). Download it again.") from error
    bits = b"".join(bytes([value == "1" for value in row[1:]]) for row in rows)  # fast: there are eight million values
    return names, np.frombuffer(bits, np.uint8).reshape(-1, len(ATTRIBUTES)).astype(np.float32)


def read_partition(path: Path, names: list[str]) -> np.ndarray:
    """Return the split codes (N,) of `names` in CelebA's or Kaggle's list: 0 training, 1 validation, 2 test.

    Raises:
        UserError: the file cannot be read, is not CelebA's list of splits, or lacks a name.
    """
    try:
        rows = [row for row in _rows(path) if row[0] != "image_id"]
        codes = {name: int(code) for name, code in rows}
        if len(codes) != len(rows):
            raise ValueError("an image is listed twice")
        partition = np.array([codes[name] for name in names])
        if not np.isin(partition, range(len(SPLITS))).all():
            raise ValueError("a split is none of 0, 1, 2")
    except KeyError as error:
        raise UserError(f"{path} does not list the image {error}. Download it again.") from error
    except ValueError as error:
        raise UserError(f"{path} is not CelebA's list of splits ({error}). Download it again.") from error
    return partition


def _rows(path: Path) -> list[list[str]]:
    """Return the words of each line of a list; blank lines, encodings and separators do not matter."""
    return [row for line in read_text(path).splitlines() if (row := line.translate(SEPARATORS).split())]
