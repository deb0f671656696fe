"""Smaller copies of a set of images, averaged over squares of pixels, for a model that grows to their size.

At 1,024 pixels, the 600,000 images of a training at 4x4 would be 1.9 TB to read; of the copy at 4x4 they are 29 MB.
"""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from tqdm import tqdm

from lit_gen.data.cache import HINT
from lit_gen.data.datasets import ArrayDataset
from lit_gen.files.arrays import MappedArray, begin_array, load_array, write_values
from lit_gen.files.atomic import CannotWriteError, check_room
from lit_gen.files.lock import make_once

SMALLEST = 4
AT_ONCE = 2**25
"""Bytes of images that are averaged at once."""


class AveragedDataset(ArrayDataset):
    """A dataset whose images can also be read at a smaller side.

    Args:
        dataset: the dataset at its full side.
        copies: its images, averaged down, by their side in pixels.
    """

    def __init__(self, dataset: ArrayDataset, copies: dict[int, MappedArray]) -> None:
        super().__init__(dataset.batch_type, dataset.arrays, dataset.rows)
        self.whole = dataset
        self.smaller: dict[int, ArrayDataset] = {}
        for side, images in copies.items():
            self.smaller[side] = copy(dataset)  # of its class, which may make fields of its own, such as sentences
            self.smaller[side].arrays = (images, *dataset.arrays[1:])

    def __getitems__(self, indices: Sequence[int], side: int = 0) -> Any:
        return self.smaller.get(side, self.whole).__getitems__(indices)


def with_smaller_copies(dataset: ArrayDataset, side: int) -> ArrayDataset:
    """Return the dataset with copies of its images at half the `side`, a quarter, and so on down to 4 pixels.

    They are made once, beside the array of the images. A dataset whose images do not lie in a file at that side stays
    as it is. So does one whose copies have no room, and a line says so.
    """
    images = dataset.arrays[0]
    if not isinstance(images, MappedArray) or images.shape[1:3] != (side, side) or side % 2 or side <= SMALLEST:
        return dataset
    try:
        return AveragedDataset(dataset, averaged(images))
    except CannotWriteError as error:
        rank_zero_info(f"training reads images at their full size, as smaller copies cannot be kept: {error}")
        return dataset


def averaged(images: MappedArray) -> dict[int, MappedArray]:
    """Return copies of images (N, S, S, C), uint8, by their side S/2, S/4, ... in pixels.

    A value is the mean over its square of pixels, rounded to the nearest whole number, and to the even one if two are
    as near: so the images of the authors' code of ProGAN are (dataset_tool.py of Karras et al.).

    Raises:
        CannotWriteError: the copies do not exist, and the folder of the images cannot be written or has no room.
    """
    source = Path(str(images.filename))
    folder = source.with_name(f"{source.stem}-averaged")
    sides = [images.shape[1] // 2]
    while sides[-1] % 2 == 0 and sides[-1] // 2 >= SMALLEST:
        sides.append(sides[-1] // 2)
    make_once(folder, lambda incomplete: _write(images, sides, incomplete), f"averaging {source.name}", HINT)
    found = {side: load_array(folder / f"{side}.npy") for side in sides}
    missing = [side for side, array in found.items() if array is None or len(array) != len(images)]
    if missing:
        raise CannotWriteError(f"{folder} is not whole. Remove it, to have it made anew.")
    return {side: array for side, array in found.items() if array is not None}


def _write(images: MappedArray, sides: list[int], folder: Path) -> None:
    count, _, _, channels = images.shape
    needed = sum(count * side * side * channels for side in sides)
    check_room(folder, needed, f"smaller copies of {images.filename} need", f"Make room. {HINT}")
    files = {side: folder / f"{side}.npy" for side in sides}
    offsets = {side: begin_array(file, (count, side, side, channels)) for side, file in files.items()}
    rows = max(1, AT_ONCE // images[0].size)
    with tqdm(total=count, desc="averaging", unit="image", mininterval=0.5, disable=count < 256) as bar:
        for begin in range(0, count, rows):
            sums, pixels = images[begin : begin + rows].astype(np.uint32), 1
            for side in sides:
                sums = sums[:, ::2, ::2] + sums[:, 1::2, ::2] + sums[:, ::2, 1::2] + sums[:, 1::2, 1::2]
                pixels *= 4
                values = np.rint(sums / pixels).astype(np.uint8)
                write_values(files[side], offsets[side] + begin * side * side * channels, values)
            bar.update(len(sums))
