"""Noise of the evaluators."""

from contextlib import nullcontext
from unittest import mock

import pytest
import torch

from lit_gen.metrics.inputs import own_noise


def test_own_noise_is_put_back_after_an_error():
    torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError), own_noise(0, torch.device("cpu")):
        torch.rand(9)
        _ = 1 / 0
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))


def test_own_noise_is_that_of_the_gpu_whose_state_is_put_back(monkeypatch):
    gpus = [mock.Mock(), mock.Mock()]
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext())
    monkeypatch.setattr(torch.cuda, "default_generators", gpus)
    monkeypatch.setattr(torch.cuda, "manual_seed", gpus[0].manual_seed)  # the current GPU's
    with own_noise(7, torch.device("cuda", 1)):
        pass
    gpus[1].manual_seed.assert_called_once_with(7)
    gpus[0].manual_seed.assert_not_called()
