import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lit_gen.errors import UserError
from lit_gen.files import idx
from lit_gen.files.idx import read_idx, write_idx

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
# By the format's definition: two zero bytes, type 8 (unsigned bytes), three dimensions, and their sizes, big-endian.
FILE = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(range(24))


def error_line(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "ownload it" in message
    return message


def test_write_gives_the_bytes_of_the_format(tmp_path):
    write_idx(tmp_path / "new folder" / "images", PIXELS)
    assert (tmp_path / "new folder" / "images").read_bytes() == FILE
    assert os.listdir(tmp_path / "new folder") == ["images"]


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_read_takes_a_file_made_by_hand(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(FILE) if name.endswith(".gz") else FILE)
    array = read_idx(tmp_path / name)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, PIXELS)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1


@pytest.mark.parametrize("shape", [(), (0,), (7,), (0, 28, 28), (300, 2), (2, 1, 3, 2, 2)])
def test_round_trip_of_any_rank(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_idx(tmp_path / "array", array)
    found = read_idx(tmp_path / "array")
    assert found.shape == shape
    np.testing.assert_array_equal(found, array)


def test_round_trip_of_an_array_that_is_not_contiguous(tmp_path):
    write_idx(tmp_path / "array", PIXELS.T[::2])
    np.testing.assert_array_equal(read_idx(tmp_path / "array"), PIXELS.T[::2])


def test_uncompressed_file_is_mapped_not_copied(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(FILE)
    array = read_idx(path)
    assert isinstance(array, np.memmap)
    with path.open("r+b") as file:  # a later change of the file shows through the map
        file.seek(16)
        file.write(b"\xc8")
    assert array[0, 0, 0] == 200


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "images"
    path.write_bytes(b"old")

    def full_disk(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)  # the last step
    with pytest.raises(OSError, match="No space"):
        write_idx(path, PIXELS)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["images"]


def test_missing_file(tmp_path):
    assert "missing" in error_line(tmp_path / "images")


def test_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(UserError, match="cannot read .*directory"):
        read_idx(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (FILE[:-1], "truncated: expected 40 bytes, found 39"),
        (FILE[:16], "truncated: expected 40 bytes, found 16"),
        (FILE + b"\0", "too long: expected 40 bytes, found 41"),
        (FILE[:9], "truncated: expected at least 16 bytes, found 9"),
        (FILE[:3], "truncated: expected at least 4 bytes, found 3"),
        (b"", "truncated: expected at least 4 bytes, found 0"),
        (b"<html>Not found</html>", "no IDX file: it starts with the bytes 3c 68 74 6d"),
        (bytes([0, 0, 8, 200]) + bytes(800), "no IDX file: it starts with the bytes 00 00 08 c8"),
        (struct.pack(">HBBI", 0, 0x0D, 1, 2) + bytes(8), "type 0x0d, expected 0x08"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), f"expected {(2**32 - 1) ** 3 + 16} bytes, found 16"),
    ],
)
def test_defective_content(tmp_path, content, complaint, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert complaint in error_line(path)


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-12],
        lambda content: content[:15],
        lambda content: flipped(content, len(content) - 6),  # the checksum
        lambda content: flipped(content, 12),
        lambda content: b"<html>Not found</html>",
    ],
)
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(FILE)))
    assert "gzip" in error_line(path)


@pytest.mark.skipif("LIT_GEN_DATA" not in os.environ, reason="LIT_GEN_DATA names no folder with MNIST/raw")
def test_real_mnist():
    raw = Path(os.environ["LIT_GEN_DATA"]) / "MNIST" / "raw"
    if not raw.is_dir():
        pytest.skip(f"no {raw}")
    images, labels = read_idx(raw / "train-images-idx3-ubyte"), read_idx(raw / "train-labels-idx1-ubyte")
    assert images.shape == (60000, 28, 28)
    assert labels.shape == (60000,)
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert images[0].max() == 255
    assert read_idx(raw / "t10k-images-idx3-ubyte").shape == (10000, 28, 28)


def test_a_gzip_file_of_far_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MOST_UNPACKED", 1_000_000)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(FILE + bytes(50_000_000)))
    tracemalloc.start()
    assert "holds more than 1,000,000 bytes. Unpack it" in error_line(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    unpacked = path.with_suffix("")
    write_idx(unpacked, np.zeros((2000, 1000), np.uint8))
    assert read_idx(unpacked).shape == (2000, 1000)  # a plain file takes no memory
