"""Fully connected layers, and what stands between them."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}
Activation = Literal["relu", "tanh", "silu"]


def linear_layers(sizes: list[int], activation: Activation = "relu") -> list[nn.Module]:
    """Return fully connected layers between units of these numbers, with a nonlinearity after all but the last."""
    layers: list[nn.Module] = []
    for before, size in pairwise(sizes):
        layers += [nn.Linear(before, size), ACTIVATIONS[activation]()]
    return layers[:-1]


class Maxout(nn.Module):
    """The largest of `pieces` linear functions for each unit (Goodfellow et al. 2013, arXiv:1302.4389).

    Args:
        in_features: units in.
        out_features: units out.
        pieces: linear functions per unit.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(-1)  # (B, out_features)


class Affine(nn.Module):
    """The function a x + b of each pixel."""

    def __init__(self, factor: float, offset: float) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x + self.offset
