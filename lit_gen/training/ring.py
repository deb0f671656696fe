"""The terms of the last training steps, kept on the device until they are read together."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lit_gen.errors import UserError

READ_EVERY_N_BATCHES = 50
"""Largest number of batches before terms are read; all are also read for a row of the log and before a checkpoint."""


class NonFiniteTermError(UserError):
    """A term of a training loss is infinite or not a number."""


class TermRing:
    """A store of the terms that have not been read yet, and the last value of each that has been."""

    def __init__(self) -> None:
        self._unread: list[tuple[int, list[str], Tensor]] = []
        self.last: dict[str, float] = {}

    def clear(self) -> None:
        """Forget all terms that have not been read."""
        self._unread = []

    def write(self, batch: int, names: list[str], values: Tensor) -> None:
        """Store the terms of a step, without waiting for the device.

        Args:
            batch: number of the step's batch in the training, from 1 on.
            names: names of the terms in the log.
            values: their values (N,), float32.
        """
        self._unread.append((batch, names, values))

    @property
    def is_full(self) -> bool:
        """Whether the oldest stored terms are `READ_EVERY_N_BATCHES` batches old."""
        return bool(self._unread) and self._unread[-1][0] - self._unread[0][0] >= READ_EVERY_N_BATCHES - 1

    def read(self, agree: Callable[[bool], bool]) -> None:
        """Read all terms into `last`. Only here does the training wait for the device.

        Args:
            agree: function that returns whether its argument is true on all processes; all must call it together.

        Raises:
            NonFiniteTermError: a term is not finite on this process or on another; all processes raise it.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        values = torch.cat([values for _, _, values in unread]).tolist()
        terms = [(batch, name) for batch, names, _ in unread for name in names]
        self.last |= {name: value for (_, name), value in zip(terms, values, strict=True)}
        wrong = [term for term, value in zip(terms, values, strict=True) if not math.isfinite(value)]
        if agree(not wrong):
            return
        what = "a term is not finite on another process"
        if wrong:
            what = f"{wrong[0][1]} is not finite in batch {wrong[0][0]}"
        raise NonFiniteTermError(
            f"{what} (found in batch {unread[-1][0]}). Lower the learning rate, or train in a wider precision."
        )
