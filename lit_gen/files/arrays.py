"""Arrays on disk: reserved, written row by row, and mapped so that a process that gets one opens it by its path."""

import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from lit_gen.files.atomic import NO_ROOM, complete_file


class MappedArray(np.memmap):
    """A read-only memory map that pickles as path, type, place in the file and shape.

    A loading process that is not forked gets its dataset pickled. NumPy's own memory map pickles all its values, so
    that each such process would hold a copy of the whole array. The same goes for views of it, such as a slice.
    """

    _mmap: mmap.mmap | None  # NumPy's; None for an array that was computed

    def __reduce_ex__(self, protocol: Any) -> Any:
        offset = self._place()
        if offset is None:
            return np.array(self, subok=False).__reduce_ex__(protocol)
        return map_array, (self.filename, self.dtype, offset, self.shape)

    def _place(self) -> int | None:
        """Return where in the file the values begin, in bytes; None if they do not lie there one after the other."""
        if self._mmap is None or not self.size or not self.flags.c_contiguous:
            return None
        mapped = np.frombuffer(self._mmap, np.uint8)
        begin = self.offset - self.offset % mmap.ALLOCATIONGRANULARITY  # of a view, too, `offset` is that of the map
        return begin + self.ctypes.data - mapped.ctypes.data

    # What is computed is an ordinary array; NumPy sees to that for its own class only.

    def __getitem__(self, index: Any) -> Any:
        return _unless_mapped(super().__getitem__(index))

    def __array_wrap__(self, *arguments: Any, **options: Any) -> Any:
        return _unless_mapped(super().__array_wrap__(*arguments, **options))


def _unless_mapped(values: Any) -> Any:
    return values.view(np.ndarray) if isinstance(values, MappedArray) and values._mmap is None else values


def map_array(path: str | os.PathLike, dtype: Any, offset: int, shape: tuple[int, ...]) -> MappedArray:
    """Return an array in a file, whose first value is at `offset` bytes, as a read-only memory map."""
    return MappedArray(path, dtype, "r", offset, shape)


def load_array(path: Path) -> MappedArray | None:
    """Return the array of a `.npy` file as a read-only memory map; None if the file is missing or not whole."""
    try:
        found = np.load(path, mmap_mode="r")
        return map_array(path, found.dtype, found.offset, found.shape)
    except (OSError, ValueError, EOFError):
        return None


def save_array(path: Path, array: np.ndarray, hint: str) -> None:
    """Write a `.npy` file, complete or not at all; arguments and errors are those of `complete_file`."""
    with complete_file(path, hint) as partial, partial.open("wb") as file:
        np.save(file, array)


def begin_array(path: Path, shape: tuple[int, ...]) -> int:
    """Write a `.npy` file of uint8 without its values, reserve the room for them, and return their place in bytes.

    Without a reservation, a disk that fills up would be noticed only hours later.

    Raises:
        OSError: the disk has no room for the file.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        offset = file.tell()
        file.flush()
        _reserve(file.fileno(), offset + math.prod(shape))
    return offset


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            return os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
    os.ftruncate(descriptor, size)  # a file system that cannot reserve, or macOS


def write_values(path: Path, offset: int, values: np.ndarray) -> None:
    """Write values at a place of an existing file.

    A write to a full disk raises an error; one to a memory map would kill the process without a word.

    Raises:
        OSError: the disk is full, for instance.
    """
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(np.ascontiguousarray(values).data)
