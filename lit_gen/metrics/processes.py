"""The division of a test's work over several processes, and the exchange of results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from tqdm import tqdm

from lit_gen.training.processes import gather, in_a_group

T = TypeVar("T")


def place() -> tuple[int, int]:
    """Return the rank of this process and the world_size."""
    if in_a_group():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class Share:
    """This process's share of `count` rows, which all processes take from their batches; the shares sum to `count`."""

    def __init__(self, count: int) -> None:
        number, processes = place()
        self.left = count // processes + (number < count % processes)

    def of(self, batch: Any) -> Any:
        """Return the rows of the next batch that are within the share; none, once it is taken."""
        taken = type(batch)(*(field[: self.left] for field in batch))
        self.left -= len(taken[0])
        return taken


def turn(number: int) -> int:
    """Return the number of this process's batch `number` among the batches of all processes, a seed for its noise."""
    process, processes = place()
    return number * processes + process


def is_enough(images: int, wanted: int) -> bool:
    """Return whether all processes together have `wanted` images when this one has `images`.

    Their shares differ by one image at most, so that none stops before all together have enough.
    """
    _, processes = place()
    return (images - 1) * processes + 1 >= wanted


def own_pieces(count: int, size: int) -> Iterator[tuple[int, list[int]]]:
    """Yield this process's share of `count` rows, `size` at a time, each with the number of those before."""
    number, processes = place()
    rows = range(number, count, processes)
    for start in range(0, len(rows), size):
        yield start, list(rows[start : start + size])


def as_model_input(data: Any, dataset: Any, rows: Sequence[int], device: torch.device) -> Any:
    """Return rows of a dataset as a model gets them: images in [-1, 1], on the device, not mirrored."""
    batch = dataset.__getitems__(list(rows))
    return data.to_floats(type(batch)(*(field.to(device) for field in batch)), flip=False)


def from_first(make: Callable[[], T]) -> T:
    """Call `make` on rank 0 and return its result on all processes; the others wait for it."""
    number, processes = place()
    made: list[Any] = [make() if number == 0 else None]
    if processes > 1:
        distributed.broadcast_object_list(made)
    return made[0]


def in_pieces(
    count: int, size: int, look: Callable[[int, range], Mapping[str, Tensor]], work: str
) -> dict[str, Tensor]:
    """Look at `count` rows, `size` at a time, shared out over the processes, with a progress bar called `work`.

    Pieces are the same for any number of processes. All processes must call it together. `look` gets a piece's number
    and its rows, and returns named tensors (N, ...) of any N; those of all pieces are joined per name on the CPU.
    """
    number, processes = place()
    pieces = range(number, -(-count // size), processes)
    found: dict[str, list[tuple[int, Tensor]]] = {}
    for piece in tqdm(pieces, desc=work, unit="batch", mininterval=1, disable=number > 0):
        for name, values in look(piece, range(piece * size, min(count, (piece + 1) * size))).items():
            found.setdefault(name, []).append((piece, values.cpu()))
    everyone = gather(found)
    names = dict.fromkeys(name for one in everyone for name in one)
    numbered = {name: [pair for one in everyone for pair in one.get(name, ())] for name in names}
    return {
        name: torch.cat([values for _, values in sorted(pairs, key=lambda pair: pair[0])])
        for name, pairs in numbered.items()
    }
