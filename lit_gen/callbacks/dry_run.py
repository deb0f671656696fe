"""A few timed steps in place of a training: `fit --dry_run`."""

import resource
import sys
import time
from datetime import timedelta
from typing import Any, ClassVar

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.callbacks.progress import part_done

WARM_UP, TIMED = 3, 10
"""Batches before the clock starts, since the first ones are slower, and batches that it measures."""


class DryRun(Callback):
    """Time ten batches of a training, and say how fast it is, how much memory it takes, and how long it will take."""

    trainer_settings: ClassVar[dict[str, Any]] = {
        "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "callbacks": None,
        "limit_val_batches": 0, "num_sanity_val_steps": 0, "fast_dev_run": False, "barebones": False,
        "min_epochs": None, "min_steps": None,
    }  # fmt: skip
    """What the Trainer is told in place of what the command says: nothing that writes or validates."""

    def __init__(self) -> None:
        self._batches = self._timed = 0
        self._report = "dry run: the training has no batch"

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        self._start_clock(model)

    def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
        self._batches, self._timed = self._batches + 1, self._timed + 1
        # Of a training that is shorter than that, the first batches are timed too.
        if self._batches in (1, WARM_UP, WARM_UP + TIMED) or trainer.is_last_batch:
            self._report = self._measured(model)
        if self._batches == WARM_UP:
            self._start_clock(model)
        elif self._batches == WARM_UP + TIMED:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        rank_zero_info(self._report)

    def _start_clock(self, model: Any) -> None:
        self._timed = 0
        self._begun = self._now(model), part_done(model), model.images_seen

    @staticmethod
    def _now(model: Any) -> float:
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        return time.monotonic()

    def _measured(self, model: Any) -> str:
        seconds = self._now(model) - self._begun[0]
        images, part = model.images_seen - self._begun[2], part_done(model) - self._begun[1]
        lines = [
            f"speed: {images / seconds:,.1f} images/s ({self._timed} batches, {images:,} images, in {seconds:.2f} s)"
        ]
        if model.device.type == "cuda":
            lines.append(f"memory: {torch.cuda.max_memory_allocated(model.device) / 2**30:.2f} GiB of the GPU")
        else:
            unit = 1 if sys.platform == "darwin" else 2**10  # bytes of what the system counts in
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
            lines.append(f"memory: {peak / 2**30:.2f} GiB of this process")
        if part > 0:
            whole = timedelta(seconds=round(seconds / part))
            grows = ", at the first resolution: later ones take longer" if hasattr(model, "stage") else ""
            lines.append(f"time: {whole} for the whole training{grows}, without validations and sample grids")
        else:
            lines.append("time: without an end: nothing says how long to train")
        return "\n".join(["dry run: nothing of a run was written", *lines])
