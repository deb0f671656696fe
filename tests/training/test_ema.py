"""The moving average of G: to the bit what torch's gives, through checkpoints and copies too."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lit_gen.training.ema import MovingAverage
from tests.models.tiny import assert_same


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def change(moving):
    """Its weights, running means and count of batches."""
    moving(torch.randn(8, 3))
    with torch.no_grad():
        for parameter in moving.parameters():
            parameter += torch.randn_like(parameter)


def through_a_checkpoint(average, tmp_path):
    torch.save(average.state_dict(), tmp_path / "average.pt")
    other = MovingAverage(network(), average.decay)
    other.load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    return other


@pytest.mark.parametrize("updates", [0, 1, 5], ids="after {}".format)
@pytest.mark.parametrize(
    "pass_on",
    [
        through_a_checkpoint,
        lambda average, _: copy.deepcopy(average),
        lambda average, _: pickle.loads(pickle.dumps(average)),
    ],
    ids=["checkpoint", "copy", "pickle"],
)
def test_it_is_torch_s(pass_on, updates, tmp_path):
    moving = network()
    average = MovingAverage(moving, 0.9)
    expected = AveragedModel(moving, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for update in range(8):
        if update == updates:
            average = pass_on(average, tmp_path)
        change(moving)
        average.update_parameters(moving)
        expected.update_parameters(moving)
        assert_same(dict(average.state_dict()), dict(expected.state_dict()))


def test_it_takes_no_gradient_and_evaluates():
    average = MovingAverage(network(), 0.9)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert not any(module.training for module in average.modules())
