"""Networks as `export` lets them leave the project: what each computes, what goes in and what comes out."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_gen.errors import UserError

IMAGE = "images (channels first), pixels in [-1, 1]: value of 8 bits / 127.5 - 1"
Exports = dict[str, "Exported"]
"""The networks of a model by name, the one for the example first."""


class Input(NamedTuple):
    """One input of a network.

    values: what it holds, in words.
    draw: gives an example (count, ...) by a CPU generator.
    free_size: whether height and width may be any multiples of four, too.
    """

    values: str
    draw: Callable[[int, torch.Generator], Tensor]
    free_size: bool = False


class Exported(nn.Module):
    """A network and what a model computes with it: a function of tensors alone.

    Args:
        network: all weights that take part.
        compute: gives one output or several by the inputs.
        inputs: by name, in the order in which `compute` takes them.
        outputs: what each holds, in words, by a name that no input has; by default `image`, clamped to its range.
    """

    def __init__(
        self,
        network: nn.Module,
        compute: Callable,
        inputs: Mapping[str, Input],
        outputs: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.compute, self.inputs = network, compute, inputs
        self.outputs, self.clamps = outputs or {"image": IMAGE}, outputs is None

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = self.compute(*inputs)
        found = found if isinstance(found, tuple) else (found,)
        return tuple(output.float().clamp(-1, 1) if self.clamps else output.float() for output in found)

    def examples(self, count: int, padding: int = 0) -> tuple[Tensor, ...]:
        """Return an example of each input, (count, ...); with more pixels at two sides, where the size is free."""
        random = torch.Generator().manual_seed(count)
        drawn = ((one, one.draw(count, random)) for one in self.inputs.values())
        # Copied, for torch.export remembers what a view is of.
        return tuple(nn.functional.pad(x, (0, padding) * 2) if one.free_size else x.clone() for one, x in drawn)


def latents_of(model: Any) -> Input:
    """Return the input for draws of a model's prior."""
    if not hasattr(model, "sample_latent"):
        raise UserError(f"export needs a model with sample_latent, which {type(model).__name__} has not.")
    return Input(f"draws of the prior: {model.prior_in_words}", model.sample_latent)


def image_of(model: Any, free_size: bool = False) -> Input:
    """Return the input for images like a model's."""
    return Input(
        IMAGE, lambda count, random: torch.rand(count, *model.image_shape, generator=random) * 2 - 1, free_size
    )


def sampler_of(model: Any) -> nn.Module:
    """Return the network that a model makes images with: the EMA, if there is one."""
    return getattr(model, "sampler", model)
