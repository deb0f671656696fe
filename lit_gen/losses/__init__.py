"""Loss terms as pure functions on tensors. None steps an optimizer or calls backward."""

from torch import Tensor

Terms = dict[str, Tensor]
"""Named scalars, already weighted: their sum is a loss, their items are its log."""
