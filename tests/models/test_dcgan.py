"""DCGAN: the paper's networks at 64 pixels and fewer, and batch norm that never mixes reals and fakes."""

import pytest
import torch
from torch import nn

from lit_gen.errors import UserError
from lit_gen.models import DCGAN
from tests.models import tiny


@pytest.fixture(scope="module")
def paper():
    return DCGAN(tiny.spec(3, 64))


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


@pytest.mark.parametrize("size, widths", [(64, [1024, 512, 256, 128]), (32, [1024, 512, 256]), (16, [1024, 512])])
def test_widths(size, widths):
    with torch.device("meta"):
        model = DCGAN(tiny.spec(3, size))
    up, down = layers(model.generator, nn.ConvTranspose2d), layers(model.discriminator, nn.Conv2d)
    assert [layer.in_channels for layer in up] == widths
    assert [layer.out_channels for layer in up] == [*widths[1:], 3]
    assert [layer.in_channels for layer in down] == [3, *widths[:0:-1]]
    assert [layer.out_channels for layer in down] == widths[::-1]
    for layer in up + down:
        assert layer.kernel_size == (5, 5) and layer.stride == (2, 2)
    (project,) = layers(model.generator, nn.Linear)
    assert (project.in_features, project.out_features) == (100, 4 * 4 * 1024)
    (last,) = layers(model.discriminator, nn.Linear)
    assert (last.in_features, last.out_features) == (4 * 4 * 1024, 1)


def test_parameter_counts(paper):
    """By hand from figure 1: 5x5 weights, two numbers a channel of batch norm, biases where no batch norm follows."""
    convolutions = 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    generator = 100 * 16384 + convolutions + 2 * (1024 + 512 + 256 + 128) + 3
    discriminator = convolutions + 128 + 2 * (256 + 512 + 1024) + 16384 + 1
    assert sum(p.numel() for p in paper.generator.parameters()) == generator
    assert sum(p.numel() for p in paper.discriminator.parameters()) == discriminator


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_along_the_way(size, channels):
    model = tiny.build(DCGAN, channels, size)
    sizes = []
    for layer in (*layers(model.generator, nn.ConvTranspose2d), *layers(model.discriminator, nn.Conv2d)):
        layer.register_forward_hook(lambda module, args, output: sizes.append(output.shape[-1]))
    image = model.generator(torch.randn(2, 8))
    assert image.shape == (2, channels, size, size)
    assert model.discriminator(image).shape == (2, 1)
    doublings = [side for side in (8, 16, 32, 64) if side <= size]
    assert sizes == doublings + [side // 2 for side in doublings[::-1]]


@pytest.mark.parametrize("channels, size", [(1, 16), (3, 64), (64, 16)])
def test_batch_norm_everywhere_but_at_the_ends(channels, size):
    """(64, 16) has as many channels at D's input as behind its first layer."""
    with torch.device("meta"):
        model = DCGAN(tiny.spec(channels, size), max_channels=128)
    kinds = [type(layer) for layer in model.generator]
    assert kinds[-3:] == [nn.ReLU, nn.ConvTranspose2d, nn.Tanh]
    assert kinds[:4] == [nn.Linear, nn.Unflatten, nn.BatchNorm2d, nn.ReLU]
    stages = len(layers(model.generator, nn.ConvTranspose2d))
    assert kinds[4:-2] == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * (stages - 1)
    kinds = [type(layer) for layer in model.discriminator]
    assert kinds[:2] == [nn.Conv2d, nn.LeakyReLU]
    assert kinds[2:-2] == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * (stages - 1)
    assert kinds[-2:] == [nn.Flatten, nn.Linear]  # logits: no sigmoid


def test_epsilon_slope_and_biases(paper):
    norms = layers(paper, nn.BatchNorm2d)
    assert {norm.eps for norm in norms} == {1e-5}, "public code sets 0.8 where it means the momentum"
    assert {norm.momentum for norm in norms} == {0.1}
    assert {layer.negative_slope for layer in layers(paper, nn.LeakyReLU)} == {0.2}
    assert not layers(paper, nn.Dropout | nn.MaxPool2d | nn.AvgPool2d | nn.Upsample)


def test_initial_weights(paper):
    for layer in layers(paper, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        deviation = 0.02 / (2 * layer.weight.numel()) ** 0.5  # of the estimate of the deviation
        assert layer.weight.std().item() == pytest.approx(0.02, abs=5 * deviation)
        assert layer.weight.mean().item() == pytest.approx(0, abs=5 * 2**0.5 * deviation)
        assert layer.bias is None or (layer.bias == 0).all()
    for norm in layers(paper, nn.BatchNorm2d):
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.4)
        assert (norm.bias == 0).all()


def test_batch_of_one():
    """Public code squeezes D's output and loses the batch at size 1."""
    model = tiny.build(DCGAN).eval()
    assert model.generator(model.sample_latent(1)).shape == (1, 1, 16, 16)
    batch = tiny.batch(1)
    assert model.discriminator(batch.image).shape == (1, 1)
    terms = model.discriminator_loss(batch, model.make_fakes(batch))
    assert all(term.shape == () and torch.isfinite(term) for term in terms.values())


def test_latent_is_uniform_from_minus_1_to_1():
    model = tiny.build(DCGAN, latent_dim=100)
    torch.manual_seed(0)
    for generator in (None, torch.Generator().manual_seed(1)):
        latent = model.sample_latent(2000, generator)
        assert latent.abs().max() <= 1 and latent.abs().max() > 0.999
        assert latent.mean().item() == pytest.approx(0, abs=0.01)
        assert latent.var().item() == pytest.approx(1 / 3, abs=0.005)


def test_reals_and_fakes_go_through_d_by_themselves():
    """D's loss on reals does not depend on the fakes, as it would through batch norm on both together."""
    model = tiny.build(DCGAN)
    batch, seen = tiny.batch(), []
    model.discriminator.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    fakes = model.make_fakes(batch).detach()
    one, other = (model.discriminator_loss(batch, f) for f in (fakes, 5 + 3 * fakes))
    assert torch.equal(one["d_real"], other["d_real"]) and not torch.equal(one["d_fake"], other["d_fake"])
    assert [torch.equal(*pair) for pair in zip(seen, (batch.image, fakes), strict=False)] == [True, True]


def test_adam_of_the_paper(paper):
    groups = [group for optimizer in paper.configure_optimizers() for group in optimizer.param_groups]
    assert {(group["lr"], group["betas"]) for group in groups} == {(2e-4, (0.5, 0.999))}


@pytest.mark.parametrize("size", [8, 28, 48, 218])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(UserError, match=rf"power of two.*not {size}.*32 for MNIST"):
        tiny.build(DCGAN, size=size)
