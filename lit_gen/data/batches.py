"""What a batch is made of (one named tuple per kind of dataset) and what a dataset says about itself."""

from typing import NamedTuple, TypedDict

from torch import Tensor

UNLABELLED = -1
"""In place of the class index of an image whose label is not shown."""


class Images(NamedTuple):
    """image: (B, C, H, W), float in [-1, 1] once on the device."""

    image: Tensor


class LabelledImages(NamedTuple):
    """image: (B, C, H, W) in [-1, 1]; label: (B,) class index, int64; `UNLABELLED` where training hides it."""

    image: Tensor
    label: Tensor


class AttributedImages(NamedTuple):
    """image: (B, C, H, W) in [-1, 1]; attributes: (B, A) in {0, 1}, float."""

    image: Tensor
    attributes: Tensor


class UnpairedImages(NamedTuple):
    """image_a, image_b: (B, C, H, W) in [-1, 1], from two domains; equal rows have nothing to do with each other."""

    image_a: Tensor
    image_b: Tensor


class CaptionedImages(NamedTuple):
    """Images with a sentence each, and what is known of both.

    image: (B, C, H, W) in [-1, 1].
    caption: (B, L) numbers of characters, int64; 0 pads and stands for characters outside the alphabet.
    attributes: (B, A) in {0, 1}, float: what is true of the image.
    stated: (B, A) in {0, 1}, float: which of these the sentence speaks of. An image fits a sentence when it agrees with
        the sentence's own image in all of them.
    """

    image: Tensor
    caption: Tensor
    attributes: Tensor
    stated: Tensor


class DataSpec(TypedDict):
    """What a model may need to know of the data before it is built. Plain types only: it goes into checkpoints."""

    image_shape: list[int]
    """Channels, height, width."""
    num_classes: int
    """Number of values of `label`, 0 where there are no labels."""
    attributes: list[str]
    """Names of the columns of `attributes`."""
