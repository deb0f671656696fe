"""Encoders and decoders: shapes at every size, mirrored, by published parameter counts."""

from functools import partial

import pytest
import torch
from torch import nn

from lit_gen.errors import UserError
from lit_gen.layers.coders import (
    Branch,
    ConvDecoder,
    ConvEncoder,
    MLPDecoder,
    MLPEncoder,
    ResidualDecoder,
    ResidualEncoder,
)

# Side of the narrowest map for each size of image: halved until 3 or 4 pixels are left.
NARROWEST = {16: 4, 28: 3, 32: 4, 64: 4}


def test_convolutions_are_for_squares():
    shape = (3, 32, 64)
    for build in (partial(ConvEncoder, shape, 4), partial(ConvDecoder, 4, shape)):
        with pytest.raises(UserError, match=r"Conv(En|De)coder takes square images, not 32 x 64. Crop or resize them"):
            build()
    for build in (partial(ResidualEncoder, shape, 4), partial(ResidualDecoder, 4, shape)):
        with pytest.raises(UserError, match="a residual network takes square images, not 32 x 64"):
            build()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", NARROWEST)
def test_conv_shapes(size, channels):
    encoder, decoder = ConvEncoder((channels, size, size), 10, 4), ConvDecoder(10, (channels, size, size), 4)
    code = encoder(torch.zeros(2, channels, size, size))
    assert code.shape == (2, 10)
    assert decoder(code).shape == (2, channels, size, size)
    count = {16: 2, 28: 3, 32: 3, 64: 4}[size]
    widths = [4, 8, 16, 32][:count]
    assert [layer.out_channels for layer in encoder if isinstance(layer, nn.Conv2d)] == widths
    up = [layer for layer in decoder.upsample if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in up] == widths[::-1]
    assert encoder[-1].in_features == decoder.project[0].out_features == widths[-1] * NARROWEST[size] ** 2


def test_conv_widths_stop_at_eight_times():
    encoder = ConvEncoder((1, 128, 128), 1, 2)
    assert [layer.out_channels for layer in encoder if isinstance(layer, nn.Conv2d)] == [2, 4, 8, 16, 16]


def test_conv_decoder_ends_linear_and_has_no_norm_at_its_output():
    decoder = ConvDecoder(4, (1, 16, 16), 4)
    assert isinstance(decoder.upsample[-1], nn.ConvTranspose2d)
    images = decoder(100 * torch.randn(64, 4))
    assert images.min() < 0 < images.max()


def test_mlp_of_the_iwae_paper():
    """784 - 200 tanh - 200 tanh - 100 (two for each of 50); 50 - 200 - 200 - 784 back (Burda et al., section 5)."""
    encoder = MLPEncoder((1, 28, 28), 100, [200, 200], "tanh")
    decoder = MLPDecoder(50, (1, 28, 28), [200, 200], "tanh")
    shapes = [tuple(layer.weight.shape) for layer in encoder if isinstance(layer, nn.Linear)]
    assert shapes == [(200, 784), (200, 200), (100, 200)]
    shapes = [tuple(layer.weight.shape) for layer in decoder if isinstance(layer, nn.Linear)]
    assert shapes == [(200, 50), (200, 200), (784, 200)]
    assert [type(layer) for layer in encoder][1:] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert decoder(encoder(torch.zeros(3, 1, 28, 28))[:, :50]).shape == (3, 1, 28, 28)


def test_mlp_by_hand():
    """|x| as relu(x) + relu(-x), through two units."""
    encoder = MLPEncoder((1, 1, 1), 1, [2])
    with torch.no_grad():
        encoder[1].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        encoder[3].weight.copy_(torch.tensor([[1.0, 1.0]]))
        encoder[1].bias.zero_()
        encoder[3].bias.fill_(-5.0)
    assert encoder(torch.tensor([2.0, -3.0]).view(2, 1, 1, 1)).flatten().tolist() == [-3, -2]


def test_mlp_without_hidden_layers_is_linear():
    encoder, decoder = MLPEncoder((1, 2, 2), 3, []), MLPDecoder(3, (1, 2, 2), [])
    assert decoder(encoder(torch.zeros(2, 1, 2, 2))).shape == (2, 1, 2, 2)
    assert not [layer for layer in [*encoder, *decoder] if isinstance(layer, nn.ReLU)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 28, 32])
def test_residual_shapes(size, channels):
    encoder = ResidualEncoder((channels, size, size), 10, 4, [20, 15])
    decoder = ResidualDecoder(10, (channels, size, size), 4, [15, 20])
    code = encoder(torch.zeros(2, channels, size, size))
    assert code.shape == (2, 10)
    assert decoder(code).shape == (2, channels, size, size)
    assert encoder[-1][1].in_features == 16 * (size // 4) ** 2 == decoder[0][-2].out_features


def test_residual_block_without_weights_is_the_identity_and_images_do_not_mix():
    encoder = ResidualEncoder((1, 16, 16), 3, 2, [8])
    block = encoder[3]
    features = torch.randn(2, 8, 4, 4)
    assert not torch.equal(block(features), features)
    images = torch.randn(5, 1, 16, 16)
    torch.testing.assert_close(encoder(images)[:1], encoder(images[:1]))
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(features), features)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(partial(ResidualEncoder, (1, 16, 16), 3), (1, 16, 16)), (partial(ResidualDecoder, 3, (1, 16, 16)), (3,))],
)
def test_residual_blocks_follow_each_other(network, shape):
    """Three blocks, of which all but one, whichever, have weights of zero, are that one; two make a difference."""
    one, three = (network(channels=2, hidden_sizes=[8], blocks=blocks) for blocks in (1, 3))
    (kept,), blocks = ([layer for layer in net if isinstance(layer, Branch)] for net in (one, three))
    assert len(blocks) == 3
    others = [[layer for layer in net if not isinstance(layer, Branch)] for net in (one, three)]
    for source, target in zip(*others, strict=True):
        target.load_state_dict(source.state_dict())
    inputs = torch.randn(2, *shape)
    zeros = {name: torch.zeros_like(value) for name, value in kept.state_dict().items()}
    for place in range(3):
        for index, block in enumerate(blocks):
            block.load_state_dict(kept.state_dict() if index == place else zeros)
        torch.testing.assert_close(three(inputs), one(inputs))
    blocks[0].load_state_dict(kept.state_dict())
    assert not torch.allclose(three(inputs), one(inputs))


def test_residual_sizes_that_do_not_fit():
    with pytest.raises(UserError, match="multiple of 4, not 30"):
        ResidualEncoder((1, 30, 30), 3, 2, [8])
