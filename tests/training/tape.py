"""A stand-in for CUDA graphs on a CPU: what a recorded step does with its operands can be seen on any machine.

A tape notes each operator of a step with its very operands, those of backward passes and optimizers included. To replay
it is to call them again and to copy what they give into the memory of the recording: addresses are fixed, numbers of
the host too, and draws are new ones. A CUDA graph means the same.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from lit_gen.training.graphs import CannotRecordError


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


class AsksError(Exception):
    """A step asks a tensor for its value, for which a CUDA graph has no place."""


class Tape(TorchDispatchMode):
    """Notes within `with`, and replays."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        options = options or {}
        # `one_hot` reads the largest index on a CPU, and not on a GPU.
        if operator is torch.ops.aten._local_scalar_dense.default and arguments[0].dtype is not torch.int64:
            raise AsksError("the step asks a tensor for its value")
        # Views of their own: `transpose_` changes a tensor's shape, and not its memory.
        operands = tree_map_only(Tensor, Tensor.detach, (arguments, options))
        given = operator(*arguments, **options)
        self.calls.append((operator, *operands, tree_map_only(Tensor, Tensor.detach, given)))
        return given

    def replay(self) -> None:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            for operator, arguments, options, given in self.calls:
                memory = {tensor.untyped_storage().data_ptr() for tensor in tensors((arguments, options))}
                for old, new in zip(tensors(given), tensors(operator(*arguments, **options)), strict=True):
                    if old.untyped_storage().data_ptr() not in memory:  # neither a view nor changed in place
                        old.copy_(new)

    def signature(self) -> list[tuple[str, str]]:
        """The operators with their operands that are no tensors: what a graph keeps to."""
        return [
            (operator.name(), repr([leaf for leaf in tree_leaves((a, o)) if not isinstance(leaf, Tensor)]))
            for operator, a, o, _ in self.calls
            if operator.namespace == "aten"  # and not the profiler's
        ]


class TapeRecorder:
    """Records by a tape. The recording takes the step, so that the first replay has nothing left to do."""

    recorded = 0
    replayed = 0
    launch_bound = True

    def run(self, step: Callable[[], Any]) -> tuple[Any, bool]:
        return step(), self.launch_bound

    def record(self, step: Callable[[], Any], optimizers: list[Optimizer]) -> tuple[Any, Callable[[], None]]:
        tape, first = Tape(), [True]
        try:
            with tape:
                result = step()
        except AsksError as error:
            raise CannotRecordError(str(error)) from error

        def replay() -> None:
            TapeRecorder.replayed += 1
            if not first:
                tape.replay()
            first.clear()

        TapeRecorder.recorded += 1
        return result, replay
