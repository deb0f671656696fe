"""The types of batches, one named tuple per kind of dataset, and the description of a dataset."""

from collections.abc import Sequence, Sized
from typing import Any, Literal, NamedTuple, NotRequired, Protocol, TypedDict

from torch import Tensor

UNLABELLED = -1
"""The class index of an image whose label is hidden."""


class Images(NamedTuple):
    """A batch of images (B, C, H, W): uint8 from the loader, float in [-1, 1] once on the device."""

    image: Tensor


class WithImages(Protocol):
    """A batch of any kind with images (B, C, H, W) in [-1, 1]."""

    @property
    def image(self) -> Tensor: ...


class LabelledImages(NamedTuple):
    """A batch of images (B, C, H, W) in [-1, 1] and class indices (B,), int64; a hidden label is `UNLABELLED`."""

    image: Tensor
    label: Tensor


class AttributedImages(NamedTuple):
    """A batch of images (B, C, H, W) in [-1, 1] and attributes (B, A), float in {0, 1}."""

    image: Tensor
    attributes: Tensor


class LabelledAttributedImages(NamedTuple):
    """A batch as of `AttributedImages`, and its class indices (B,), int64."""

    image: Tensor
    attributes: Tensor
    label: Tensor


class UnpairedImages(NamedTuple):
    """A batch of images of two domains, each (B, C, H, W) in [-1, 1]; two images of the same row are unrelated."""

    image_a: Tensor
    image_b: Tensor


class CaptionedImages(NamedTuple):
    """A batch of images with one sentence and the attributes of each.

    An image fits a sentence if it agrees with the sentence's own image in all stated attributes; where A is 0, if it
    has the same sentence.
    """

    image: Tensor  # (B, C, H, W) in [-1, 1]
    caption: Tensor  # (B, L) character numbers, int64; 0 pads and stands for characters outside the alphabet
    attributes: Tensor  # (B, A), float in {0, 1}: 1 for an attribute that is true of the image
    stated: Tensor  # (B, A), float in {0, 1}: 1 for an attribute that the sentence states, as true or as false


class LabelledCaptionedImages(NamedTuple):
    """A batch as of `CaptionedImages`, and its class indices (B,), int64."""

    image: Tensor
    caption: Tensor
    attributes: Tensor
    stated: Tensor
    label: Tensor


class BatchReader(Sized, Protocol):
    """A dataset that reads a whole batch at once."""

    def __getitem__(self, index: int) -> Any: ...

    def __getitems__(self, indices: Sequence[int]) -> Any: ...


class DataSpec(TypedDict):
    """The facts about the data that a model is built from; of plain types only, because checkpoints hold it."""

    image_shape: list[int]
    """Channels, height, width."""
    num_classes: int
    """Number of classes; 0 for data without labels."""
    attributes: list[str]
    """Names of the columns of a batch's `attributes`; empty for data without attributes."""
    classes: NotRequired[list[str]]
    """Names of the classes in the order of their indices, where a table of the user's gives them."""
    wrong_images: NotRequired[Literal["other captions", "other attributes"]]
    """The images that a caption of such a table does not fit: all with another caption, or with other attributes."""
