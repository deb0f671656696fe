import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_gen.data import MNIST, MNISTCaptions
from lit_gen.data.alphabet import decode
from lit_gen.data.batches import CaptionedImages
from lit_gen.data.mnist_captions import ink_limits, strokes
from lit_gen.errors import UserError

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def ready(root: Path, **settings) -> MNISTCaptions:
    data = MNISTCaptions(root=root, download=False, **{"val_size": 100} | settings)
    data.prepare_data()
    data.setup("fit")
    return data


def rows_of(data, split: str):
    dataset = data.datasets[split]
    return dataset.__getitems__(range(len(dataset)))


def named(numbers: torch.Tensor) -> int:
    """The digit that a sentence names, by word or figure."""
    [word] = re.findall(rf"\b(?:{'|'.join(NAMES)}|\d)\b", decode(numbers))
    return NAMES.index(word) if word in NAMES else int(word)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_sentences_name_the_digit(mnist_root, split):
    plain = MNIST(root=mnist_root, download=False, val_size=100)
    plain.setup("fit")
    data, expected = ready(mnist_root), rows_of(plain, split)
    for _ in range(3):
        batch = rows_of(data, split)
        assert torch.equal(batch.image, expected.image)
        assert [named(numbers) for numbers in batch.caption] == expected.label.tolist()
        assert torch.equal(batch.attributes, torch.eye(10)[expected.label])
        assert torch.equal(batch.stated, batch.attributes)


def test_types_at_each_stage(mnist_root):
    data = ready(mnist_root, batch_size=50, image_size=32, caption_length=90)
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, CaptionedImages)
    assert (batch.caption.dtype, batch.caption.shape) == (torch.int64, (50, 90))
    moved = data.on_after_batch_transfer(batch, 0)
    assert (moved.image.dtype, moved.image.shape) == (torch.float32, (50, 1, 32, 32))
    assert moved.image.min() == -1
    assert data.spec == {"image_shape": [1, 32, 32], "num_classes": 0, "attributes": NAMES}
    assert isinstance(data.datasets["train"].arrays[0], np.memmap)


def test_training_varies_the_sentence_and_validation_does_not(mnist_root):
    torch.manual_seed(0)
    data = ready(mnist_root)
    assert torch.equal(rows_of(data, "val").caption, rows_of(data, "val").caption)
    assert len({tuple(rows_of(data, "train").caption[0].tolist()) for _ in range(60)}) > 5


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_thick_and_thin_are_true(mnist_root, split):
    """By sorting: of the training digits of its kind, at least two thirds have less ink than a thick one."""
    torch.manual_seed(0)
    data = ready(mnist_root)
    training = rows_of(data, "train")
    counts = {"thick": 0, "thin": 0}
    for _ in range(3):
        batch = rows_of(data, split)
        for image, attributes, numbers in zip(batch.image, batch.attributes, batch.caption, strict=True):
            of_its_kind = training.image[(training.attributes == attributes).all(dim=1)].flatten(1).double().sum(dim=1)
            below = (of_its_kind < image.double().sum()).double().mean()
            spoken = set(re.findall("thick|thin", decode(numbers)))
            assert len(spoken) <= 1
            assert "thick" not in spoken or below >= 0.65
            assert "thin" not in spoken or below <= 0.35
            for word in spoken:
                counts[word] += 1
    assert min(counts.values()) > 0.08 * 3 * len(data.datasets[split])


def test_ink_by_hand():
    images = np.array([1, 2, 3, 4, 5, 6, 7, 100], np.uint8).reshape(8, 1, 1, 1)
    labels = np.array([3, 3, 3, 3, 3, 3, 3, 5])
    limits = ink_limits(images, labels)
    assert limits[3].tolist() == [3, 5] and limits[0].tolist() == [-np.inf, np.inf]
    assert strokes(images, labels, limits).tolist() == [-1, -1, 0, 0, 0, 1, 1, 0]
    assert strokes(images[:1], np.array([0]), limits).tolist() == [0]  # no such digit was seen in training


def test_rendered_digits_are_shared_with_mnist(tmp_path):
    settings = {"root": tmp_path, "synthetic": True, "synthetic_count": 120, "val_size": 20}
    MNIST(**settings).prepare_data()
    before = sorted(tmp_path.rglob("*"))
    data = MNISTCaptions(**settings)
    data.prepare_data()
    data.setup("fit")
    assert sorted(tmp_path.rglob("*")) == before
    assert len(rows_of(data, "train").caption) == 100


def test_no_validation_images(mnist_root):
    data = ready(mnist_root, val_size=0)
    assert list(data.val_dataloader()) == []
    assert data.preview_batch(4).caption.shape == (4, 201)


@pytest.mark.parametrize("image_size", [28, 32, 64])
def test_prompts_need_no_dataset(tmp_path, image_size):
    data = MNISTCaptions(
        root=tmp_path / "none", prompts=["A seven", "an 8"], images_per_prompt=2, image_size=image_size
    )
    data.prepare_data()
    data.setup("predict")
    [batch] = data.predict_dataloader()
    batch = data.on_after_batch_transfer(batch, 0)
    assert [decode(numbers) for numbers in batch.caption] == ["a seven", "a seven", "an 8", "an 8"]
    assert batch.image.shape == (4, 1, image_size, image_size)
    assert batch.attributes.shape == batch.stated.shape == (4, 10)
    assert not batch.attributes.any() and not batch.stated.any()
    assert os.listdir(tmp_path) == []
    with pytest.raises(UserError, match="prompts are for predict only"):
        data.setup("fit")
