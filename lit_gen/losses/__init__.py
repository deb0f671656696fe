"""Loss terms as pure functions of tensors; none steps an optimizer or calls `backward`."""

from torch import Tensor

Terms = dict[str, Tensor]
"""Weighted scalars by name: their sum is the loss, and each is logged."""
