"""Your own images with labels, attributes, captions or counterparts: a folder and its `metadata.csv`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.data.alphabet import CAPTION_LENGTH, check_length, numbers_of
from lit_gen.data.batches import (
    UNLABELLED,
    AttributedImages,
    CaptionedImages,
    DataSpec,
    Images,
    LabelledAttributedImages,
    LabelledCaptionedImages,
    LabelledImages,
    UnpairedImages,
)
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.decoding import ImageArray
from lit_gen.data.image_folder import OwnImages
from lit_gen.data.splits import SPLITS, parts_by_place, places_of_names
from lit_gen.data.table_folder import Contents, read_folder
from lit_gen.data.unpaired import TwoDomains, UnpairedDataset
from lit_gen.errors import UserError

BATCH_TYPES: dict[tuple[str, ...], type[Any]] = {
    kind._fields: kind
    for kind in (
        Images,
        LabelledImages,
        AttributedImages,
        LabelledAttributedImages,
        CaptionedImages,
        LabelledCaptionedImages,
        UnpairedImages,
    )
}
COLUMNS = {
    "label": "a column called label",
    "attributes": "columns of attributes (0/1, -1/1, true/false or yes/no)",
    "caption": "a column called caption",
    "image_b": "a column called file_name_b",
}
"""What a table needs for a field of a batch."""


class Sentences:
    """The captions of images as a field of a batch: sentence numbers (B, L), int64, of rows (B,).

    Args:
        captions: the sentences of each image.
        length: number of characters L per sentence, as for `encode`.
        vary: draw one of an image's sentences at each fetch; otherwise always take its first.
    """

    def __init__(self, captions: Sequence[Sequence[str]], length: int, vary: bool) -> None:
        self.captions, self.length, self.vary = captions, length, vary

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        draws = torch.rand(len(rows), dtype=torch.float64) if self.vary else torch.zeros(len(rows))
        several = zip((self.captions[row] for row in rows.tolist()), draws.tolist(), strict=True)
        return np.stack([numbers_of(texts[int(draw * len(texts))], self.length) for texts, draw in several])


class Floats:
    """An array of one byte per value as a field of a batch, which has float32."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self.values[rows].astype(np.float32)


class ImageTable(TwoDomains, OwnImages):
    """Images with a table, `metadata.csv` or `metadata.jsonl` beside them, or with sub-folders as labels.

    The table has a row per image, and a header: `file_name` (relative to the table), then what there is of `label`
    (names or numbers; nothing where the class is not known), `caption` (a sentence, in JSON also a list of them),
    attributes (columns of 0/1, -1/1, true/false or yes/no) or `file_name_b` (an image of a second domain, for
    CycleGAN). Splits are those of a column `split`, or of the folders train, val and test (also validation), which may
    have a table each; else `val_fraction` makes them. With `skip_broken`, missing files are left out too.

    Args:
        root: folder of the images and the table.
        attributes: names of the columns that are attributes, in the order of a batch, [] for none; by default all that
            have no other meaning.
        caption_length: number of characters per caption; shorter ones are padded, longer ones cut.
    """

    batch_types: ClassVar[tuple[type[Any], ...]] = tuple(BATCH_TYPES.values())
    """The types of batches that a table may lead to: `batch_type` is known once it is read."""

    def __init__(
        self,
        root: Path,
        attributes: list[str] | None = None,
        caption_length: int = CAPTION_LENGTH,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        check_length(caption_length)
        if attributes is not None and len(set(attributes)) < len(attributes):
            raise UserError(f"attributes names a column twice: {attributes}. Set --data.attributes to each once.")
        self.wanted, self.caption_length = attributes, caption_length

    @cached_property
    def contents(self) -> Contents:
        """What the table, or the folder, says of each image; it is read when it is first asked for."""
        return read_folder(self.root, self.wanted, self.images_below(self.root), self.skip_broken)

    @property
    def batch_type(self) -> type[Any]:  # type: ignore[override]
        found = self.contents
        if found.partners is not None:
            return UnpairedImages
        fields = ["image"]
        fields += ["caption", "attributes", "stated"] if found.captions else ["attributes"] if found.attributes else []
        return BATCH_TYPES[(*fields, *(["label"] if found.labels is not None else []))]

    @property
    def spec(self) -> DataSpec:
        found, spec = self.contents, super().spec
        spec["num_classes"], spec["attributes"] = len(found.classes), list(found.attributes)
        if found.classes:
            spec["classes"] = list(found.classes)
        if found.captions:
            spec["wrong_images"] = "other attributes" if found.attributes else "other captions"
        return spec

    def what_is_missing(self, fields: Sequence[str]) -> str:
        """Return the advice for fields that a model reads and the batches lack, which ends the error message."""
        brought = ("attributes", "stated") if "caption" in fields else ()  # captions bring these
        needed = [COLUMNS[field] for field in COLUMNS if field in fields and field not in brought]
        where = self.contents.table.places[0][0] if self.contents.table else f"a metadata.csv in {self.root}"
        if "image" in fields:
            return f"{where} names images of two domains, file_name and file_name_b."
        return f"{where} needs {' and '.join(needed)}."

    @property
    def has_attributes(self) -> bool:
        return bool(self.contents.attributes)

    @property
    def arrays(self) -> ImageArray:
        """The images of the first column, (N, S, S, C) uint8."""
        return self.decoded_columns[0][0]

    @cached_property
    def decoded_columns(self) -> list[tuple[ImageArray, np.ndarray]]:
        """For each column of files its images, and the numbers of the rows that these are of."""
        found, columns = self.contents, []
        for name, files in (("table", found.files), ("table-b", found.partners)):
            if files is not None:
                paths = [self.root / file for file in files]
                images, rows, *_ = self.decoded_set(paths, name, self.image_size, channels=self.channels)
                columns.append((images, rows))
        return columns

    def setup(self, stage: str) -> None:
        found, kind = self.contents, self.batch_type
        splits = complete_splits(found.splits, found.files, self.val_fraction)
        if kind is UnpairedImages:
            (images_a, rows_a), (images_b, rows_b) = self.decoded_columns
            for code, split in enumerate(SPLITS):
                rows_of = [np.flatnonzero(splits[rows] == code) for rows in (rows_a, rows_b)]
                self.datasets[split] = UnpairedDataset(images_a, images_b, fixed=split != "train", rows=rows_of)
            return
        images, rows = self.decoded_columns[0]
        fields: dict[str, Any] = {"image": images}
        if found.truth is not None:
            truth = found.truth[rows]
            fields |= {"attributes": Floats(truth), "stated": Floats(np.ones_like(truth))}
        if found.labels is not None:
            fields["label"] = found.labels[rows]
        captions = [found.captions[row] for row in rows.tolist()] if found.captions else []
        for code, split in enumerate(SPLITS):
            fields["caption"] = Sentences(captions, self.caption_length, vary=split == "train")
            arrays = [fields[name] for name in kind._fields]
            self.datasets[split] = ArrayDataset(kind, arrays, np.flatnonzero(splits[rows] == code))

    @property
    def rows_without_label(self) -> int:
        """The number of rows without a label, where others have one."""
        return self.contents.unlabelled

    def labelled_images(self) -> LabelledImages | None:
        """Return all training images that have a label, (N, C, S, S) uint8, where some have none; otherwise None."""
        if not self.contents.unlabelled:
            return None
        dataset = self.datasets["train"]
        fields = dict(zip(dataset.batch_type._fields, dataset.arrays, strict=True))
        kept = dataset.rows[fields["label"][dataset.rows] != UNLABELLED]
        rank_zero_info(f"labels: {len(kept)} of {len(dataset)} training images have one")
        return ArrayDataset(LabelledImages, (fields["image"], fields["label"]), kept).__getitems__(range(len(kept)))

    def attribute_examples(self, names: Sequence[str]) -> ArrayDataset:
        dataset = self.datasets["train"]
        fields = dict(zip(dataset.batch_type._fields, dataset.arrays, strict=True))
        columns = [self.contents.attributes.index(name) for name in names]
        values = Floats(fields["attributes"].values[:, columns])
        return ArrayDataset(AttributedImages, (fields["image"], values), dataset.rows)

    def how_to_fill(self, split: str) -> str:
        given = self.contents.splits
        if given is not None and (given == SPLITS.index(split)).any():
            return "Its images are unreadable, all of them."
        if split != "train" and not self.val_fraction:
            return (
                "Give some rows that split; or set --data.val_fraction above 0, and train anew: all images were for "
                "training."
            )
        return f"Put more images into {self.root}, with their rows."

    @property
    def predicted_files(self) -> list[Path]:
        if self.batch_type is UnpairedImages:  # of which an image is predicted for each of either domain
            return []
        rows = self.decoded_columns[0][1][self.datasets["test"].rows]
        return [self.root / self.contents.files[row] for row in rows]

    @property
    def remarks(self) -> list[str]:
        remarks, partners = [*super().remarks, *self.contents.remarks()], self.contents.partners
        if partners is not None and self.datasets:  # several rows may name one
            files = np.array(partners, object)[self.decoded_columns[1][1]]
            train, *others = (set(files[self.datasets[split].rows_of[1]]) for split in SPLITS)
            if trained := len(train & set().union(*others)):
                remarks.append(f"{trained} of file_name_b for training are for validation or test too")
        return remarks


def complete_splits(given: np.ndarray | None, files: Sequence[str], fraction: float) -> np.ndarray:
    """Return the split of each image, (N,), as places in `SPLITS`: those given, if any, and others by a fraction.

    Half of it is the part of the training images that is for validation, where none is given, and likewise for test. A
    hash of a file's path below the folder decides, as for `ImageFolder`.
    """
    splits = np.zeros(len(files), np.uint8) if given is None else given.copy()
    training = np.flatnonzero(splits == 0)
    places = np.array(places_of_names(files[row] for row in training.tolist()), np.int64)
    of_code = [0.0 if (splits == code).any() else fraction / 2 for code in (1, 2)]
    for code, rows in enumerate(parts_by_place(places, *of_code)):
        splits[training[rows]] = code
    return splits
