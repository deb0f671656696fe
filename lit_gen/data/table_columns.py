"""The columns of a table of images: what each may hold, kept as bytes and numbers."""

import re
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lit_gen.data.alphabet import readable
from lit_gen.data.batches import UNLABELLED
from lit_gen.data.splits import NAMES_OF_SPLITS

TRUE, FALSE = ("1", "true", "yes"), ("0", "-1", "false", "no")
VALUES = (*TRUE, *FALSE)
KINDS = ({"0", "1"}, {"-1", "1"}, {"false", "true"}, {"no", "yes"})
"""The values that an attribute may have; one column has those of one kind."""
DRIVE = re.compile(r"[A-Za-z]:")


class CellError(Exception):
    """A value cannot be used: its place in the block, and why."""

    def __init__(self, place: int, problem: str) -> None:
        super().__init__(place, problem)
        self.place, self.problem = place, problem


def inner_path(name: str) -> str:
    """Return a path relative to a folder with slashes between its parts.

    Raises:
        ValueError: it is empty, or leads out of the folder, on some system.
    """
    path = name.strip().replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise ValueError("is empty")
    if path.startswith("/") or DRIVE.match(path) or ".." in parts or "\0" in path:
        raise ValueError(f"{name!r} leads out of the folder. Names are relative to the folder of the table")
    return "/".join(parts)


class FileNames:
    """The names of image files, as paths relative to the root folder."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.prefix = ""

    def extend(self, values: Sequence[str]) -> None:
        for place, value in enumerate(values):
            try:
                self.names.append(self.prefix + inner_path(value))
            except ValueError as error:
                raise CellError(place, str(error)) from None


class Labels:
    """Class names, numbered as they come, from 1 on; 0 is a row without a label."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {"": 0}
        self.numbers = array("l")

    def extend(self, values: Sequence[str]) -> None:
        self.numbers.extend([self.seen.setdefault(value.strip(), len(self.seen)) for value in values])

    def classes(self) -> tuple[list[str], np.ndarray]:
        """Return the names in sorted order, numbers by their value, and the class index (N,) int64 of each row.

        That of a row without a label is `UNLABELLED`.

        Raises:
            CellError: no row has a label.
        """
        given = [name for name in self.seen if name]
        if not given:
            raise CellError(0, "is empty, as in all rows: fill it in where the class is known, or remove it")
        try:
            names = sorted(sorted(given), key=float)
        except ValueError:
            names = sorted(given)
        index = np.full(len(self.seen), UNLABELLED, np.int64)
        index[[self.seen[name] for name in names]] = np.arange(len(names))
        return names, index[np.asarray(self.numbers)]


class _Codes(dict):
    """The place among all values of attributes of a text, whatever its case and the space around it."""

    def __missing__(self, text: str) -> int:
        plain = text.strip().lower()
        plain = plain.removesuffix(".0")  # as pandas writes a column of numbers with gaps
        self[text] = code = VALUES.index(plain) if plain in VALUES else len(VALUES)
        return code


class Attribute:
    """The values of an attribute, one byte each."""

    def __init__(self) -> None:
        self.codes, self.code_of = bytearray(), _Codes()

    def extend(self, values: Sequence[str]) -> None:
        block = bytes(map(self.code_of.__getitem__, values))
        if (place := block.find(len(VALUES))) >= 0:
            what = repr(values[place].strip()[:40]) if values[place].strip() else "nothing"
            raise CellError(
                place,
                f"has {what}, and an attribute is 0/1, -1/1, true/false or yes/no. Name the columns that are "
                "attributes by --data.attributes=[...], [] for none; one of classes is called label, one of sentences "
                "caption",
            )
        self.codes += block

    def truth(self) -> np.ndarray:
        """Return the values (N,), uint8 in {0, 1}.

        Raises:
            CellError: values of two kinds are mixed; the place is the row's.
        """
        found: set[str] = set()
        for place, code in sorted((self.codes.find(code), code) for code in set(self.codes)):
            before, found = found, found | {VALUES[code]}
            if not any(found <= kind for kind in KINDS):
                raise CellError(place, f"has {VALUES[code]}, but rows before it {' and '.join(sorted(before))}")
        return (np.frombuffer(self.codes, np.uint8) < len(TRUE)).astype(np.uint8)


class Captions:
    """One or more sentences per row, as one text in UTF-8."""

    def __init__(self) -> None:
        self.text = bytearray()
        self.ends = array("q")  # of each sentence in the text
        self.counts = array("l")  # of the sentences of each row

    def extend(self, values: Sequence[str | list[str]]) -> None:
        for place, value in enumerate(values):
            sentences = [value] if isinstance(value, str) else value
            for sentence in sentences:
                if not readable(sentence):
                    why = "has no character that can be read: write it in English letters and digits"
                    raise CellError(place, why if sentence.strip() else "is empty: write what the image shows")
                self.text += sentence.encode(errors="replace")
                self.ends.append(len(self.text))
            if not sentences:
                raise CellError(place, "is empty: write what the image shows")
            self.counts.append(len(sentences))


class Splits:
    """The split of each row, as its place in `ORDER`."""

    ORDER = ("train", "val", "test")

    def __init__(self) -> None:
        self.codes = bytearray()

    def extend(self, values: Sequence[str]) -> None:
        for place, value in enumerate(values):
            name = NAMES_OF_SPLITS.get(value.strip().lower())
            if name is None:
                raise CellError(place, f"has {value.strip()!r}, and a split is train, val or test")
            self.codes.append(self.ORDER.index(name))


COLUMNS: dict[str, Callable[[], Any]] = {
    "file_name": FileNames,
    "file_name_b": FileNames,
    "label": Labels,
    "caption": Captions,
    "split": Splits,
}
