"""The base of data with captions: the sentences, the dataset that adds them to images, and their settings."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader

from lit_gen.data.alphabet import CAPTION_LENGTH, check_length, encode
from lit_gen.data.base import ImageData
from lit_gen.data.batches import CaptionedImages, DataSpec
from lit_gen.data.datasets import ArrayDataset, to_tensor
from lit_gen.data.decoding import ImageArray
from lit_gen.errors import UserError

MOST_KEPT = 10**9  # bytes


class Captions:
    """Several sentences per image: sentence k of image i is a fixed function of (i, k).

    A sentence is generated when it is first needed, and kept in memory if all sentences fit into 1 GB.

    Args:
        describe: gives a sentence about the image of a row, and the columns of the attributes that it states.
        images: number of images.
        per_image: number of sentences per image.
        length: number of characters per sentence, as for `encode`.
        columns: number of attributes that a sentence may state.
    """

    def __init__(
        self,
        describe: Callable[[int, Random], tuple[str, list[int]]],
        images: int,
        per_image: int,
        length: int,
        columns: int,
    ) -> None:
        self.describe, self.shape, self.length, self.columns = describe, (images, per_image), length, columns
        self.kept: tuple[np.ndarray, np.ndarray] | None = None

    def fetch(self, rows: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sentence `which[b]` of image `rows[b]`, for all b, and the attributes that it states.

        They are character numbers (B, length), int64, and (B, columns), float32 in {0, 1}.
        """
        if np.prod(self.shape) * (self.length + self.columns) > MOST_KEPT:
            written = [self._write(row, k) for row, k in zip(rows.tolist(), which.tolist(), strict=True)]
            text, stated = (np.stack(field) for field in zip(*written, strict=True))
            return text.astype(np.int64), stated.astype(np.float32)
        if self.kept is None:  # zeros take up no memory before a write
            self.kept = (
                np.zeros((*self.shape, self.length), np.uint8),
                np.zeros((*self.shape, self.columns), bool),
            )
        text, stated = self.kept
        for place in np.flatnonzero(text[rows, which, 0] == 0):  # no sentence begins with an unknown character
            row, k = int(rows[place]), int(which[place])
            text[row, k], stated[row, k] = self._write(row, k)
        return text[rows, which].astype(np.int64), stated[rows, which].astype(np.float32)

    def _write(self, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        sentence, spoken_of = self.describe(row, Random((row << 16) + k))
        stated = np.zeros(self.columns, bool)
        stated[spoken_of] = True
        return encode(sentence, self.length).numpy(), stated

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"kept": None}  # too large to send to a loading process, which keeps its own


class CaptionedDataset(ArrayDataset):
    """A dataset of images with one sentence each and their attributes, whose batches are `CaptionedImages`.

    Images are (N, H, W, C) uint8, attributes (N, A) float32 in {0, 1}. With `vary`, one of an image's sentences is
    drawn at each fetch; otherwise it is always the first.
    """

    def __init__(
        self, images: ImageArray, attributes: np.ndarray, captions: Captions, rows: np.ndarray, vary: bool
    ) -> None:
        super().__init__(CaptionedImages, (images, attributes), rows)
        self.captions, self.vary = captions, vary

    def __getitems__(self, indices: Sequence[int]) -> CaptionedImages:
        rows = self.rows[np.asarray(indices)]
        which = np.zeros(len(rows), int)
        if self.vary:
            which = torch.randint(self.captions.shape[1], (len(rows),)).numpy()
        caption, stated = self.captions.fetch(rows, which)
        images, attributes = self.arrays
        return CaptionedImages(*map(to_tensor, (images[rows], caption, attributes[rows], stated)))


def prompt_dataset(prompts: Sequence[str], copies: int, length: int, spec: DataSpec) -> ArrayDataset:
    """Return a dataset of `CaptionedImages`, `copies` rows per sentence, with black images without attributes.

    `length` is the number of characters per sentence, as for `encode`; `spec` has the sizes of images and attributes.

    Raises:
        UserError: a sentence is empty.
    """
    caption = np.stack([encode(prompt, length).numpy() for prompt in prompts]).repeat(copies, axis=0)
    channels, height, width = spec["image_shape"]
    images = np.broadcast_to(np.zeros(1, np.uint8), (len(caption), height, width, channels))
    nothing = np.zeros((len(caption), len(spec["attributes"])), np.float32)
    return ArrayDataset(CaptionedImages, (images, caption, nothing, nothing))


class CaptionedData(ImageData):
    """The settings of captions: a data module with captions derives from this class first, then from one with images.

    Args:
        caption_length: number of characters per caption; shorter captions are padded.
        captions_per_image: number of sentences per image. Training draws one of them at each fetch; validation and test
            take the first.
        prompts: a sentence or a list of sentences for `predict` to generate images from, instead of the test captions;
            this needs no dataset. Only the first `caption_length` characters are read.
        images_per_prompt: number of images that `predict` generates per prompt.
    """

    batch_type: ClassVar[type[Any]] = CaptionedImages
    pictures: ClassVar[str]
    """Name of the data module whose images these are, in small letters; it names the folder of rendered data."""

    def __init__(
        self,
        caption_length: int = CAPTION_LENGTH,
        captions_per_image: int = 10,
        prompts: list[str] | str | None = None,
        images_per_prompt: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_length(caption_length)
        for name, value in {"captions_per_image": captions_per_image, "images_per_prompt": images_per_prompt}.items():
            if value < 1:
                raise UserError(f"{name} must be at least 1, not {value}.")
        if prompts == []:
            raise UserError("prompts is an empty list. Write at least one sentence, or leave prompts out.")
        self.caption_length, self.captions_per_image = caption_length, captions_per_image
        self.prompted = None
        if prompts is not None:
            sentences = [prompts] if isinstance(prompts, str) else prompts
            self.prompted = prompt_dataset(sentences, images_per_prompt, caption_length, self.spec)

    def prepare_data(self) -> None:
        if self.prompted is None:
            super().prepare_data()

    def setup(self, stage: str) -> None:
        if self.prompted is None:
            super().setup(stage)
            self.add_captions()
        elif stage == "predict":
            self.datasets = {"predict": self.prompted}
        else:
            raise UserError(f"prompts are for predict only. Leave them out of {stage}.")

    def add_captions(self) -> None:
        """Replace each dataset by one with captions."""
        raise NotImplementedError

    def predict_dataloader(self) -> DataLoader:
        return super().predict_dataloader() if self.prompted is None else self._prediction_loader("predict")

    def check_split(self, command: str) -> None:
        if self.prompted is None:
            super().check_split(command)
