"""ProGAN: networks and counts of the paper, fades by hand, and what happens when during a run."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
import torch
import yaml
from lightning import Callback
from torch import nn

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.data import ImageFolder
from lit_gen.data.batches import Images
from lit_gen.errors import UserError
from lit_gen.layers.equalized import EqualizedConv2d, EqualizedLinear, PixelNorm
from lit_gen.models import ProGAN
from lit_gen.models.progan import fade
from tests.models import tiny

HE = math.sqrt(2)


def on_meta(size, **settings):
    with torch.device("meta"):
        return ProGAN(tiny.spec(3, size), **settings)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def conv(before, width, kernel):
    return before * width * kernel**2 + width


def test_parameter_counts_of_the_paper_at_128_pixels():
    """Layer by layer from table 2 with a bias for each channel: 22.93M and 22.94M."""
    widths = [512, 512, 512, 512, 256, 128]
    pairs = list(zip(widths, widths[1:], strict=False))
    generator = 512 * 512 * 16 + 512 + conv(512, 512, 3) + sum(conv(a, b, 3) + conv(b, b, 3) for a, b in pairs)
    generator += sum(conv(width, 3, 1) for width in widths)
    discriminator = sum(conv(3, width, 1) for width in widths) + sum(conv(b, b, 3) + conv(b, a, 3) for a, b in pairs)
    discriminator += conv(513, 512, 3) + conv(512, 512, 4) + 512 + 1
    assert (round(generator / 1e4), round(discriminator / 1e4)) == (2293, 2294)
    model = on_meta(128)
    assert count(model.discriminator) == discriminator
    assert count(model.generator) == generator


@pytest.mark.parametrize("size, stages", [(4, 1), (128, 6), (1024, 9)])
def test_channels_of_each_resolution(size, stages):
    model = on_meta(size)
    widths = [512, 512, 512, 512, 256, 128, 64, 32, 16][:stages]
    assert [layer.in_channels for layer in model.generator.to_rgb] == widths
    assert [layer[0].out_channels for layer in model.discriminator.from_rgb] == widths


def test_channels_of_the_papers_table_1():
    """The help says by which `channel_base` they come: 32 channels at 128 pixels, and 512 at 8 pixels."""
    (base,) = re.findall(r"paper: (\d+) in its\s+table 1", ProGAN.__doc__)
    layers = on_meta(128, channel_base=int(base)).generator.to_rgb
    assert [layer.in_channels for layer in layers] == [512, 512, 256, 128, 64, 32]


def test_gains():
    """sqrt(2), but 1 for toRGB and D's last layer, and sqrt(2) / 4 for G's first."""
    model = on_meta(16)
    special = {model.generator.project: HE / 4, model.discriminator.last[-1]: 1.0}
    special |= dict.fromkeys(model.generator.to_rgb, 1.0)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers and all(isinstance(layer, EqualizedConv2d | EqualizedLinear) for layer in layers)
    own = [*model.generator.modules(), *model.discriminator.modules()]
    for layer in (layer for layer in own if layer in layers):
        fan_in = math.prod(layer.weight.shape[1:])
        assert layer.scale == pytest.approx(special.get(layer, HE) / math.sqrt(fan_in)), layer


def test_order_of_layers():
    model = on_meta(16)
    triple = [EqualizedConv2d, nn.LeakyReLU, PixelNorm]  # pixel norm comes after the activation
    assert [type(layer) for layer in model.generator.first] == triple
    for block in model.generator.blocks:
        assert [type(layer) for layer in block] == triple * 2
    for first in model.discriminator.from_rgb:
        assert [type(layer) for layer in first] == [EqualizedConv2d, nn.LeakyReLU]
    for block in model.discriminator.blocks:
        assert [type(layer) for layer in block] == [EqualizedConv2d, nn.LeakyReLU] * 2 + [nn.AvgPool2d]
    for network in (model.generator, model.discriminator):
        slopes = {layer.negative_slope for layer in network.modules() if isinstance(layer, nn.LeakyReLU)}
        assert slopes == {0.2}


def test_no_normalization_in_d():
    kinds = {type(layer).__name__ for layer in on_meta(64).discriminator.modules()}
    assert not [kind for kind in kinds if "Norm" in kind]


def build(size=16, channels=3, **settings):
    return tiny.build(ProGAN, channels, size, **settings)


def test_latents_are_normal_and_normalized_by_the_generator():
    model, seen = build(), []
    model.generator.project.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    latent = 100 * torch.randn(4, 8)
    model.generator(latent, 1, 1.0)
    torch.testing.assert_close(seen[0], latent / latent.square().mean(1, keepdim=True).sqrt())
    draws = model.sample_latent(20_000)
    assert draws.var().item() == pytest.approx(1, abs=0.02) and draws.abs().max() > 3


def test_output_is_linear():
    """No tanh behind toRGB: ten times its weights are ten times the image, however bright."""
    model = build()
    latent = torch.randn(4, 8)
    image = model.generator(latent, 2, 1.0)
    model.generator.to_rgb[2].scale *= 10
    torch.testing.assert_close(model.generator(latent, 2, 1.0), 10 * image)
    assert (10 * image).abs().max() > 1


def larger(image):
    """Each pixel four times, by numpy."""
    return torch.from_numpy(numpy.kron(image.detach().numpy(), numpy.ones((2, 2), dtype="float32")))


def smaller(image, factor=2):
    """Means of squares of factor x factor pixels, by numpy."""
    batch, channels, size, _ = image.shape
    tiles = image.detach().numpy().reshape(batch, channels, size // factor, factor, size // factor, factor)
    return torch.from_numpy(tiles.mean((3, 5)))


@pytest.mark.parametrize("stage", [1, 2])
def test_fade_of_the_generator(stage):
    generator, latent = build().generator, torch.randn(4, 8)
    old, new = generator(latent, stage - 1, 1.0), generator(latent, stage, 1.0)
    assert new.shape[-1] == 2 * old.shape[-1] == 4 * 2**stage
    torch.testing.assert_close(generator(latent, stage, 0.0), larger(old))
    assert not torch.allclose(new, larger(old), atol=0.1)
    for alpha in (0.3, 0.9):  # alpha is the weight of the new path
        expected = (1 - alpha) * larger(old) + alpha * new
        torch.testing.assert_close(generator(latent, stage, alpha), expected)


@pytest.mark.parametrize("stage", [1, 2])
def test_fade_of_the_discriminator(stage):
    discriminator, image = build().discriminator, torch.randn(4, 3, 4 * 2**stage, 4 * 2**stage)
    old = discriminator(smaller(image), stage - 1, 1.0)
    new = discriminator(image, stage, 1.0)
    torch.testing.assert_close(discriminator(image, stage, 0.0), old)
    assert old.shape == new.shape == (4, 1) and not torch.allclose(new, old, atol=0.05)


def test_fade_of_the_discriminator_is_linear_in_its_features():
    discriminator, image = build().discriminator, torch.randn(4, 3, 8, 8)
    features = []
    discriminator.last.register_forward_pre_hook(lambda module, args: features.append(args[0]))
    for alpha in (0.0, 1.0, 0.3):
        discriminator(image, 1, alpha)
    old, new, between = features
    torch.testing.assert_close(between, 0.7 * old + 0.3 * new)


def test_new_path_by_hand():
    """At alpha 1 nothing of the old path is left: the old toRGB and fromRGB take no gradient."""
    model = build()
    image = model.generator(torch.randn(4, 8), 2, 1.0)
    model.discriminator(image, 2, 1.0).sum().backward()
    for layers in (model.generator.to_rgb, [first[0] for first in model.discriminator.from_rgb]):
        assert [layer.weight.grad is not None for layer in layers] == [False, False, True]


def test_reals_are_averaged_down_and_faded_like_fakes():
    model, image = build(), tiny.batch(4, 3).image
    model.stage, model.alpha = 0, 1.0
    torch.testing.assert_close(model.reals(image), smaller(image, 4))
    model.stage = 1
    at_8 = smaller(image)
    torch.testing.assert_close(model.reals(image), at_8)
    model.alpha = 0.25
    torch.testing.assert_close(model.reals(image), 0.25 * at_8 + 0.75 * larger(smaller(at_8)))
    model.stage = 2
    torch.testing.assert_close(model.reals(image), 0.25 * image + 0.75 * larger(at_8))
    model.alpha = 1.0
    assert torch.equal(model.reals(image), image)


@pytest.mark.parametrize("before, now", [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)])
def test_fade_takes_two_types(before, now):
    """As they come under autocast on a GPU, which upsamples in float32."""
    faded = fade(torch.full((1, 1, 2, 2), 2.0, dtype=before), torch.full((1, 1, 2, 2), 4.0, dtype=now), 0.25)
    assert faded.dtype is now and (faded == 2.5).all()


def test_losses_by_hand():
    """-E[D(x)] + E[D(G(z))] + 10 (|grad D| - 1)^2 + 0.001 E[D(x)^2], for a D that sums half of three corners."""
    model = build()
    model.stage, model.alpha = 1, 0.5
    model.score = lambda image: 0.5 * image[:, :, 0, 0].sum(1, keepdim=True)
    batch, fakes = tiny.batch(8, 3), torch.full((8, 3, 8, 8), 2.0)
    real = 0.5 * model.reals(batch.image)[:, :, 0, 0].sum(1)
    terms = {name: term.item() for name, term in model.discriminator_loss(batch, fakes).items()}
    assert terms == pytest.approx(
        {
            "d_real": -real.mean().item(),
            "d_fake": 3.0,
            "d_penalty": 10 * (0.5 * math.sqrt(3) - 1) ** 2,
            "d_drift": 0.001 * real.square().mean().item(),
        },
        rel=1e-4,
    )
    assert {name: term.item() for name, term in model.generator_loss(batch, fakes).items()} == {"g_adversarial": -3}


@pytest.mark.parametrize("size, stage, alpha", [(4, 0, 1.0), (8, 1, 0.5), (16, 2, 1.0)])
def test_all_that_d_sees_is_at_the_present_resolution(size, stage, alpha):
    model, seen = build(), []
    model.stage, model.alpha = stage, alpha
    model.discriminator.register_forward_pre_hook(lambda module, args: seen.append((args[0].shape[-1], *args[1:])))
    batch = tiny.batch(4, 3)
    fakes = model.make_fakes(batch)
    model.discriminator_loss(batch, fakes.detach())
    model.generator_loss(batch, fakes)
    assert seen == [(size, stage, alpha)] * 4  # reals, fakes, points of the penalty; fakes for G


def test_penalty_interval():
    batch, terms = tiny.batch(8, 3), []
    for interval, step in ((1, 0), (1, 1), (3, 0), (3, 1), (3, 2), (3, 3)):
        model = build(penalty_interval=interval)
        model.discriminator_steps = step
        torch.manual_seed(1)
        terms.append(model.discriminator_loss(batch, model.make_fakes(batch).detach()))
    assert ["d_penalty" in one for one in terms] == [True, True, True, False, False, True]
    for rare in (terms[2], terms[5]):
        torch.testing.assert_close(rare["d_penalty"], 3 * terms[0]["d_penalty"])
        torch.testing.assert_close(rare["d_drift"], terms[0]["d_drift"])


def test_defaults_of_the_paper():
    model = on_meta(128)
    groups = [group for optimizer in model.configure_optimizers() for group in optimizer.param_groups]
    assert {(group["lr"], group["betas"], group["eps"]) for group in groups} == {(1e-3, (0.0, 0.99), 1e-8)}
    settings = model.hparams
    assert (settings.penalty_weight, settings.penalty_interval, settings.drift_weight) == (10, 1, 0.001)
    assert (settings.n_critic, settings.ema_decay, settings.stddev_group) == (1, 0.999, 4)
    assert settings.minibatch_sizes is None and settings.learning_rate_factors is None  # the authors' tables


# Preset v2 of the authors: minibatch of all GPUs together, and rate in thousandths, at 4, 8, 16, ..., 1024 pixels.
AUTHORS = {
    1: ([128, 128, 128, 64, 32, 16, 8, 4, 4], [1, 1, 1, 1, 1, 1, 1, 1, 1.5]),
    2: ([256, 256, 128, 64, 32, 16, 8, 8, 8], [1, 1, 1, 1, 1, 1, 1, 1.5, 2]),
    4: ([512, 256, 128, 64, 32, 16, 16, 16, 16], [1, 1, 1, 1, 1, 1, 1.5, 2, 3]),
    8: ([512, 256, 128, 64, 32, 32, 32, 32, 32], [1, 1, 1, 1, 1, 1.5, 2, 3, 3]),
}


@pytest.mark.parametrize("processes, gpus", [(1, 1), (2, 2), (3, 2), (4, 4), (7, 4), (8, 8), (16, 8)])
def test_minibatches_and_rates_of_the_authors(processes, gpus, monkeypatch):
    """By resolution, for so many processes, each of which takes its part."""
    model = on_meta(1024)
    monkeypatch.setattr("lit_gen.models.growing.trainer_of", lambda model: SimpleNamespace(world_size=processes))
    for stage, (total, rate) in enumerate(zip(*AUTHORS[gpus], strict=True)):
        model.stage = stage
        batch = Images(torch.empty(512, 0))
        model.before_step = lambda: None
        pieces = [len(piece.image) for piece in model.minibatches(batch)]
        assert {gpus * size for size in pieces} == {total} and sum(pieces) == 512
        assert 1e-3 * model.learning_rate_factor() == pytest.approx(rate / 1000)


def test_rates_belong_to_minibatches():
    """A run with minibatches of its own, as one of an older version, has a constant rate, unless it says otherwise."""
    for factors, expected in ((None, 1.0), ({1024: 2.5}, 2.5)):
        model = on_meta(1024, minibatch_sizes={4: 16}, learning_rate_factors=factors)
        model.stage = 8
        assert model.learning_rate_factor() == expected


@pytest.mark.parametrize("table", ["minibatch_sizes", "learning_rate_factors"])
def test_tables_are_by_resolution(table):
    with pytest.raises(UserError, match=f"{table} is by resolution, a power of two from 4 to 1024, not 5, 12"):
        build(**{table: {4: 1, 5: 1, 12: 1}})


def test_the_rate_of_a_resolution_reaches_both_optimizers(tmp_path):
    """16 images at 4x4, 16 of fading to 8x8, and so on; pieces of 4."""
    rates = []

    class Rates(Callback):
        def on_train_batch_end(self, trainer, model, *_):
            rates.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])

    model = build(learning_rate=0.01, learning_rate_factors={4: 2.0, 16: 0.5})
    trainer = tiny.trainer(tmp_path, callbacks=[Rates()], limit_val_batches=0)
    trainer.fit(model, datamodule=tiny.NoiseData(5, 3, batch_size=16))
    assert rates == [pytest.approx([rate] * 2) for rate in (0.02, 0.01, 0.01, 0.005, 0.005)]


def test_no_more_than_a_minibatch_at_once(tmp_path):
    """In validation, test, predict and grids; nothing else about the images changes."""
    model = build(minibatch_sizes={4: 8, 8: 4, 16: 3}, ema_decay=0.5, size=32)
    model.stage, model.alpha = 2, 0.5
    sizes = {"generator": [], "discriminator": []}
    for name, network in (("generator", model.sampler), ("discriminator", model.discriminator)):
        network.register_forward_pre_hook(lambda module, given, name=name: sizes[name].append(len(given[0])))
    model.generator.register_forward_pre_hook(lambda module, given: sizes["generator"].append(len(given[0])))
    data = tiny.NoiseData(2, 3, size=32)
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(features="none", samples=12)])
    trainer.validate(model, datamodule=data, verbose=False)
    trainer.test(model, datamodule=data, verbose=False)
    images = trainer.predict(model, datamodule=data)
    tiny.grids(model, tiny.batch(20, 3, 32))
    assert [len(image) for image in images] == [8, 8]
    assert max(sizes["generator"]) == max(sizes["discriminator"]) == 3

    noise = torch.Generator().manual_seed(1)
    pieces = model.generate(10, noise)
    model.minibatch_sizes = {}
    torch.testing.assert_close(pieces, model.generate(10, noise.manual_seed(1)), rtol=1e-3, atol=1e-4)
    assert max(sizes["generator"]) == 10


def test_celeba_hq_at_1024_pixels():
    """The config's networks: 16 channels at the end, and images and scores of the right shapes at each stage."""
    config = yaml.safe_load(Path("configs/progan_celebahq.yaml").read_text())
    assert config["model"] == "ProGAN"
    settings = config["data"]["init_args"]
    data = ImageFolder(**settings)
    with torch.device("meta"):
        model = ProGAN(data.spec)
        model.discriminator.last[0] = nn.ConstantPad3d(
            (0, 0, 0, 0, 0, 1), 0.0
        )  # one channel more: autocast knows no meta
        for stage in range(9):
            size = 4 * 2**stage
            image = model.generator(torch.empty(4, 512), stage, 0.5 if stage else 1.0)
            assert image.shape == (4, 3, size, size)
            assert model.discriminator(image, stage, 0.5 if stage else 1.0).shape == (4, 1)
    assert model.generator.to_rgb[-1].in_channels == 16 and settings["batch_size"] % 128 == 0


class Diary(Callback):
    """What each step of D began with, and whether Adam then knew nothing."""

    def on_fit_start(self, trainer, module):
        self.steps, self.fresh = [], {"discriminator_loss": [], "generator_loss": []}
        for index, (name, record) in enumerate(self.fresh.items()):
            self.watch(trainer, module, index, name, record)

    def watch(self, trainer, module, index, name, record):
        original = getattr(module, name)

        def loss(batch, fakes):
            if name == "discriminator_loss":
                self.steps.append((module.images_seen, len(batch.image), fakes.shape[-1], module.alpha))
            if not trainer.optimizers[index].state:
                record.append(module.images_seen)
            return original(batch, fakes)

        setattr(module, name, loss)


def run(model, tmp_path, batches, batch_size=16, **settings):
    diary = Diary()
    trainer = tiny.trainer(tmp_path, callbacks=[diary], limit_val_batches=0, **settings)
    trainer.fit(model, datamodule=tiny.NoiseData(batches, model.image_shape[0], batch_size=batch_size))
    return diary, trainer


def test_a_run_step_by_step(tmp_path):
    """16 images stable, 16 of fading; loaded batches of 16 are split into 8 at 4x4 pixels, and then into 4."""
    diary, trainer = run(build(), tmp_path, batches=6)
    expected = [(0, 8, 4, 1.0), (8, 8, 4, 1.0)]
    for start, resolution in ((16, 8), (48, 16)):
        expected += [(start + 4 * step, 4, resolution, min(1.0, step / 4)) for step in range(8)]
    expected += [(80 + 4 * step, 4, 16, 1.0) for step in range(4)]
    assert diary.steps == expected
    assert trainer.lightning_module.images_seen == 96, "images and not steps"
    assert trainer.global_step == 6, "loaded batches and not the steps on their pieces"


def test_adam_forgets_at_the_start_and_end_of_each_fade_and_only_there(tmp_path):
    diary, _ = run(build(), tmp_path, batches=8)
    assert diary.fresh == {"discriminator_loss": [0, 16, 32, 48, 64], "generator_loss": [0, 16, 32, 48, 64]}


def test_adam_forgets_once_where_there_is_no_fade(tmp_path):
    diary, _ = run(build(fade_kimg=0), tmp_path, batches=4)
    assert diary.fresh["discriminator_loss"] == [0, 16, 32]


def test_growth_in_the_middle_of_a_loaded_batch(tmp_path):
    """The stage follows the images at each step; the split is that of the batch's beginning."""
    diary, _ = run(build(stable_kimg=0.008), tmp_path, batches=1)
    assert diary.steps == [(0, 8, 4, 1.0), (8, 8, 8, 0.0)]


def test_batches_that_do_not_divide_and_resolutions_without_a_size(tmp_path):
    diary, trainer = run(build(minibatch_sizes={4: 4}), tmp_path, batches=3, batch_size=10)
    assert [step[:3] for step in diary.steps] == [
        (0, 4, 4),
        (4, 4, 4),
        (8, 2, 4),
        (10, 4, 4),
        (14, 4, 4),
        (18, 2, 8),
        (20, 10, 8),
    ]


def test_split_keeps_images_with_their_labels():
    model = build()
    batch = tiny.batch(16, 3)
    model.before_step = lambda: None
    pieces = model.minibatches(batch)
    assert [type(piece) for piece in pieces] == [type(batch)] * 2
    assert torch.equal(torch.cat([piece.image for piece in pieces]), batch.image)
    assert torch.equal(torch.cat([piece.label for piece in pieces]), batch.label)
    assert len(model.minibatches(Images(batch.image))) == 2


def test_the_run_ends_by_itself(tmp_path):
    _, trainer = run(build(total_kimg=0.07), tmp_path, batches=2, max_epochs=-1)
    assert trainer.lightning_module.images_seen == 80  # the first batch of 16 past 70, in the middle of an epoch
    assert trainer.state.finished


@pytest.mark.parametrize("kimg", [0.07, 0.09])
def test_a_run_that_has_ended_is_not_trained_any_further(kimg, tmp_path):
    """Whether it ended in the middle of an epoch of 32 images or with it."""

    def train(checkpoint=None):
        saver = RunCheckpoints(tmp_path)
        trainer = tiny.trainer(tmp_path, callbacks=[saver], enable_checkpointing=True, max_epochs=-1)
        trainer.fit(build(total_kimg=kimg), datamodule=tiny.NoiseData(2, 3, batch_size=16), ckpt_path=checkpoint)
        return torch.load(saver.last, weights_only=True)

    end = train()
    tiny.assert_same(train(tmp_path / "last.ckpt"), end)


def test_average_by_hand(tmp_path):
    """The exponential average of G's weights after each of its steps, from the first on, across a change of stage."""
    model = build(minibatch_sizes={}, ema_decay=0.75)
    history, expected = [], {}

    class Record(Callback):
        def on_train_batch_end(self, trainer, module, *rest):
            history.append(tiny.parameters(module.generator))

    trainer = tiny.trainer(tmp_path, callbacks=[Record()], limit_val_batches=0)
    trainer.fit(model, datamodule=tiny.NoiseData(6, 3))
    for weights in history:
        expected = {name: 0.75 * expected.get(name, now) + 0.25 * now for name, now in weights.items()}
    assert model.stage > 0 and len(history) == 6
    average = tiny.parameters(model.average.module)
    assert average.keys() == expected.keys() == dict(model.generator.named_parameters()).keys()
    torch.testing.assert_close(average, expected)
    assert any(not torch.equal(average[name], now) for name, now in history[-1].items())


def test_average_is_of_the_generator_and_is_what_pictures_are_made_with():
    model = build()
    model.stage, model.alpha = 1, 0.5
    assert {type(m) for m in model.average.module.modules()} == {type(m) for m in model.generator.modules()}
    with torch.no_grad():
        for layer in model.average.module.to_rgb:
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor([0.5, -0.25, 0.0]))
    expected = torch.tensor([0.5, -0.25, 0.0])[:, None, None].expand(2, 3, 16, 16)
    torch.testing.assert_close(model.generate(2), expected)
    torch.testing.assert_close(model(torch.randn(2, 8)), expected)
    assert model.make_fakes(tiny.batch(2, 3)).std() > 0.1, "the fakes of a step are those of G itself"


def test_average_and_stage_survive_the_checkpoint(tmp_path):
    model = build(minibatch_sizes={}, ema_decay=0.5)
    _, trainer = run(model, tmp_path, batches=3, batch_size=8)
    trainer.save_checkpoint(tmp_path / "progan.ckpt")
    loaded = ProGAN.load_from_checkpoint(tmp_path / "progan.ckpt", weights_only=True, map_location="cpu")
    assert (loaded.stage, loaded.alpha, loaded.images_seen) == (model.stage, model.alpha, 24) == (1, 0.0, 24)
    average, weights = (tiny.parameters(network) for network in (loaded.average.module, loaded.generator))
    torch.testing.assert_close(average, tiny.parameters(model.average.module), rtol=0, atol=0)
    assert not torch.equal(average["project.weight"], weights["project.weight"])
    assert loaded.average.n_averaged == 3


@pytest.mark.parametrize("stage, alpha", [(0, 1.0), (1, 0.0), (1, 0.5), (1, 1.0), (2, 0.5), (2, 1.0)])
def test_pictures_have_the_full_size_at_every_stage(stage, alpha):
    model = build()
    model.stage, model.alpha = stage, alpha
    batch = tiny.batch(4, 3)
    grids = tiny.grids(model, batch, 4)
    side = 2 * (16 + 2) + 2  # two by two images of 16 pixels with gaps of 2
    assert {name: grid.shape for name, grid in grids.items()} == dict.fromkeys(("samples", "reals"), (3, side, side))
    image = model.generate(2)
    assert image.shape == (2, 3, 16, 16)
    factor = 16 // model.resolution
    blocks = image.unflatten(3, (-1, factor)).unflatten(2, (-1, factor))  # (B, C, S, f, S, f)
    assert torch.equal(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks)), "shown as large pixels"
    assert model.resolution == 4 * 2**stage


@pytest.mark.parametrize("size", [2, 28, 48, 218, 2048])
def test_sizes_that_do_not_fit(size):
    with pytest.raises(UserError, match=f"power of two from 4 to 1024, not {size}"):
        build(size)
