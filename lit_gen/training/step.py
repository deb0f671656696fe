"""One optimizer step of one network, on one micro-batch or on the mean over several."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import Optimizer

from lit_gen.losses import Terms, total
from lit_gen.training.strategy import average_gradients


def descend(
    model: LightningModule,
    optimizer: LightningOptimizer,
    loss: Callable[[Any, Any], Terms],
    batches: list[Any],
    fakes: Iterable[Any],
) -> Terms:
    """Take one optimizer step on the sum of the terms of `loss`: zero, backward per micro-batch, step.

    Parameters of other optimizers get no gradient. `loss` is a function from a micro-batch and its fakes, which an
    iterator may make one at a time, to named terms. The terms are returned as means over the images of all
    micro-batches, without a graph.
    """
    with alone(model, optimizer):
        optimizer.zero_grad()
        images = sum(len(batch[0]) for batch in batches)
        means: Terms = {}
        for batch, made in zip(batches, fakes, strict=True):
            terms, weight = loss(batch, made), len(batch[0]) / images
            if weight < 1:
                terms = {name: weight * term for name, term in terms.items()}
            model.manual_backward(total(terms))
            means = {name: means.get(name, 0) + term.detach() for name, term in terms.items()}
        average_gradients(model.trainer.strategy, optimizer.optimizer)
        optimizer.step()
    return means


@contextmanager
def alone(model: LightningModule, optimizer: LightningOptimizer) -> Iterator[None]:
    """Let no parameter of other optimizers have gradients within the block, also where the block raises."""
    model.toggle_optimizer(optimizer)
    try:
        yield
    finally:
        model.untoggle_optimizer(optimizer)


def set_number(group: dict[str, Any], name: str, value: float) -> None:
    """Set a setting of an optimizer's parameter group: in place where it is a tensor, which a graph reads."""
    if isinstance(group[name], Tensor):
        group[name].fill_(value)
    else:
        group[name] = float(numpy.float32(value))  # as exact as that tensor, for the same steps


def clip_gradients(optimizer: Optimizer, value: float | None, algorithm: str | None) -> None:
    """Clip the gradients of an optimizer's parameters, as Lightning does for optimizers that are not fused.

    `value` is the largest norm of all together, or with the algorithm `value` the size of each element; none or 0 clips
    nothing. The gradients are not scaled.
    """
    if value:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        clip = clip_grad_value_ if algorithm == "value" else clip_grad_norm_
        clip(parameters, value)


def set_as_told(optimizers: list[Optimizer], told: list[Optimizer], rates: bool = True) -> None:
    """Give resumed optimizers the settings of this run, `told`, in place of the checkpoint's.

    Without `rates` they keep what a scheduler sets: rates, and with OneCycleLR or CyclicLR momenta too.
    """
    kept = {"params"} if rates else {"params", "lr", "initial_lr", "betas", "momentum"}
    for optimizer, fresh in zip(optimizers, told, strict=True):
        for group, settings in zip(optimizer.param_groups, fresh.param_groups, strict=True):
            settings["initial_lr"] = settings["lr"]
            group.update({name: value for name, value in settings.items() if name not in kept})
            for parameter in group["params"]:
                state = optimizer.state.get(parameter, {})
                if group.get("fused") and "step" in state:
                    # Adam's number of steps lies on the CPU in a checkpoint of an optimizer that was not fused.
                    state["step"] = state["step"].to(parameter.device, torch.float32)
                for name, value in state.items():
                    alike = isinstance(value, Tensor) and value.shape == parameter.shape
                    if alike and value.stride() != parameter.stride():
                        # A fused optimizer reads both in the order of memory, which is that of another layout here.
                        state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Freeze the running means and variances of batch norm within the block, also in training mode."""
    norms: list[Any] = [part for part in network.modules() if getattr(part, "track_running_stats", False)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
