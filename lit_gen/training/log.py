"""The log of a training: terms stay on the device until a row is due, since `self.log` waits for it in every step."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from lit_gen.lightning_compat import batches_so_far, next_row, trainer_of
from lit_gen.training.ring import TermRing


class LoggedTerms(LightningModule):
    """A module whose training step logs terms: read for a row of the log, and every 50 batches."""

    def __init__(self) -> None:
        super().__init__()
        self._ring = TermRing()
        self._logged_step: int | None = None
        self.speed: dict[str, float] = {}
        """What a callback measured by the clock, for the next row of the log and no checkpoint."""

    def on_train_start(self) -> None:
        self._ring.clear()
        self._logged_step = None

    def on_train_epoch_start(self) -> None:
        self._ring.last = {}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.log_row()

    def on_train_epoch_end(self) -> None:
        self.read_terms()

    def log_terms(self, terms: Mapping[str, Tensor], prefix: str = "train/loss_") -> None:
        """Log what a training step computed: at once for callbacks, for loggers and the bar once it is read.

        `self.log` would wait for the device in every step.

        Args:
            terms: scalars on the device.
            prefix: what their names in the log begin with.
        """
        if terms and trainer_of(self) is not None:
            values = torch.stack([value.detach().float() for value in terms.values()])  # a graph overwrites its terms
            names = [f"{prefix}{name}" for name in terms]
            self.trainer.callback_metrics.update(zip(names, values.unbind(), strict=True))
            self._ring.write(batches_so_far(self.trainer), names, values)

    def log_numbers(self, numbers: Mapping[str, float]) -> None:
        """Log what the host knows of a training step."""
        self._ring.last |= {name: float(number) for name, number in numbers.items()}
        self.trainer.callback_metrics.update({name: torch.tensor(float(value)) for name, value in numbers.items()})

    def log_row(self) -> None:
        """Log the last value of each term, after a batch by which Lightning logs; before its checkpoint, if any."""
        row = next_row(self.trainer)
        if not row or row["step"] == self._logged_step:
            if self._ring.is_full:
                self.read_terms()
            return
        self.read_terms()
        self._logged_step = row.pop("step")
        for logger in self.trainer.loggers if self._ring.last else ():  # no step yet: several batches make one
            logger.log_metrics(self._ring.last | self.speed | row, self._logged_step)
            logger.save()

    def read_terms(self) -> None:
        """Read the terms of the last steps, for the bar and for `log_row`.

        Raises:
            NonFiniteTermError: on all processes, when a term is not finite on any.
        """
        self._ring.read(lambda good: self.trainer.strategy.reduce_boolean_decision(good))
        in_bar = {name.removeprefix("train/"): value for name, value in self._ring.last.items()}
        self.trainer.progress_bar_metrics.update(in_bar)
