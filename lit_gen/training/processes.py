"""The exchange of values between the processes of a training."""

import time
from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import distributed


def in_a_group() -> bool:
    """Return whether this process is one of a group that exchanges values."""
    return distributed.is_available() and distributed.is_initialized()


def gather(mine: Any) -> list[Any]:
    """Return the values of all processes, of any type that can be pickled, in the order of their ranks.

    All processes must call it together.
    """
    if not in_a_group():
        return [mine]
    everyones: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyones, mine)
    return everyones


class Agreement:
    """An exchange of flags between all processes, about once per second, because each exchange makes all of them wait.

    All processes must ask together, once per batch. The number of batches between two exchanges follows from what was
    exchanged, and so is the same for all.
    """

    seconds = 1.0
    most_batches = 50

    def __init__(self) -> None:
        self._between, self._batches, self._asked_at = 1, 0, time.monotonic()

    def ask(self, strategy: Strategy, told: list[bool], now: bool = False) -> list[bool]:
        """Return what any process was told, or False for all until the next exchange; `now` forces one."""
        if not in_a_group():
            return told
        self._batches += 1
        if self._batches < self._between and not now:
            return [False] * len(told)
        spent = time.monotonic() - self._asked_at
        numbers = torch.tensor([spent / self._batches, *map(float, told)], device=strategy.root_device)
        seconds, *agreed = strategy.reduce(numbers, reduce_op="max").tolist()
        self._between = max(1, min(self.most_batches, int(self.seconds / max(seconds, 1e-6))))
        self._batches, self._asked_at = 0, time.monotonic()
        return [flag > 0 for flag in agreed]
