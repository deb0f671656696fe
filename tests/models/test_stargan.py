"""StarGAN: the paper's networks, targets that exist, losses by hand, single changes by hand, and what predict shows."""

import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from lightning import Callback
from torch import Tensor, nn

from lit_gen.data.batches import AttributedImages, DataSpec, Images
from lit_gen.errors import UserError
from lit_gen.models import StarGAN
from lit_gen.models.stargan import Translations
from tests.models import tiny

FIVE = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]


def on_meta(size=128, **settings):
    with torch.device("meta"):
        return StarGAN(tiny.spec(3, size), **settings)


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


def attributed(count=8, **settings):
    return tiny.batch(count, kind=AttributedImages, **settings)


class Pictures(tiny.NoiseData):
    """A user's own pictures: no attributes at all."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.batch_type = Images
        self.spec = self.spec | {"attributes": []}

    def _batches(self):
        sizes = self.batch_size, self.channels, self.size
        return [Images(tiny.images(*sizes, seed)) for seed in range(self.count)]


# The networks


def test_parameter_counts_of_the_paper():
    """By hand from tables 4 and 5: weights and two numbers a channel of instance norm in G, biases in D's stack."""
    generator = 49 * (3 + 5) * 64 + 49 * 64 * 3
    generator += 2 * 16 * (64 * 128 + 128 * 256)
    generator += 2 * (64 + 128 + 256 + 128 + 64)
    generator += 6 * (2 * 9 * 256 * 256 + 4 * 256)
    widths = [3, 64, 128, 256, 512, 1024, 2048]
    discriminator = sum(16 * a * b + b for a, b in zip(widths, widths[1:], strict=False)) + 2048 * (9 + 4 * 5)
    assert (round(generator / 1e4), round(discriminator / 1e4)) == (843, 4476)  # 53.2 million, as the paper says
    model = on_meta()
    for network, count in ((model.generator, generator), (model.discriminator, discriminator)):
        assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("size, depth, last", [(8, 2, 2), (16, 3, 2), (32, 4, 2), (48, 4, 3), (64, 5, 2), (128, 6, 2)])
def test_discriminator_leads_to_a_small_map(size, depth, last):
    model = tiny.build(StarGAN, 3, size)
    stack = layers(model.discriminator.layers, nn.Conv2d)
    assert [layer.out_channels for layer in stack] == [4 * 2**stage for stage in range(depth)]
    for count in (1, 3):
        scores, logits = model.discriminator(torch.randn(count, 3, size, size))
        assert scores.shape == (count, 1, last, last) and logits.shape == (count, 5)


def test_layers_of_the_generator():
    model = on_meta()
    convolutions = layers(model.generator, nn.Conv2d | nn.ConvTranspose2d)
    assert {layer.padding_mode for layer in convolutions} == {"zeros"}
    assert not any(layer.bias is not None for layer in convolutions)
    kernels = [layer.kernel_size[0] for layer in convolutions]
    assert kernels == [7, 4, 4, *[3] * 12, 4, 4, 7]
    assert [layer.out_channels for layer in convolutions] == [64, 128, *[256] * 13, 128, 64, 3]
    norms = layers(model.generator, nn.InstanceNorm2d)
    assert len(norms) == len(convolutions) - 1
    assert all(norm.affine and not norm.track_running_stats for norm in norms)


def test_layers_of_the_discriminator():
    model = on_meta()
    assert {type(module) for module in model.discriminator.layers} == {nn.Conv2d, nn.LeakyReLU}
    assert {layer.negative_slope for layer in layers(model.discriminator, nn.LeakyReLU)} == {0.01}
    assert model.discriminator.to_score.bias is None and model.discriminator.to_logits.bias is None


@pytest.mark.parametrize("column", range(5))
def test_labels_reach_the_picture(column):
    """With mirrored edges a plane that is constant everywhere would be taken away by instance norm."""
    model = tiny.build(StarGAN).eval()
    image, labels = torch.zeros(1, 1, 16, 16), torch.zeros(1, 5)
    other = labels.clone()
    other[:, column] = 1
    with torch.no_grad():
        assert (model.generator(image, labels) - model.generator(image, other)).abs().max() > 1e-3


def test_training_and_evaluation_give_the_same_pictures():
    """Instance norm with running statistics, as in public code, washes pictures out in evaluation."""
    model = tiny.build(StarGAN)
    image, labels = tiny.images(3), torch.ones(3, 5)
    for _ in range(3):
        trained = model.generator(image, labels)
    assert torch.equal(trained, model.eval().generator(image, labels))


# The labels


def test_attributes_are_chosen_by_name():
    model = tiny.build(StarGAN, attributes=["Smiling", "Black_Hair"])
    columns = torch.tensor([[1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1.0]])  # Black_Hair first, Smiling last
    batch = AttributedImages(tiny.images(2), columns)
    assert model.labels(batch).tolist() == [[0, 1], [1, 0]]
    assert model.make_fakes(batch).target.shape == (2, 2)
    assert model.discriminator(batch.image)[1].shape == (2, 2)


def test_columns_are_those_of_the_data_that_are_used(tmp_path):
    """A model may be tested on data that list their attributes in another order than those it was trained on."""
    model = tiny.build(StarGAN, attributes=["Young", "Male"])
    data = tiny.NoiseData(1, kind=AttributedImages)
    data.spec["attributes"] = tiny.ATTRIBUTES[::-1]
    tiny.trainer(tmp_path).validate(model, datamodule=data, verbose=False)
    batch = attributed(1)._replace(attributes=torch.tensor([[0, 1, 0, 0, 0, 0.0]]))  # Smiling, Young, Male, ...
    assert model.labels(batch).tolist() == [[1, 0]]


def test_targets_are_the_batchs_labels_in_another_order():
    """Random bits, as in other public code, ask for black and blond hair at once."""
    model = tiny.build(StarGAN)
    columns = torch.eye(6)[torch.arange(40) % 6]
    batch = AttributedImages(tiny.images(40), columns)
    torch.manual_seed(0)
    one, other = model.make_fakes(batch).target, model.make_fakes(batch).target
    assert sorted(one.tolist()) == sorted(columns[:, :5].tolist()) == sorted(other.tolist())
    assert not torch.equal(one, other) and not torch.equal(one, columns[:, :5])


def test_the_image_is_that_of_the_target():
    model = tiny.build(StarGAN)
    batch = attributed()
    fakes = model.make_fakes(batch)
    torch.testing.assert_close(fakes.image, model.generator(batch.image, fakes.target))


@pytest.mark.parametrize("attributes", [[], ["Male", "Young", "Male"]])
def test_lists_of_attributes_that_do_not_fit(attributes):
    with pytest.raises(UserError, match="one or more attributes, each once"):
        tiny.build(StarGAN, attributes=attributes)


def test_an_attribute_that_the_data_lack(tmp_path):
    model = tiny.build(StarGAN, attributes=["Male", "Blonde_Hair"])
    with pytest.raises(UserError, match="no attribute 'Blonde_Hair'. Did you mean Blond_Hair?.*--model.attributes"):
        tiny.trainer(tmp_path).fit(model, datamodule=tiny.NoiseData(kind=AttributedImages))


def test_pictures_without_attributes_can_be_translated(tmp_path):
    """Built on data without attributes, as `predict` with one's own pictures does."""
    torch.manual_seed(0)
    data = Pictures(batches=2)
    model = StarGAN(data.spec, **tiny.SMALL["StarGAN"])
    pictures = tiny.trainer(tmp_path).predict(model, datamodule=data)
    assert [picture.shape for picture in pictures] == [(8, 1, 16, 16 * 6)] * 2


# The losses


class Shifts(nn.Module):
    """A generator by hand: it adds a tenth of each attribute."""

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        return image + 0.1 * target.sum(1).view(-1, 1, 1, 1)


class Sums(nn.Module):
    """A discriminator by hand: four patches of scores, each `weight` times the sum of the image, and given logits."""

    def __init__(self, weight: float, logits: list[float]) -> None:
        super().__init__()
        self.weight, self.logits = weight, torch.tensor(logits)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.weight * image.sum((1, 2, 3)).view(-1, 1, 1, 1)
        return scores.expand(-1, 1, 2, 2), self.logits.expand(len(image), -1)


class ByHand(NamedTuple):
    model: StarGAN
    batch: AttributedImages
    fakes: Translations


@pytest.fixture
def by_hand():
    """Images of 0 and 1 (4 pixels each); the first has attribute 0, the second none; the targets are the reverse."""
    model = tiny.build(StarGAN, size=8, attributes=["Male", "Young"])
    model.generator, model.discriminator = Shifts(), Sums(0.25, [2.0, -1.0])
    image = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    columns = torch.zeros(2, 6)
    columns[0, 3] = 1  # Male
    target = torch.tensor([[0, 0], [1.0, 0]])
    return ByHand(model, AttributedImages(image, columns), Translations(model.generator(image, target), target))


def test_discriminator_loss_by_hand(by_hand):
    """Scores are a quarter of the sum: 0 and 1 for reals, 0 and 1.1 for fakes.

    The four patches' sum has the gradient 1 at each of 4 pixels, of length 2; their mean's would have the length 1/2.
    """
    terms = by_hand.model.discriminator_loss(by_hand.batch, by_hand.fakes)
    likely, unlikely = math.log1p(math.exp(-2)), math.log1p(math.exp(2))  # of the logit 2 for 1 and for 0
    other = math.log1p(math.exp(-1))  # of the logit -1 for 0
    expected = {
        "d_real": -0.5,
        "d_fake": 0.55,
        "d_penalty": 10 * (2 - 1) ** 2,
        "d_classification": (likely + unlikely) / 2 + other,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size, patches", [(16, 4), (48, 9)])
def test_penalty_is_of_the_gradient_of_the_sum_of_patch_scores(size, patches):
    """The authors' definition, by hand: a gradient with ones for all scores, at points that are known here.

    Reals and fakes are the same images, so that all points between them are these too.
    """
    model = tiny.build(StarGAN, 3, size, penalty_weight=7.0)
    images = tiny.images(5, 3, size).requires_grad_()
    batch = attributed(5, channels=3, size=size)._replace(image=images.detach())
    terms = model.discriminator_loss(batch, Translations(images.detach(), model.labels(batch)))
    scores, _ = model.discriminator(images)
    assert scores[0].numel() == patches
    (gradient,) = torch.autograd.grad(scores, images, grad_outputs=torch.ones_like(scores))
    lengths = torch.stack([one.square().sum().sqrt() for one in gradient])
    torch.testing.assert_close(terms["d_penalty"], 7 * ((lengths - 1) ** 2).mean())


def test_generator_loss_by_hand(by_hand):
    """There and back adds 0.1 to both images: 0 + 0.1 for the first, 0.1 + 0 for the second."""
    model, batch, fakes = by_hand
    terms = model.generator_loss(batch, fakes)
    likely, unlikely, other = math.log1p(math.exp(-2)), math.log1p(math.exp(2)), math.log1p(math.exp(-1))
    expected = {
        "g_adversarial": -0.55,
        "g_classification": (likely + unlikely) / 2 + other,
        "g_reconstruction": 10 * 0.1,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-5)
    moved = Translations(fakes.image, torch.tensor([[1, 1], [1, 1.0]]))
    asked = model.generator_loss(batch, moved)
    assert asked["g_classification"].item() == pytest.approx(likely + math.log1p(math.exp(1)), rel=1e-5)


def test_identity_term_by_hand(by_hand):
    """Its own attributes add 0.1 to the first image, which has attribute 0, and nothing to the second."""
    model, batch, fakes = by_hand
    assert "g_identity" not in model.generator_loss(batch, fakes)
    model.identity_weight = 4
    assert model.generator_loss(batch, fakes)["g_identity"].item() == pytest.approx(4 * 0.05, rel=1e-5)


def test_weights(by_hand):
    model, batch, fakes = by_hand
    before = model.discriminator_loss(batch, fakes) | model.generator_loss(batch, fakes)
    model.classification_weight, model.reconstruction_weight, model.penalty_weight = 3, 20, 30
    after = model.discriminator_loss(batch, fakes) | model.generator_loss(batch, fakes)
    ratios = {name: round((after[name] / before[name]).item(), 4) for name in before}
    assert ratios == {
        "d_real": 1, "d_fake": 1, "d_penalty": 3, "d_classification": 3,
        "g_adversarial": 1, "g_classification": 3, "g_reconstruction": 2,
    }  # fmt: skip


def test_attributes_are_learnt_from_reals_alone():
    model = tiny.build(StarGAN)
    batch = attributed()
    fakes = Translations(*(value.detach() for value in model.make_fakes(batch)))
    one = model.discriminator_loss(batch, fakes)
    other = model.discriminator_loss(batch, Translations(-fakes.image, 1 - fakes.target))
    assert torch.equal(one["d_classification"], other["d_classification"])
    assert not torch.equal(one["d_fake"], other["d_fake"])


def test_noise_on_what_discriminator_and_generator_are_trained_by():
    """Other noise each time, of the deviation asked for; none on what leads back, or on the penalty's images."""
    torch.manual_seed(0)
    model, seen = tiny.build(StarGAN, noise_deviation=0.3), []
    batch = attributed()
    fakes = model.make_fakes(batch)
    model.discriminator.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0].detach()))
    model.discriminator_loss(batch, Translations(*(value.detach() for value in fakes)))
    terms = model.generator_loss(batch, fakes)
    both, between, fooled = seen
    real, fake = both.chunk(2)
    clean = fakes.image.detach()
    for shown, image in ((real, batch.image), (fake, clean), (fooled, clean)):
        assert (shown - image).std().item() == pytest.approx(0.3, rel=0.1)
        assert (shown - image).mean().item() == pytest.approx(0, abs=0.05)
    assert not torch.equal(fake, fooled)
    weight = ((between - clean).flatten(1) / (batch.image - clean).flatten(1)).nanmedian(1).values.view(-1, 1, 1, 1)
    assert torch.allclose(between, torch.lerp(clean, batch.image, weight), atol=1e-4)
    terms["g_adversarial"].backward()
    assert any(parameter.grad.abs().sum() > 0 for parameter in model.generator.parameters())


def test_batch_of_one():
    model = tiny.build(StarGAN)
    batch = attributed(1)
    fakes = model.make_fakes(batch)
    terms = model.generator_loss(batch, fakes)
    terms |= model.discriminator_loss(batch, Translations(*(value.detach() for value in fakes)))
    assert len(terms) == 7
    assert all(term.shape == () and torch.isfinite(term) for term in terms.values())


# The schedule


def test_paper_settings():
    model = on_meta()
    groups = [group for optimizer in model.configure_optimizers() for group in optimizer.param_groups]
    assert {(group["lr"], group["betas"]) for group in groups} == {(1e-4, (0.5, 0.999))}
    assert (model.n_critic, model.attributes, model.average) == (5, FIVE, None)
    recipe = yaml.safe_load(Path("configs/stargan.yaml").read_text())
    assert recipe["data"]["init_args"] == {"image_size": 128, "batch_size": 16}
    assert recipe["trainer"] == {"max_epochs": 20}


def test_learning_rates_fall_to_zero_in_the_second_half(tmp_path):
    """The authors' code takes off a thousandth of what it means to."""

    class Rates(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, *_):
            self.seen.append(tuple(optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers))

    rates = Rates()
    model = tiny.build(StarGAN, learning_rate=0.5)
    trainer = tiny.trainer(tmp_path, max_epochs=2, callbacks=[rates])
    trainer.fit(model, datamodule=tiny.NoiseData(5, kind=AttributedImages))
    expected = [0.5] * 6 + [0.4, 0.3, 0.2, 0.1]
    assert [rate for rate, _ in rates.seen] == pytest.approx(expected)
    assert all(first == second for first, second in rates.seen)


# What comes out


def test_translate_of_no_image_is_none():
    model, nothing = tiny.build(StarGAN, 3), torch.zeros(0, 3, 16, 16)
    for target in ("+Male", torch.zeros(0, len(model.attributes))):
        assert model.translate(nothing, target).shape == nothing.shape


def test_translate_uses_the_average_and_leaves_the_mode():
    model = tiny.build(StarGAN, ema_decay=0.9)
    image, target = tiny.images(2), torch.ones(2, 5)
    modes = []
    model.sampler.register_forward_hook(lambda module, *_: modes.append(module.training))
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.mul_(-2)
    for training in (True, False):
        model.sampler.train(training)
        result = model.translate(image, target)
        assert model.sampler.training == training and not result.requires_grad
    assert modes == [False, False]
    assert torch.equal(result, model.average.module(image, target))
    assert not torch.allclose(result, model.generator(image, target))


@pytest.mark.parametrize("size", [4, 18, 30, 218])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(UserError, match=rf"multiple of 4 from 8 on, not {size}"):
        tiny.build(StarGAN, size=size)


def test_spec_is_not_changed():
    spec = DataSpec(image_shape=[1, 16, 16], num_classes=0, attributes=list(tiny.ATTRIBUTES))
    model = StarGAN(spec, **tiny.SMALL["StarGAN"])
    model.data_attributes.append("x")
    model.attributes.append("y")
    assert spec["attributes"] == tiny.ATTRIBUTES and tiny.build(StarGAN).attributes == FIVE
