"""How long a run has trained, and what is to be done every so many minutes."""

import json
import math
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from lit_gen.files.atomic import write_text


class Clock:
    """Tell whether so many minutes have passed since something was last done, or nothing was yet."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self.restart()

    def restart(self) -> None:
        """Forget what was done."""
        self._last = -math.inf

    def strike(self) -> None:
        """Note that it is done."""
        self._last = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is to be done again."""
        return time.monotonic() - self._last >= 60 * self.minutes


class TrainingTime(Callback):
    """Write `time.json` into the run's folder with each checkpoint: seconds of training, and for how many batches.

    The seconds are wall time from the first batch on, with validations and sample grids; a run that is resumed adds to
    them. They are in no checkpoint: two equal runs have equal checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "time.json"
        self._begun: float | None = None  # not before the first batch

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._begun, self._before = time.monotonic(), training_seconds(self.path, _batches(trainer))

    def on_save_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        if not trainer.is_global_zero or trainer.state.fn != TrainerFn.FITTING or self._begun is None:
            return
        seconds = self._before + time.monotonic() - self._begun
        text = json.dumps({"seconds": round(seconds, 2), "batches": _batches(trainer)}) + "\n"
        write_text(self.path, text, lasting=False)  # also for a best.ckpt that waits, in each short epoch


def training_seconds(path: Path, batches: int) -> float:
    """Return the seconds that the first batches took, by the mean of all in the file; 0 where it does not say."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return float(record["seconds"] * min(1, batches / record["batches"]))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return 0.0


def _batches(trainer: Trainer) -> int:
    total: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    return total.processed
