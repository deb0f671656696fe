"""Text2Image: networks of the authors, GAN-CLS's pairs by hand, wrong images by brute force, and what moves what."""

import copy
import math

import pytest
import torch
from lightning import Trainer
from torch import nn

from lit_gen.data.alphabet import encode
from lit_gen.data.batches import CaptionedImages
from lit_gen.errors import UserError
from lit_gen.models import Text2Image
from lit_gen.models.text2image import Discriminator
from tests.models import tiny


def batch(count=8, channels=1, size=16, seed=0):
    return tiny.batch(count, channels, size, seed, CaptionedImages)


def said(attributes, stated):
    """A batch of which only these two count."""
    attributes, stated = torch.tensor(attributes).float(), torch.tensor(stated).float()
    return CaptionedImages(tiny.images(len(stated)), torch.ones(len(stated), 48, dtype=torch.int64), attributes, stated)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def layers(network, kind):
    return [module for module in network.modules() if isinstance(module, kind)]


# Networks


def bottleneck(width):
    inner = width // 4
    return width * inner + 9 * inner * inner + 9 * inner * width + 2 * (inner + inner + width)


@pytest.fixture(scope="module")
def paper():
    with torch.device("meta"):
        return Text2Image(tiny.spec(3, 64))


def test_parameter_counts_of_the_authors(paper):
    """By hand from the authors' code: no convolution has a bias; batch norm has two numbers a channel."""
    text = 1024 * 128 + 128
    up = 228 * 1024 * 16 + 1024 * 512 * 16 + 512 * 256 * 16 + 256 * 128 * 16 + 128 * 3 * 16
    up += 2 * (1024 + 512 + 256 + 128) + bottleneck(1024) + bottleneck(512)
    assert count(paper.generator) == text + up
    down = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 2 * (128 + 256 + 512) + bottleneck(512)
    down += 640 * 512 + 2 * 512 + 512 * 16
    assert count(paper.discriminator["critic"]) == text + down


@pytest.mark.parametrize("size, up, down", [(32, [512, 256, 128], [256, 128, 64]), (16, [256, 128], [128, 64])])
def test_widths_of_other_sizes(size, up, down):
    with torch.device("meta"):
        model = Text2Image(tiny.spec(3, size))
    transposed = layers(model.generator, nn.ConvTranspose2d)
    assert [layer.out_channels for layer in transposed] == [*up, 3]
    features = [m for m in model.discriminator["critic"].features if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in features] == down[::-1]


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size, channels):
    model = tiny.build(Text2Image, channels, size)
    image = model.generator(torch.randn(2, 8), torch.randn(2, 8))
    assert image.shape == (2, channels, size, size) and image.abs().max() <= 1
    critic = model.discriminator["critic"]
    assert critic.features(image).shape[2:] == (4, 4)
    assert critic(image, torch.randn(2, 8)).shape == (2, 1)


def test_activations_and_initial_weights():
    model = tiny.build(Text2Image, generator_channels=64, discriminator_channels=64)
    critic = model.discriminator["critic"]
    assert {layer.negative_slope for layer in layers(model, nn.LeakyReLU)} == {0.2}
    assert not layers(critic, nn.ReLU | nn.Sigmoid | nn.Dropout), "D gives logits"
    assert isinstance(critic.features[1], nn.LeakyReLU), "no batch norm at D's input"
    assert isinstance(model.generator.layers[-1], nn.Tanh)
    for layer in layers(nn.ModuleList([model.generator, critic]), nn.Conv2d | nn.ConvTranspose2d):
        assert layer.bias is None
        deviation = 0.02 / (2 * layer.weight.numel()) ** 0.5  # of the estimate of the deviation
        assert layer.weight.std().item() == pytest.approx(0.02, abs=5 * deviation)


def test_d_and_g_project_the_text_by_themselves():
    model = tiny.build(Text2Image)
    shared = {id(p) for p in model.generator.parameters()} & {id(p) for p in model.discriminator.parameters()}
    assert not shared
    (up,), (down,) = (layers(net.text, nn.Linear) for net in (model.generator, model.discriminator["critic"]))
    assert up.in_features == down.in_features == 8 and up.out_features == down.out_features == 4


def test_projection_adds_the_inner_product_of_mean_features_and_text():
    """Miyato & Koyama, equation 3, in float64: what two texts add, each by itself, their sum adds together."""
    torch.manual_seed(0)
    critic = Discriminator(3, 2, [8, 4], 1, projection=True).double().eval()
    for parameter in critic.parameters():
        nn.init.normal_(parameter)
    image, texts = torch.randn(1, 1, 16, 16, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    texts = torch.stack([torch.zeros(3), texts[0], texts[1], texts.sum(0)])
    alone, first, second, both = critic(image.expand(4, -1, -1, -1), texts).flatten()
    maps = critic.joint(critic.features(image))[0]
    expected = sum(maps[d].sum() / 16 * sum(critic.text.weight[d, e] * texts[1, e] for e in range(3)) for d in range(8))
    torch.testing.assert_close(first - alone, expected)
    torch.testing.assert_close(both - alone, (first - alone) + (second - alone))
    assert (first - alone).abs() > 1e-3, "the text counts"


def test_projection_trains_the_text_in_d_and_has_no_concatenation():
    plain, projecting = tiny.build(Text2Image), tiny.build(Text2Image, projection=True)
    inputs = [model.discriminator["critic"].joint[0].in_channels for model in (plain, projecting)]
    assert inputs[0] == inputs[1] + 4
    data = batch()
    terms = projecting.discriminator_loss(data, projecting.make_fakes(data))
    (terms["d_real"] + terms["d_wrong"]).backward()
    critic = projecting.discriminator["critic"]
    assert gradients(critic) == {name for name, _ in critic.named_parameters()}


@pytest.mark.parametrize("size", [8, 28, 48])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(UserError, match=rf"power of two.*not {size}.*32 for MNISTCaptions"):
        tiny.build(Text2Image, size=size)


def test_two_optimizers_of_the_paper():
    model = tiny.build(Text2Image)
    d_optimizer, g_optimizer = model.configure_optimizers()
    owned = [{id(p) for group in o.param_groups for p in group["params"]} for o in (d_optimizer, g_optimizer)]
    assert owned[0] == {id(p) for p in model.discriminator.parameters()}
    assert owned[1] == {id(p) for p in model.generator.parameters()}
    assert {group["betas"] for o in (d_optimizer, g_optimizer) for group in o.param_groups} == {(0.5, 0.999)}
    assert [group["lr"] for group in d_optimizer.param_groups] == [2e-4, model.text_learning_rate]
    critic = {id(p) for p in model.discriminator["critic"].parameters()}
    assert {id(p) for p in d_optimizer.param_groups[0]["params"]} == critic


@pytest.mark.parametrize("progress, factor", [(0, 1), (0.16, 1), (0.17, 1 / 2), (0.5, 1 / 8), (0.99, 1 / 32)])
def test_learning_rate_halves_every_100_of_600_epochs(progress, factor, monkeypatch):
    monkeypatch.setattr(Text2Image, "progress", progress)
    assert tiny.build(Text2Image).learning_rate_factor() == factor
    assert tiny.build(Text2Image, learning_rate_halvings=0).learning_rate_factor() == 1


# GAN-CLS


class Lookup(nn.Module):
    """A critic that looks logits up: one for each pair of the first pixel of an image and the first entry of a text."""

    def __init__(self, logits):
        super().__init__()
        self.logits, self.pairs = logits, []

    def features(self, image):
        return image[:, 0, 0, 0]

    def join(self, features, text):
        pairs = [(round(a), round(b)) for a, b in zip(features.tolist(), text[:, 0].tolist(), strict=True)]
        self.pairs.append(pairs)
        return torch.tensor([[self.logits[pair]] for pair in pairs])

    def forward(self, image, text):
        return self.join(self.features(image), text)


def lookup_model(**settings):
    """Images 1 and 2 with texts 10 and 20 that contradict each other; fakes 3 and 4."""
    logits = {(1, 10): 0.3, (2, 20): -0.7, (1, 20): 1.1, (2, 10): 0.2, (3, 10): -0.4, (4, 20): 0.9}
    model = tiny.build(Text2Image, **settings)
    model.discriminator["critic"] = Lookup(logits)
    data = said([[1], [0]], [[1], [1]])
    data = data._replace(image=torch.tensor([1.0, 2.0])[:, None, None, None].expand(2, 1, 16, 16))
    fakes = model.make_fakes(data)
    fakes = fakes._replace(
        image=torch.tensor([3.0, 4.0])[:, None, None, None].expand(2, 1, 16, 16),
        text=torch.tensor([[10.0] + [0] * 7, [20.0] + [0] * 7]),
    )
    return model, data, fakes


def test_three_pairs_by_hand():
    """L_D = -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2, algorithm 1, s being the sigmoid of the logit."""
    model, data, fakes = lookup_model()
    terms = model.discriminator_loss(data, fakes)
    s = {pair: 1 / (1 + math.exp(-logit)) for pair, logit in model.discriminator["critic"].logits.items()}
    right = -(math.log(s[1, 10]) + math.log(s[2, 20])) / 2
    wrong = -(math.log(1 - s[2, 10]) + math.log(1 - s[1, 20])) / 2
    fake = -(math.log(1 - s[3, 10]) + math.log(1 - s[4, 20])) / 2
    assert terms["d_real"].item() == pytest.approx(right)
    assert terms["d_wrong"].item() == pytest.approx(wrong / 2)
    assert terms["d_fake"].item() == pytest.approx(fake / 2)
    assert set(terms) == {"d_real", "d_wrong", "d_fake", "d_embedding"}


def test_without_matching_awareness_it_is_a_conditional_gan():
    model, data, fakes = lookup_model(matching_aware=False)
    terms = model.discriminator_loss(data, fakes)
    s = {pair: 1 / (1 + math.exp(-logit)) for pair, logit in model.discriminator["critic"].logits.items()}
    assert set(terms) == {"d_real", "d_fake", "d_embedding"}
    assert terms["d_fake"].item() == pytest.approx(-(math.log(1 - s[3, 10]) + math.log(1 - s[4, 20])) / 2)
    assert sorted(sum(model.discriminator["critic"].pairs, [])) == [(1, 10), (2, 20), (3, 10), (4, 20)]


def test_generator_loss_by_hand():
    """-log s_f at the sentences, and nothing of mismatched pairs."""
    model, data, fakes = lookup_model(interpolation_weight=0)
    terms = model.generator_loss(data, fakes)
    expected = (math.log(1 + math.exp(0.4)) + math.log(1 + math.exp(-0.9))) / 2
    assert terms["g_adversarial"].item() == pytest.approx(expected) and len(terms) == 1
    assert model.discriminator["critic"].pairs == [[(3, 10), (4, 20)]]


def test_a_sentence_without_a_wrong_image_is_left_out():
    """Only sentence 0 states something; without its wrong image, the term is 0 and finite."""
    model = tiny.build(Text2Image)
    logits = []
    model.discriminator["critic"].score.register_forward_hook(lambda module, args, output: logits.append(output))
    data = said([[1, 0], [0, 0], [1, 1]], [[1, 0], [0, 0], [0, 0]])
    terms = model.discriminator_loss(data, model.make_fakes(data))
    wrong = torch.nn.functional.softplus(logits[2])
    torch.testing.assert_close(terms["d_wrong"], wrong[0, 0] / 2)
    nobody = data._replace(stated=torch.zeros(3, 2))
    terms = model.discriminator_loss(nobody, model.make_fakes(nobody))
    assert terms["d_wrong"] == 0 and terms["d_embedding"] == 0
    sum(terms.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.discriminator.parameters() if p.grad is not None)


def test_batch_of_one():
    model = tiny.build(Text2Image)
    data = batch(1)
    fakes = model.make_fakes(data)
    terms = model.discriminator_loss(data, fakes) | model.generator_loss(data, fakes)
    assert all(term.shape == () and torch.isfinite(term) for term in terms.values())


# GAN-INT


@pytest.mark.parametrize("rows, expected", [(4, [2, 4]), (5, [2, 4]), (1, [])])
def test_midpoints_by_hand(rows, expected):
    model = tiny.build(Text2Image).eval()
    model.embed = lambda caption: torch.tensor([0.0, 2.0, 4.0, 6.0, 100.0])[:rows, None] + torch.arange(8)
    between = model.make_fakes(batch(rows)).between
    assert between.tolist() == [[value + column for column in range(8)] for value in expected]


def test_midpoints_are_for_g_only():
    model = tiny.build(Text2Image)
    critic, seen = model.discriminator["critic"], []
    critic.text.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    data = batch(6)
    fakes = model.make_fakes(data)
    model.discriminator_loss(data, fakes)
    assert all(torch.equal(text, fakes.text) for text in seen) and len(seen) == 3
    seen.clear()
    terms = model.generator_loss(data, fakes)
    (texts,) = seen
    assert torch.equal(texts[:6], fakes.text)
    torch.testing.assert_close(texts[6:], (fakes.text[:3] + fakes.text[3:]) / 2)
    assert set(terms) == {"g_adversarial", "g_interpolation"}


@pytest.mark.parametrize("count, projection", [(8, False), (8, True), (4, False)])
def test_generator_loss_is_the_authors_one_mean_over_sentences_and_midpoints(count, projection):
    """Their G step, by hand: 3 / 2 B rows through G and D at once, and the cross-entropy with ones, averaged over all.

    The sum of the terms is 3 / 2 times that mean, and so is its gradient.
    """
    model = tiny.build(Text2Image, projection=projection).double()
    texts, noise = torch.randn(count, 8).double(), torch.randn(3 * count // 2, 8).double()
    model.embed, model.sample_latent = lambda caption: texts, lambda rows: noise[:rows]
    copied = copy.deepcopy([model.generator, model.discriminator["critic"]])
    data = batch(count)
    sum(model.generator_loss(data, model.make_fakes(data)).values()).backward()

    generator, critic = copied
    rows = torch.cat([texts, 0.5 * (texts[: count // 2] + texts[count // 2 :])])
    shares = critic(generator(noise, rows), rows).sigmoid()
    (1.5 * nn.functional.binary_cross_entropy(shares, torch.ones_like(shares))).backward()
    for mine, theirs in zip(model.generator.parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    for network, theirs in ((model.generator, generator), (model.discriminator["critic"], critic)):
        torch.testing.assert_close(dict(network.named_buffers()), dict(theirs.named_buffers()))  # of batch norm


def test_each_midpoint_counts_as_much_as_a_sentence():
    """By hand, with logits that are looked up: -log s of images 1 to 4 and of the midpoints' 5 and 6."""
    logits = {(1, 10): 0.3, (2, 20): -0.7, (3, 30): 1.1, (4, 40): 0.2, (5, 20): -0.4, (6, 30): 0.9}
    for weight in (None, 0.5, 1.0, 3.0):
        model = tiny.build(Text2Image, **({} if weight is None else {"interpolation_weight": weight}))
        fakes = model.make_fakes(batch(4))
        model.discriminator["critic"] = Lookup(logits)
        numbered = torch.arange(1.0, 7.0)[:, None, None, None].expand(6, 1, 16, 16)
        text = torch.tensor([10.0, 20, 30, 40])[:, None].expand(4, 8)
        between = torch.tensor([20.0, 30])[:, None].expand(2, 8)  # of 10 and 30, and of 20 and 40
        fakes = fakes._replace(image=numbered[:4], between_image=numbered[4:], text=text, between=between)
        terms = model.generator_loss(batch(4), fakes)
        each = [math.log(1 + math.exp(-logit)) for logit in logits.values()]
        assert terms["g_adversarial"].item() == pytest.approx(sum(each[:4]) / 4)
        assert terms["g_interpolation"].item() == pytest.approx((weight or 0.5) * sum(each[4:]) / 2)
        if weight is None:
            assert sum(terms.values()).item() == pytest.approx(1.5 * sum(each) / 6)


def test_a_weight_of_before_stays(tmp_path):
    """A checkpoint's own settings hold the 1 that was the default."""
    model = tiny.build(Text2Image, interpolation_weight=1.0)
    trainer = tiny.trainer(tmp_path, max_steps=1)
    trainer.fit(model, datamodule=tiny.NoiseData(1, kind=CaptionedImages))
    trainer.save_checkpoint(tmp_path / "old.ckpt")
    assert Text2Image.load_from_checkpoint(tmp_path / "old.ckpt").interpolation_weight == 1


def test_without_interpolation_there_are_no_midpoints():
    model = tiny.build(Text2Image, interpolation_weight=0.0)
    fakes = model.make_fakes(batch())
    assert fakes.image.shape == (8, 1, 16, 16) and len(fakes.between) == len(fakes.between_image) == 0
    assert set(model.generator_loss(batch(), fakes)) == {"g_adversarial"}


# What moves what


def gradients(network):
    return {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


def test_no_gan_gradient_reaches_the_text_encoder():
    model = tiny.build(Text2Image)
    encoders = nn.ModuleList([model.discriminator["text_encoder"], model.discriminator["image_encoder"]])
    data = batch()
    fakes = model.make_fakes(data)
    assert fakes.image.requires_grad and not fakes.text.requires_grad
    d_terms = model.discriminator_loss(data, fakes)
    embedding = d_terms.pop("d_embedding")
    (sum(d_terms.values()) + sum(model.generator_loss(data, fakes).values())).backward()
    assert not gradients(encoders)
    assert gradients(model.generator) and gradients(model.discriminator["critic"])
    model.zero_grad()
    embedding.backward()
    assert gradients(encoders) == {name for name, _ in encoders.named_parameters()}
    assert not gradients(model.generator) and not gradients(model.discriminator["critic"])


def test_a_step_trains_all_three_networks_of_d(tmp_path):
    model = tiny.build(Text2Image)
    before = tiny.parameters(model)
    tiny.trainer(tmp_path, max_steps=2).fit(model, datamodule=tiny.NoiseData(2, kind=CaptionedImages))
    names = {".".join(name.split(".")[:2]) for name in tiny.moved(before, model) if name.startswith("discriminator")}
    assert names == {f"discriminator.{part}" for part in ("critic", "text_encoder", "image_encoder")}


def test_the_embedding_learns_to_tell_sentences_apart():
    """Four sentences about four kinds of image: after some steps, each image scores highest with its own sentence."""
    torch.manual_seed(0)
    model = tiny.build(Text2Image, text_learning_rate=5e-3)
    sentences = ["a dark left side", "a dark right side", "a bright left side", "a bright right side"]
    image = torch.zeros(4, 1, 16, 16)
    image[0, :, :, :8], image[1, :, :, 8:], image[2, :, :, :8], image[3, :, :, 8:] = -1, -1, 1, 1
    data = CaptionedImages(image, torch.stack([encode(s, 48) for s in sentences]), torch.eye(4), torch.ones(4, 4))
    optimizer, _ = model.configure_optimizers()
    for _ in range(60):
        optimizer.zero_grad()
        model.discriminator_loss(data, model.make_fakes(data))["d_embedding"].backward()
        optimizer.step()
    scores = model.scores(data)
    assert scores.argmax(1).tolist() == scores.argmax(0).tolist() == [0, 1, 2, 3]


# Pictures


def test_draw_takes_any_sentence():
    model = tiny.build(Text2Image, channels=3)
    words = ["a smiling woman", "ANY sentence, 100% \N{SNOWMAN}!", "a man " * 400]
    images = model.draw(words, torch.Generator().manual_seed(0))
    assert images.shape == (3, 3, 16, 16) and images.abs().max() <= 1 and not images.requires_grad
    assert torch.equal(images, model.draw(words, torch.Generator().manual_seed(0)))
    assert not torch.equal(images, model.draw(words, torch.Generator().manual_seed(1)))
    assert model.draw("a man").shape == (1, 3, 16, 16), "one sentence is not its characters"
    assert model.training and model.generator.training


def test_draw_spells_as_the_data_do():
    """Sentences and their numbers, however padded, give the same picture."""
    model = tiny.build(Text2Image)
    numbers = torch.stack([encode(words, 96) for words in ("a smiling woman", "a man")])
    one = model.draw(["A smiling  woman", "a man"], torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.draw(numbers, torch.Generator().manual_seed(0)), one)


def test_pictures_depend_on_the_sentence():
    model = tiny.build(Text2Image)
    one, other = (model.draw(words, torch.Generator().manual_seed(0)) for words in ("a smiling woman", "a bald man"))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("captions", ["", [], ["a man", "  "]])
def test_nothing_to_draw(captions):
    with pytest.raises(UserError, match="sentence"):
        tiny.build(Text2Image).draw(captions)


def test_text_vectors_weigh_as_much_as_the_noise():
    model = tiny.build(Text2Image)
    caption = batch(3).caption
    raw, seen = model.discriminator["text_encoder"](caption), model.embed(caption)
    torch.testing.assert_close(seen.norm(dim=1), torch.full((3,), 8**0.5))
    torch.testing.assert_close(torch.cosine_similarity(raw, seen), torch.ones(3))


def test_pictures_come_from_the_average_and_the_current_encoder():
    model = tiny.build(Text2Image, ema_decay=0.9)
    torch.manual_seed(0)
    for parameter in model.generator.parameters():
        nn.init.normal_(parameter)
    expected = copy.deepcopy(model.average.module).eval()
    noise = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    caption = encode("a smiling woman", 20)[None]
    with torch.no_grad():
        nn.init.normal_(model.discriminator["text_encoder"].project.weight)
        text = model.discriminator["text_encoder"](caption)
        text *= (8 / text.square().sum()).sqrt()
        torch.testing.assert_close(
            model.draw("a smiling woman", torch.Generator().manual_seed(0)), expected(noise, text)
        )


def test_the_state_holds_every_tensor_once():
    state = tiny.build(Text2Image).state_dict()
    tensors = [value.data_ptr() for value in state.values() if isinstance(value, torch.Tensor) and value.numel() > 1]
    assert len(tensors) == len(set(tensors))


def test_a_checkpoint_holds_its_alphabet_and_one_of_another_alphabet_is_refused(tmp_path):
    """A character's number is its place in the alphabet: with another one, sentences would be misread in silence."""
    model = tiny.build(Text2Image)
    model.trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    model.trainer.strategy.connect(model)
    model.trainer.save_checkpoint(tmp_path / "last.ckpt")
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["alphabet"].startswith("abc")
    Text2Image.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    torch.save(checkpoint | {"alphabet": checkpoint["alphabet"][::-1]}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="another alphabet"):
        Text2Image.load_from_checkpoint(tmp_path / "other.ckpt", weights_only=True)
