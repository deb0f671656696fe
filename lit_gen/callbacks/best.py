"""A run's best checkpoint: written when a validation finds a better value, but not much more often than the others."""

import os
from pathlib import Path
from typing import Any
from weakref import proxy

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from lit_gen.callbacks.timing import Clock
from lit_gen.lightning_compat import DelayedCheckpoint, whole_checkpoint
from lit_gen.runs.checkpoint_files import read_checkpoint


class BestCheckpoint(DelayedCheckpoint):
    """Write `folder/best.ckpt` when the metric `monitor` is the lowest so far; nothing where it is never measured.

    Where the last one is younger than `every_n_minutes`, a better state waits in memory; 0 writes each at once. It is
    written before any other checkpoint, so that a run that goes on from one, after it was killed, has the best state up
    to there.
    """

    dirpath: str

    def __init__(self, folder: Path, monitor: str, every_n_minutes: float = 1.0) -> None:
        super().__init__(folder, "best", monitor=monitor, enable_version_counter=False)
        self.clock = Clock(every_n_minutes)
        self._waiting: tuple[str, dict[str, Any]] | None = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A run that goes on has its best.ckpt, wherever its folder was moved to; Lightning would forget how good it is.
        best = os.path.join(self.dirpath, "best.ckpt")
        if not os.path.isfile(best) or len(state_dict["best_k_models"]) != 1:
            return  # and not the paths of the checkpoint: Lightning removes what is there, once it has a better one
        (value,) = state_dict["best_k_models"].values()
        paths = {"best_k_models": {best: value}, "kth_best_model_path": best, "best_model_path": best}
        super().load_state_dict(state_dict | paths | {"dirpath": self.dirpath})

    def keep(self, trainer: Trainer, path: str) -> None:
        self._waiting = None  # what waits is no longer the best
        checkpoint = whole_checkpoint(trainer)
        if not trainer.is_global_zero:
            return
        if self.clock.is_due:
            self._waiting = path, checkpoint
            self.write(trainer)
        else:  # the training goes on
            self._waiting = path, apply_to_collection(checkpoint, Tensor, lambda value: value.to("cpu", copy=True))

    def write(self, trainer: Trainer) -> None:
        """Write what waits, if anything does."""
        if self._waiting is None:
            return
        path, checkpoint = self._waiting
        trainer.strategy.save_checkpoint(checkpoint, path)
        self._waiting = None
        self.clock.strike()
        for logger in trainer.loggers:
            logger.after_save_checkpoint(proxy(self))

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        super().on_train_start(trainer, model)
        self.clock.restart()

    def on_save_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.write(trainer)

    def on_exception(self, trainer: Trainer, model: LightningModule, exception: BaseException) -> None:
        try:
            self.write(trainer)
        except Exception as error:  # the first exception is the one to be seen
            rank_zero_info(f"best.ckpt cannot be written: {error}")
            self._waiting = None  # or else no other checkpoint could be, and what was trained would be lost

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self.monitor in trainer.callback_metrics:
            super().on_validation_end(trainer, model)

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, model)

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.write(trainer)
        if not self.summary():
            rank_zero_info(f"no best.ckpt: no validation measured {self.monitor}")

    def summary(self) -> str:
        """Return a line about `best.ckpt`; '' where there is none."""
        path = Path(self.dirpath) / "best.ckpt"
        if not path.is_file():
            return ""
        try:
            # As the file says: a run that was killed may be behind its best.ckpt. None of the weights is read.
            checkpoint = read_checkpoint(path, mmap=True)
            value, epoch = checkpoint["callbacks"][self.state_key]["best_model_score"], checkpoint["epoch"]
        except KeyError:  # of a run that goes on from an older version, and has not been validated since
            return f"best.ckpt: chosen by another value than {self.monitor}"
        except Exception as error:  # of another Checkpoint IO, or not whole
            return f"best.ckpt cannot be read: {error}"
        return f"best.ckpt: {self.monitor} {float(value):.5g}, the lowest, in epoch {epoch} (the first is 0)"


def best_checkpoints(trainer: Trainer) -> list[BestCheckpoint]:
    """Return the callbacks of a Trainer that keep a best checkpoint."""
    return [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint)]
