"""Arrays on disk: what a loading process gets of them, and files that do not fit."""

import errno
import multiprocessing
import os
import pickle
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from lit_gen.files import arrays
from lit_gen.files.arrays import begin_array, load_array, map_array, write_values


def whole_array(path: Path, shape=(20, 3, 5)) -> np.ndarray:
    """An array on disk, written row by row as a cache is, of values that all differ from their neighbours."""
    values = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    offset = begin_array(path, shape)
    for row in reversed(range(len(values))):
        write_values(path, offset + row * values[0].size, values[row])
    return values


def test_what_is_written_row_by_row_is_a_npy_file(tmp_path):
    values = whole_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)
    mapped = load_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(mapped, values)
    assert isinstance(mapped, np.memmap) and mapped.mode == "r"


VIEWS = {
    "all": lambda array: array,
    "a slice": lambda array: array[3:11],
    "a row": lambda array: array[7],
    "a slice of a slice": lambda array: array[3:11][2:4],
    "another shape": lambda array: array.reshape(20, 15),
    "one more dimension": lambda array: array[..., None],
    "every other row": lambda array: array[::2],
    "columns": lambda array: array[:, 1],
    "transposed": lambda array: array.T,
    "nothing": lambda array: array[:0],
    "chosen rows": lambda array: array[[4, 2]],
    "computed": lambda array: array + 1,
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_come_through_a_pickle(name, tmp_path):
    values = whole_array(tmp_path / "a.npy")
    expected, found = VIEWS[name](values), VIEWS[name](load_array(tmp_path / "a.npy"))
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(found))))
    np.testing.assert_array_equal(again, expected)
    assert again.dtype == expected.dtype and not (isinstance(again, np.memmap) and again.flags.writeable)


@pytest.mark.parametrize("name", list(VIEWS)[:6])
def test_a_pickle_holds_no_values(name, tmp_path, monkeypatch):
    shape = (20, 300, 500)
    values = whole_array(tmp_path / "a.npy", shape).reshape(shape)
    monkeypatch.chdir(tmp_path)
    view = (lambda array: array.reshape(20, -1)) if name == "another shape" else VIEWS[name]
    content = pickle.dumps(view(load_array(Path("a.npy"))))
    assert len(content) < 1000
    monkeypatch.chdir("/")  # whoever opens it may work elsewhere
    np.testing.assert_array_equal(pickle.loads(content), view(values))


def test_what_is_computed_is_an_ordinary_array(tmp_path):
    whole_array(tmp_path / "a.npy")
    mapped = load_array(tmp_path / "a.npy")
    for result in (mapped + 1, mapped[[1, 2]], mapped[mapped > 3], mapped.max(0), np.add(mapped, 1)):
        assert type(result) is np.ndarray


def private_memory() -> int:
    """Bytes of this process that it shares with no other, and that lie in no file."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no such line")


def look(images: np.ndarray, rows: list[int], answers) -> None:
    answers.put((np.array(images[rows]), private_memory()))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_process_that_is_not_forked_holds_no_copy(method, tmp_path):
    """Of 64 MB, of which it reads two rows."""
    offset, shape = begin_array(tmp_path / "a.npy", (1000, 64_000)), (1000, 64_000)
    for row in (3, 998):
        write_values(tmp_path / "a.npy", offset + row * 64_000, np.full(64_000, row % 256, np.uint8))
    context = multiprocessing.get_context(method)
    memory = []
    for images in (np.zeros((1000, 1), np.uint8), map_array(tmp_path / "a.npy", np.uint8, offset, shape)):
        answers = context.Queue()
        process = context.Process(target=look, args=(images, [3, 998], answers))
        process.start()
        found, used = answers.get(timeout=60)
        process.join(60)
        memory.append(used)
    assert (found == np.array([[3], [998 % 256]])).all() and found.shape == (2, 64_000)
    assert memory[1] - memory[0] < 16e6


def test_a_file_that_is_not_whole_is_no_array(tmp_path):
    whole_array(tmp_path / "a.npy")
    content = (tmp_path / "a.npy").read_bytes()
    for damaged in (content[:-1], content[:70], b"", b"half"):
        (tmp_path / "a.npy").write_bytes(damaged)
        assert load_array(tmp_path / "a.npy") is None
    assert load_array(tmp_path / "b.npy") is None


# -------------------------------------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_files():
    """No file of this process may grow beyond 10,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_array_that_does_not_fit_is_an_error_before_the_work(tmp_path, small_files):
    with pytest.raises(OSError, match="File too large"):
        begin_array(tmp_path / "a.npy", (10, 1000))
    begin_array(tmp_path / "b.npy", (9, 1000))


def test_the_room_is_taken(tmp_path):
    begin_array(tmp_path / "a.npy", (1000, 1000))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1e6


@pytest.mark.parametrize("without", ["the call", "the means"])
def test_where_nothing_can_be_reserved_the_file_has_its_size(without, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    if without == "the call":
        monkeypatch.delattr(os, "posix_fallocate")
    values = whole_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), values)


def test_a_write_that_does_not_fit_is_an_error(tmp_path, small_files):
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match="File too large"):
        arrays.write_values(tmp_path / "a", 9_999, np.zeros(2, np.uint8))
