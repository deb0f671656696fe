"""Maxout, by hand."""

import torch

from lit_gen.layers.dense import Maxout


def test_maxout_by_hand():
    """Two units of three pieces each: pieces 0..2 are unit 0, pieces 3..5 unit 1."""
    layer = Maxout(2, 2, 3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, -1], [2, 0], [0, 2], [0, 0]]))
        layer.linear.bias.copy_(torch.tensor([0.0, 0, 0, 0, 0, 5]))
    output = layer(torch.tensor([[1.0, 4.0], [-3.0, -2.0]]))
    assert output.tolist() == [[4, 8], [5, 5]]


def test_maxout_passes_the_gradient_to_the_winner_only():
    layer = Maxout(1, 1, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        layer.linear.bias.zero_()
    layer(torch.tensor([[3.0]])).backward()
    assert layer.linear.weight.grad.tolist() == [[3], [0]]
