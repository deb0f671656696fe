"""The loggers of a run: a CSV file, and Weights & Biases (offline where there is no key)."""

import csv
import netrc
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.data.files import complete_file

PROJECT = "lit_gen"


def whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that may not be there, without a last one that was only half written."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    return list(csv.DictReader(line for line in lines if line.endswith("\n")))


class AppendingWriter(ExperimentWriter):
    """Lightning's CSV writer, which deletes the log that it finds, made to go on with it when a run is resumed."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        header, newline, _ = path.read_text(encoding="utf-8").partition("\n") if path.is_file() else ("", "", "")
        self._continues = bool(newline)
        if self._continues:
            self.metrics_keys = header.strip().split(",")
        else:
            path.unlink(missing_ok=True)  # of a run that was killed while it wrote the first line

    def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> None:
        if step is not None:
            self._drop_from(step)
        super().log_metrics(metrics_dict, step)

    def catch_up(self, metrics_dict: dict[str, float], step: int) -> None:
        """Logs the last row of a step, which a killed run may have logged or not."""
        self._drop_from(step + 1)
        rows = [row for row in self._rows() if int(row["step"]) == step]
        if not any(all(row.get(name) for name in metrics_dict) for row in rows):
            super().log_metrics(metrics_dict, step)
            self.save()

    def _drop_from(self, step: int) -> None:
        """Drops the rows from this step on, the first time: a killed run may have logged more than it had saved."""
        if self._continues:
            self._continues = False
            self._write([row for row in self._rows() if int(row["step"]) < step], self.metrics_keys)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._write(self._rows(), fieldnames)

    def _rows(self) -> list[dict[str, str]]:
        return whole_rows(Path(self.metrics_file_path))

    def _write(self, rows: list[dict[str, str]], fieldnames: list[str]) -> None:
        with complete_file(Path(self.metrics_file_path)) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames)
            writer.writeheader()
            writer.writerows(rows)


class AppendingCSVLogger(CSVLogger):
    """CSVLogger that writes `metrics.csv` right into its folder and appends when the run is resumed."""

    def __init__(self, folder: Path) -> None:
        # Each row at once: those that a killed run had not yet written would be missing when it is resumed.
        super().__init__(str(folder), name="", version="", flush_logs_every_n_steps=1)

    @property
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None and self.root_dir:
            os.makedirs(self.root_dir, exist_ok=True)
            self._experiment = AppendingWriter(log_dir=self.log_dir)
        return super().experiment


class ContinuingWandbLogger(WandbLogger):
    """W&B's logger, which cannot take back what a killed run logged after its checkpoint, made not to log it again.

    Args:
        log: the run's `metrics.csv`, written just before W&B's own log.
        settings: as for WandbLogger.
    """

    def __init__(self, log: Path, **settings: Any) -> None:
        super().__init__(**settings)
        self._logged = {
            (int(row["step"]), frozenset(name for name, value in row.items() if value and name != "step"))
            for row in whole_rows(log)
        }

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if (step, frozenset(metrics)) not in self._logged:
            super().log_metrics(metrics, step)


def make_loggers(folder: Path, config: dict[str, Any]) -> list[Logger]:
    """A CSV logger and a W&B logger for the run in `folder`.

    Args:
        folder: the run's folder; `wandb-id` in it makes a resumed run continue on the same W&B page.
        config: the resolved settings, shown on that page.
    """
    return [AppendingCSVLogger(folder), _wandb_logger(folder, config)]


def _wandb_logger(folder: Path, config: dict[str, Any]) -> WandbLogger:
    offline = not has_wandb_key()
    if offline:
        rank_zero_info(f"W&B has no API key: logging offline. To upload later: wandb sync {folder}/wandb/offline-run-*")
    return ContinuingWandbLogger(
        folder / "metrics.csv",
        project=PROJECT,
        name=f"{folder.parent.name}/{folder.name}",
        group=folder.parent.name,
        id=wandb_id(folder),
        resume=None if offline else "allow",
        save_dir=str(folder),
        offline=offline,
        config=config,
    )


def wandb_id(folder: Path) -> str:
    """The id of a run on W&B, kept in its folder."""
    file = folder / "wandb-id"
    if not file.is_file():
        file.write_text(secrets.token_hex(4))
    return file.read_text().strip()


def has_wandb_key() -> bool:
    """Whether W&B can log in without asking: a key in the environment or in the netrc file."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
