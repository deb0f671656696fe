"""The IDX format of MNIST: a short big-endian header, then the bytes of one array."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from lit_gen.errors import UserError
from lit_gen.files.arrays import map_array
from lit_gen.files.atomic import complete_file

UINT8_CODE = 0x08
MAX_RANK = 32  # numpy allows no more dimensions than this in every version; a larger rank is a broken header.
MOST_UNPACKED = 2**30  # bytes of a .gz, which is read into memory; MNIST's largest file has 47 million
DOWNLOAD_AGAIN = "Delete it and download it again."


class DamagedFileError(UserError):
    """A file is truncated, too long, or something else than an IDX file: another copy of it may be whole."""


def read_idx(path: Path) -> np.ndarray:
    """Read the array of an IDX file of unsigned bytes.

    Args:
        path: file. One that ends in `.gz` is decompressed into memory; any other is mapped, so that it takes up no
            memory beyond what the system caches.

    Returns:
        Read-only uint8 array of the shape that the header gives: (N, 28, 28) for MNIST's images, (N,) for its labels.

    Raises:
        DamagedFileError: the file is truncated, too long, or no IDX file.
        UserError: the file is missing or unreadable, or holds other values than unsigned bytes.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would wait
        raise UserError(f"{path} is no regular file. {DOWNLOAD_AGAIN}")
    try:
        if path.suffix == ".gz":
            content = _unpacked(path)
            found, head = len(content), content[: 4 + 4 * MAX_RANK]
        else:
            content = None
            with path.open("rb") as file:
                found, head = path.stat().st_size, file.read(4 + 4 * MAX_RANK)
    except FileNotFoundError as error:
        raise UserError(f"the file {path} is missing. Download it, or correct the folder.") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFileError(f"{path} is a damaged or truncated gzip file ({error}). {DOWNLOAD_AGAIN}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}. Correct the path or its permissions.") from error

    shape = _shape(path, head)
    offset = 4 + 4 * len(shape)
    expected = offset + math.prod(shape)
    if found != expected:
        problem = "is truncated" if found < expected else "is too long"
        raise DamagedFileError(f"{path} {problem}: expected {expected} bytes, found {found}. {DOWNLOAD_AGAIN}")
    if content is None and expected > offset:  # the system refuses to map nothing
        return map_array(path, np.uint8, offset, shape)
    return np.frombuffer(content or head, np.uint8, offset=offset).reshape(shape)


def _unpacked(path: Path) -> bytes:
    """Return the content of a gzip file, unless it is far too much."""
    blocks, found = [], 0
    with gzip.open(path) as file:
        while block := file.read(2**20):
            blocks.append(block)
            found += len(block)
            if found > MOST_UNPACKED:
                raise UserError(
                    f"{path} holds more than {MOST_UNPACKED:,} bytes. Unpack it: a plain file takes no memory. Or "
                    "download it again."
                )
    return b"".join(blocks)


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an uncompressed IDX file of a uint8 array, complete or not at all; its folder is created if needed."""
    header = struct.pack(f">HBB{array.ndim}I", 0, UINT8_CODE, array.ndim, *array.shape)
    with complete_file(Path(path)) as partial, partial.open("wb") as file:
        file.write(header)
        file.write(np.ascontiguousarray(array).data)


def _shape(path: Path, head: bytes) -> tuple[int, ...]:
    """Return the shape in an IDX header: two zero bytes, the type, the rank, then one uint32 per dimension."""
    if len(head) < 4:
        raise DamagedFileError(f"{path} is truncated: expected at least 4 bytes, found {len(head)}. {DOWNLOAD_AGAIN}")
    zeros, code, rank = struct.unpack(">HBB", head[:4])
    if zeros != 0 or rank > MAX_RANK:
        raise DamagedFileError(f"{path} is no IDX file: it starts with the bytes {head[:4].hex(' ')}. {DOWNLOAD_AGAIN}")
    if code != UINT8_CODE:
        raise UserError(
            f"{path} holds values of type 0x{code:02x}, expected 0x{UINT8_CODE:02x} (unsigned bytes). {DOWNLOAD_AGAIN}"
        )
    if len(head) < 4 + 4 * rank:
        raise DamagedFileError(
            f"{path} is truncated: expected at least {4 + 4 * rank} bytes, found {len(head)}. {DOWNLOAD_AGAIN}"
        )
    return struct.unpack_from(f">{rank}I", head, 4)
