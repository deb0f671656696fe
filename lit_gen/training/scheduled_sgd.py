"""SGD whose momentum changes from step to step."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import SGD


class ScheduledSGD(SGD):
    """torch's SGD, whose momentum may be a tensor, as its learning rate may: both change within a CUDA graph.

    A step is v ← μ v + ∇, then θ ← θ − η v. torch's own compares μ with 0 on the host, where a tensor on a GPU would be
    waited for. States and settings are torch's. Dampening, weight decay and Nesterov's form are left out.
    """

    scheduled: ClassVar[tuple[str, ...]] = ("lr", "momentum")
    """Settings that CUDA graphs read from tensors."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; with a closure, after its backward pass, whose loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            velocities: list[Tensor] = []
            for parameter in parameters:
                state = self.state[parameter]
                if state.get("momentum_buffer") is None:  # also of torch's SGD without momentum
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                velocities.append(state["momentum_buffer"])
            if parameters:
                torch._foreach_mul_(velocities, group["momentum"])
                torch._foreach_add_(velocities, [parameter.grad for parameter in parameters])
                torch._foreach_sub_(parameters, torch._foreach_mul(velocities, group["lr"]))
        return loss
