"""PuzzleGAN: the released networks, patches in any order, and losses at any batch size and resolution."""

from itertools import permutations

import pytest
import torch
from torch import nn
from torch.nn import functional

from lit_gen.errors import UserError
from lit_gen.layers.key_patches import key_patches
from lit_gen.models import PuzzleGAN
from lit_gen.models.puzzle_gan import Assembly
from tests.models import tiny

ORDERS = [list(order) for order in permutations(range(3))]


def paper(size=64):
    with torch.device("meta"):
        return PuzzleGAN(tiny.spec(3, size))


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def patches_and_latent(model, count=4, channels=1, size=16):
    patches = tiny.images(count * 3, channels, size).unflatten(0, (count, 3))
    return patches, model.sample_latent(count, torch.Generator().manual_seed(0))


# The networks


@pytest.mark.parametrize(
    "size, encoder, mask, image, discriminator",
    [(64, 5.36e6, 9.66e6, 15.0e6, 4.32e6), (128, 11.9e6, 22.8e6, 34.7e6, 10.9e6)],
)
def test_parameter_counts_of_the_released_code(size, encoder, mask, image, discriminator):
    model = paper(size)
    assert parameters(model.generator.encoder) == pytest.approx(encoder, rel=5e-3)
    assert parameters(model.generator.mask_decoder) == pytest.approx(mask, rel=5e-3)
    assert parameters(model.generator.image_decoder) == pytest.approx(image, rel=5e-3)
    assert parameters(model.discriminator) == pytest.approx(discriminator, rel=5e-3)


def test_parameter_counts_by_hand():
    """5x5 weights with biases and two numbers a channel of batch norm, none of it at the input of E and D."""
    model = paper()
    stages = (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) * 25 + 64 + 3 * (128 + 256 + 512)
    assert parameters(model.generator.encoder) == stages + 512 * 128 * 16 + 128
    assert parameters(model.discriminator) == stages + 512 * 16 + 1
    norms = 3 * (512 + 256 + 128 + 64)
    mask = 128 * 512 * 16 + (1024 * 256 + 512 * 128 + 256 * 64 + 128 * 1) * 25
    assert parameters(model.generator.mask_decoder) == mask + norms + 1
    image = 256 * 512 * 16 + (1536 * 256 + 768 * 128 + 384 * 64 + 192 * 3) * 25
    assert parameters(model.generator.image_decoder) == image + norms + 3


@pytest.mark.parametrize(
    "size, widths",
    [(16, [64, 128]), (32, [64, 128, 256]), (128, [64, 128, 256, 512, 512]), (256, [64, 128, 256, 512, 512, 512])],
)
def test_widths(size, widths):
    model = paper(size)
    for network in (model.generator.encoder, model.discriminator):
        assert [layer.in_channels for layer in layers(network, nn.Conv2d)] == [3, *widths]
    for decoder, code, factor in ((model.generator.mask_decoder, 128, 2), (model.generator.image_decoder, 256, 3)):
        up = layers(decoder, nn.ConvTranspose2d)
        assert [layer.in_channels for layer in up] == [code, *[factor * width for width in widths[::-1]]]
        assert [layer.out_channels for layer in up[:-1]] == widths[::-1]


def test_kinds_of_layers():
    model = paper()
    for network in (model.generator.encoder, model.discriminator):
        kinds = [type(layer) for layer in network.modules() if not list(layer.children())]
        assert kinds[:2] == [nn.Conv2d, nn.LeakyReLU]
        assert kinds[2:11] == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU] * 3
        assert kinds[11:] == [nn.Conv2d, nn.LeakyReLU if network is model.generator.encoder else nn.Flatten]
    for decoder in (model.generator.mask_decoder, model.generator.image_decoder):
        kinds = [type(layer) for layer in decoder.modules() if not list(layer.children())]
        assert kinds == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * 4 + [nn.ConvTranspose2d]
    assert {layer.negative_slope for layer in layers(model, nn.LeakyReLU)} == {0.2}
    assert {norm.eps for norm in layers(model, nn.BatchNorm2d)} == {1e-5}


@pytest.mark.parametrize("channels, size", [(1, 16), (3, 32), (3, 64)])
def test_sizes_along_the_way(channels, size):
    model = tiny.build(PuzzleGAN, channels, size)
    sizes = []
    for network in (*model.generator.children(), model.discriminator):
        for layer in layers(network, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda module, args, output: sizes.append(output.shape[-1]))
    image, mask = model.generator(*patches_and_latent(model, 2, channels, size))
    assert image.shape == (2, channels, size, size) and mask.shape == (2, 1, size, size)
    assert image.abs().max() <= 1 and 0 <= mask.min() and mask.max() <= 1
    assert model.discriminator(image).shape == (2, 1)
    up = [side for side in (4, 8, 16, 32, 64) if side <= size]
    down = [*up[-2::-1], 1]
    assert sizes == down + up + up + down


def test_what_reaches_the_decoders():
    """Features of all levels are summed over the patches; the image decoder joins the mask decoder's joined maps."""
    model = tiny.build(PuzzleGAN).eval()
    patches, latent = patches_and_latent(model)
    generator = model.generator
    sums = [sum(level) for level in zip(*(generator.encoder(patches[:, index]) for index in range(3)), strict=True)]
    inputs = {}
    for name in ("mask_decoder", "image_decoder"):
        decoder = getattr(generator, name)
        for index, stage in enumerate([*decoder.stages, decoder.last]):
            stage.register_forward_pre_hook(lambda module, args, key=(name, index): inputs.update({key: args[0]}))
    image, mask = generator(patches, latent)
    *maps, code = sums
    torch.testing.assert_close(inputs["mask_decoder", 0], code)
    torch.testing.assert_close(inputs["image_decoder", 0], torch.cat([code, latent[:, :, None, None]], 1))
    for stage, level in ((1, maps[1]), (2, maps[0])):
        own = [generator.get_submodule(f"{name}.stages.{stage - 1}") for name in ("mask_decoder", "image_decoder")]
        joined = torch.cat([own[0](inputs["mask_decoder", stage - 1]), level], 1)
        torch.testing.assert_close(inputs["mask_decoder", stage], joined)
        joined = torch.cat([own[1](inputs["image_decoder", stage - 1]), joined], 1)
        torch.testing.assert_close(inputs["image_decoder", stage], joined)
    torch.testing.assert_close(mask, torch.sigmoid(generator.mask_decoder.last(inputs["mask_decoder", 2])))
    torch.testing.assert_close(image, torch.tanh(generator.image_decoder.last(inputs["image_decoder", 2])))


def test_noise_changes_the_image_and_not_the_mask():
    model = tiny.build(PuzzleGAN).eval()
    patches, latent = patches_and_latent(model)
    (image, mask), (other_image, other_mask) = (model.assemble(patches, z) for z in (latent, -latent))
    assert torch.equal(mask, other_mask) and not torch.allclose(image, other_image, atol=1e-4)


# The order of the patches


def test_order_changes_no_bit_of_a_picture():
    model = tiny.build(PuzzleGAN, 3, 32, embedding_dim=32)
    patches, latent = patches_and_latent(model, 5, 3, 32)
    image, mask = model.assemble(patches, latent)
    for order in ORDERS:
        for now, then in zip(model.assemble(patches[:, order], latent), (image, mask), strict=True):
            assert torch.equal(now, then)
    mixed = torch.stack([patches[row, ORDERS[row]] for row in range(5)])  # each image in an order of its own
    assert torch.equal(model.assemble(mixed, latent)[0], image)
    assert not torch.equal(model.assemble(patches.flip(0), latent)[0], image)


def test_order_changes_no_bit_of_the_training():
    """Nor of the gradients or the statistics of batch norm."""

    def step(order):
        model = tiny.build(PuzzleGAN, 3)
        patches, latent = patches_and_latent(model, 5, 3)
        image, mask = model.generator(patches[:, order], latent)
        (image.square().sum() + mask.sum()).backward()
        buffers = dict(model.generator.named_buffers())
        return image, mask, *(p.grad for p in model.generator.parameters()), *buffers.values()

    first = step([0, 1, 2])
    for order in ORDERS[1:]:
        assert all(torch.equal(*pair) for pair in zip(first, step(order), strict=True))


# Losses


def halves(count=2, size=16):
    """Fakes whose true mask is the left half."""
    truth = torch.zeros(count, 1, size, size)
    truth[..., : size // 2] = 1
    return Assembly(torch.full((count, 1, size, size), 0.5), torch.full_like(truth, 0.25), truth)


def test_composites_by_hand():
    """Three real images of one grey each; the fakes are 0.5 everywhere."""
    real = torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1).expand(-1, -1, 16, 16)
    model = tiny.build(PuzzleGAN, generated_composites=True)
    images = {name: image[:, 0, 0, [0, 15]].tolist() for name, image in model.composites(real, halves(3)).items()}
    assert images == {
        "real_inside": [[1, -1], [-1, 0], [0, 1]],
        "real_outside": [[-1, 1], [0, -1], [1, 0]],
        "generated_inside": [[0.5, -1], [0.5, 0], [0.5, 1]],
        "generated_outside": [[-1, 0.5], [0, 0.5], [1, 0.5]],
    }
    assert set(tiny.build(PuzzleGAN).composites(real, halves(3))) == {"real_inside", "real_outside"}


@pytest.mark.parametrize("generated", [False, True])
def test_one_real_kind_against_all_fakes(generated):
    """Each kind goes through D in a batch of its own, and all but the real one are labelled fake."""
    model, batch, seen = tiny.build(PuzzleGAN, generated_composites=generated), tiny.batch(), []
    fakes = Assembly(*(field.detach() for field in model.make_fakes(batch)))
    expected = [batch.image, fakes.image, *model.composites(batch.image, fakes).values()]
    model.discriminator.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    terms = model.discriminator_loss(batch, fakes)
    assert len(terms) == len(seen) == (6 if generated else 4)
    for index, (image, (given, logits), term) in enumerate(zip(expected, seen, terms.values(), strict=True)):
        assert torch.equal(image, given) and len(given) == 8
        label = torch.full_like(logits, float(index == 0))
        entropy = functional.binary_cross_entropy(logits.sigmoid(), label)
        torch.testing.assert_close(term, entropy, rtol=1e-4, atol=1e-6)
    assert list(terms)[:2] == ["d_real", "d_fake"]


@pytest.mark.parametrize("progress, weight", [(0.0, 1e-2), (0.5, 1e-3), (1.0, 1e-4)])
def test_losses_are_the_released_sums_at_64_pixels_and_batches_of_64(progress, weight, monkeypatch):
    """There, L1 distances are summed over batch, channels and pixels, under weights from 1e-2 to 1e-4."""
    model = tiny.build(PuzzleGAN, 3, 64)
    monkeypatch.setattr(PuzzleGAN, "progress", progress)
    model.before_step()
    batch = tiny.batch(64, 3, 64)
    fakes = Assembly(tiny.images(64, 3, 64, 1), torch.rand(64, 1, 64, 64), key_patches(batch.image).mask)
    terms = model.generator_loss(batch, fakes)
    spatial = functional.l1_loss(fakes.mask, fakes.truth, reduction="sum")
    both = fakes.image * fakes.mask, batch.image * fakes.truth
    appearance = functional.l1_loss(*both, reduction="sum")
    torch.testing.assert_close(terms["g_mask"], weight * spatial, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["g_appearance"], weight * appearance, rtol=1e-4, atol=0)
    likelihood = model.discriminator(fakes.image).sigmoid().log().mean()
    torch.testing.assert_close(terms["g_adversarial"], -likelihood, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count, size", [(2, 16), (6, 16), (2, 32)])
def test_losses_by_hand_at_any_batch_size_and_resolution(count, size):
    """Real 0.2 and fake 0.5, mask 0.25 where 1 is right in one half and 0 in the other."""
    model = tiny.build(PuzzleGAN, 1, size, mask_weight=(10.0, 1.0), appearance_weight=(100.0, 1.0))
    batch = tiny.batch(count, 1, size)._replace(image=torch.full((count, 1, size, size), 0.2))
    terms = model.generator_loss(batch, halves(count, size))
    assert terms["g_mask"].item() == pytest.approx(10 * (0.75 + 0.25) / 2)
    assert terms["g_appearance"].item() == pytest.approx(100 * (abs(0.125 - 0.2) + 0.125) / 2)
    assert set(terms) == {"g_adversarial", "g_mask", "g_appearance"}


def test_weights_fall_over_the_training(tmp_path):
    model = tiny.build(PuzzleGAN, n_critic=1, mask_weight=(100.0, 1.0))
    weights = []

    def generator_loss(batch, fakes, original=model.generator_loss):
        terms = original(batch, fakes)
        weights.append((terms["g_mask"] / (fakes.mask - fakes.truth).abs().mean()).item())
        return terms

    model.generator_loss = generator_loss
    tiny.trainer(tmp_path, max_epochs=2).fit(model, datamodule=tiny.NoiseData(5))
    assert weights == pytest.approx([100 ** (1 - step / 10) for step in range(10)], rel=1e-4)


@pytest.mark.parametrize("generated", [False, True])
def test_batch_of_one(generated):
    """There is no other image to splice."""
    model, batch = tiny.build(PuzzleGAN, generated_composites=generated), tiny.batch(1)
    fakes = model.make_fakes(batch)
    names = {"d_real", "d_fake"} | ({"d_generated_inside", "d_generated_outside"} if generated else set())
    terms = model.discriminator_loss(batch, fakes)
    assert set(terms) == names
    for term in (terms | model.generator_loss(batch, fakes)).values():
        assert term.shape == () and torch.isfinite(term)
    sum(model.generator_loss(batch, fakes).values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.generator.parameters())


def test_recipe():
    model = tiny.build(PuzzleGAN)
    groups = [group for optimizer in model.configure_optimizers() for group in optimizer.param_groups]
    assert {(group["lr"], group["betas"]) for group in groups} == {(2e-4, (0.5, 0.999))}
    assert model.n_critic == 2
    latent = tiny.build(PuzzleGAN, latent_dim=100).sample_latent(2000, torch.Generator().manual_seed(0))
    assert 0.999 < latent.abs().max() <= 1
    assert latent.var().item() == pytest.approx(1 / 3, abs=0.005)


# Pictures and measures


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_assemble(ema_decay):
    model = tiny.build(PuzzleGAN, 3, ema_decay=ema_decay)
    patches, latent = patches_and_latent(model, 1, 3)
    image, mask = model.assemble(patches)
    assert image.shape == (1, 3, 16, 16) and mask.shape == (1, 1, 16, 16) and not image.requires_grad
    assert model.generator.training and model.sampler.training == (ema_decay == 0)
    image, _ = model.assemble(patches, latent)
    with torch.no_grad():
        for parameter in model.generator.image_decoder.parameters():
            parameter.zero_()
    assert torch.equal(model.assemble(patches, latent)[0], image) == (ema_decay > 0), "pictures are the average's"
    with pytest.raises(UserError, match=r"patches, 3, 16, 16\), not \(1, 3, 3, 8, 8\). Resize"):
        model.assemble(patches[..., :8, :8])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda patches: patches.long(), "images are uint8, or floats from -1 to 1, not torch.int64"),
        (lambda patches: patches.numpy(), "a tensor of patches .images, patches, 3, 16, 16., not ndarray"),
    ],
)
def test_assemble_refuses_other_types(change, said):
    model = tiny.build(PuzzleGAN, 3)
    with pytest.raises(UserError, match=said):
        model.assemble(change(patches_and_latent(model, 1, 3)[0]))


@pytest.mark.parametrize("size", [8, 28, 48, 218])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(UserError, match=rf"power of two.*not {size}.*32 for MNIST"):
        tiny.build(PuzzleGAN, size=size)


@pytest.mark.parametrize("name", ["mask_weight", "appearance_weight"])
def test_weights_that_cannot_fall(name):
    with pytest.raises(UserError, match=f"{name} falls by equal factors.*above 0"):
        tiny.build(PuzzleGAN, **{name: (1.0, 0.0)})
