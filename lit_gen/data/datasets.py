"""Datasets that read a whole batch at once."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class ArrayDataset(Dataset):
    """A dataset of equally long arrays, whose batches are named tuples.

    The loader passes all indices of a batch to `__getitems__` at once, so that no Python code runs per image.

    Args:
        batch_type: class of the named tuples, with one field per array.
        arrays: one array of N rows per field; images are (N, H, W, C) uint8, and may be an `ImageArray`.
        rows: numbers of the rows to use; all by default.
    """

    def __init__(self, batch_type: type[Any], arrays: Sequence[Any], rows: np.ndarray | None = None) -> None:
        self.batch_type, self.arrays = batch_type, arrays
        self.rows = np.arange(len(arrays[0])) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.batch_type(*(field[0] for field in self.__getitems__([index])))

    def __getitems__(self, indices: Sequence[int]) -> Any:
        rows = self.rows[np.asarray(indices, int)]
        return self.batch_type(*(to_tensor(array[rows]) for array in self.arrays))


def to_tensor(array: np.ndarray) -> Tensor:
    """Return an array as a tensor; images (B, H, W, C) become (B, C, H, W)."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.permute(0, 3, 1, 2) if array.ndim == 4 else tensor
