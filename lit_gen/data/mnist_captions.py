"""MNIST with sentences about each digit."""

from functools import partial
from random import Random

import numpy as np

from lit_gen.data.batches import DataSpec
from lit_gen.data.captioned import CaptionedData, CaptionedDataset, Captions
from lit_gen.data.mnist import MNIST
from lit_gen.synthetic.sentences.digits import DIGITS, describe_digit


def describe(labels: np.ndarray, stroke: np.ndarray, row: int, rng: Random) -> tuple[str, list[int]]:
    """Return a sentence such as "A thick handwritten seven", and the column of its digit.

    It is about the digit (N,) of a row, and its stroke (N,): -1 for a thin one, 1 for a thick one, 0 for neither.
    """
    label = int(labels[row])
    return describe_digit(label, rng, {-1: "thin", 0: "", 1: "thick"}[int(stroke[row])]), [label]


class MNISTCaptions(CaptionedData, MNIST):
    """MNIST with captions such as "A thick handwritten seven", read from `root/MNIST/raw`.

    The attributes are the ten digits; exactly one is true of an image. A caption may also call a digit thick (among the
    third of its kind with the most ink) or thin (among the third with the least). No metric measures the stroke.
    """

    public = True
    pictures = "mnist"

    @property
    def spec(self) -> DataSpec:
        return {**super().spec, "num_classes": 0, "attributes": list(DIGITS)}

    def add_captions(self) -> None:
        train = self.datasets["train"]
        limits = ink_limits(train.arrays[0][train.rows], train.arrays[1][train.rows])
        for splits in (("train", "val"), ("test",)):  # training and validation share arrays
            images, labels = self.datasets[splits[0]].arrays
            sentences = partial(describe, labels, strokes(images, labels, limits))
            captions = Captions(sentences, len(labels), self.captions_per_image, self.caption_length, len(DIGITS))
            attributes = np.eye(len(DIGITS), dtype=np.float32)[labels]
            for split in splits:
                rows = self.datasets[split].rows
                self.datasets[split] = CaptionedDataset(images, attributes, captions, rows, vary=split == "train")


def ink_limits(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return per digit the least and most ink of the middle third of `images` (N, H, W, 1), as (10, 2)."""
    ink = images.mean((1, 2, 3))
    limits = np.tile([-np.inf, np.inf], (len(DIGITS), 1))
    for label in np.unique(labels):
        limits[label] = np.quantile(ink[labels == label], (1 / 3, 2 / 3))
    return limits


def strokes(images: np.ndarray, labels: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return -1 per image with less ink than the middle third of its digit, 1 with more, else 0, as (N,)."""
    ink = images.mean((1, 2, 3))
    low, high = limits[labels].T
    return (ink > high).astype(int) - (ink < low)
