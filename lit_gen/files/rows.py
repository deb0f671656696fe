"""Rows of a CSV file to which another process may be appending."""

import csv
from pathlib import Path


def whole_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file, without a last one that is only half written.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not in UTF-8.
        csv.Error: it is no CSV file.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))
