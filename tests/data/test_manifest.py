"""What a start looks at when a cache is there, and which changes of the files it notices."""

import json
import os
import pickle
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_gen.data import CelebA, Horse2Zebra, ImageFolder, MNISTCaptions, cache, manifest
from lit_gen.data.manifest import folder_times

COUNT = 60


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (number, 0, 0)).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """60 bitmaps, all of one length, of which each shows its number, in three folders."""
    for number in range(COUNT):
        picture(tmp_path / "in" / "abc"[number % 3] / f"{number:02d}.bmp", number)
    return tmp_path / "in"


def ready(root: Path, every_file: bool = False, **settings) -> ImageFolder:
    data = ImageFolder(root, image_size=8, batch_size=4, **settings)
    data.compare_every_file = every_file
    data.prepare_data()
    data.setup("fit")
    return data


def shown(root: Path, **settings) -> set[int]:
    return set(ready(root, **settings).arrays[:, 0, 0, 0].tolist())


@pytest.fixture
def looks(monkeypatch):
    """Counts, by path, how often something asks the system about a file, or lists a folder."""
    counts: Counter[str] = Counter()

    def counted(function):
        def call(path=".", *arguments, **options):
            if isinstance(path, str | os.PathLike):
                counts[os.path.abspath(path)] += 1
            return function(path, *arguments, **options)

        return call

    for name in ("stat", "lstat", "scandir", "listdir", "open"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return counts


def looks_below(looks: Counter, root: Path, ending: str = "") -> int:
    cache_folder = os.path.abspath(root / ".cache")
    return sum(
        count
        for path, count in looks.items()
        if path.startswith(os.path.abspath(root)) and path.endswith(ending) and not path.startswith(cache_folder)
    )


@pytest.mark.parametrize("settings", [{}, {"skip_broken": True}])
def test_a_later_start_looks_at_few_files(folder, looks, monkeypatch, settings):
    monkeypatch.setattr(manifest, "MOST_FILES", 6)
    expected = np.array(ready(folder, **settings).arrays)
    assert looks_below(looks, folder, ".bmp") >= COUNT
    looks.clear()
    np.testing.assert_array_equal(ready(folder, **settings).arrays, expected)
    assert 1 <= looks_below(looks, folder, ".bmp") <= 6
    assert looks_below(looks, folder) <= 6 + 4 * 3  # and at the folders, a few times each


def test_faces_are_not_looked_at_one_by_one(celeba_root, tmp_path, looks, monkeypatch):
    shutil.copytree(celeba_root, tmp_path / "data", ignore=shutil.ignore_patterns("cache"), copy_function=os.link)
    monkeypatch.setattr(manifest, "MOST_FILES", 10)
    for expected in (120, 10):
        looks.clear()
        CelebA(tmp_path / "data", image_size=16, download=False).prepare_data()
        assert (looks_below(looks, tmp_path, ".jpg") >= 120) == (expected == 120)
    assert looks_below(looks, tmp_path, ".jpg") <= 10


def test_what_is_compared_is_spread_over_all(tmp_path, monkeypatch):
    assert manifest.MOST_FILES == 10_000
    monkeypatch.setattr(manifest, "MOST_FILES", 100)
    paths = [tmp_path / f"{number}.png" for number in range(1_000)]
    numbers = [int(Path(path).stem) for path in manifest.some_files(paths)]
    assert len(numbers) == 100 and max(np.diff(numbers)) == 10 and numbers[-1] >= 990
    assert manifest.some_files(paths[:3]) == dict.fromkeys(map(str, paths[:3])) and manifest.some_files([]) == {}


# ----------------------------------------------------------------------------------------------------------- changes


def overwrite(root: Path) -> None:
    """The same file, with other bytes of the same number."""
    picture(root / "a" / "00.bmp", 200)
    os.utime(root / "a" / "00.bmp", (1, 1))


def replace(root: Path) -> None:
    """Another file of the same name, size and time."""
    before = (root / "a" / "03.bmp").stat()
    picture(root.parent / "new.bmp", 200)
    os.utime(root.parent / "new.bmp", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    os.replace(root.parent / "new.bmp", root / "a" / "03.bmp")


def hide(root: Path) -> None:
    """A new file, after which the folder is given back its old time."""
    before = (root / "a").stat()
    picture(root / "a" / "new.bmp", 200)
    os.utime(root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))


def link(root: Path) -> None:
    picture(root.parent / "elsewhere" / "1.bmp", 200)
    (root / "b" / "link").symlink_to(root.parent / "elsewhere")


CHANGES = {
    "a new file": lambda root: picture(root / "b" / "new.bmp", 200),
    "a new folder": lambda root: picture(root / "d" / "e" / "new.bmp", 200),
    "a linked folder": link,
    "a new file in a folder of the old time": hide,
    "a removed file": lambda root: (root / "c" / "59.bmp").unlink(),
    "a removed folder": lambda root: shutil.rmtree(root / "c"),
    "a replaced file": replace,
    "a file that became none": lambda root: (root / "b" / "58.bmp").rename(root / "b" / "58.txt"),
    "a file that became hidden": lambda root: (root / "b" / "58.bmp").rename(root / "b" / ".58.bmp"),
    "a file overwritten in place": overwrite,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed(name, folder):
    before = shown(folder)
    CHANGES[name](folder)
    after = shown(folder)
    assert after != before and (200 in after or after < before)
    assert shown(folder) == after


def test_in_a_large_set_an_image_overwritten_in_place_is_found_by_prepare(folder, monkeypatch):
    """As the documentation says; all other changes are found at each start."""
    monkeypatch.setattr(manifest, "MOST_FILES", 2)  # the first and the one in the middle
    shown(folder)
    picture(folder / "b" / "01.bmp", 200)
    os.utime(folder / "b" / "01.bmp", (1, 1))
    assert 200 not in shown(folder)
    assert 200 in shown(folder, every_file=True)
    assert 200 in shown(folder)
    CHANGES["a new file"](folder)
    assert len(ready(folder).arrays) == COUNT + 1


def test_an_unreadable_file_that_is_mended_is_noticed(folder):
    content = (folder / "a" / "00.bmp").read_bytes()
    (folder / "a" / "00.bmp").write_bytes(b"no image")
    (folder / "a" / "03.bmp").rename(folder.parent / "03.bmp")
    (folder / "a" / "03.bmp").symlink_to(folder.parent / "elsewhere.bmp")
    for _ in range(2):
        assert len(ready(folder, skip_broken=True).arrays) == COUNT - 2
    (folder / "a" / "00.bmp").write_bytes(content)
    (folder.parent / "03.bmp").rename(folder.parent / "elsewhere.bmp")
    assert len(ready(folder, skip_broken=True).arrays) == COUNT


def test_what_was_left_out_is_said_each_time(folder, caplog, monkeypatch):
    (folder / "a" / "00.bmp").write_bytes(b"no image")
    (folder / "notes.txt").write_text("notes")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            data = ready(folder, skip_broken=True)
        assert "skipped 1 of the 60 files for images, which cannot be read: 00.bmp" in caplog.text
        assert f"left out 1 file: 1 .txt (in {folder})" in caplog.text and data.remarks == ["1 left out"]
        monkeypatch.setattr(cache, "decode_image", None)


def test_a_folder_that_changes_within_a_tick_of_the_clock_has_another_time(tmp_path):
    """Else a file that is added right after the list was made would never be seen."""
    for number in range(5):
        before = folder_times(tmp_path)
        (tmp_path / str(number)).touch()
        assert folder_times(tmp_path) != before


def test_a_disk_without_fractions_of_seconds_is_given_two(tmp_path, monkeypatch):
    real, slept = os.stat, []
    monkeypatch.setattr(manifest.time, "time", lambda: 1_000_000_001.5)
    monkeypatch.setattr(manifest.time, "sleep", slept.append)

    class Coarse:
        st_mtime_ns = st_ctime_ns = 1_000_000_001 * 10**9

    monkeypatch.setattr(os, "stat", lambda path, **options: Coarse if path == tmp_path else real(path, **options))
    assert folder_times(tmp_path) == [Coarse.st_mtime_ns, Coarse.st_ctime_ns]
    assert slept == pytest.approx([1.5])


# ------------------------------------------------------------------------------------------------------ the manifest


def manifest_of(root: Path) -> Path:
    (path,) = (root / ".cache").glob("*.json")
    return path


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"folders": 3}', "\0" * 20])
def test_a_damaged_manifest_is_made_anew(damage, folder, monkeypatch):
    expected = shown(folder)
    content = json.loads(manifest_of(folder).read_text())
    manifest_of(folder).write_text(damage)
    monkeypatch.setattr(cache, "decode_image", None)  # the array is there
    assert shown(folder) == expected
    assert json.loads(manifest_of(folder).read_text()) == content


def test_a_manifest_whose_array_is_gone_is_not_believed(folder):
    expected = shown(folder)
    (array,) = (folder / ".cache").glob("*.npy")
    array.unlink()
    assert shown(folder) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_names_that_are_not_unicode(folder, looks, monkeypatch):
    os.rename(folder / "a", os.path.join(folder, os.fsdecode(b"caf\xe9")))
    monkeypatch.setattr(manifest, "MOST_FILES", 6)
    expected = shown(folder)
    looks.clear()
    assert shown(folder) == expected
    assert looks_below(looks, folder, ".bmp") <= 6


def test_a_cache_elsewhere_behind_a_link(folder, tmp_path, looks, monkeypatch):
    monkeypatch.setattr(manifest, "MOST_FILES", 6)
    (tmp_path / "big" / "disk").mkdir(parents=True)
    (tmp_path / "cache").symlink_to(tmp_path / "big" / "disk")
    expected = shown(folder, cache_folder=tmp_path / "cache")
    looks.clear()
    assert shown(folder, cache_folder=tmp_path / "cache") == expected
    assert looks_below(looks, folder, ".bmp") <= 6


# -------------------------------------------------------------------------------------- what loading processes are sent


@pytest.mark.parametrize("data_class", [ImageFolder, CelebA, Horse2Zebra, MNISTCaptions])
def test_a_dataset_is_sent_without_its_images(data_class, roots, folder):
    settings = {"root": roots.get(data_class.__name__, folder), "batch_size": 4}
    settings |= {"image_size": 64, "val_fraction": 0} if data_class is ImageFolder else {"download": False}
    settings |= {"val_size": 100} if data_class is MNISTCaptions else {}
    data = data_class(**settings)
    data.prepare_data()
    data.setup("fit")
    dataset = data.datasets["train"]
    images = dataset.domains if data_class is Horse2Zebra else dataset.arrays[:1]
    content = pickle.dumps(dataset)
    assert len(content) < 100_000 < sum(array.nbytes for array in images)
    for found, expected in zip(pickle.loads(content).__getitems__([3, 1]), dataset.__getitems__([3, 1]), strict=True):
        if found.ndim == 4 and data_class is not Horse2Zebra:  # which draws the other domain's row
            np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_loading_processes_that_are_not_forked_read_the_same(folder):
    data = ready(folder, val_fraction=0, num_workers=1)
    found = []
    for method in ("fork", "spawn"):
        loader = data._loader("train", multiprocessing_context=method)
        found.append(np.concatenate([batch.image for batch in loader]))
    np.testing.assert_array_equal(*found)
    assert len(found[0]) == COUNT
