"""The exponential moving average (EMA) of a network's weights, without waiting for the GPU."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """The EMA of a network's parameters and buffers; the first update copies them.

    torch's `AveragedModel` waits for the GPU in every update, to read the number of updates. Here this number is read
    from checkpoints only.

    Args:
        network: the network to average; the attribute `module` is its EMA.
        decay: weight of the previous EMA in each update, from 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.decay, self.begun = decay, False
        self.requires_grad_(False).eval()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        if f"{prefix}n_averaged" in state_dict:
            self.begun = bool(state_dict[f"{prefix}n_averaged"] > 0)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the EMA towards the network's current parameters and buffers."""
        pairs = [
            (average, value)
            for part in ("parameters", "buffers")
            for average, value in zip(getattr(self.module, part)(), getattr(model, part)(), strict=True)
        ]
        if self.begun:
            update = get_ema_multi_avg_fn(self.decay)
            # `update` takes tensors of one kind at a time; batch norm's counts of batches are integers.
            for floating in (True, False):
                alike = [pair for pair in pairs if pair[0].is_floating_point() == floating]
                if alike:
                    update([average for average, _ in alike], [value for _, value in alike], None)
        else:
            for average, value in pairs:
                average.copy_(value)
        self.begun = True
        self.n_averaged += 1
