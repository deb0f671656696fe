import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.cli import main
from lit_gen.data import ImageFolder, cache
from lit_gen.data.splits import places_of
from lit_gen.errors import UserError
from lit_gen.models import VAE
from tests.models import tiny


def make_tree(root: Path, count: int = 20) -> Path:
    """Images of which each shows its number in the order of the sorted paths; some are in folders within folders."""
    for index in range(count):
        folder = root / ("a" if index < count // 2 else "b größe/c d")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8), (index, 0, 255)).save(folder / f"{index:03d}.{'PNG' if index % 2 else 'bmp'}")
    (root / "notes.txt").write_text("not an image")
    return root


def ready(root: Path, **settings) -> ImageFolder:
    data = ImageFolder(root, **({"image_size": 8, "batch_size": 4} | settings))
    data.prepare_data()
    data.setup("fit")
    return data


def numbers(data: ImageFolder, split: str) -> list[int]:
    dataset = data.datasets[split]
    return dataset.__getitems__(range(len(dataset))).image[:, 0, 0, 0].tolist() if len(dataset) else []


SPLITS = ("train", "val", "test")


def parts(data: ImageFolder) -> dict[str, set[int]]:
    return {split: set(numbers(data, split)) for split in SPLITS}


@pytest.mark.parametrize("fraction", [0, 0.001, 0.05, 0.25, 0.5, 0.99])
def test_each_image_is_in_one_of_three_parts(tmp_path, fraction):
    data = ready(make_tree(tmp_path), val_fraction=fraction, batch_size=1)
    found = [numbers(data, split) for split in SPLITS]
    assert sorted(sum(found, [])) == list(range(20))
    assert all(part == sorted(part) for part in found)
    assert [len(part) > 0 for part in found] == [True, fraction > 0, fraction > 0]


def test_an_image_stays_in_its_part_when_others_come_and_go(tmp_path):
    """And where the folder lies, and how its files are listed, makes no difference."""
    folder = make_tree(tmp_path / "one", 200)
    before = parts(ready(folder, val_fraction=0.3))
    assert 15 <= len(before["val"]) <= 45 and 15 <= len(before["test"]) <= 45  # 30 expected, deviation 5
    for number in range(200, 250):
        Image.new("RGB", (8, 8), (number, 0, 255)).save(folder / f"0{number}.png")  # before all others
    after = parts(ready(folder, val_fraction=0.3))
    assert all(before[split] == {number for number in after[split] if number < 200} for split in SPLITS)
    for number in range(0, 200, 3):
        next(folder.rglob(f"{number:03d}.*")).unlink()
    folder.rename(tmp_path / "other")
    left = parts(ready(tmp_path / "other", val_fraction=0.3))
    assert all(left[split] == {number for number in after[split] if number >= 200 or number % 3} for split in SPLITS)


def test_a_larger_fraction_keeps_what_a_smaller_one_holds_out(tmp_path):
    make_tree(tmp_path, 100)
    small, large = (parts(ready(tmp_path, val_fraction=fraction)) for fraction in (0.2, 0.6))
    assert small["val"] < large["val"] and small["test"] < large["test"]


@pytest.mark.parametrize(("count", "sizes"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1))])
def test_of_few_images_the_first_is_for_training(tmp_path, count, sizes):
    for fraction in (0.001, 0.9):
        data = ready(make_tree(tmp_path, count), val_fraction=fraction, batch_size=1)
        assert tuple(len(data.datasets[split]) for split in SPLITS) == sizes


def test_the_split_of_a_checkpoint_holds(tmp_path, caplog):
    make_tree(tmp_path, 60)
    trained = ready(tmp_path, val_fraction=0.5)
    state = trained.state_dict()
    assert state["split"]["val_fraction"] == 0.5
    tested = ready(tmp_path, val_fraction=0.9)
    assert parts(tested) != parts(trained)
    with caplog.at_level("INFO"):
        tested.load_state_dict(state)
    assert parts(tested) == parts(trained) and tested.state_dict()["split"] == state["split"]
    assert "the split of the images is that of the checkpoint: val_fraction = 0.5" in caplog.text
    caplog.clear()
    trained.load_state_dict(state)
    assert not caplog.text


def test_a_run_of_before_the_split_was_stored_keeps_its_split(tmp_path):
    """As commit e45cbfd had it: evenly spread over the sorted names, the same for validation and test."""
    data = ready(make_tree(tmp_path), val_fraction=0.25)
    data.load_state_dict({"order_seed": 0})
    old = {"train": set(range(20)) - {0, 4, 9, 14, 19}, "val": {0, 4, 9, 14, 19}, "test": {0, 4, 9, 14, 19}}
    assert parts(data) == old
    again = ready(tmp_path, val_fraction=0.25)  # what that run writes now says so
    again.load_state_dict(data.state_dict())
    assert parts(again) == old


def test_accents_and_systems_do_not_decide(tmp_path):
    composed, decomposed = (Path("in", "b", name) for name in ("caf\u00e9.png", "cafe\u0301.png"))
    assert (
        places_of([composed], Path("in"))
        == places_of([decomposed], Path("in"))
        == places_of([Path("b/café.png")], Path())
    )
    assert places_of([Path("in/a.png")], Path("in")) != places_of([Path("in/b/a.png")], Path("in"))


def test_types_at_each_stage(tmp_path):
    data = ready(make_tree(tmp_path))
    batch = next(iter(data.train_dataloader()))
    assert batch._fields == ("image",)
    assert (batch.image.dtype, batch.image.shape) == (torch.uint8, (4, 3, 8, 8))
    moved = data.on_after_batch_transfer(batch, 0).image
    assert (moved.dtype, moved.shape) == (torch.float32, (4, 3, 8, 8))
    assert torch.all(moved[:, 2] == 1)
    assert torch.all(moved[:, 1] == -1)
    assert data.spec == {"image_shape": [3, 8, 8], "num_classes": 0, "attributes": []}
    assert isinstance(data.datasets["train"].arrays[0], np.memmap)


def test_grey(tmp_path):
    data = ready(make_tree(tmp_path), channels=1)
    assert data.spec["image_shape"] == [1, 8, 8]
    batch = next(iter(data.train_dataloader()))
    assert batch.image.shape == (4, 1, 8, 8)


def test_the_second_use_decodes_nothing_and_the_cache_is_no_image(tmp_path, monkeypatch):
    expected = numbers(ready(make_tree(tmp_path)), "train")
    assert len(list((tmp_path / ".cache").glob("*.npy"))) == 1
    monkeypatch.setattr(cache, "decode_image", None)
    assert numbers(ready(tmp_path), "train") == expected


def test_a_new_image_is_seen(tmp_path):
    ready(make_tree(tmp_path))
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "new.webp", lossless=True)
    data = ready(tmp_path)
    assert 200 in set.union(*parts(data).values())


def test_equal_names_in_several_folders(tmp_path):
    for index, folder in enumerate(("x", "y", "z")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / folder / "1.bmp")
        os.utime(tmp_path / folder / "1.bmp", (1, 1))
    assert numbers(ready(tmp_path, val_fraction=0, batch_size=1), "train") == [0, 1, 2]


def test_a_folder_may_be_called_like_an_image(tmp_path):
    (make_tree(tmp_path, 4) / "a" / "1.jpg").mkdir()
    (tmp_path / "a" / "000.bmp").rename(tmp_path / "a" / "1.jpg" / "000.bmp")
    assert sorted(numbers(ready(tmp_path, val_fraction=0), "train")) == [0, 1, 2, 3]


def test_a_broken_image_is_named(tmp_path):
    (make_tree(tmp_path) / "a" / "broken one.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="a/broken one.jpg") as caught:
        ready(tmp_path)
    assert "\n" not in str(caught.value)


def test_broken_images_are_skipped_on_request(tmp_path):
    make_tree(tmp_path)
    for number in (3, 12):
        (path,) = tmp_path.rglob(f"{number:03d}.*")
        path.write_bytes(b"no image")
    data = ready(tmp_path, val_fraction=0.25, skip_broken=True)
    whole = parts(ready(make_tree(tmp_path / "whole"), val_fraction=0.25))
    assert all(part == whole[split] - {3, 12} for split, part in parts(data).items())
    shutil.rmtree(tmp_path / "whole")
    shown = sorted(set.union(*parts(data).values()))
    assert shown == [number for number in range(20) if number not in (3, 12)]
    with pytest.raises(UserError, match="a/003.PNG"):
        ready(tmp_path)


def test_a_folder_of_one_image_trains(tmp_path):
    make_tree(tmp_path / "in", 1)
    main(
        ["fit", "--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[4]", "--data=ImageFolder",
         f"--data.root={tmp_path}/in", "--data.image_size=8", "--data.batch_size=1", "--trainer.max_epochs=1",
         f"--trainer.default_root_dir={tmp_path}/runs", "--trainer.logger=false"]
    )  # fmt: skip
    assert list(tmp_path.glob("runs/vae/*/checkpoints/last.ckpt"))


def test_a_run_that_goes_on_with_more_images_says_so(tmp_path, caplog):
    make_tree(tmp_path / "in", 4)

    def train(epochs, checkpoint=None):
        trainer = tiny.trainer(tmp_path, max_epochs=epochs)
        data = ImageFolder(tmp_path / "in", image_size=16, batch_size=2, val_fraction=0)
        trainer.fit(tiny.build(VAE, 3), datamodule=data, ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "last.ckpt")

    train(1)
    train(2, tmp_path / "last.ckpt")
    assert "training images now" not in caplog.text
    shutil.copy(tmp_path / "in" / "a" / "000.bmp", tmp_path / "in" / "more.bmp")
    train(3, tmp_path / "last.ckpt")
    assert "there are 5 training images now, and were 4 before the run was resumed" in caplog.text


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="nowhere is not there. Give --data.root") as caught:
        ready(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_no_images(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(UserError, match="no image file below .*png"):
        ready(tmp_path)


@pytest.mark.parametrize("settings", [{"channels": 2}, {"val_fraction": 1}, {"val_fraction": -0.1}])
def test_absurd_settings(tmp_path, settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        ImageFolder(tmp_path, **settings)


def test_the_largest_image_is_a_setting(tmp_path):
    for number in range(4):
        Image.new("RGB", (1000, 1001 if number == 2 else 1000)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match="2.png has 1000x1001 pixels, more than 1 million.*--data.max_megapixels=2"):
        ImageFolder(tmp_path, image_size=8, max_megapixels=1).prepare_data()
    skipping = ImageFolder(tmp_path, image_size=8, max_megapixels=1, skip_broken=True)
    assert len(skipping.arrays) == 3
    assert len(ImageFolder(tmp_path, image_size=8, max_megapixels=2, skip_broken=True).arrays) == 4
    predicting = ImageFolder(tmp_path, image_size=8, max_megapixels=1, cache_folder=tmp_path / "0.png" / "cache")
    predicting.predicting = True  # it decodes what it reads
    with pytest.raises(UserError, match="2.png has"):
        predicting.prepare_data()
    predicting = ImageFolder(tmp_path, image_size=8, max_megapixels=2, cache_folder=tmp_path / "0.png" / "cache")
    predicting.predicting = True
    predicting.prepare_data()
    assert predicting.arrays[[2]].shape == (1, 8, 8, 3)
