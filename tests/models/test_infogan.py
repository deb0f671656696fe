"""InfoGAN: the paper's two networks, the bound in nats, who trains Q, and categories as classes."""

import math

import pytest
import torch
from torch import nn

from lit_gen.errors import UserError
from lit_gen.models import InfoGAN
from tests.models import tiny

CELEBA = {
    "noise_dim": 128, "categorical_codes": [10] * 10, "continuous_codes": 0, "hidden_features": 0,
    "generator_channels": [448, 256, 128, 64], "discriminator_channels": [64, 128, 256],
}  # fmt: skip


def layers(network, *kinds):
    return [module for module in network.modules() if isinstance(module, kinds)]


def kinds_and_widths(network):
    """(class, outputs) of each layer with weights, in their order."""
    found = layers(network, nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d)
    widths = ("out_features", "out_channels", "num_features")
    return [(type(x).__name__, next(getattr(x, name) for name in widths if hasattr(x, name))) for x in found]


def test_the_paper_s_mnist_network():
    with torch.device("meta"):
        model = InfoGAN(tiny.spec(1, 28))
    assert model.latent_dim == 62 + 10 + 2
    assert kinds_and_widths(model.generator) == [
        ("Linear", 1024), ("BatchNorm1d", 1024), ("Linear", 7 * 7 * 128), ("BatchNorm1d", 7 * 7 * 128),
        ("ConvTranspose2d", 64), ("BatchNorm2d", 64), ("ConvTranspose2d", 1),
    ]  # fmt: skip
    assert kinds_and_widths(model.discriminator.body) == [
        ("Conv2d", 64), ("Conv2d", 128), ("BatchNorm2d", 128), ("Linear", 1024), ("BatchNorm1d", 1024),
    ]  # fmt: skip
    assert kinds_and_widths(model.discriminator.head) == [("Linear", 1)]
    assert kinds_and_widths(model.discriminator.recognition) == [("Linear", 128), ("BatchNorm1d", 128), ("Linear", 12)]


def test_the_paper_s_celeba_network():
    with torch.device("meta"):
        model = InfoGAN(tiny.spec(3, 32), **CELEBA)
    assert model.latent_dim == 228
    assert kinds_and_widths(model.generator) == [
        ("Linear", 2 * 2 * 448), ("BatchNorm1d", 2 * 2 * 448), ("ConvTranspose2d", 256), ("BatchNorm2d", 256),
        ("ConvTranspose2d", 128), ("ConvTranspose2d", 64), ("ConvTranspose2d", 3),
    ]  # fmt: skip
    assert kinds_and_widths(model.discriminator.body) == [
        ("Conv2d", 64), ("Conv2d", 128), ("BatchNorm2d", 128), ("Conv2d", 256), ("BatchNorm2d", 256),
    ]  # fmt: skip
    assert model.discriminator.head.in_features == 4 * 4 * 256
    assert kinds_and_widths(model.discriminator.recognition) == [("Linear", 128), ("BatchNorm1d", 128), ("Linear", 100)]


@pytest.mark.parametrize("channels, size, settings", [(1, 28, {}), (3, 32, CELEBA), (1, 16, {})])
def test_sizes(channels, size, settings):
    narrow = {name: [8, 6, 4, 2][-len(value) :] for name, value in settings.items() if name.endswith("channels")}
    model = tiny.build(InfoGAN, channels, size, **settings | narrow)
    images = model.generate(3)
    assert images.shape == (3, channels, size, size)
    logits, outputs = model.discriminator.recognize(images)
    assert logits.shape == (3, 1) and outputs.shape == (3, sum(code.outputs for code in model.codes))
    torch.testing.assert_close(model.discriminator(images), logits)


def test_slopes_strides_and_initial_weights():
    model = InfoGAN(tiny.spec(1, 28))
    assert {layer.negative_slope for layer in layers(model, nn.LeakyReLU)} == {0.1}
    for layer in layers(model, nn.Conv2d, nn.ConvTranspose2d):
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))
    for layer in layers(model, nn.Conv2d, nn.ConvTranspose2d, nn.Linear):
        deviation = 0.02 / (2 * layer.weight.numel()) ** 0.5  # of the estimate of the deviation
        assert layer.weight.std().item() == pytest.approx(0.02, abs=5 * deviation)
    assert not layers(model, nn.Softmax, nn.LogSoftmax, nn.Sigmoid), "logits: a second softmax would be one too many"


# Codes


def test_codes_are_drawn_from_their_priors():
    model = tiny.build(InfoGAN, noise_dim=5, categorical_codes=[3, 2], continuous_codes=2)
    for generator in (None, torch.Generator().manual_seed(0)):
        noise, three, two, continuous = model.sample_latent(6000, generator).split([5, 3, 2, 2], dim=1)
        for numbers in (noise, continuous):
            assert numbers.abs().max() <= 1 and numbers.mean().item() == pytest.approx(0, abs=0.02)
            assert numbers.var().item() == pytest.approx(1 / 3, abs=0.01)
        for one_hot in (three, two):
            assert one_hot.unique().tolist() == [0, 1] and (one_hot.sum(1) == 1).all()
            assert one_hot.mean(0).tolist() == pytest.approx([1 / one_hot.shape[1]] * one_hot.shape[1], abs=0.03)
        together = torch.einsum("bi,bj->ij", three, two) / 6000  # independent of each other
        assert together.flatten().tolist() == pytest.approx([1 / 6] * 6, abs=0.02)


# Losses


@pytest.mark.parametrize("network", ["discriminator", "generator"])
def test_code_terms_are_weighted_sums_over_codes(network):
    """Independent: torch's cross-entropy on class numbers, half the squared error up to its constant."""
    settings = {"categorical_codes": [3, 4], "continuous_codes": 2, "noise_dim": 4}
    model = tiny.build(InfoGAN, **settings, information_weight=0.5, continuous_weight=0.2)
    fakes = model.make_fakes(tiny.batch(8))
    _, outputs = model.discriminator.recognize(fakes.image)
    terms = getattr(model, f"{network}_loss")(tiny.batch(8), fakes)
    first, second, numbers = fakes.codes.split([3, 4, 2], dim=1)
    entropy = nn.functional.cross_entropy
    categorical = entropy(outputs[:, :3], first.argmax(1)) + entropy(outputs[:, 3:7], second.argmax(1))
    squares = (outputs[:, 7:] - numbers).square().sum(1).mean() / 2 + math.log(2 * math.pi)
    letter = network[0]
    torch.testing.assert_close(terms[f"{letter}_categorical"], 0.5 * categorical)
    torch.testing.assert_close(terms[f"{letter}_continuous"], 0.2 * squares)


@pytest.mark.parametrize("name", ["d_categorical", "d_continuous"])
def test_the_codes_terms_train_q_and_the_body_in_d_s_step(name):
    model = tiny.build(InfoGAN)
    batch = tiny.batch()
    fakes = model.make_fakes(batch)
    model.discriminator_loss(batch, type(fakes)(*(field.detach() for field in fakes)))[name].backward()
    for part in (model.discriminator.body, model.discriminator.recognition):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters() if p.ndim > 1)
    assert model.discriminator.head.weight.grad is None


@pytest.mark.parametrize("name", ["g_categorical", "g_continuous"])
def test_the_codes_terms_reach_all_of_g(name):
    """A public implementation rebuilds the tensor of log-probabilities, and with it drops the gradient."""
    model = tiny.build(InfoGAN)
    batch = tiny.batch()
    model.generator_loss(batch, model.make_fakes(batch))[name].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.generator.parameters() if p.ndim > 1)


def test_reals_and_fakes_go_through_d_by_themselves():
    model = tiny.build(InfoGAN)
    batch = tiny.batch()
    fakes = model.make_fakes(batch)
    one, other = (model.discriminator_loss(batch, fakes._replace(image=f)) for f in (fakes.image, -fakes.image))
    assert torch.equal(one["d_real"], other["d_real"]) and not torch.equal(one["d_fake"], other["d_fake"])


def test_learning_rates_of_the_paper():
    with torch.device("meta"):
        optimizers = InfoGAN(tiny.spec(1, 28)).configure_optimizers()
    settings = [(group["lr"], group["betas"]) for optimizer in optimizers for group in optimizer.param_groups]
    assert settings == [(2e-4, (0.5, 0.999)), (1e-3, (0.5, 0.999))]


@pytest.mark.parametrize("weight, low, high", [(1.0, 0.7, math.log(3)), (0.0, -0.1, 0.1)])
def test_the_bound_nears_the_entropy_in_training(weight, low, high):
    """Codes come to be read from the images, ln 3 = 1.10 nats at most; without the term nothing is learnt of them."""
    model = tiny.build(InfoGAN, discriminator_learning_rate=5e-3, information_weight=weight)
    optimizers, batch, bounds = model.configure_optimizers(), tiny.batch(32), []
    for _ in range(150):
        fakes = model.make_fakes(batch)
        detached = type(fakes)(*(field.detach() for field in fakes))
        for optimizer, loss, made in zip(
            optimizers, (model.discriminator_loss, model.generator_loss), (detached, fakes), strict=True
        ):
            terms = loss(batch, made)
            model.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
        bounds.append(model.beside["information_categorical"].item())
    assert abs(bounds[0]) < 0.3
    assert low < sum(bounds[-20:]) / 20 <= high


def test_one_image():
    """Batch norm over a batch has nothing to say of one image: a plain word in training, no trouble in evaluation."""
    model = tiny.build(InfoGAN)
    with pytest.raises(UserError, match="two images per batch"):
        model.make_fakes(tiny.batch(1))
    model.eval()
    assert model.make_fakes(tiny.batch(1)).image.shape == (1, 1, 16, 16)
    assert model.categories(tiny.images(1)).shape == (1,)


# Categories as classes


def test_categories_are_q_s_first_code_in_evaluation_mode():
    model = tiny.build(InfoGAN, categorical_codes=[3, 4])
    images = tiny.images(6)
    categories = model.categories(images)
    assert model.discriminator.training, "the mode must be left as it was"
    model.eval()
    with torch.no_grad():
        logits = model.discriminator.recognition(model.discriminator.body(images))[:, :3]
    assert torch.equal(categories, logits.argmax(1))
    torch.testing.assert_close(model.categories(images[:1]), categories[:1])  # no neighbour matters


def test_no_categories_without_a_categorical_code():
    with pytest.raises(UserError, match="categorical_codes"):
        tiny.build(InfoGAN, categorical_codes=[]).categories(tiny.images(2))


# Mistakes


@pytest.mark.parametrize(
    "size, settings, words",
    [
        (28, {"generator_channels": [8, 8, 8]}, "3 generator_channels.*multiple of 8, not 28"),
        (30, {}, "2 generator_channels.*multiple of 4, not 30"),
        (16, {"discriminator_channels": []}, "0 discriminator_channels.*multiple"),
        (16, {"categorical_codes": [], "continuous_codes": 0}, "at least one code"),
        (16, {"categorical_codes": [10, 1]}, "two categories"),
    ],
)
def test_settings_that_do_not_fit(size, settings, words):
    with pytest.raises(UserError, match=words):
        tiny.build(InfoGAN, size=size, **settings)
