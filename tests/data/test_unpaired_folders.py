"""Two folders of one's own, as the two domains of CycleGAN."""

from pathlib import Path

import pytest
from PIL import Image

from lit_gen.cli import main
from lit_gen.data import UnpairedFolders
from lit_gen.errors import UserError


def fill(folder: Path, begin: int, count: int) -> Path:
    """Images of which each shows its number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(begin, begin + count):
        Image.new("RGB", (12, 8), (number, 0, 255)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    return fill(tmp_path / "some horses" / "deep", 0, 40).parent, fill(tmp_path / "zebras", 100, 20)


def ready(folders, **settings) -> UnpairedFolders:
    data = UnpairedFolders(*folders, **({"image_size": 8, "load_size": 10} | settings))
    data.prepare_data()
    data.setup("fit")
    return data


def shown(data: UnpairedFolders, split: str) -> list[set[int]]:
    dataset = data.datasets[split]
    return [set(field[:, 0, 0, 0].tolist()) for field in dataset.__getitems__(range(len(dataset)))]


def test_splits_by_fraction_are_disjoint_and_always_the_same(folders):
    data = ready(folders, val_fraction=0.2)
    for domain, numbers in enumerate((range(40), range(100, 120))):
        found = [set(data.datasets[split].rows_of[domain].tolist()) for split in ("train", "val", "test")]
        assert all(found) and set.union(*found) == set(range(len(numbers)))
        assert sum(map(len, found)) == len(numbers)
        assert set().union(*(shown(data, split)[domain] for split in ("val", "test"))) < set(numbers)
    assert [shown(data, split) for split in ("val", "test")] == [
        shown(ready(folders, val_fraction=0.2), split) for split in ("val", "test")
    ]


def test_sizes(folders):
    """Training images are larger, by a margin to crop; the others are their middles."""
    data = ready(folders)
    sizes = [data.datasets[split].__getitems__([0]).image_a.shape[-1] for split in ("train", "val", "test")]
    assert sizes == [10, 8, 8]
    batch = data.to_floats(next(iter(data.train_dataloader())), flip=False)
    assert batch.image_a.shape == batch.image_b.shape == (1, 3, 8, 8)
    images = data.test_images("B")["test"]
    assert images.shape[1:] == (8, 8, 3) and images[[0]].shape == (1, 8, 8, 3)
    assert set(images[list(range(len(images)))][:, 0, 0, 0].tolist()) == shown(data, "test")[1]


def test_splits_by_folders(tmp_path):
    for begin, domain in ((0, "a"), (100, "b")):
        fill(tmp_path / domain / "train", begin, 9)
        fill(tmp_path / domain / "Test", begin + 50, 3)
    data = ready((tmp_path / "a", tmp_path / "b"), val_fraction=0.3)
    assert shown(data, "test") == [{50, 51, 52}, {150, 151, 152}]
    of_training = [{number for split in ("train", "val") for number in data.datasets[split].rows_of[k]} for k in (0, 1)]
    assert of_training == [set(range(9))] * 2 and all(shown(data, "val"))
    fill(tmp_path / "a" / "validation", 80, 2)
    with pytest.raises(UserError, match="a/validation is there, but .*/b has no folder val"):
        ready((tmp_path / "a", tmp_path / "b"))
    fill(tmp_path / "b" / "val", 180, 2)
    data = ready((tmp_path / "a", tmp_path / "b"))
    assert shown(data, "val") == [{80, 81}, {180, 181}] and len(data.datasets["train"]) == 9


def test_folders_that_cannot_be_meant(folders, tmp_path):
    horses, zebras = folders
    with pytest.raises(UserError, match="nowhere is not there. Give --data.folder_b"):
        ready((horses, tmp_path / "nowhere"))
    with pytest.raises(UserError, match="one folder, or one is in the other"):
        ready((horses, horses / "deep"))
    with pytest.raises(UserError, match="one folder, or one is in the other"):
        ready((horses, horses))
    fill(zebras / "test", 200, 2)
    with pytest.raises(UserError, match="no folder train"):
        ready(folders)
    fill(zebras / "train", 202, 2)
    with pytest.raises(UserError, match=r"zebras/100.png is in no folder of a split"):
        ready(folders)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image file below .*empty"):
        ready((horses, tmp_path / "empty"))


def test_nothing_to_validate_with(folders):
    data = ready(folders, val_fraction=0)
    assert len(data.datasets["train"]) == 40
    for command, split in (("validate", "validation"), ("test", "test")):
        with pytest.raises(UserError, match=f"no {split} images.*--data.val_fraction above 0"):
            data.check_split(command)


def test_cyclegan_trains_on_it_tests_and_predicts(folders, tmp_path):
    words = ["--model=CycleGAN", "--model.channels=4", "--model.residual_blocks=1", "--model.discriminator_channels=4",
             "--model.discriminator_layers=1", "--data=UnpairedFolders", f"--data.folder_a={folders[0]}",
             f"--data.folder_b={folders[1]}", "--data.image_size=16", "--trainer.logger=false",
             f"--trainer.default_root_dir={tmp_path}/runs", "--trainer.enable_progress_bar=false"]  # fmt: skip
    main(["fit", *words, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"])
    main(["test", *words, "--ckpt_path=last", "--evaluation.samples=4"])
    main(["predict", *words, "--ckpt_path=last"])
    assert list(tmp_path.rglob("predictions/*.png"))
