"""The log of a training: terms stay on the device until a row is due, since `self.log` waits for it in every step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from lit_gen.errors import UserError
from lit_gen.lightning_compat import batches_so_far, next_row, trainer_of

READ_EVERY_N_BATCHES = 50
"""Largest number of batches before terms are read; all are also read for a row of the log and before a checkpoint."""


class NonFiniteTermError(UserError):
    """A term of a training loss is infinite or not a number."""


class LoggedTerms(LightningModule):
    """A module whose training step logs terms: read for a row of the log, and every 50 batches."""

    def __init__(self) -> None:
        super().__init__()
        self._unread: list[tuple[int, list[str], Tensor]] = []  # batch, counted from 1, names, values (N,) of its terms
        self.last_terms: dict[str, float] = {}
        """The last value of each term that has been read."""
        self._logged_step: int | None = None
        self.speed: dict[str, float] = {}
        """What a callback measured by the clock, for the next row of the log and no checkpoint."""

    def on_train_start(self) -> None:
        self._unread = []
        self._logged_step = None

    def on_train_epoch_start(self) -> None:
        self.last_terms = {}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.log_row()

    def on_train_epoch_end(self) -> None:
        self.read_terms()

    def log_terms(self, terms: Mapping[str, Tensor], prefix: str = "train/loss_") -> None:
        """Log scalars on the device: at once for callbacks, for loggers and the bar once they are read.

        `self.log` would wait for the device in every step.
        """
        if terms and trainer_of(self) is not None:
            values = torch.stack([value.detach().float() for value in terms.values()])  # a graph overwrites its terms
            names = [f"{prefix}{name}" for name in terms]
            self.trainer.callback_metrics.update(zip(names, values.unbind(), strict=True))
            self._unread.append((batches_so_far(self.trainer), names, values))

    def log_numbers(self, numbers: Mapping[str, float]) -> None:
        """Log what the host knows of a training step."""
        self.last_terms |= {name: float(number) for name, number in numbers.items()}
        self.trainer.callback_metrics.update({name: torch.tensor(float(value)) for name, value in numbers.items()})

    def log_row(self) -> None:
        """Log the last value of each term, after a batch by which Lightning logs; before its checkpoint, if any."""
        row = next_row(self.trainer)
        if not row or row["step"] == self._logged_step:
            if self._unread and self._unread[-1][0] - self._unread[0][0] >= READ_EVERY_N_BATCHES - 1:
                self.read_terms()
            return
        self.read_terms()
        self._logged_step = row.pop("step")
        for logger in self.trainer.loggers if self.last_terms else ():  # no step yet: several batches make one
            logger.log_metrics(self.last_terms | self.speed | row, self._logged_step)
            logger.save()

    def read_terms(self) -> None:
        """Read the terms of the last steps, for the bar and for `log_row`. Only here is the device waited for.

        Raises:
            NonFiniteTermError: on all processes, when a term is not finite on any.
        """
        unread, self._unread = self._unread, []
        if unread:
            values = torch.cat([values for _, _, values in unread]).tolist()
            terms = [(batch, name) for batch, names, _ in unread for name in names]
            self.last_terms |= {name: value for (_, name), value in zip(terms, values, strict=True)}
            wrong = [term for term, value in zip(terms, values, strict=True) if not math.isfinite(value)]
            if not self.trainer.strategy.reduce_boolean_decision(not wrong):
                what = (
                    f"{wrong[0][1]} is not finite in batch {wrong[0][0]}"
                    if wrong
                    else "a term is not finite on another process"
                )
                raise NonFiniteTermError(
                    f"{what} (found in batch {unread[-1][0]}). Lower the learning rate, or train in a wider precision."
                )
        in_bar = {name.removeprefix("train/"): value for name, value in self.last_terms.items()}
        self.trainer.progress_bar_metrics.update(in_bar)
