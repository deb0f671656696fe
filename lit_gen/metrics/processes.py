"""What the processes of one test share."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")


def place() -> tuple[int, int]:
    """The number of this process, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(count: int) -> int:
    """How many of `count` images this process is to look at, so that all processes together look at that many."""
    number, processes = place()
    return count // processes + (number < count % processes)


def turn(number: int) -> int:
    """What numbers batch `number` of this process among those of all processes: a seed for noise of its own."""
    process, processes = place()
    return number * processes + process


def first_rows(batch: Any, count: int) -> Any:
    """The first `count` rows of a batch, or all where it has fewer."""
    return type(batch)(*(field[:count] for field in batch))


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives on the first process, on all of them; the others wait for it meanwhile."""
    number, processes = place()
    made = [make() if number == 0 else None]
    if processes > 1:
        distributed.broadcast_object_list(made)
    return made[0]
