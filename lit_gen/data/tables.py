"""The table of a folder of images: `metadata.csv` or `metadata.jsonl`, as the Hugging Face imagefolder has it.

Each mistake in it is one line that names the file and the row. A row has the number that a spreadsheet shows: the
header of a CSV file is row 1.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from lit_gen.data.table_columns import COLUMNS, CellError
from lit_gen.data.text_files import read_text
from lit_gen.errors import UserError, nearest

NAMES = ("metadata.csv", "metadata.jsonl")

Result = TypeVar("Result")


class Table:
    """The values of the tables of a folder, column by column.

    Args:
        wanted: names of the columns that are attributes; by default all that have no meaning of their own.
    """

    def __init__(self, wanted: Sequence[str] | None = None) -> None:
        self.wanted = wanted
        self.columns: dict[str, list[Any]] = {}
        self.ignored: list[str] = []  # columns that are not read
        self.places: list[tuple[Path, int]] = []  # the file of each row, and its number there

    def place(self, index: int) -> str:
        """Return in words where a row stands."""
        path, number = self.places[index]
        return f"{path}, row {number}"

    def read(self, path: Path) -> None:
        """Add the rows of a `.csv` or `.jsonl` file.

        Raises:
            UserError: it cannot be read as rows of the same columns; the message names the row.
        """
        rows = (_csv if path.suffix.lower() == ".csv" else _jsonl)(path, read_text(path))
        names = _meanings(path, next(rows, (0, []))[1])
        if not self.places:
            self._begin(path, names)
        elif missing := sorted(set(self.columns) ^ ({*names} - {*self.ignored, ""})):
            raise UserError(f"{path} and {self.places[0][0]} differ in the column {missing[0]!r}. Give both the same.")
        found = list(rows)
        if not found:
            raise UserError(f"{path} has no rows. Write one for each image.")
        self.places += [(path, number) for number, _ in found]
        for name, values in zip(names, zip(*(cells for _, cells in found), strict=True), strict=True):
            if name in self.columns:
                self.columns[name] += values

    def converted(self, name: str, convert: Callable[[list[Any]], Result]) -> Result:
        """Return what a function of `table_columns` makes of a column, whose values are then forgotten.

        Raises:
            UserError: a value cannot be used; the message names the row.
        """
        values, self.columns[name] = self.columns[name], []
        try:
            return convert(_texts(values, name))
        except CellError as error:
            raise UserError(f"{self.place(error.place)}: the column {name!r} {error.problem}.") from None

    def _begin(self, path: Path, names: Sequence[str]) -> None:
        others = [name for name in names if name not in COLUMNS]
        for name in self.wanted or ():
            if name not in others:
                known = f"It has {', '.join(map(repr, filter(None, others)))}." if any(others) else "It has none."
                raise UserError(f"{path} has no column {name!r} of an attribute.{nearest(name, others)} {known}")
        chosen = [name for name in others if name] if self.wanted is None else list(self.wanted)
        self.ignored = [name for name in others if name not in chosen]
        special = [name for name in names if name in COLUMNS]
        if "file_name_b" in special:  # two images without a common label
            self.ignored = [name for name in names if name not in ("file_name", "file_name_b", "split")]
            special, chosen = [name for name in special if name not in self.ignored], []
        self.columns = {name: [] for name in (*special, *chosen)}


def _meanings(path: Path, header: Sequence[str]) -> list[str]:
    """Return the names of columns: those with a meaning as they are called here, others as in the header."""
    names = [name.strip() for name in header]
    names = [name.lower() if name.lower() in (*COLUMNS, "text") else name for name in names]
    if "caption" not in names:  # called text in the examples of Hugging Face
        names = ["caption" if name == "text" else name for name in names]
    if "file_name" not in names:
        known = ", ".join(map(repr, names[:8]))
        raise UserError(f"{path} has no column file_name in its first row ({known}). Call that of the images so.")
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise UserError(f"{path}, row 1: the column {twice!r} stands there twice. Remove one.")
    return names


Rows = Iterator[tuple[int, Sequence[Any]]]
"""The number of each row, and its values; the first has the names of the columns."""


def _csv(path: Path, text: str) -> Rows:
    first = text.lstrip().partition("\n")[0]
    marks = (mark for mark in ",;\t" if "file_name" in (word.strip(' "\r').lower() for word in first.split(mark)))
    reader = csv.reader(StringIO(text, newline=None), delimiter=next(marks, ","), strict=True, skipinitialspace=True)
    columns = None
    for number in count(1):
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{path}, row {number}: it is no CSV: {error}. Mend that row.") from None
        if cells is None:
            return
        if any(cells):
            columns = columns or len(cells)
            if len(cells) != columns:
                raise UserError(
                    f"{path}, row {number}: {len(cells)} values for {columns} columns. Put a value that has a "
                    "comma into quotes."
                )
            yield number, list(map(sys.intern, cells))  # equal values are one: attributes have few


def _jsonl(path: Path, text: str) -> Rows:
    names: list[str] | None = None
    for number, line in enumerate(StringIO(text, newline=None), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = getattr(error, "msg", "it is nested too deeply")
            raise UserError(f"{path}, row {number}: it is no JSON: {why}. Write one object per line.") from None
        if not isinstance(found, dict):
            raise UserError(f'{path}, row {number}: it is no object. Write {{"file_name": ...}} in each line.')
        if names is None:
            names = list(found)
            yield number, names
        if differ := found.keys() ^ set(names):
            name = min(differ)
            has = "has" if name in found else "lacks"
            unknown = ", null where a label is not known" if name == "label" else ""
            raise UserError(
                f"{path}, row {number}: it {has} {name!r}, other than the first. Give all rows the same{unknown}."
            )
        yield number, [found[name] for name in names]


def _texts(values: Sequence[Any], column: str) -> list[Any]:
    """Return the values of JSON as a CSV file would have them; lists of sentences stay."""
    if set(map(type, values)) == {str}:
        return list(values)
    texts: list[Any] = []
    for place, value in enumerate(values):
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, int | float):
            value = str(int(value)) if value == value // 1 else str(value)
        elif value is None:
            value = ""
        elif column == "caption" and isinstance(value, list) and all(isinstance(one, str) for one in value):
            pass
        elif not isinstance(value, str):
            raise CellError(place, f"has {json.dumps(value)[:40]}, and a value is a text, a number, true or false")
        texts.append(value)
    return texts
