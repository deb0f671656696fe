"""The report of a run, `report.html`, as its training goes on and at the end of each command."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.callbacks.best import best_checkpoints
from lit_gen.report.page import REPORT, write_report
from lit_gen.runs.commands import RunCommand, note_command
from lit_gen.runs.folders import run_of
from lit_gen.runs.listing import Run, look_at, seconds_of, size_of

SHARE = 50
"""A training writes no report until this many times as long has passed as the last one took: 2 % of the time."""
PAUSE = 5.0  # seconds between two reports of a training, at least


class RunReport(Callback):
    """Write `folder/report.html` with checkpoints, at ends of epochs and when the command ends or is stopped.

    A training that goes on spends at most 2 % of its time on it. A test also renews the report of the run whose
    checkpoint it tested. A report that cannot be written ends no training. The command, `line`, goes to
    `commands.json`.
    """

    def __init__(self, folder: Path, line: RunCommand | None = None) -> None:
        self.folder, self.line = folder, line
        self._not_before = -float("inf")
        self._begun = False

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        self._begun = True
        self._note(trainer)

    def on_save_checkpoint(self, trainer: Trainer, model: Any, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == TrainerFn.FITTING and time.monotonic() >= self._not_before:
            self._write_training(trainer, model, "running")

    def on_train_epoch_end(self, trainer: Trainer, model: Any) -> None:
        if time.monotonic() >= self._not_before:
            self._write_training(trainer, model, "running")

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        self._write_training(trainer, model, "finished")

    def on_exception(self, trainer: Trainer, model: Any, exception: BaseException) -> None:
        if self._begun:
            self._write_training(trainer, model, "stopped")

    def on_validation_end(self, trainer: Trainer, model: Any) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._write_use(trainer, model)

    def on_predict_end(self, trainer: Trainer, model: Any) -> None:
        self._write_use(trainer, model)

    def on_test_end(self, trainer: Trainer, model: Any) -> None:
        self._write_use(trainer, model)
        tested = run_of(trainer.ckpt_path) if trainer.ckpt_path else None
        if tested is not None and tested != self.folder:
            self._write(trainer, tested, lambda: look_at(tested))

    def _write_use(self, trainer: Trainer, model: Any) -> None:
        self._note(trainer)
        folder, images = self.folder, model.images_seen
        self._write(trainer, folder, lambda: Run(folder, "use", None, images, None, None, size_of(folder)))

    def _note(self, trainer: Trainer) -> None:
        if self.line is not None and trainer.is_global_zero:
            note_command(self.folder, self.line)

    def _write_training(self, trainer: Trainer, model: Any, state: str) -> None:
        bests = best_checkpoints(trainer)
        found = [(str(one.monitor), float(one.best_model_score)) for one in bests if one.best_model_score is not None]
        known = state, trainer.current_epoch, model.images_seen, next(iter(found), None)
        # Without `look_at`, which would give up this process's lock of the folder.
        folder = self.folder
        self._write(trainer, folder, lambda: Run(folder, *known, seconds_of(folder), size_of(folder)))

    def _write(self, trainer: Trainer, folder: Path, run: Callable[[], Run]) -> None:
        if not trainer.is_global_zero:
            return
        begun = time.monotonic()
        try:
            write_report(run())
        except Exception as error:  # a training is worth more than its report
            rank_zero_info(f"no {REPORT} in {folder}: {error}")
        now = time.monotonic()
        self._not_before = now + max(PAUSE, SHARE * (now - begun))
