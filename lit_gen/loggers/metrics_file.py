"""The log of a run as a table, `metrics.csv`."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file, make_folder, writing
from lit_gen.files.rows import whole_rows


def rows_of_log(path: Path) -> list[dict[str, str]]:
    """Return the rows of a log that may not be there, without a last one that was only half written.

    Raises:
        UserError: the file is not what a run writes.
    """
    try:
        rows = whole_rows(path) if path.is_file() else []
        _ = [int(row["step"]) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is not the log of a run ({error}). Move it away, and a new one begins.") from error
    return rows


class AppendingCSVLogger(Logger):
    """Log rows to `folder/metrics.csv`, and append to them when the run is resumed.

    Lightning's CSVLogger deletes the file that it finds. Here, the rows from the first logged step on are replaced: a
    killed run may have logged more than it had saved. Each row is written at once, and a new column adds to all rows.
    """

    name = version = ""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.path = folder, folder / "metrics.csv"
        self._columns: list[str] = []  # not known before the first row

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any) -> None:
        make_folder(self.folder)
        with writing(f"write {self.folder / 'hparams.yaml'}"):
            save_hparams_to_yaml(self.folder / "hparams.yaml", params)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        step = step or 0
        if not self._columns and (rows := rows_of_log(self.path)):
            self._columns = list(rows[0])
            self._write([row for row in rows if int(row["step"]) < step])
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        row["step"] = step
        if row.keys() <= set(self._columns):
            with writing(f"write {self.path}"), self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
        else:
            self._columns = sorted({*self._columns, *row})
            self._write([*rows_of_log(self.path), row])

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with complete_file(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
