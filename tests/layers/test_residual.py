"""The residual block against one put together by hand."""

import pytest
import torch
from torch.nn import functional

from lit_gen.layers.residual import ResidualBlock


@pytest.mark.parametrize("padding", ["reflect", "zeros"])
def test_by_hand(padding):
    block = ResidualBlock(4, padding)
    features = torch.randn(2, 4, 6, 6)

    def convolve(x, weight):
        padded = functional.pad(x, (1, 1, 1, 1), mode="reflect" if padding == "reflect" else "constant")
        return functional.conv2d(padded, weight)

    def normalize(x):
        variance = x.var((2, 3), keepdim=True, unbiased=False)
        return (x - x.mean((2, 3), keepdim=True)) / (variance + 1e-5).sqrt()

    first, second = block.layers[0].weight, block.layers[3].weight
    inner = normalize(convolve(functional.relu(normalize(convolve(features, first))), second))
    torch.testing.assert_close(block(features), features + inner, rtol=1e-4, atol=1e-5)


def test_evaluation_is_training():
    block = ResidualBlock(4, affine=True)
    features = torch.randn(2, 4, 6, 6)
    trained = block.train()(features)
    assert torch.equal(block.eval()(features), trained)
    assert sum(parameter.numel() for parameter in block.parameters()) == 2 * (4 * 4 * 9 + 2 * 4)
