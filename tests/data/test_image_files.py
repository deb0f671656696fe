"""Which files below a folder are read, and what is said of the others."""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.data import CelebA, Horse2Zebra, ImageFolder
from lit_gen.data.cache import decode_image
from lit_gen.data.image_files import Search, in_words, near_name
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file
from lit_gen.files.idx import read_idx


def pictures(folder: Path, *numbers: int) -> Path:
    """Images of which each shows its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def shown(folder: Path, **settings) -> list[int]:
    """The numbers of the images that are read."""
    data = ImageFolder(folder, image_size=8, batch_size=1, val_fraction=0, **settings)
    data.prepare_data()
    data.setup("fit")
    return sorted(data.arrays[:, 0, 0, 0].tolist())


# --------------------------------------------------------------------------------------------------------------- links


def test_a_linked_folder_is_read(tmp_path):
    pictures(tmp_path / "in" / "here", *range(5))
    pictures(tmp_path / "elsewhere" / "deep", *range(5, 25))
    (tmp_path / "in" / "there").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert shown(tmp_path / "in") == list(range(25))


def test_the_folder_itself_may_be_a_link(tmp_path):
    pictures(tmp_path / "elsewhere", 1, 2)
    (tmp_path / "in").symlink_to(tmp_path / "elsewhere")
    assert shown(tmp_path / "in") == [1, 2]


def test_links_that_lead_round_end(tmp_path):
    pictures(tmp_path / "in", 1)
    pictures(tmp_path / "in" / "a" / "b", 2)
    (tmp_path / "in" / "a" / "b" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self").symlink_to("self")
    (tmp_path / "in" / "one").symlink_to("two")
    (tmp_path / "in" / "two").symlink_to("one")
    assert shown(tmp_path / "in") == [1, 2]


def test_a_folder_reached_twice_is_read_once_under_its_own_name(tmp_path):
    pictures(tmp_path / "in" / "z", 1, 2)
    for name in ("a", "zz"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "in" / "z")
    assert [path.parent.name for path in Search(tmp_path / "in").find().paths] == ["z", "z"]


def test_linked_files_are_read_each(tmp_path):
    pictures(tmp_path / "elsewhere", 7)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.png").symlink_to(tmp_path / "elsewhere" / "7.png")
    assert shown(tmp_path / "in") == [7, 7]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    pictures(tmp_path / "in", 1)
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match="gone.png is missing"):
        shown(tmp_path / "in")
    assert shown(tmp_path / "in", skip_broken=True) == [1]


# ----------------------------------------------------------------------------------------------------- what is left out


def clutter(folder: Path) -> None:
    """What is no image to be read: five hidden files, a format that is not read, notes, and a pipe."""
    pictures(folder / ".ipynb_checkpoints", 101, 102)
    pictures(folder / "__MACOSX", 103)
    shutil.copy(folder / ".ipynb_checkpoints" / "101.png", folder / "._1.png")
    shutil.copy(folder / ".ipynb_checkpoints" / "101.png", folder / ".png")
    (folder / "photo.HEIC").write_bytes(b"heic")
    (folder / "notes.txt").write_text("notes")
    (folder / "README").write_text("notes")
    os.mkfifo(folder / "pipe.png")


def test_what_is_left_out_is_counted_by_its_reason(tmp_path, caplog):
    clutter(pictures(tmp_path, 1, 2))
    with caplog.at_level("INFO"):
        assert shown(tmp_path) == [1, 2]
    [line] = [message for message in caplog.messages if "left out" in message]
    assert "left out 9 files: 5 hidden, " in line
    for reason in ("1 .heic", "1 .txt", "1 without an ending", "1 no regular file"):
        assert reason in line
    assert str(tmp_path) in line and "\n" not in line


def test_the_cache_is_not_counted(tmp_path, caplog):
    pictures(tmp_path, 1, 2)
    for settings in ({}, {}, {"cache_folder": tmp_path / "my cache"}, {"cache_folder": tmp_path / "my cache"}):
        with caplog.at_level("INFO"):
            assert shown(tmp_path, **settings) == [1, 2]
    assert "left out" not in caplog.text
    assert os.listdir(tmp_path / ".cache") and os.listdir(tmp_path / "my cache")


def test_the_pictures_may_lie_in_a_hidden_folder(tmp_path):
    assert shown(pictures(tmp_path / ".local" / "pictures", 1, 2)) == [1, 2]


def test_two_domains_are_read_alike(horse2zebra_root, tmp_path, caplog):
    source = horse2zebra_root / "horse2zebra"
    shutil.copytree(source, tmp_path / "horse2zebra", copy_function=os.link)
    clutter(tmp_path / "horse2zebra" / "trainA")
    (tmp_path / "horse2zebra" / "testB" / "1.jpg").mkdir()
    settings = {"image_size": 16, "load_size": 16, "download": False}
    data, plain = Horse2Zebra(tmp_path, **settings), Horse2Zebra(horse2zebra_root, **settings)
    with caplog.at_level("INFO"):
        data.prepare_data()
    plain.prepare_data()
    for part, found in plain.sets.items():
        np.testing.assert_array_equal(data.sets[part].images, found.images)
    assert "left out 9 files: 5 hidden, " in caplog.text and "trainA" in caplog.text
    assert data.remarks == ["9 left out"]


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    pictures(tmp_path, 1)
    pictures(tmp_path / "lost", 2)
    scan = os.scandir

    def refuse(path="."):
        if Path(path) == refused:
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    refused = tmp_path / "lost"
    assert Search(tmp_path).find().left_out == {"folder that cannot be listed": 1}
    refused = tmp_path
    with pytest.raises(UserError, match="cannot list the folder"):
        Search(tmp_path).find()


def test_many_reasons_are_cut_short():
    line = in_words({f".{letter}": count for count, letter in enumerate("abcdefgh", 1)})
    assert line == "36 files: 8 .h, 7 .g, 6 .f, 5 .e, 4 .d, 3 .c, 3 others"
    assert in_words({"hidden": 1}) == "1 file: 1 hidden"
    in_words({os.fsdecode(b".\xe9"): 1}).encode()


# ---------------------------------------------------------------------------------------------- what is no regular file


def make_socket(path: Path) -> None:
    place = os.getcwd()
    os.chdir(path.parent)  # the whole path may be too long
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(place)


@pytest.mark.parametrize("make", [os.mkfifo, make_socket, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_does_not_hang(tmp_path, make):
    pictures(tmp_path, 1)
    make(tmp_path / "2.png")
    assert Search(tmp_path).find().left_out == {"no regular file": 1}
    assert shown(tmp_path) == [1]
    with pytest.raises(UserError, match="2.png .it is no regular file"):
        decode_image(tmp_path / "2.png", 8)


def test_a_pipe_in_place_of_a_listed_face_is_named(celeba_root, tmp_path):
    shutil.copytree(celeba_root, tmp_path / "copy", ignore=shutil.ignore_patterns("cache"), copy_function=os.link)
    path = tmp_path / "copy" / "celeba" / "img_align_celeba" / "000003.jpg"
    path.unlink()
    os.mkfifo(path)
    settings = {"root": tmp_path / "copy", "image_size": 16, "download": False}
    with pytest.raises(UserError, match="000003.jpg"):
        CelebA(**settings).prepare_data()
    data = CelebA(**settings, skip_broken=True)
    data.prepare_data()
    assert len(data.arrays[0]) == 119


def test_a_pipe_in_place_of_digits_is_named(tmp_path):
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(UserError, match="train-images-idx3-ubyte is no regular file"):
        read_idx(tmp_path / "train-images-idx3-ubyte")


def test_a_training_starts_on_a_folder_full_of_clutter(tmp_path, caplog):
    """The summary repeats the counts."""
    from lit_gen.cli import main

    folder = pictures(tmp_path / "in", *range(8))
    clutter(folder)
    Image.fromarray(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)).save(folder / "signed.tiff")
    words = ["fit", "--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[4]", "--data=ImageFolder"]
    words += [f"--data.root={folder}", "--data.image_size=8", "--data.batch_size=4", "--trainer.max_epochs=1"]
    with caplog.at_level("INFO"):
        main([*words, f"--trainer.default_root_dir={tmp_path}/runs", "--trainer.logger=false"])
    [summary] = [message for message in caplog.messages if message.startswith("   model: ")]
    assert "9 left out, 1 scaled by their own range" in summary
    assert list(tmp_path.glob("runs/vae/*/checkpoints/last.ckpt"))


def test_a_file_that_cannot_be_begun_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lit_gen.files.atomic.os.open", refuse)
    with pytest.raises(UserError, match="No space left on device. Do this."), complete_file(tmp_path / "a", "Do this."):
        pass


def test_rows_of_linked_folders_are_batches(tmp_path):
    pictures(tmp_path / "elsewhere", 3, 4)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "there").symlink_to(tmp_path / "elsewhere")
    data = ImageFolder(tmp_path / "in", image_size=8, batch_size=2, val_fraction=0)
    data.prepare_data()
    data.setup("fit")
    [batch] = data.train_dataloader()
    assert torch.equal(batch.image[:, 0, 0, 0].sort().values, torch.tensor([3, 4], dtype=torch.uint8))


def test_a_hint_for_a_file_that_is_missing(tmp_path):
    (tmp_path / "1.png").touch()
    (tmp_path / "dead.png").symlink_to("/far/2.png")
    assert near_name(tmp_path / "1") == near_name(tmp_path / "1.PNG") == " There is '1.png'."
    assert near_name(tmp_path / "2.png") == ""
    assert near_name(tmp_path / "dead.png") == " It is a link to /far/2.png, which is not there."
    assert near_name(tmp_path / "no" / "1.png") == " There is no such folder."
