"""The terms of the last training steps, which stay on the device until they are looked at together."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lit_gen.errors import UserError

CHECK_EVERY_N_BATCHES = 50
"""How late a training term that is not finite may be found; never after it went into a checkpoint."""


class NonFiniteTerm(UserError):
    """A term of a training loss is infinite or not a number."""


class TermRing:
    """Scalars of training steps that nobody has read yet."""

    def __init__(self) -> None:
        self._unread: list[tuple[int, list[str], Tensor]] = []

    def clear(self) -> None:
        """Forget all terms."""
        self._unread = []

    def write(self, batch: int, terms: Mapping[str, Tensor]) -> None:
        """Keep the terms of a step.

        Args:
            batch: the number of its batch in the training, from 1 on.
            terms: scalars by their names in the log.
        """
        self._unread.append((batch, list(terms), torch.stack([value.detach().float() for value in terms.values()])))

    @property
    def is_full(self) -> bool:
        """Whether the oldest terms have waited for `CHECK_EVERY_N_BATCHES` batches."""
        return bool(self._unread) and self._unread[-1][0] - self._unread[0][0] >= CHECK_EVERY_N_BATCHES

    def check(self, agree: Callable[[bool], bool]) -> None:
        """Read all terms and forget them: the one place where a training waits for the device.

        Args:
            agree: tells whether something is true on all processes; all of them have to call this.

        Raises:
            NonFiniteTerm: on all processes, when a term is not finite on any.
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
