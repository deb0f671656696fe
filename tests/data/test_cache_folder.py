"""Datasets in folders that cannot be written, or on a full disk."""

import errno
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import lit_gen.data
from lit_gen.cli import main
from lit_gen.data import MNIST, CelebA, CelebACaptions, Horse2Zebra, ImageFolder, MNISTCaptions, cache
from lit_gen.data.base import ImageData
from lit_gen.data.decoding import ImagesOnDemand
from lit_gen.errors import UserError
from lit_gen.files.atomic import CannotWriteError
from lit_gen.metrics.classifiers import attribute_question, classifier_for
from tests.models import tiny

SETTING = "--data.cache_folder"
TINY_VAE = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[4]"]


@pytest.fixture
def protect(monkeypatch):
    """A function; from its call on, what is below the folder given to it cannot be written. (Root may write anywhere,
    so that permissions would show nothing.)"""
    protected: list[Path] = []

    def is_protected(path) -> bool:
        return any(folder in (Path(path), *Path(path).parents) for folder in protected)

    def refusing(function, place):
        def call(*arguments, **options):
            if is_protected(place(*arguments, **options)):
                raise PermissionError(13, "Permission denied")
            return function(*arguments, **options)

        return call

    real_mkdir, real_access = Path.mkdir, os.access

    def mkdir(path, *arguments, **options):
        if is_protected(path) and not path.is_dir():
            raise PermissionError(13, "Permission denied")
        return real_mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(os, "access", lambda path, mode: not is_protected(path) and real_access(path, mode))
    for name in ("mkstemp", "mkdtemp"):
        function = refusing(getattr(tempfile, name), lambda *_, dir=None, **__: dir or tempfile.gettempdir())
        monkeypatch.setattr(tempfile, name, function)
    return protected.append


def pictures(folder: Path, count: int = 12, size: int = 8) -> Path:
    """Images of which each shows its number."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (size, size), (number, 0, 0)).save(folder / f"{number:02d}.png")
    return folder


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def copy(root: Path, target: Path) -> Path:
    shutil.copytree(root, target, ignore=shutil.ignore_patterns("cache"), copy_function=os.link)
    return target


def mistake(words, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def rows(data: ImageData, split: str) -> list[torch.Tensor]:
    dataset = data.datasets[split]
    return list(dataset.__getitems__(range(len(dataset))))


# ----------------------------------------------------------------------------------------------------- the setting


@pytest.mark.parametrize("name", lit_gen.data.__all__)
def test_every_data_module_has_the_setting_and_explains_it(name, capsys):
    data_class = getattr(lit_gen.data, name)
    arguments = {"root": "pictures"} if name in ("ImageFolder", "ImageTable") else {}
    arguments |= {"folder_a": "pictures", "folder_b": "others"} if name == "UnpairedFolders" else {}
    assert data_class(**arguments, cache_folder=Path("elsewhere")).cache_folder == Path("elsewhere")
    assert data_class(**arguments).cache_folder.parent == Path("pictures" if arguments else "data")
    with pytest.raises(SystemExit):
        main(["fit", "--data.help", name])
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(r"--data.cache_folder \([^)]*\) Folder for ", shown)


def test_a_config_without_the_setting_still_runs(tmp_path):
    folder = pictures(tmp_path / "in")
    words = [*TINY_VAE, "--data=ImageFolder", f"--data.root={folder}", "--data.image_size=8", "--data.batch_size=4"]
    words += ["--trainer.max_epochs=1", f"--trainer.default_root_dir={tmp_path}/runs", "--trainer.logger=false"]
    main(["fit", *words])
    [path] = tmp_path.glob("runs/vae/*/config.yaml")
    config = yaml.safe_load(path.read_text())
    assert config["data"]["init_args"].pop("cache_folder") is None
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", str(tmp_path / "old.yaml")])
    assert len(list(tmp_path.glob("runs/vae/*/checkpoints/last.ckpt"))) == 2


# ------------------------------------------------------------------------------------------------ your own pictures


def test_a_folder_that_cannot_be_written_trains_with_a_cache_elsewhere(tmp_path, capsys, protect):
    folder = pictures(tmp_path / "in")
    before = tree(folder)
    protect(folder)
    words = ["fit", *TINY_VAE, "--data=ImageFolder", f"--data.root={folder}", "--data.image_size=8"]
    words += ["--data.batch_size=4", "--trainer.max_epochs=1", "--trainer.logger=false"]
    words += [f"--trainer.default_root_dir={tmp_path}/runs"]
    line = mistake(words, capsys)
    assert SETTING in line and str(folder / ".cache") in line and "another place" not in line
    assert not (tmp_path / "runs").exists()
    main([*words, f"{SETTING}={tmp_path}/new/cache"])
    assert list(tmp_path.glob("runs/vae/*/checkpoints/last.ckpt"))
    assert len(list((tmp_path / "new" / "cache").glob("*.npy"))) == 1
    assert tree(folder) == before


@pytest.mark.parametrize("skip_broken", [False, True])
def test_nothing_is_decoded_before_it_is_known_that_there_is_a_place(tmp_path, monkeypatch, protect, skip_broken):
    folder = pictures(tmp_path / "in")
    protect(folder)
    monkeypatch.setattr(cache, "decode_image", None)
    with pytest.raises(CannotWriteError, match=f"Permission denied. Set {SETTING}"):
        ImageFolder(folder, image_size=8, skip_broken=skip_broken).prepare_data()


def test_predict_needs_no_place(tmp_path, protect):
    folder = pictures(tmp_path / "in", 40, size=28)
    model = tiny.build(lit_gen.models.VAE, size=28, channels=3)
    trainer = tiny.trainer(tmp_path)
    trainer.fit(model, datamodule=ImageFolder(folder, image_size=28, batch_size=8, cache_folder=tmp_path / "cache"))
    trainer.save_checkpoint(tmp_path / "trained.ckpt")
    protect(folder)
    before = tree(folder)
    words = [
        "predict",
        "--model=VAE",
        "--model.latent_dim=4",
        "--model.encoder.hidden_sizes=[16]",
        "--data=ImageFolder",
    ]
    words += [f"--data.root={folder}", "--data.image_size=28", "--data.batch_size=16"]
    words += [f"--ckpt_path={tmp_path}/trained.ckpt", f"--trainer.default_root_dir={tmp_path}/runs"]
    main(words)
    assert len(list(tmp_path.glob("runs/vae/*/predictions/[0-9]*.png"))) == 40
    assert tree(folder) == before


def predicted(folder: Path, **settings) -> ImageFolder:
    data = ImageFolder(folder, image_size=8, batch_size=5, **settings)
    data.predicting = True
    data.prepare_data()
    data.setup("predict")
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_decoded_on_demand_is_what_is_decoded_ahead(tmp_path, protect, workers):
    folder = pictures(tmp_path / "in", 12, size=11)
    expected = np.array(predicted(folder, cache_folder=tmp_path / "cache").arrays)
    protect(folder)
    data = predicted(folder, num_workers=workers)
    assert isinstance(data.arrays, ImagesOnDemand) and data.arrays.shape == (12, 8, 8, 3)
    batches = list(data.predict_dataloader())
    assert [len(batch.image) for batch in batches] == [5, 5, 2]
    np.testing.assert_array_equal(torch.cat([batch.image for batch in batches]).permute(0, 2, 3, 1), expected)
    assert data.arrays[np.array([], int)].shape == (0, 8, 8, 3)


def test_a_broken_picture_is_named_before_the_first_is_predicted(tmp_path, protect, caplog):
    folder = pictures(tmp_path / "in")
    (folder / "07.png").write_bytes(b"no image")
    protect(folder)
    with pytest.raises(UserError, match="07.png"):
        predicted(folder)
    with caplog.at_level("INFO"):
        data = predicted(folder, skip_broken=True)
    assert "skipped 1 of the 12 files" in caplog.text
    shown = torch.cat([batch.image[:, 0, 0, 0] for batch in data.predict_dataloader()])
    assert shown.tolist() == [number for number in range(12) if number != 7]


def test_pictures_are_checked_once(tmp_path, caplog, protect):
    """The command line prepares the data, and Lightning does so again."""
    folder = pictures(tmp_path / "in", 3)
    Image.fromarray(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)).save(folder / "signed.tif")
    protect(folder)
    with caplog.at_level("INFO"):
        data = predicted(folder)
        data.prepare_data()
    assert caplog.text.count("scaled 1 of the 4 images") == 1
    assert data.remarks == ["1 scaled by their own range"]


def test_lightning_says_that_it_predicts(tmp_path, protect):
    """Without the command line."""
    folder = pictures(tmp_path / "in", 6)
    protect(folder)
    model, trainer = tiny.build(lit_gen.models.VAE, size=8, channels=3), tiny.trainer(tmp_path)
    made = trainer.predict(model, datamodule=ImageFolder(folder, image_size=8, batch_size=4))
    assert [len(images) for images in made] == [4, 2]
    with pytest.raises(CannotWriteError, match=SETTING):
        trainer.test(model, datamodule=ImageFolder(folder, image_size=8))


def test_a_cache_that_is_there_is_used_though_it_cannot_be_written(tmp_path, protect):
    folder = pictures(tmp_path / "in")
    ImageFolder(folder, image_size=8, skip_broken=True).prepare_data()
    protect(folder)
    data = ImageFolder(folder, image_size=8, skip_broken=True)
    data.prepare_data()
    assert isinstance(data.arrays, np.memmap)


def test_a_folder_moved_with_its_cache_is_not_decoded_again(tmp_path, monkeypatch):
    ImageFolder(pictures(tmp_path / "in"), image_size=8).prepare_data()
    (tmp_path / "in").rename(tmp_path / "moved")
    monkeypatch.setattr(cache, "decode_image", None)
    ImageFolder(tmp_path / "moved", image_size=8).prepare_data()


def test_folders_that_share_a_cache_are_told_apart(tmp_path):
    """Same names, sizes and times, as of two unpacked archives."""
    for name, value in (("one", 10), ("two", 200)):
        path = pictures(tmp_path / name / "train", 1) / "00.png"
        Image.new("RGB", (8, 8), (value, value, value)).save(path.with_suffix(".bmp"))
        path.unlink()
        os.utime(path.with_suffix(".bmp"), (1, 1))
    for name, value in (("one", 10), ("two", 200), ("one", 10)):
        data = ImageFolder(tmp_path / name, image_size=8, cache_folder=tmp_path / "cache")
        data.prepare_data()
        assert np.all(data.arrays == value)


# ----------------------------------------------------------------------------------------------------- a full disk


def little_room(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 50, 50))


def quota(monkeypatch) -> None:
    """There is room on the disk, but not for this user."""

    def refuse(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "posix_fallocate", refuse)


@pytest.mark.parametrize("fill", [little_room, quota])
def test_a_full_disk(tmp_path, monkeypatch, fill):
    folder = pictures(tmp_path / "in")
    fill(monkeypatch)
    with pytest.raises(UserError, match=SETTING) as caught:
        ImageFolder(folder, image_size=8).prepare_data()
    assert "\n" not in str(caught.value)
    assert not (folder / ".cache").exists()
    assert len(predicted(folder).arrays) == 12


def test_a_file_system_that_cannot_reserve_room(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert len(predicted(pictures(tmp_path / "in")).arrays) == 12


def test_a_disk_that_fills_up_while_pictures_are_rendered(tmp_path, monkeypatch):
    def fill(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lit_gen.data.mnist.write_mnist", fill)
    with pytest.raises(UserError, match=f"No space left on device. Make room. Set {SETTING}"):
        MNIST(tmp_path / "data", synthetic=True, synthetic_count=100).prepare_data()
    assert list((tmp_path / "data").rglob("mnist*")) == []


# ------------------------------------------------------------------------------------------------- the known datasets


def settings_for(data_class: type) -> dict:
    return {"image_size": 16, "load_size": 16} if issubclass(data_class, Horse2Zebra) else {"image_size": 32}


@pytest.mark.parametrize("data_class", [MNIST, MNISTCaptions, CelebA, CelebACaptions, Horse2Zebra])
def test_datasets_that_cannot_be_written(data_class, roots, tmp_path, protect):
    root = copy(roots[data_class.__name__], tmp_path / "data")
    settings = {"root": root, "download": False, **settings_for(data_class)}
    settings |= {"val_size": 100} if issubclass(data_class, MNIST) else {}
    expected = data_class(**settings, cache_folder=tmp_path / "first")
    expected.prepare_data()
    expected.setup("fit")
    before = tree(root)
    protect(root)
    if not issubclass(data_class, MNIST):  # whose files are read as they are
        with pytest.raises(CannotWriteError, match=SETTING):
            data_class(**settings).prepare_data()
        assert list((tmp_path / "first").iterdir())
    for more in ({"cache_folder": tmp_path / "second"}, {}):
        data = data_class(**settings, **more)
        data.predicting = not more
        data.prepare_data()
        data.setup("fit" if more else "predict")
        pairs = zip(rows(data, "test"), rows(expected, "test"), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    assert tree(root) == before


@pytest.mark.parametrize(("data_class", "write"), [(MNIST, "mnist.write_mnist"), (CelebA, "celeba.write_celeba")])
def test_rendered_pictures_lie_in_the_folder_too(data_class, write, tmp_path, monkeypatch, protect):
    def refuse(*_):
        raise AssertionError("rendered for the second time")

    root = tmp_path / "data"
    root.mkdir()
    protect(root)
    settings = {"root": root, "synthetic": True, "synthetic_count": 100}
    with pytest.raises(CannotWriteError, match=SETTING):
        data_class(**settings).prepare_data()
    for _ in range(2):
        data = data_class(**settings, cache_folder=tmp_path / "cache", image_size=32)
        data.prepare_data()
        monkeypatch.setattr(f"lit_gen.data.{write}", refuse)
    assert data.source.parent == tmp_path / "cache" / "rendered"
    assert list(root.iterdir()) == []


def test_rendered_pictures_that_are_there_are_used(tmp_path):
    inner = Path("rendered") / "mnist-100-v1"
    (tmp_path / "data" / inner).mkdir(parents=True)
    data = MNIST(tmp_path / "data", synthetic=True, synthetic_count=100, cache_folder=tmp_path / "cache")
    assert data.source == tmp_path / "data" / inner


def zip_folder(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(folder.rglob("*.jpg")):
            zipped.write(path, path.relative_to(folder.parent))
    shutil.rmtree(folder)


def test_an_archive_is_unpacked_there(celeba_root, horse2zebra_root, tmp_path, protect):
    faces, horses = copy(celeba_root, tmp_path / "faces"), copy(horse2zebra_root, tmp_path / "horses")
    zip_folder(faces / "celeba" / "img_align_celeba", faces / "celeba" / "img_align_celeba.zip")
    zip_folder(horses / "horse2zebra", horses / "horse2zebra.zip")
    protect(faces)
    protect(horses)
    for data_class, root, plain in ((CelebA, faces, celeba_root), (Horse2Zebra, horses, horse2zebra_root)):
        settings = {"download": False, **settings_for(data_class)}
        with pytest.raises(CannotWriteError, match=SETTING):
            data_class(root, **settings).prepare_data()
        found = data_class(root, cache_folder=tmp_path / "cache", **settings)
        expected = data_class(plain, **settings)
        for data in (found, found, expected):
            data.prepare_data()
            data.setup("fit")
        pairs = zip(rows(found, "test"), rows(expected, "test"), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("data_class", [MNIST, CelebA, Horse2Zebra])
def test_a_dataset_that_is_not_there_cannot_be_put_there(data_class, tmp_path, protect):
    """Its place is `root`, whatever is said of the cache."""
    (tmp_path / "data").mkdir()
    protect(tmp_path / "data")
    with pytest.raises(UserError, match="Set --data.root") as caught:
        data_class(tmp_path / "data", cache_folder=tmp_path / "cache").prepare_data()
    assert "\n" not in str(caught.value)


def test_judges_are_kept_there(celeba_root, tmp_path, caplog, protect):
    root = copy(celeba_root, tmp_path / "data")
    protect(root)
    data = CelebA(root, image_size=16, download=False, cache_folder=tmp_path / "cache")
    data.prepare_data()
    data.setup("test")
    question = attribute_question(data, ["Male"], epochs=1)
    classifier_for(question, data, torch.device("cpu"))
    assert len(list((tmp_path / "cache").glob("judge-*.pt"))) == 1
    data.own_folder = None
    with caplog.at_level("INFO"):
        classifier_for(question, data, torch.device("cpu"))
    assert (
        f"cannot be kept for the next test: cannot create the folder {root}" in caplog.text and SETTING in caplog.text
    )
