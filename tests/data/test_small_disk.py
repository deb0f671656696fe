"""A disk that is too small for a cache, or fills up while it is written: one line, and nothing is left."""

import multiprocessing
import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_gen.data import ImageFolder, cache
from lit_gen.errors import UserError

ROOT = Path(__file__).parents[2]
DISK = "mount -t tmpfs -o size=1m tmpfs {disk} && "
PREPARE = """
import os, shutil, sys
from lit_gen.errors import UserError
root, folder, kind = sys.argv[1:]
# Others fill the disk after it was looked at.
shutil.disk_usage = lambda folder: shutil._ntuple_diskusage(2**40, 0, 2**40)
if kind == "fills" and hasattr(os, "posix_fallocate"):
    del os.posix_fallocate
if __name__ == "__main__":
    from lit_gen.data import ImageFolder
    try:
        ImageFolder(root, image_size=64, cache_folder=folder).prepare_data()
    except UserError as error:
        sys.exit(f"error: {error}")
"""


def has_small_disks(folder: Path) -> bool:
    words = ["unshare", "-Urm", "sh", "-c", DISK.format(disk=shlex.quote(str(folder))) + "true"]
    return bool(shutil.which("unshare")) and subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A function that makes a folder of so many images of noise."""
    folders = {}

    def make(count: int) -> Path:
        if count not in folders:
            folders[count] = tmp_path_factory.mktemp("pictures")
            for number in range(count):
                noise = np.random.default_rng(number).integers(256, size=(64, 64, 3)).astype(np.uint8)
                Image.fromarray(noise).save(folders[count] / f"{number:03d}.bmp")
        return folders[count]

    return make


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        pytest.param("is reserved", 120, marks=pytest.mark.slow),
        ("fills", 120),
        pytest.param("fills", 300, marks=pytest.mark.slow),
    ],  # fmt: skip
)
def test_a_disk_of_one_megabyte(kind, count, pictures, tmp_path):
    """In a mount of its own, which goes with its process. Of 300 images, several processes decode each some."""
    (disk := tmp_path / "disk").mkdir()
    if not has_small_disks(disk):
        pytest.skip("this user may mount nothing")
    (tmp_path / "prepare.py").write_text(PREPARE)
    words = shlex.join([sys.executable, str(tmp_path / "prepare.py"), str(pictures(count)), str(disk / "cache"), kind])
    script = DISK.format(disk=shlex.quote(str(disk))) + f"{words}; code=$?; find {shlex.quote(str(disk))}; exit $code"
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and line.startswith("error: "), (done.returncode, done.stderr)
    assert "--data.cache_folder" in line and str(disk / "cache") in line
    assert "No space left on device" in line
    assert done.stdout.split() == [str(disk)]


def test_a_limit_of_file_sizes(pictures, tmp_path):
    """As `ulimit -f` sets it, where the disk has room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(UserError, match="cannot write .*npy: File too large. Make room. Set --data.cache_folder"):
            ImageFolder(pictures(120), image_size=64, cache_folder=tmp_path / "cache").prepare_data()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "cache").exists()


def test_a_disk_that_loses_what_was_written(pictures, tmp_path, monkeypatch):
    """A network's disk may say so no sooner than the file is closed or synced."""

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="cannot write .*npy: No space left on device.*--data.cache_folder"):
        ImageFolder(pictures(120), image_size=8, cache_folder=tmp_path / "cache").prepare_data()
    assert not (tmp_path / "cache").exists()


def decode_in_vain(folder: Path, cache_folder: Path, begun) -> None:
    original = cache.decode_image

    def slow(path, **settings):
        if path.name == "010.bmp":
            begun.set()
            time.sleep(60)
        return original(path, **settings)

    cache.decode_image = slow
    ImageFolder(folder, image_size=8, cache_folder=cache_folder).prepare_data()


def test_what_a_killed_process_left_is_removed_also_when_the_images_have_changed(pictures, tmp_path):
    folder = tmp_path / "in"
    shutil.copytree(pictures(120), folder)
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    process = context.Process(target=decode_in_vain, args=(folder, tmp_path / "cache", begun))
    process.start()
    assert begun.wait(60)
    process.kill()
    process.join(60)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock", ".partial"}
    (folder / "119.bmp").unlink()
    ImageFolder(folder, image_size=8, cache_folder=tmp_path / "cache").prepare_data()
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_another_set_s_half_written_array_stays(pictures, tmp_path):
    """It may be in the making."""
    other = tmp_path / "cache" / ".images-8px-0123456789ab.json.0011.partial"
    other.parent.mkdir()
    other.write_text("half")
    ImageFolder(pictures(120), image_size=8, cache_folder=tmp_path / "cache").prepare_data()
    assert other.read_text() == "half"


def test_a_manifest_that_does_not_fit_is_left_out(pictures, tmp_path, monkeypatch):
    """The array is there: the next start takes longer, and that is all."""

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    data = ImageFolder(pictures(120), image_size=8, cache_folder=tmp_path / "cache")
    data.prepare_data()
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]
    monkeypatch.setattr(cache, "decode_image", None)
    ImageFolder(pictures(120), image_size=8, cache_folder=tmp_path / "cache").prepare_data()
