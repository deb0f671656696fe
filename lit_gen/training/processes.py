"""What the processes of one training tell each other."""

from typing import Any

from torch import distributed


def gather(mine: Any) -> list[Any]:
    """Return what each process has here, by rank; all of them have to call this.

    Args:
        mine: what this process has; it can be pickled.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [mine]
    everyones: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyones, mine)
    return everyones
