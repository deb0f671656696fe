"""The division of image files into training, validation and test, for datasets that do not say it themselves.

Each file has a place, a hash of its path. The lowest places are validation images, the highest are test images. So no
file changes its part when others are added or removed, and a larger fraction keeps what a smaller one holds out.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

PLACES = 2**32
SPLITS = ("train", "val", "test")
NAMES_OF_SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
NAMES_OF_SPLITS |= {"evaluation": "test", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
"""The names of splits that the Hugging Face imagefolder knows, and what they are called here."""


def places_of(paths: Iterable[Path], folder: Path) -> list[int]:
    """Return the place of each file, from 0 to `PLACES` - 1: a hash of its path below `folder`, on every system."""
    return places_of_names(os.path.relpath(path, folder).replace(os.sep, "/") for path in paths)


def places_of_names(names: Iterable[str]) -> list[int]:
    """Return the places of files by their paths below the folder, with slashes between the parts."""
    # macOS may write an accent as a character of its own. A name need not be UTF-8.
    return [int(hashlib.sha1(os.fsencode(unicodedata.normalize("NFC", name))).hexdigest()[:8], 16) for name in names]


def parts_by_place(
    places: np.ndarray, val: float = 0.0, test: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows for training, validation and test, each in ascending order; no row is in two of them.

    A part whose fraction is above 0 has one row at least, as long as there are enough: training comes first, then
    validation. Only where that rule decides can a new file change the part of another. `places` are those of N files.
    """
    order, count = np.argsort(places, kind="stable"), len(places)
    low = max(int((places < val * PLACES).sum()), int(val > 0))
    high = max(int((places >= (1 - test) * PLACES).sum()), int(test > 0))
    low = max(0, min(low, count - 1 - int(test > 0 and count > 2)))
    high = max(0, min(high, count - 1 - low))
    return np.sort(order[low : count - high]), np.sort(order[:low]), np.sort(order[count - high :])
