import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.cli import main
from lit_gen.data import ImageFolder, cache
from lit_gen.errors import UserError


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
    return dataset.__getitems__(range(len(dataset))).image[:, 0, 0, 0].tolist()


def test_all_images_of_all_folders_are_in_one_split(tmp_path):
    data = ready(make_tree(tmp_path), val_fraction=0.25)
    train, val = numbers(data, "train"), numbers(data, "val")
    assert sorted(train + val) == list(range(20))
    assert len(val) == 5
    assert numbers(data, "test") == val
    assert val == [0, 4, 9, 14, 19]  # spread evenly
    assert train == sorted(train)


@pytest.mark.parametrize(("fraction", "held_out"), [(0, 0), (0.05, 1), (0.5, 10), (0.99, 19)])
def test_the_validation_fraction(tmp_path, fraction, held_out):
    data = ready(make_tree(tmp_path), val_fraction=fraction)
    assert (len(data.datasets["train"]), len(data.datasets["val"])) == (20 - held_out, held_out)


def test_a_single_image_is_for_training(tmp_path):
    data = ready(make_tree(tmp_path, 1), val_fraction=0.9, batch_size=1)
    assert numbers(data, "train") == [0]
    assert len(data.datasets["val"]) == 0


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
    assert 200 in numbers(data, "train") + numbers(data, "val")


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
    shown = sorted(numbers(data, "train") + numbers(data, "val"))
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
