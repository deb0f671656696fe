"""SGD with momentum, against its closed form."""

import pytest
import torch
from torch import nn

from lit_gen.training.scheduled_sgd import ScheduledSGD


@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_momentum_by_its_closed_form(kind):
    """Under a constant gradient, v after t steps is g (1 - m^t) / (1 - m), and x falls by the rate times their sum."""
    x = nn.Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64))
    optimizer = ScheduledSGD([x], 0.1, 0.7)
    for name, value in (("lr", 0.1), ("momentum", 0.7)):
        optimizer.param_groups[0][name] = kind(value)
    gradient = torch.tensor([2.0, 0.5], dtype=torch.float64)
    for _ in range(12):
        x.grad = gradient
        optimizer.step()
    fallen = 0.1 * gradient / 0.3 * (12 - 0.7 * (1 - 0.7**12) / 0.3)
    torch.testing.assert_close(x.detach(), torch.tensor([3.0, -1.0], dtype=torch.float64) - fallen, rtol=1e-6, atol=0)
