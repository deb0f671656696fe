"""The exchange of values between the processes of a training."""

from typing import Any

from torch import distributed


def gather(mine: Any) -> list[Any]:
    """Return the values of all processes, in the order of their ranks. All processes must call it together.

    Args:
        mine: this process's value, of any type that can be pickled.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    everyones: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyones, mine)
    return everyones
