import shutil
from contextlib import nullcontext
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback
from PIL import Image

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.data import ImageFolder, averaged
from lit_gen.data.alphabet import CAPTION_LENGTH
from lit_gen.data.averaged import AveragedDataset, with_smaller_copies
from lit_gen.data.batches import Images
from lit_gen.data.captioned import CaptionedDataset, Captions
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.mnist_captions import describe
from lit_gen.files.arrays import load_array
from lit_gen.files.atomic import CannotWriteError
from lit_gen.models import ProGAN
from tests.models import tiny


def stored(folder: Path, images: np.ndarray):
    np.save(folder / "images.npy", images)
    return load_array(folder / "images.npy")


def noise(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def mean_of_square(images: np.ndarray, side: int) -> np.ndarray:
    """The means as exact fractions, rounded as Python rounds: to the even number of two that are as near."""
    count, full, _, channels = images.shape
    step = full // side
    found = np.empty((count, side, side, channels), np.uint8)
    for place in np.ndindex(found.shape):
        image, y, x, channel = place
        square = images[image, y * step : (y + 1) * step, x * step : (x + 1) * step, channel]
        found[place] = round(Fraction(int(square.sum()), step**2))
    return found


def test_each_value_is_the_rounded_mean_of_its_square(tmp_path):
    """And not the mean of means that were rounded before: of 0, 0, 0, 2 at full size, for instance."""
    images = noise(5, 32)
    images[0, :8, :8] = 0
    images[0, 1:8:2, 1:8:2] = 2  # each square of 2x2 has the mean 1/2, which is rounded to 0, and 8x8 too
    images[1, :8, :8] = 0
    images[1, :4, :8] = 3  # two squares of 4x4 with the mean 3, two with 0: 1.5, which is rounded to 2
    copies = averaged.averaged(stored(tmp_path, images))
    assert list(copies) == [16, 8, 4]
    for side, copy in copies.items():
        assert np.array_equal(copy, mean_of_square(images, side))
    assert copies[4][0, 0, 0, 0] == 0 and copies[4][1, 0, 0, 0] == 2


@pytest.mark.parametrize("at_once", [1, 1000, 2**25])
def test_the_number_of_images_at_once_makes_no_difference(at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(averaged, "AT_ONCE", at_once)
    images = noise(7, 8)
    assert np.array_equal(averaged.averaged(stored(tmp_path, images))[4], mean_of_square(images, 4))


def test_copies_are_made_once_and_found_again(tmp_path, monkeypatch):
    images = stored(tmp_path, noise(3, 16))
    first = averaged.averaged(images)
    monkeypatch.setattr(averaged, "_write", None)
    again = averaged.averaged(images)
    assert all(np.array_equal(first[side], again[side]) for side in (8, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images-averaged", "images.npy"]


def test_a_failure_leaves_nothing_and_training_goes_on_with_whole_images(tmp_path, monkeypatch, capsys):
    dataset = ArrayDataset(Images, (stored(tmp_path, noise(3, 16)),))
    small = shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: small)
    with pytest.raises(CannotWriteError, match="need 0.000 GB"):
        averaged.averaged(dataset.arrays[0])
    assert with_smaller_copies(dataset, 16) is dataset
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]


def test_copies_that_are_not_whole_are_not_read(tmp_path):
    images = stored(tmp_path, noise(3, 16))
    averaged.averaged(images)
    (tmp_path / "images-averaged" / "4.npy").unlink()
    with pytest.raises(CannotWriteError, match="images-averaged is not whole. Remove it"):
        averaged.averaged(images)


def test_images_of_no_file_or_another_side_stay_as_they_are(tmp_path):
    for images in (noise(2, 16), stored(tmp_path, noise(2, 28)), stored(tmp_path, noise(2, 4))):
        dataset = ArrayDataset(Images, (images,))
        assert with_smaller_copies(dataset, 4 if images.shape[1] == 4 else 16) is dataset
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]


def test_rows_and_other_fields_stay(tmp_path):
    images, labels = noise(6, 16), np.arange(6)
    rows = np.array([4, 1, 3])
    dataset = with_smaller_copies(ArrayDataset(tiny.LabelledImages, (stored(tmp_path, images), labels), rows), 16)
    assert isinstance(dataset, AveragedDataset) and len(dataset) == 3
    for side in (4, 8, 16):
        batch = dataset.__getitems__([2, 0], side)
        assert batch.label.tolist() == [3, 4]
        expected = images if side == 16 else mean_of_square(images, side)
        assert np.array_equal(batch.image.permute(0, 2, 3, 1), expected[[3, 4]])
    assert dataset.__getitems__([0]).image.shape[-1] == 16


def test_images_keep_their_sentences(tmp_path):
    images, digits = noise(6, 16), np.arange(6)
    captions = Captions(partial(describe, digits, np.zeros(6, int)), 6, 3, CAPTION_LENGTH, 10)
    arrays = stored(tmp_path, images), np.eye(10, dtype=np.float32)[digits], captions
    dataset = with_smaller_copies(CaptionedDataset(*arrays, rows=np.array([4, 1, 3]), vary=False), 16)
    for side in (4, 8, 16):
        batch = dataset.__getitems__([2, 0], side)
        assert batch.image.shape == (2, 3, side, side)
        assert batch.attributes.argmax(1).tolist() == batch.stated.argmax(1).tolist() == [3, 4]
        assert torch.equal(batch.caption, dataset.__getitems__([2, 0]).caption) and batch.caption.any(1).all()


class Killed(Exception):
    pass


class Diary(Callback):
    """The images seen before each batch, its side, and how far it is from means of the whole images.

    The training is killed before the batch of number `end`.
    """

    def __init__(self, end=None):
        self.end = end

    def on_fit_start(self, trainer, module):
        self.sides, self.resolutions, self.errors, loss = [], [], [], module.discriminator_loss

        def watch(batch, fakes):
            self.resolutions.append(module.resolution)
            reals = module.reals(batch.image)
            assert reals.shape[-1] == module.resolution
            return loss(batch, fakes)

        module.discriminator_loss = watch

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == self.end:
            raise Killed
        self.sides.append((module.images_seen, batch.image.shape[-1]))
        whole = trainer.datamodule.datasets["train"]
        means = torch.nn.functional.avg_pool2d(
            whole.__getitems__(range(len(whole))).image.float() / 127.5 - 1, 16 // batch.image.shape[-1]
        )
        distances = (batch.image.cpu()[:, None] - means[None]).abs().flatten(2).amax(2)  # (B, N)
        self.errors.append(distances.amin(1).max().item())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    for index, image in enumerate(noise(60, 16)):
        Image.fromarray(image).save(root / f"{index:02d}.png")
    return root


def growing(**settings):
    small = {"latent_dim": 4, "channel_base": 32, "max_channels": 8, "fade_kimg": 0.016, "stable_kimg": 0.016}
    return ProGAN({"image_shape": (3, 16, 16), "classes": 0, "attributes": [], "alphabet": ""}, **small | settings)


def fit(folder, where, model, checkpoint=None, batch_size=8, workers=0, end=None):
    diary, saver = Diary(end), RunCheckpoints(where, every_n_batches=1)
    settings = {"max_epochs": 3, "limit_val_batches": 0, "enable_checkpointing": True}
    trainer = tiny.trainer(where, callbacks=[diary, saver], **settings)
    data = ImageFolder(folder, image_size=16, batch_size=batch_size, num_workers=workers, val_fraction=0.1)
    with nullcontext() if end is None else pytest.raises(Killed):
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
    return diary, torch.load(saver.last, weights_only=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_progan_reads_images_at_the_size_it_trains_at(folder, tmp_path, workers):
    """However far loading is ahead, and with a batch that grows at its middle at the larger side."""
    diary, _ = fit(folder, tmp_path, growing(), workers=workers, batch_size=12)
    seen, sides = zip(*diary.sides, strict=True)
    # 4 pixels up to 16 images seen, 8 up to 48, then 16. The second batch, of images 12 to 23, needs 8.
    assert seen == tuple(range(0, 144, 12))
    assert sides == (4, 8, 8, 8, *[16] * 8)
    assert sorted(set(diary.resolutions)) == [4, 8, 16]
    assert max(diary.errors) < 0.5 / 127.5 + 1e-6, "half a step of 8 bits"


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_resumed_training_reads_what_the_unbroken_one_reads(folder, tmp_path, accumulate):
    def train(name, **settings):
        torch.manual_seed(0)
        model = growing(minibatch_sizes={4: 4, 8: 4})
        model.accumulate_grad_batches = accumulate
        return fit(folder, tmp_path / name, model, **settings)

    whole, end = train("whole")
    assert len(whole.sides) == 18
    for stop in (1, 4):
        first, _ = train(f"{stop}", end=stop)
        rest, again = train(f"{stop}", checkpoint=tmp_path / f"{stop}" / "last.ckpt")
        assert [side for _, side in first.sides + rest.sides] == [side for _, side in whole.sides]
        tiny.assert_same(again, end)


def test_fast_dev_run_reads_whole_images(folder, tmp_path):
    model = growing(total_kimg=1)
    trainer = tiny.trainer(tmp_path, fast_dev_run=True)
    trainer.fit(model, datamodule=ImageFolder(folder, image_size=16, batch_size=8, val_fraction=0.1))
    assert model.resolution == 16
