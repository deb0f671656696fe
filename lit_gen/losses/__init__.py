"""Loss terms as pure functions of tensors; none steps an optimizer or calls `backward`."""

from functools import reduce
from operator import add

from torch import Tensor

Terms = dict[str, Tensor]
"""Weighted scalars by name: their sum is the loss, and each is logged."""


def total(terms: Terms) -> Tensor:
    """Return the loss: the sum of its terms."""
    return reduce(add, terms.values())
