"""CycleGAN: receptive fields, sizes, the pool, the terms by hand, a rate that falls, and what it makes of pictures."""

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from lit_gen.data.batches import UnpairedImages
from lit_gen.errors import UserError
from lit_gen.models import CycleGAN
from lit_gen.models.cyclegan import Discriminator, Fakes, Generator
from tests.models import tiny


def unpaired(count=2, channels=1, size=16, seed=0):
    return tiny.batch(count, channels, size, seed, UnpairedImages)


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def count_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


# The networks


@pytest.mark.parametrize("strided_layers, side", [(3, 70), (2, 34), (1, 16)])
def test_receptive_field(strided_layers, side):
    """The input pixels that one score has a gradient on, without the norms, which see the whole image."""
    critic = Discriminator(3, 4, strided_layers).double()
    for index, layer in enumerate(critic):
        if isinstance(layer, nn.InstanceNorm2d):
            critic[index] = nn.Identity()
    image = torch.randn(1, 3, 160, 160, dtype=torch.double, requires_grad=True)
    scores = critic(image)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    seen = image.grad[0].abs().sum(0) > 0
    for axis in (0, 1):
        (places,) = seen.any(axis).nonzero(as_tuple=True)
        assert len(places) == side and places[-1] - places[0] == side - 1


@pytest.mark.parametrize("strided_layers, size, outputs", [(3, 256, 30), (3, 24, 1), (2, 64, 14), (1, 16, 6)])
def test_scores_of_patches(strided_layers, size, outputs):
    assert Discriminator(3, 2, strided_layers)(torch.randn(2, 3, size, size)).shape == (2, 1, outputs, outputs)


@pytest.mark.parametrize("size, blocks", [(256, 9), (128, 6), (64, 6)])
def test_generators_of_the_paper(size, blocks):
    """c7s1-64, d128, d256, R256 x 9 or 6, u128, u64, c7s1-3 (appendix), with the parameters counted by hand."""
    with torch.device("meta"):
        model = CycleGAN(tiny.spec(3, size))
    by_hand = 49 * 3 * 64 + 9 * 64 * 128 + 9 * 128 * 256 + blocks * 2 * 9 * 256 * 256
    by_hand += 9 * 256 * 128 + 9 * 128 * 64 + 49 * 64 * 3 + 3
    for way in ("a_to_b", "b_to_a"):
        generator = model.generator[way]
        assert count_parameters(generator) == by_hand
        convolutions = layers(generator, nn.Conv2d)
        assert [layer.out_channels for layer in convolutions] == [64, 128, 256, *[256] * 2 * blocks, 3]
        assert {layer.padding_mode for layer in convolutions if layer.stride == (1, 1)} == {"reflect"}
        assert [layer.out_channels for layer in layers(generator, nn.ConvTranspose2d)] == [128, 64]
        assert isinstance(generator[-1], nn.Conv2d)  # forward ends with the tanh
        assert len(layers(generator, nn.InstanceNorm2d)) == 5 + 2 * blocks


def test_critics_of_the_paper():
    """C64-C128-C256-C512 with slope 0.2, no norm in the first, and no sigmoid (appendix)."""
    with torch.device("meta"):
        model = CycleGAN(tiny.spec(3, 256))
    by_hand = 16 * 3 * 64 + 64 + 16 * (64 * 128 + 128 * 256 + 256 * 512) + 16 * 512 + 1
    for critic in model.discriminator.values():
        assert count_parameters(critic) == by_hand
        kinds = [type(layer) for layer in critic]
        middle = [nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU] * 3
        assert kinds == [nn.Conv2d, nn.LeakyReLU, *middle, nn.Conv2d]
        assert [layer.stride[0] for layer in layers(critic, nn.Conv2d)] == [2, 2, 2, 1, 1]
        assert {layer.negative_slope for layer in layers(critic, nn.LeakyReLU)} == {0.2}


def test_blend_by_hand():
    """Where the logit is highest the made picture shows, where it is lowest the given one; alike in all channels."""
    torch.manual_seed(0)
    generator, image = Generator(3, 4, 1, blend=True), torch.rand(2, 3, 16, 16) * 2 - 1
    made = nn.Sequential.forward(generator, image).detach()
    logit, color = made[:, 3:], made[:, :3].tanh()
    mean = logit.mean((2, 3), keepdim=True)
    deviation = (logit.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    mask = 1 / (1 + (4 - 4 * (logit - mean) / deviation).exp())
    torch.testing.assert_close(generator(image), (1 - mask) * image + mask * color)
    assert mask.min() < 0.01 and mask.max() > 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_blend_in_the_model(channels):
    model = tiny.build(CycleGAN, channels, blend=True)
    for generator in model.generator.values():
        nn.init.normal_(generator[-1].weight, 0, 1)  # saturated
    image = unpaired(channels=channels).image_a
    made = model(image, "a_to_b")
    assert made.shape == image.shape and made.abs().max() <= 1


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_blend_takes_images_of_any_type(kind):
    generator = Generator(3, 4, 1, blend=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert generator(torch.zeros(1, 3, 16, 16, dtype=kind)).dtype is torch.float32


def test_initial_weights():
    torch.manual_seed(0)
    for network in (Generator(3, 32, 2), Discriminator(3, 32, 3)):
        for layer in layers(network, nn.Conv2d | nn.ConvTranspose2d):
            deviation = 0.02 / (2 * layer.weight.numel()) ** 0.5  # of the estimate of the deviation
            assert layer.weight.std().item() == pytest.approx(0.02, abs=5 * deviation)
            assert layer.bias is None or (layer.bias == 0).all()


def test_evaluation_is_training():
    """Instance norm with running statistics makes other pictures in evaluation."""
    model = tiny.build(CycleGAN)
    batch = unpaired()
    for network in (model.generator["a_to_b"], model.discriminator["a"]):
        trained = network.train()(batch.image_a)
        assert torch.equal(network.eval()(batch.image_a), trained)


@pytest.mark.parametrize("size", [18, 66])
def test_sides_that_are_no_multiples_of_4(size):
    with pytest.raises(UserError, match=f"multiples of 4, not {size}x{size}.*image_size"):
        tiny.build(CycleGAN, size=size)


@pytest.mark.parametrize("size, strided_layers", [(16, 3), (20, 3), (8, 2), (4, 1), (64, 0)])
def test_images_too_small_for_the_critics(size, strided_layers):
    with pytest.raises(UserError, match="discriminator_layers"):
        tiny.build(CycleGAN, size=size, discriminator_layers=strided_layers)


@pytest.mark.parametrize("size, strided_layers", [(8, 1), (12, 2), (24, 3)])
def test_smallest_images(size, strided_layers):
    model = tiny.build(CycleGAN, size=size, discriminator_layers=strided_layers)
    batch = unpaired(1, size=size)
    fakes = model.make_fakes(batch)
    terms = model.discriminator_loss(batch, fakes) | model.generator_loss(batch, fakes)
    assert all(torch.isfinite(term) for term in terms.values())


# The pools


def test_pool_goes_through_a_checkpoint(tmp_path):
    saver = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    model = tiny.build(CycleGAN, pool_size=10)
    trainer = tiny.trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    trainer.fit(model, datamodule=tiny.NoiseData(3, batch_size=2, kind=UnpairedImages))
    loaded = CycleGAN.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    for domain in "ab":
        images = model.pools[domain].get_extra_state()
        assert images.shape == (6, 1, 16, 16)
        assert torch.equal(loaded.pools[domain].get_extra_state(), images)
    assert not torch.equal(model.pools["a"].get_extra_state(), model.pools["b"].get_extra_state())


def test_the_pool_feeds_the_critics_only():
    model = tiny.build(CycleGAN)
    batch = unpaired()
    fakes = model.make_fakes(batch)
    detached = Fakes(*(fake.detach() for fake in fakes))

    def terms(pooled):
        for pool in model.pools.values():
            pool.set_extra_state(pooled)
        torch.manual_seed(3)
        return model.discriminator_loss(batch, detached), model.generator_loss(batch, fakes)

    one, other = (terms(tiny.images(50, seed=seed)) for seed in (1, 2))
    torch.manual_seed(3)
    assert (torch.rand(2) < 0.5).any(), "some image must come from the pool"
    for name in ("d_a_real", "d_b_real"):
        assert torch.equal(one[0][name], other[0][name])
    for name in ("d_a_fake", "d_b_fake"):
        assert not torch.equal(one[0][name], other[0][name])
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


# The terms


class Affine(nn.Module):
    def __init__(self, scale, shift):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, image):
        return self.scale * image + self.shift


def by_hand(**settings):
    """A model of four networks that can be worked out in the head, and pictures that are 0.2 in A and 0.6 in B."""
    model = tiny.build(CycleGAN, **settings)
    model.generator = nn.ModuleDict({"a_to_b": Affine(2, 0), "b_to_a": Affine(0.5, 0.1)})
    model.discriminator = nn.ModuleDict({"a": Affine(1, 0), "b": Affine(1, 0.5)})
    return model, UnpairedImages(torch.full((2, 1, 16, 16), 0.2), torch.full((2, 1, 16, 16), 0.6))


def close(terms, expected):
    assert {name: pytest.approx(term.item(), abs=1e-5) for name, term in terms.items()} == expected


def test_terms_by_hand():
    model, batch = by_hand()
    fakes = model.make_fakes(batch)
    torch.testing.assert_close(fakes.fake_a, torch.full_like(batch.image_a, 0.4))  # 0.5 * 0.6 + 0.1
    torch.testing.assert_close(fakes.fake_b, torch.full_like(batch.image_b, 0.4))  # 2 * 0.2
    close(
        model.discriminator_loss(batch, fakes),
        {
            "d_a_real": 0.5 * (0.2 - 1) ** 2,
            "d_a_fake": 0.5 * 0.4**2,
            "d_b_real": 0.5 * (1.1 - 1) ** 2,
            "d_b_fake": 0.5 * 0.9**2,
        },
    )
    close(
        model.generator_loss(batch, fakes),
        {
            "g_a_to_b": (0.9 - 1) ** 2,
            "g_b_to_a": (0.4 - 1) ** 2,
            "g_cycle_a": 10 * 0.1,  # 0.2 to 0.4 to 0.3
            "g_cycle_b": 10 * 0.2,  # 0.6 to 0.4 to 0.8
            "g_identity_a": 5 * 0.0,  # 0.2 to 0.2
            "g_identity_b": 5 * 0.6,  # 0.6 to 1.2
        },
    )


def test_weights_of_the_terms():
    model, batch = by_hand(cycle_weight=3.0, identity_weight=2.0)
    terms = model.generator_loss(batch, model.make_fakes(batch))
    assert terms["g_cycle_b"].item() == pytest.approx(3 * 0.2) and terms["g_identity_b"].item() == pytest.approx(
        2 * 0.6
    )
    model, batch = by_hand(cycle_weight=0.0, identity_weight=0.0)
    assert set(model.generator_loss(batch, model.make_fakes(batch))) == {"g_a_to_b", "g_b_to_a"}


def test_gradients_reach_both_generators_through_the_cycle():
    """A to B to A moves the generator that it starts with, too: the fake must not be detached there."""
    model = tiny.build(CycleGAN)
    batch = unpaired()
    model.generator_loss(batch, model.make_fakes(batch))["g_cycle_a"].backward()
    for way in ("a_to_b", "b_to_a"):
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.generator[way].parameters())


def test_batch_of_one(tmp_path):
    model = tiny.build(CycleGAN)
    before = tiny.parameters(model)
    tiny.trainer(tmp_path).fit(model, datamodule=tiny.NoiseData(4, batch_size=1, kind=UnpairedImages))
    assert set(tiny.moved(before, model)) == set(before)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


# The schedule


def test_rates_are_constant_and_then_fall_to_0(tmp_path):
    class Rates(Callback):
        seen = []

        def on_train_batch_end(self, trainer, *_):
            self.seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

    model = tiny.build(CycleGAN, learning_rate=0.01)
    data = tiny.NoiseData(10, batch_size=1, kind=UnpairedImages)
    tiny.trainer(tmp_path, max_epochs=4, callbacks=[Rates()]).fit(model, datamodule=data)
    expected = [0.01] * 20 + [0.01 * (40 - step) / 20 for step in range(20, 40)]
    for rates in zip(*Rates.seen, strict=True):
        assert list(rates) == pytest.approx(expected)
    assert Rates.seen[30] == pytest.approx([0.005, 0.005])  # at 75 %
    assert Rates.seen[-1] == pytest.approx([0.0005, 0.0005])


def test_adam_of_the_paper():
    with torch.device("meta"):
        model = CycleGAN(tiny.spec(3, 256))
    groups = [group for optimizer in model.configure_optimizers() for group in optimizer.param_groups]
    assert [(group["lr"], group["betas"]) for group in groups] == [(2e-4, (0.5, 0.999))] * 2


# What it makes of pictures


def test_pictures_come_from_the_average():
    model = tiny.build(CycleGAN, ema_decay=0.9)
    batch = unpaired()
    before = model.predict_step(batch, 0)
    torch.testing.assert_close(before, model.generator["a_to_b"](batch.image_a))
    for parameter in model.generator.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(model.predict_step(batch, 0), before)
    with torch.no_grad():
        model.average.update_parameters(model.generator)
        model.average.update_parameters(model.generator)
    assert not torch.equal(model.predict_step(batch, 0), before)
