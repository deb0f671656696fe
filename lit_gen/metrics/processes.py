"""The division of a test's work over several processes, and the exchange of results."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")


def place() -> tuple[int, int]:
    """Return the rank of this process and the world_size."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def share(count: int) -> int:
    """Return this process's share of `count` images; the shares of all processes sum to `count`."""
    number, processes = place()
    return count // processes + (number < count % processes)


def turn(number: int) -> int:
    """Return the number of this process's batch `number` among the batches of all processes, a seed for its noise."""
    process, processes = place()
    return number * processes + process


def first_rows(batch: Any, count: int) -> Any:
    """Return the first `count` rows of a batch, or all if it has fewer."""
    return type(batch)(*(field[:count] for field in batch))


def from_first(make: Callable[[], T]) -> T:
    """Call `make` on rank 0 and return its result on all processes; the others wait for it."""
    number, processes = place()
    made: list[Any] = [make() if number == 0 else None]
    if processes > 1:
        distributed.broadcast_object_list(made)
    return made[0]
