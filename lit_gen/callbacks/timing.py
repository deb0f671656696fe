"""How long a run has trained."""

import json
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from lit_gen.files.atomic import complete_file


class TrainingTime(Callback):
    """Writes `time.json` beside the run's other files with each checkpoint: seconds of training, for how many batches.

    It is wall time from the first batch on, validations and sheets included; a run that is resumed adds to it. It is in
    no checkpoint, so that these are the same whenever they were made.

    Args:
        folder: the run's.
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
        with complete_file(self.path) as partial:
            partial.write_text(json.dumps({"seconds": round(seconds, 2), "batches": _batches(trainer)}) + "\n")


def training_seconds(path: Path, batches: int) -> float:
    """The seconds that these batches took, as a part of all that `path` tells of; 0 where there is no such file."""
    if not batches or not path.is_file():
        return 0.0
    record = json.loads(path.read_text())
    return record["seconds"] * min(1, batches / record["batches"])


def _batches(trainer: Trainer) -> int:
    return trainer.fit_loop.epoch_loop.batch_progress.total.processed
