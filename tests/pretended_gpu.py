"""A pretended GPU: which types and devices a program would meet on CUDA, on a machine that has none.

Within `pretended_gpu` tensors have shapes, types and devices but no values (torch's FakeTensorMode), so that a network
of full size costs nothing. Operators follow CUDA's autocast, whose rules are others than a CPU's, and refuse operands
of two types or on two devices as they do there. Noted is what makes a program wait for the GPU: copies from and to it,
and operators that ask it for a value.

Values that are asked for are made up: 0.5, 2, False, and one row where a mask chooses. There is no backward pass, whose
engine wants a driver: each parameter that a loss depends on gets a gradient of its own type and shape. Nothing is
computed, so that nothing is checked but types, shapes, devices and waiting.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lit_gen.layers.key_patches import candidate_boxes

aten = torch.ops.aten
ASK_FOR_A_SHAPE = {
    "nonzero", "masked_select", "bincount", "_unique", "_unique2", "unique_dim", "unique_consecutive", "equal",
}  # fmt: skip
"""Operators whose result's shape (or bare value) is up to values of their operands."""


@dataclass
class PretendedGPU:
    """What happened within the block, in words: copies between CPU and GPU, operators that wait for the GPU, and random
    draws on the CPU, which a CUDA graph would repeat for ever."""

    copies: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    draws: list[str] = field(default_factory=list)


@contextmanager
def pretended_gpu(autocast: torch.dtype | None = None) -> Iterator[PretendedGPU]:
    """Within, tensors can be made on "cuda".

    Args:
        autocast: the type in 16 bits of mixed precision; float32 without it.
    """
    seen = PretendedGPU()
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    level = logger.level
    candidate_boxes.cache_clear()  # kept for each device, and what is kept here has no values
    with torch.random.fork_rng(devices=[]), ExitStack() as stack:
        stack.callback(candidate_boxes.cache_clear)
        stack.callback(logger.setLevel, level)
        logger.setLevel(logging.CRITICAL)  # errors are raised; it would print them too
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_Notes(seen))
        stack.enter_context(mock.patch.object(Tensor, "backward", _backward))
        stack.enter_context(mock.patch.object(Tensor, "__deepcopy__", lambda self, _: self.detach().clone()))
        stack.enter_context(mock.patch.object(torch.autograd, "grad", _gradients))
        stack.enter_context(mock.patch.object(nn.GRU, "forward", _gru))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        # The states of generators are tensors, which have no values here: to put one back would read what is not there.
        stack.enter_context(mock.patch.object(torch.random, "fork_rng", lambda *_, **__: nullcontext()))
        for name in ("get_rng_state", "set_rng_state"):
            stack.enter_context(mock.patch.object(torch, name, lambda *_: torch.empty(0)))
        stack.enter_context(mock.patch.object(torch.cuda, "default_generators", [mock.Mock()]))
        stack.callback(torch.clear_autocast_cache)
        stack.callback(torch.set_autocast_dtype, "cuda", before[1])
        stack.callback(torch.set_autocast_enabled, "cuda", before[0])
        stack.callback(torch.set_autocast_cache_enabled, torch.is_autocast_cache_enabled())
        if autocast is not None:
            torch.set_autocast_enabled("cuda", True)
            torch.set_autocast_dtype("cuda", autocast)
            torch.set_autocast_cache_enabled(False)  # as Lightning: torch 2.10 would keep what no_grad has cast
        yield seen


@contextmanager
def without_autocast() -> Iterator[None]:
    """Within, all is in float32, as where Lightning calls callbacks."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", False)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before)


class _Notes(TorchDispatchMode):
    """Sees every operator before FakeTensorMode does."""

    def __init__(self, seen: PretendedGPU) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name, on_gpu = func.overloadpacket.__name__, any(map(_on_gpu, args))
        if on_gpu and _waits(func, args, kwargs):
            self.seen.waits.append(func.name().removeprefix("aten::"))
        if func is aten._local_scalar_dense.default:
            return 0.5 if args[0].is_floating_point() else 2 * (args[0].dtype is not torch.bool)
        if func is aten.equal.default:
            return False
        if name == "bincount":
            return args[0].new_ones(args[2] if len(args) > 2 else kwargs.get("minlength", 1))
        if name in ("index", "index_put", "index_put_"):
            if on_gpu and any(isinstance(index, Tensor) and not _on_gpu(index) for index in args[1]):
                self.seen.copies.append("cpu to cuda")
            args = args[0], [some for index in args[1] for some in _one_row(index)], *args[2:]
        result = func(*args, **kwargs)
        if torch.Tag.nondeterministic_seeded in func.tags and not any(map(_on_gpu, tree_leaves(result))):
            self.seen.draws.append(name)
        if name in ("_to_copy", "copy_"):
            source, target = args[name == "copy_"], result
            if isinstance(source, Tensor) and source.device.type != target.device.type:
                self.seen.copies.append(f"{source.device.type} to {target.device.type}")
        return result


def _on_gpu(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cuda"


def _waits(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether CUDA's version of an operator asks the GPU for a value."""
    name = func.overloadpacket.__name__
    if name in ("masked_fill", "masked_fill_"):
        return _on_gpu(args[2])
    if name == "multinomial":
        return not (args[2] if len(args) > 2 else kwargs.get("replacement", False))
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return any(_on_gpu(index) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    return name in ASK_FOR_A_SHAPE | {"_local_scalar_dense"} or func is aten.repeat_interleave.Tensor


def _one_row(index: Tensor | None) -> list[Tensor | None]:
    """A mask as the indices of one element that it chooses; any other index as it is."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    return [torch.zeros(1, dtype=torch.int64, device=index.device)] * index.ndim


def _backward(loss: Tensor, *_: Any, **__: Any) -> None:
    """Gradients for all that the loss depends on, by a walk through its graph."""
    nodes, known = [loss.grad_fn], {loss.grad_fn}
    while nodes:
        node = nodes.pop()
        leaf = getattr(node, "variable", None)
        if leaf is not None and leaf.requires_grad:
            leaf.grad = torch.zeros_like(leaf)
        following = {other for other, _ in node.next_functions if other is not None} - known
        known |= following
        nodes += following


def _gradients(outputs: Tensor, inputs: Any, *_: Any, create_graph: bool = False, **__: Any) -> tuple[Tensor, ...]:
    """Of the inputs' types and shapes; with `create_graph` they depend on what the outputs depend on."""
    inputs = [inputs] if isinstance(inputs, Tensor) else inputs
    depends = outputs.float().sum() if create_graph else 0
    return tuple(torch.zeros_like(one) + depends for one in inputs)


def _gru(self: nn.GRU, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """In place of cuDNN's, which wants a driver; under autocast it gives 16 bits, as cuDNN's does."""
    kind = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
    depends = (x.float().sum() + sum(weight.sum() for weight in self.parameters())).to(kind)
    width = self.hidden_size * (2 if self.bidirectional else 1)
    batch = x.shape[0] if self.batch_first else x.shape[1]
    states = torch.zeros(*x.shape[:-1], width, dtype=kind, device=x.device)
    return states + depends, torch.zeros(self.num_layers, batch, self.hidden_size, dtype=kind, device=x.device)
