"""Several processes that train one model whose step moves one network after the other."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import Tensor, distributed
from torch.optim import Optimizer

from lit_gen.training.processes import in_a_group


class AlternatingDDP(DDPStrategy):
    """Data parallel training of a model with manual optimization, which sends each gradient once.

    Lightning's DDP wraps the model, and every backward pass then sends the gradients of both networks, of D's step and
    of G's, and those of each micro-batch. Here nothing is wrapped: a step's gradients are averaged over the processes
    once they are complete (as in NVlabs' StyleGAN3). All processes must have gradients for the same parameters.

    Batch norm counts in each process; the first one's counts are those that are validated with and saved.
    """

    def configure_ddp(self) -> None:
        assert self.model is not None
        _send_from_first([value.detach() for value in (*self.model.parameters(), *self.model.buffers())])

    def average_gradients(self, optimizer: Optimizer) -> None:
        """Replace the gradients of an optimizer's parameters by their means over all processes."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for gradients in _by_type([value.grad for value in parameters if value.grad is not None]):
            whole = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(whole)
            _unpack(whole / self.world_size, gradients)

    def on_validation_start(self) -> None:
        self._share_buffers()

    def lightning_module_state_dict(self) -> dict[str, Any]:
        self._share_buffers()
        return super().lightning_module_state_dict()

    def _share_buffers(self) -> None:
        if self.model is not None and in_a_group():
            _send_from_first(self.model.buffers())


def average_gradients(strategy: Strategy, optimizer: Optimizer) -> None:
    """Average complete gradients over the processes, where `backward` has not done so."""
    if isinstance(strategy, AlternatingDDP):
        strategy.average_gradients(optimizer)


def _send_from_first(tensors: Iterable[Tensor]) -> None:
    for some in _by_type(tensors):
        whole = torch.cat([tensor.flatten() for tensor in some])
        distributed.broadcast(whole, 0)
        _unpack(whole, some)


def _by_type(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.dtype, []).append(tensor)
    return list(groups.values())


def _unpack(whole: Tensor, tensors: list[Tensor]) -> None:
    for tensor, piece in zip(tensors, whole.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))
