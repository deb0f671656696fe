"""The loss terms of the last training steps, kept on the device until they are read together."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lit_gen.errors import UserError

CHECK_EVERY_N_BATCHES = 50
"""Largest number of batches before a term is checked; all terms are also checked before a checkpoint is written."""


class NonFiniteTerm(UserError):
    """A term of a training loss is infinite or not a number."""


class TermRing:
    """A store of the terms that have not been read yet."""

    def __init__(self) -> None:
        self._unread: list[tuple[int, list[str], Tensor]] = []

    def clear(self) -> None:
        """Forget all terms."""
        self._unread = []

    def write(self, batch: int, terms: Mapping[str, Tensor]) -> None:
        """Store the terms of a step.

        Args:
            batch: number of the step's batch in the training, from 1 on.
            terms: scalars by their names in the log.
        """
        self._unread.append((batch, list(terms), torch.stack([value.detach().float() for value in terms.values()])))

    @property
    def is_full(self) -> bool:
        """Whether the oldest stored terms are `CHECK_EVERY_N_BATCHES` batches old."""
        return bool(self._unread) and self._unread[-1][0] - self._unread[0][0] >= CHECK_EVERY_N_BATCHES

    def check(self, agree: Callable[[bool], bool]) -> None:
        """Read all terms and forget them. Only here does the training wait for the device.

        Args:
            agree: function that returns whether its argument is true on all processes; all must call it together.

        Raises:
            NonFiniteTerm: a term is not finite on this process or on another; all processes raise it.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        finite = torch.cat([values for _, _, values in unread]).isfinite().tolist()
        if agree(all(finite)):
            return
        terms = [(batch, name) for batch, names, _ in unread for name in names]
        first = next((term for term, good in zip(terms, finite, strict=True) if not good), None)
        what = f"{first[1]} is not finite in batch {first[0]}" if first else "a term is not finite on another process"
        raise NonFiniteTerm(
            f"{what} (found in batch {unread[-1][0]}). Lower the learning rate, or train in a wider precision."
        )
