import re
from typing import NamedTuple

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from lit_gen.data import MNIST, CelebA, Horse2Zebra
from lit_gen.data.base import ImageData, resize_batch
from lit_gen.data.batches import DataSpec
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.image_files import Search
from lit_gen.errors import UserError


class Numbered(NamedTuple):
    image: Tensor
    number: Tensor


def pixels(count: int, size: int = 4, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels)).astype(np.uint8)


class Numbers(ImageData):
    """Twelve random images, numbered; ten for training."""

    batch_type = Numbered
    renderings = 0

    @property
    def spec(self) -> DataSpec:
        return DataSpec(image_shape=[3, 4, 4], num_classes=0, attributes=[])

    def find_or_download(self) -> None:
        pass

    def render(self, folder) -> None:
        self.renderings += 1
        (folder / "file").write_text("rendered")

    def setup(self, stage: str) -> None:
        arrays = pixels(12), np.arange(12)
        splits = {"train": np.arange(10), "val": np.arange(10, 12), "test": np.arange(10, 12)}
        self.datasets = {split: ArrayDataset(Numbered, arrays, rows) for split, rows in splits.items()}


class Recorder(LightningModule):
    """Trains nothing, and keeps the batches that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seen = {"training": [], "validation": [], "test": []}

    def configure_optimizers(self) -> None:
        return None

    def training_step(self, batch, index) -> None:
        self.seen["training"].append(batch)

    def validation_step(self, batch, index) -> None:
        self.seen["validation"].append(batch)

    def test_step(self, batch, index) -> None:
        self.seen["test"].append(batch)


def quiet_trainer(**options) -> Trainer:
    return Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip


def test_a_dataset_gives_a_batch_at_once():
    images = pixels(6, 5)
    dataset = ArrayDataset(Numbered, (images, np.arange(6) * 10), np.array([5, 3, 1]))
    batch = dataset.__getitems__([2, 0])
    assert isinstance(batch, Numbered)
    assert len(dataset) == 3
    assert batch.image.dtype == torch.uint8
    assert batch.image.shape == (2, 3, 5, 5)
    assert batch.number.tolist() == [10, 50]
    np.testing.assert_array_equal(batch.image[0, 2], images[1, :, :, 2])
    np.testing.assert_array_equal(dataset[1].image[0], images[3, :, :, 0])
    assert dataset[1].number == 30


def test_the_loader_fetches_once_a_batch(monkeypatch):
    data = Numbers(batch_size=5)
    data.setup("fit")
    calls = []
    original = ArrayDataset.__getitems__

    def counted(self, indices):
        calls.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(ArrayDataset, "__getitems__", counted)
    monkeypatch.delattr(ArrayDataset, "__getitem__")
    batches = list(data.train_dataloader())
    assert calls == [5, 5]
    assert sorted(torch.cat([batch.number for batch in batches]).tolist()) == list(range(10))
    assert all(isinstance(batch, Numbered) and batch.image.dtype == torch.uint8 for batch in batches)


def test_training_is_shuffled_and_drops_the_rest_validation_is_neither():
    torch.manual_seed(0)
    data = Numbers(batch_size=4)
    data.setup("fit")
    orders = {tuple(torch.cat([batch.number for batch in data.train_dataloader()]).tolist()) for _ in range(3)}
    assert len(orders) == 3
    assert {len(order) for order in orders} == {8}
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert [batch.number.tolist() for batch in loader] == [[10, 11]]


def test_loading_processes_give_the_same_batches():
    data = Numbers(batch_size=5, num_workers=1)
    data.setup("fit")
    [batch] = data.val_dataloader()
    np.testing.assert_array_equal(batch.image.permute(0, 2, 3, 1), pixels(12)[10:])
    assert batch.number.tolist() == [10, 11]


def test_a_batch_larger_than_the_set():
    data = Numbers(batch_size=11)
    data.setup("fit")
    with pytest.raises(UserError, match="batch_size is 11, but there are only 10") as caught:
        data.train_dataloader()
    assert "\n" not in str(caught.value)
    assert [len(batch.number) for batch in data.val_dataloader()] == [2]


def test_floats_reach_from_minus_one_to_one():
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    found = Numbers().to_floats(Numbered(image, torch.tensor([7])), flip=False)
    assert found.image.dtype == torch.float32
    assert found.image.min() == -1
    assert found.image.max() == 1
    expected = np.arange(256) / 255 * 2 - 1
    np.testing.assert_allclose(found.image.flatten().numpy(), expected, atol=1e-6)
    assert found.number.tolist() == [7]


def test_each_image_is_mirrored_by_itself_half_of_the_time():
    torch.manual_seed(0)
    image = torch.from_numpy(pixels(2000, 4)).permute(0, 3, 1, 2)
    plain = Numbers().to_floats(Numbered(image, None), flip=False).image
    found = Numbers().to_floats(Numbered(image, None), flip=True).image
    reversed_columns = plain[:, :, :, [3, 2, 1, 0]]
    mirrored = (found == reversed_columns).flatten(1).all(dim=1)
    kept = (found == plain).flatten(1).all(dim=1)
    assert torch.all(mirrored ^ kept)
    assert 900 < mirrored.sum() < 1100  # 1000 +- 4.5 standard deviations
    assert 900 < (mirrored[1:] != mirrored[:-1]).sum() < 1100  # not in blocks


def unmirrored(batch: Numbered) -> int:
    """How many images of a batch are as stored."""
    plain = torch.from_numpy(pixels(12)[batch.number.numpy()]).permute(0, 3, 1, 2) / 127.5 - 1
    return int(torch.isclose(batch.image, plain, atol=1e-6).flatten(1).all(dim=1).sum())


@pytest.mark.parametrize("flip", [False, True])
def test_only_training_mirrors(flip):
    torch.manual_seed(0)
    data, recorder = Numbers(batch_size=5, horizontal_flip=flip), Recorder()
    trainer = quiet_trainer(max_epochs=10)
    trainer.fit(recorder, data)
    trainer.test(recorder, data, verbose=False)
    trainer.validate(recorder, data, verbose=False)
    training = sum(unmirrored(batch) for batch in recorder.seen["training"])
    assert len(recorder.seen["training"]) == 20
    assert 25 < training < 75 if flip else training == 100
    for stage in ("validation", "test"):
        assert all(unmirrored(batch) == 2 for batch in recorder.seen[stage])
    batches = sum(recorder.seen.values(), [])
    assert all(batch.image.dtype == torch.float32 and batch.image.abs().max() <= 1 for batch in batches)


def test_preview_is_the_start_of_validation_unmirrored():
    data = Numbers(horizontal_flip=True)
    data.setup("fit")
    for _ in range(5):
        batch = data.preview_batch(8)
        assert batch.number.tolist() == [10, 11]
        assert unmirrored(batch) == 2
    assert data.preview_batch(1).number.tolist() == [10]


def test_preview_without_validation_images_shows_training_images():
    data = Numbers()
    data.setup("fit")
    data.datasets["val"].rows = np.arange(0)
    assert data.preview_batch(3).number.tolist() == [0, 1, 2]


def test_rendered_data_are_rendered_once(tmp_path):
    data = Numbers(root=tmp_path / "new", synthetic=True, synthetic_count=123)
    data.prepare_data()
    data.prepare_data()
    assert data.renderings == 1
    assert (tmp_path / "new" / "rendered" / "numbers-123-v1" / "file").read_text() == "rendered"
    another = Numbers(root=tmp_path / "new", synthetic=True, synthetic_count=123)
    another.prepare_data()
    assert another.renderings == 0


def test_an_interrupted_rendering_is_begun_anew(tmp_path):
    class Interrupted(Numbers):
        def render(self, folder) -> None:
            super().render(folder)
            if self.renderings == 1:
                raise KeyboardInterrupt

    data = Interrupted(root=tmp_path, synthetic=True)
    with pytest.raises(KeyboardInterrupt):
        data.prepare_data()
    assert not (tmp_path / "rendered").exists()
    data.prepare_data()
    assert (data.source / "file").is_file()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"image_size": 3}, "image_size must be at least 4 pixels, not 3"),
        ({"image_size": 4097}, "image_size must be at most 4096 pixels, not 4097"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"synthetic_count": 99}, "synthetic_count must be at least 100, not 99"),
    ],
)
def test_absurd_settings(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        Numbers(**settings)


def test_resizing_a_batch():
    image = torch.full((2, 1, 8, 8), 200, dtype=torch.uint8)
    image[1, :, :, 4:] = 0
    assert resize_batch(image, 4).shape == (2, 1, 4, 4)
    assert torch.all(resize_batch(image, 32)[0] == 200)
    wide = resize_batch(image, 32)[1, 0]
    assert torch.all(wide[:, :12] == 200)
    assert torch.all(wide[:, 20:] == 0)
    assert torch.all(wide.diff(dim=1) <= 0)


def test_image_files_are_sorted_and_nothing_else(tmp_path):
    for name in ("b.JPG", "a.png", "c.txt", "d.jpeg", ".hidden"):
        (tmp_path / name).touch()
    assert [path.name for path in Search(tmp_path).find().paths] == ["a.png", "b.JPG", "d.jpeg"]


@pytest.mark.parametrize(
    ("kind", "place", "files", "root", "advice"),
    [
        (MNIST, "MNIST/raw", ["train-images-idx3-ubyte.gz"], "MNIST", "Set --data.root={}"),
        (MNIST, "MNIST/raw", ["train-images-idx3-ubyte"], "MNIST/raw", "Set --data.root={}"),
        (MNIST, "digits", ["train-images-idx3-ubyte"], "digits", "Move them there"),
        (CelebA, "celeba", ["list_attr_celeba.txt"], "celeba", "Set --data.root={}"),
        (Horse2Zebra, "horse2zebra", ["trainA/1.jpg"], "horse2zebra", "Set --data.root={}"),
    ],
)
def test_a_root_that_has_the_files_themselves_is_told_before_they_are_downloaded_again(
    kind, place, files, root, advice, tmp_path
):
    for file in files:
        (tmp_path / place / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place / file).touch()
    with pytest.raises(
        UserError, match=re.escape(f"the files are in {tmp_path / place}, ") + ".*" + re.escape(advice.format(tmp_path))
    ):
        kind(tmp_path / root).check_root()
    if "Set" in advice:
        kind(tmp_path).check_root()
    kind(tmp_path / "empty").check_root()
