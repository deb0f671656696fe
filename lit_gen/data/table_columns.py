"""The columns of a table of images: what each may hold, and what becomes of it."""

import re
from collections.abc import Sequence

import numpy as np

from lit_gen.data.alphabet import readable
from lit_gen.data.batches import UNLABELLED
from lit_gen.data.splits import NAMES_OF_SPLITS, SPLITS

COLUMNS = ("file_name", "file_name_b", "label", "caption", "split")
"""The columns with a meaning of their own; others may be attributes."""
TRUE, FALSE = ("1", "true", "yes"), ("0", "-1", "false", "no")
VALUES = (*TRUE, *FALSE)
KINDS = ({"0", "1"}, {"-1", "1"}, {"false", "true"}, {"no", "yes"})
"""The values that an attribute may have; one column has those of one kind."""
DRIVE = re.compile(r"[A-Za-z]:")


class CellError(Exception):
    """A value cannot be used: its place in the column, and why."""

    def __init__(self, place: int, problem: str) -> None:
        super().__init__(place, problem)
        self.place, self.problem = place, problem


def paths_of(values: Sequence[str]) -> list[str]:
    """Return the names of image files as paths relative to a folder, with slashes between their parts.

    Raises:
        CellError: one is empty, or leads out of the folder, on some system.
    """
    paths = []
    for place, value in enumerate(values):
        path = value.strip().replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts:
            raise CellError(place, "is empty")
        if path.startswith("/") or DRIVE.match(path) or ".." in parts or "\0" in path:
            why = f"{value!r} leads out of the folder. Names are relative to the folder of the table"
            raise CellError(place, why)
        paths.append("/".join(parts))
    return paths


def classes_of(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the names of classes in sorted order, numbers by their value, and the class index (N,) int64 of each row.

    That of a row without a label is `UNLABELLED`.

    Raises:
        CellError: no row has a label.
    """
    labels = [value.strip() for value in values]
    names = sorted(set(labels) - {""})
    if not names:
        raise CellError(0, "is empty, as in all rows: fill it in where the class is known, or remove it")
    try:
        first = {name.removesuffix(".0"): name for name in reversed(names)}  # so pandas writes 3 in a column with gaps
        names = sorted(first.values(), key=float)
        labels = [label and first[label.removesuffix(".0")] for label in labels]
    except ValueError:  # not all are numbers
        pass
    index = {name: number for number, name in enumerate(names)} | {"": UNLABELLED}
    return names, np.array([index[label] for label in labels], np.int64)


def truth_of(values: Sequence[str]) -> np.ndarray:
    """Return the values of an attribute (N,), uint8 in {0, 1}.

    Raises:
        CellError: one is no such value, or is of another kind than those before it.
    """
    # Whatever their case and the space around them; .0 as pandas writes a column of numbers with gaps.
    plain = {text: text.strip().lower().removesuffix(".0") for text in set(values)}
    code_of = {text: VALUES.index(value) if value in VALUES else len(VALUES) for text, value in plain.items()}
    codes = bytes(map(code_of.__getitem__, values))
    if (place := codes.find(len(VALUES))) >= 0:
        what = repr(values[place].strip()[:40]) if values[place].strip() else "nothing"
        raise CellError(
            place,
            f"has {what}, and an attribute is 0/1, -1/1, true/false or yes/no. Name the columns that are attributes "
            "by --data.attributes=[...], [] for none; one of classes is called label, one of sentences caption",
        )
    found: set[str] = set()
    for place, code in sorted((codes.find(code), code) for code in set(codes)):
        before, found = found, found | {VALUES[code]}
        if not any(found <= kind for kind in KINDS):
            raise CellError(place, f"has {VALUES[code]}, but rows before it {' and '.join(sorted(before))}")
    return (np.frombuffer(codes, np.uint8) < len(TRUE)).astype(np.uint8)


def sentences_of(values: Sequence[str | list[str]]) -> list[list[str]]:
    """Return the captions of each row, one or more.

    Raises:
        CellError: a row has none, or one without a character of the alphabet.
    """
    captions = [[value] if isinstance(value, str) else value for value in values]
    for place, sentences in enumerate(captions):
        if not sentences or not all(sentence.strip() for sentence in sentences):
            raise CellError(place, "is empty: write what the image shows")
        if not all(map(readable, sentences)):
            raise CellError(place, "has no character that can be read: write it in English letters and digits")
    return captions


def splits_of(values: Sequence[str]) -> np.ndarray:
    """Return the split of each row (N,), uint8, as its place in `SPLITS`.

    Raises:
        CellError: one is called otherwise than splits are.
    """
    names = [NAMES_OF_SPLITS.get(value.strip().lower()) for value in values]
    if None in names:
        place = names.index(None)
        raise CellError(place, f"has {values[place].strip()!r}, and a split is train, val or test")
    return np.array([SPLITS.index(name) for name in names if name], np.uint8)
