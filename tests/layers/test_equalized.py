"""ProGAN's layers by hand; the minibatch standard deviation against plain numpy loops."""

import math

import numpy
import pytest
import torch

from lit_gen.layers.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStddev, PixelNorm


@pytest.mark.parametrize("gain", [math.sqrt(2), 1.0, math.sqrt(2) / 4])
def test_equalized_layers_scale_unit_input_to_the_square_of_the_gain(gain):
    torch.manual_seed(0)
    linear = EqualizedLinear(300, 400, gain=gain)
    assert linear(torch.randn(400, 300)).var().item() == pytest.approx(gain**2, rel=0.05)
    conv = EqualizedConv2d(64, 64, 3, gain=gain)
    output = conv(torch.randn(16, 64, 10, 10))
    assert output.shape == (16, 64, 10, 10)
    assert output[:, :, 1:-1, 1:-1].var().item() == pytest.approx(gain**2, rel=0.05)


def test_default_gain_is_he_s():
    """sqrt(2) / sqrt(fan_in), the fan-in of a convolution being channels times the kernel's area."""
    assert EqualizedConv2d(6, 4, 3).scale == pytest.approx(math.sqrt(2 / 54))
    assert EqualizedConv2d(6, 4, 1).scale == pytest.approx(math.sqrt(2 / 6))
    assert EqualizedLinear(50, 4).scale == pytest.approx(math.sqrt(2 / 50))


def test_weights_are_standard_normal_and_scaled_at_run_time_only():
    torch.manual_seed(0)
    for layer in (EqualizedLinear(200, 200), EqualizedConv2d(64, 64, 3)):
        assert layer.weight.mean().item() == pytest.approx(0, abs=0.02)
        assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
        assert (layer.bias == 0).all()


def test_bias_is_not_scaled():
    conv, linear = EqualizedConv2d(5, 2, 3, gain=0.1), EqualizedLinear(5, 2, gain=0.1)
    for layer, zeros in ((conv, torch.zeros(1, 5, 4, 4)), (linear, torch.zeros(1, 5))):
        torch.nn.init.constant_(layer.bias, 3.0)
        assert (layer(zeros) == 3).all()


def test_equalized_convolution_by_hand():
    conv = EqualizedConv2d(2, 1, 2, gain=2.0, padding=0)
    image = torch.arange(8.0).view(1, 2, 2, 2)
    with torch.no_grad():
        conv.weight.copy_(torch.ones(1, 2, 2, 2))
        conv.bias.fill_(0.5)
    assert conv(image).item() == pytest.approx(28 * 2 / math.sqrt(8) + 0.5)


def test_gradient_of_the_stored_weight_is_scaled():
    linear = EqualizedLinear(4, 1, gain=1.0)
    linear(torch.ones(1, 4)).sum().backward()
    torch.testing.assert_close(linear.weight.grad, torch.full((1, 4), 0.5))
    assert linear.bias.grad.item() == 1


def test_pixel_norm_by_hand():
    x = torch.tensor([[3.0, 4.0], [0.5, 0.0]])[:, :, None, None]  # of mean squares 12.5 and 0.125
    expected = torch.tensor([[3 / 12.5**0.5, 4 / 12.5**0.5], [2**0.5, 0.0]])[:, :, None, None]
    torch.testing.assert_close(PixelNorm()(x), expected)


def test_pixel_norm_is_for_each_pixel_by_itself():
    x = torch.randn(2, 16, 3, 5) * (0.1 + torch.rand(2, 1, 3, 5)) * 10
    output = PixelNorm()(x)
    torch.testing.assert_close(output.square().mean(1), torch.ones(2, 3, 5), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(output[:, :, 1, 2], PixelNorm()(x[:, :, 1, 2]))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_pixel_norm_of_nothing_is_nothing(kind):
    assert (PixelNorm()(torch.zeros(1, 4, 2, 2, dtype=kind)) == 0).all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [3e-4, 1e-2, 1.0, 300.0, 3e4])
def test_pixel_norm_in_16_bits_is_that_of_32(size, kind):
    """In float16 the square of 300 is infinite, and 1e-8 and the square of 3e-4 are 0."""
    x = (torch.randn(2, 16, 3, 3, generator=torch.Generator().manual_seed(0)).clamp(-2, 2) * size).to(kind)
    output = PixelNorm()(x)
    assert output.dtype is kind
    torch.testing.assert_close(output, PixelNorm()(x.float()).to(kind), rtol=0, atol=0)


def stddev_of_groups(x, groups):
    """numpy: for each group (a list of image numbers) the population deviation of every feature, averaged."""
    plane = numpy.zeros(len(x))
    for group in groups:
        features = numpy.stack([x[index].ravel() for index in group])
        deviations = [math.sqrt(sum((v - column.mean()) ** 2 for v in column) / len(column)) for column in features.T]
        plane[group] = sum(deviations) / len(deviations)
    return plane


@pytest.mark.parametrize(
    "batch, size, groups",
    [
        (8, 4, [[0, 2, 4, 6], [1, 3, 5, 7]]),  # interleaved: neighbours are in different groups
        (12, 4, [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]),
        (4, 4, [[0, 1, 2, 3]]),
        (3, 4, [[0, 1, 2]]),  # fewer images than a group
        (6, 4, [[0, 2, 4], [1, 3, 5]]),  # the largest divisor below 4 is 3
        (10, 4, [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]),
        (8, 16, [list(range(8))]),
    ],
)
def test_minibatch_stddev_against_numpy(batch, size, groups):
    x = torch.randn(batch, 3, 2, 4, generator=torch.Generator().manual_seed(batch))
    x *= torch.arange(1, batch + 1)[:, None, None, None]  # so that groups differ
    output = MinibatchStddev(size)(x)
    assert output.shape == (batch, 4, 2, 4)
    assert torch.equal(output[:, :3], x)
    expected = torch.from_numpy(stddev_of_groups(x.double().numpy(), groups)).float()
    torch.testing.assert_close(output[:, 3], expected[:, None, None].expand(batch, 2, 4), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 7])
def test_minibatch_stddev_of_a_prime_number_of_images_is_zero(batch):
    """Seven images have no group but single ones, whose deviation is 0 but for the constant under the root."""
    output = MinibatchStddev(4)(torch.randn(batch, 3, 2, 2))
    torch.testing.assert_close(output[:, 3], torch.full((batch, 2, 2), 1e-4), rtol=1e-3, atol=0)


def test_minibatch_stddev_of_equal_images_has_a_finite_gradient():
    x = torch.ones(4, 2, 3, 3, requires_grad=True)
    MinibatchStddev(4)(x)[:, 2].sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_minibatch_stddev_is_computed_in_float32_and_keeps_the_type(dtype):
    """In float16 the constant under the root, 1e-8, is 0, and the root's slope at 0 is infinite."""
    x = torch.ones(4, 2, 3, 3, dtype=dtype, requires_grad=True)
    output = MinibatchStddev(4)(x)
    output[:, 2].sum().backward()
    assert output.dtype == dtype and torch.isfinite(x.grad).all()
    assert output[0, 2, 0, 0].item() == pytest.approx(1e-4, rel=0.01)
