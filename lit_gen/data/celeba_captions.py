"""CelebA with sentences generated from its attributes."""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import numpy as np

from lit_gen.data.alphabet import encode
from lit_gen.data.captioned import CaptionedData, CaptionedDataset, Captions
from lit_gen.data.celeba import CelebA
from lit_gen.data.datasets import ArrayDataset
from lit_gen.errors import UserError, nearest
from lit_gen.synthetic.sentences.faces import check_sayable, describe_face


def describe(
    attributes: np.ndarray, names: list[str], length: int, always: Mapping[int, Sequence[str]], row: int, rng: Random
) -> tuple[str, list[int]]:
    """Return a sentence such as "A smiling young woman with wavy blond hair", and the columns that it states.

    It is about the attributes (N, A) bool of a row, by these names. The names of `always`, by the row, are among those
    that each sentence states; other rows have none.
    """
    values = dict(zip(names, attributes[row].tolist(), strict=True))
    sentence, stated = describe_face(values, rng, length, always.get(row, ()))
    return sentence, [names.index(name) for name in stated]


class CelebACaptions(CaptionedData, CelebA):
    """CelebA with captions such as "A smiling young woman with wavy blond hair", generated from its attributes.

    Each caption states only some of the attributes, and never Attractive or Blurry.

    Args:
        held_out: held-out combinations of attributes, each a list of names ("not " before a false one), such as
            [[Male, Blond_Hair], [not Male, Eyeglasses, Smiling]]. No training or validation batch has images with all
            attributes of a combination. Half of these images, but no test image, go to `datasets["for_judges"]`, from
            which the classifier that `test` trains learns such combinations. The rest form `datasets["held_out"]`,
            where each caption states the whole combination.
    """

    pictures = "celeba"

    def __init__(self, held_out: list[list[str]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.split = {"held_out": [self._combination(words) for words in held_out or ()]}

    @property
    def held_out(self) -> list[dict[str, bool]]:
        """The held-out combinations, such as {"Male": True, "Young": False}; of a checkpoint, those it trained by."""
        return self.split["held_out"]

    @property
    def all_training(self) -> ArrayDataset | None:
        """The training split; None if combinations are held out of it."""
        return None if self.held_out else self.datasets["train"]

    def _combination(self, words: Sequence[str]) -> dict[str, bool]:
        """Return ["Male", "not Young"] as {"Male": True, "Young": False}."""
        combination = {word.removeprefix("not "): not word.startswith("not ") for word in words}
        for name in combination:
            if name not in self.attributes:
                hint = nearest(name, self.attributes)
                raise UserError(f"held_out names {name!r}, which is none of the attributes of these captions.{hint}")
        if len(combination) != len(words) or not combination:
            raise UserError(f"held_out has the combination {list(words)}. List each attribute once, and at least one.")
        check_sayable(combination)
        return combination

    def add_captions(self) -> None:
        images, attributes = self.datasets["train"].arrays
        true = attributes > 0.5
        always = self._held_out_rows(true)

        def captions_of(always: Mapping[int, Sequence[str]]) -> Captions:
            sentences = partial(describe, true, self.attributes, self.caption_length, always)
            return Captions(sentences, len(true), self.captions_per_image, self.caption_length, len(self.attributes))

        captions = captions_of({})
        kept = np.ones(len(attributes), bool)
        kept[list(always)] = False
        for split, dataset in self.datasets.items():
            rows = dataset.rows if split == "test" else dataset.rows[kept[dataset.rows]]
            self.datasets[split] = CaptionedDataset(images, attributes, captions, rows, vary=split == "train")
        if self.held_out:
            captions, rows = captions_of(always), np.flatnonzero(~kept)
            for_judges = np.setdiff1d(rows, self.datasets["test"].rows)[::2]
            for split, part in (("held_out", np.setdiff1d(rows, for_judges)), ("for_judges", for_judges)):
                self.datasets[split] = CaptionedDataset(images, attributes, captions, part, vary=False)

    def opposite_captions(self, split: str, places: Sequence[int], name: str) -> np.ndarray | None:
        """Return for each row two sentences that state an attribute, as false and as true, and at most the sex besides.

        They are character numbers (B, 2, L), int64; None if captions have no words for the attribute, or its opposite.
        """
        try:
            for value in (False, True):
                check_sayable({name: value})
        except UserError:
            return None
        dataset, column = self.datasets[split], self.attributes.index("Male") if "Male" in self.attributes else None
        sentences = []
        for row in dataset.rows[np.asarray(places, int)].tolist():
            sex = {} if column is None else {"Male": bool(dataset.arrays[1][row, column] > 0.5)}
            both = [
                describe_face({**sex, name: value}, Random(row), self.caption_length, [name])[0]
                for value in (False, True)
            ]
            sentences.append([encode(sentence, self.caption_length).numpy() for sentence in both])
        return np.array(sentences, np.int64)

    def how_to_fill(self, split: str) -> str:
        fewer = " Or hold out fewer combinations (--data.held_out)." if self.held_out and split != "test" else ""
        return super().how_to_fill(split) + fewer

    def _held_out_rows(self, attributes: np.ndarray) -> dict[int, list[str]]:
        """Return the rows of (N, A) bool with all attributes of a combination, each with the first one's names."""
        rows: dict[int, list[str]] = {}
        for combination in self.held_out:
            columns = [self.attributes.index(name) for name in combination]
            for row in np.flatnonzero((attributes[:, columns] == list(combination.values())).all(1)).tolist():
                rows.setdefault(row, list(combination))
        return rows
