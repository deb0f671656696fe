"""GAN: the authors' networks, both games, and one batch of fakes a step."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from lightning import Callback
from torch import nn
from torch.nn import functional

from lit_gen.data import MNIST
from lit_gen.errors import UserError
from lit_gen.files.idx import read_idx
from lit_gen.layers.dense import Maxout
from lit_gen.models import GAN, VAE, adversarial
from lit_gen.training.step import descend
from tests.models import tiny


def test_networks_of_the_authors():
    """G 100-1200-1200-784, D 784-240x5-240x5-1 with dropout of 0.2 at the input, else 0.5 (goodfeli/mnist.yaml)."""
    model = GAN(tiny.spec(size=28))
    shapes = [tuple(m.weight.shape) for m in model.generator.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(1200, 100), (1200, 1200), (784, 1200)]
    shapes = [tuple(m.weight.shape) for m in model.discriminator.modules() if isinstance(m, nn.Linear)]
    assert shapes == [(1200, 784), (1200, 240), (1, 240)]
    assert [m.p for m in model.discriminator.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.5, 0.5]
    assert not [m for m in model.generator.modules() if isinstance(m, nn.Dropout)]


@pytest.mark.parametrize("maxout_pieces", [0, 5])
def test_no_batch_norm(maxout_pieces):
    model = tiny.build(GAN, maxout_pieces=maxout_pieces)
    assert not [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    assert any(isinstance(m, Maxout) for m in model.modules()) == (maxout_pieces > 0)
    assert any(isinstance(m, nn.LeakyReLU) for m in model.modules()) == (maxout_pieces == 0)


def test_dropout_is_on_in_training_and_off_in_evaluation():
    """Public code calls functional.dropout without `training`, and drops for ever."""
    model = tiny.build(GAN)
    image = tiny.batch().image
    assert not torch.equal(model.discriminator(image), model.discriminator(image))
    model.eval()
    assert torch.equal(model.discriminator(image), model.discriminator(image))


def test_dropout_is_on_while_g_trains():
    model = tiny.build(GAN)
    batch = tiny.batch()
    fakes = model.make_fakes(batch).detach()
    losses = {model.generator_loss(batch, fakes)["g_adversarial"].item() for _ in range(4)}
    assert len(losses) > 1


def test_latent_is_uniform_with_unit_variance():
    model = tiny.build(GAN, latent_dim=100)
    for generator in (None, torch.Generator().manual_seed(1)):
        torch.manual_seed(0)
        latent = model.sample_latent(2000, generator)
        assert latent.shape == (2000, 100)
        assert latent.abs().max() <= math.sqrt(3) and latent.abs().max() > 1.73
        assert latent.mean().item() == pytest.approx(0, abs=0.01)
        assert latent.var().item() == pytest.approx(1, abs=0.01)
        assert latent.pow(4).mean().item() == pytest.approx(9 / 5, abs=0.02)  # 3 for a normal


def losses_by_hand(model, batch, fakes):
    real, fake = (torch.sigmoid(model.discriminator(x).double()) for x in (batch.image, fakes))
    bce = functional.binary_cross_entropy
    return {
        "d_real": bce(real, torch.ones_like(real)),
        "d_fake": bce(fake, torch.zeros_like(fake)),
        "nonsaturating": bce(fake, torch.ones_like(fake)),
        "saturating": (1 - fake).log().mean(),
    }


@pytest.mark.parametrize("loss", ["nonsaturating", "saturating"])
def test_both_games(loss):
    model = tiny.build(GAN, loss=loss).eval()
    batch = tiny.batch()
    fakes = model.make_fakes(batch).detach()
    expected = losses_by_hand(model, batch, fakes)
    actual = {name: term.double() for name, term in model.discriminator_loss(batch, fakes).items()}
    torch.testing.assert_close(actual, {name: expected[name] for name in ("d_real", "d_fake")})
    torch.testing.assert_close(model.generator_loss(batch, fakes)["g_adversarial"].double(), expected[loss])


@pytest.mark.parametrize("loss", ["nonsaturating", "saturating"])
def test_a_step_of_g_makes_its_fakes_look_more_real(loss):
    model = tiny.build(GAN, loss=loss).eval()
    latent, batch = model.sample_latent(32), tiny.batch()
    before = model.discriminator(model.generator(latent)).mean()
    optimizer = torch.optim.SGD(model.generator.parameters(), 0.1)
    for _ in range(5):
        optimizer.zero_grad()
        sum(model.generator_loss(batch, model.generator(latent)).values()).backward()
        optimizer.step()
    assert model.discriminator(model.generator(latent)).mean() > before


@pytest.mark.parametrize("n_critic", [1, 2])
def test_d_and_g_share_one_set_of_fakes_and_d_s_carry_no_graph(n_critic, tmp_path, monkeypatch):
    model = tiny.build(GAN, n_critic=n_critic, ema_decay=0.9)
    made, graphs = [], {"discriminator_loss": [], "generator_loss": []}
    model.generator.register_forward_hook(lambda module, args, output: made.append(output.requires_grad))

    def watched(module, optimizer, loss, batches, fakes):
        (only,) = fakes
        graphs[loss.__name__].append((only.requires_grad, only.detach().clone()))
        return descend(module, optimizer, loss, batches, fakes)

    monkeypatch.setattr(adversarial, "descend", watched)
    tiny.trainer(tmp_path, limit_val_batches=0).fit(model, datamodule=tiny.NoiseData(4))
    for_d, for_g = graphs.values()
    turns = [(step + 1) % n_critic == 0 for step in range(4)]
    assert made == turns, "one forward pass a step, with a graph only where G takes its turn"
    assert [graph for graph, _ in for_d] == [False] * 4
    assert [graph for graph, _ in for_g] == [True] * sum(turns)
    shown = [fakes for (_, fakes), turn in zip(for_d, turns, strict=True) if turn]
    assert all(torch.equal(*pair) for pair in zip(shown, (fakes for _, fakes in for_g), strict=True))


def test_sgd_of_the_paper_and_adam():
    sgd = tiny.build(GAN, optimizer="sgd", learning_rate=0.1, momentum=0.5).configure_optimizers()
    assert all(isinstance(optimizer, torch.optim.SGD) for optimizer in sgd) and len(sgd) == 2
    assert {(group["lr"], group["momentum"]) for optimizer in sgd for group in optimizer.param_groups} == {(0.1, 0.5)}
    adam = tiny.build(GAN).configure_optimizers()
    assert [type(optimizer) for optimizer in adam] == [torch.optim.Adam] * 2
    assert {(group["lr"], group["betas"]) for optimizer in adam for group in optimizer.param_groups} == {
        (2e-4, (0.5, 0.999))
    }


def test_lists_in_the_signature_stay_as_they_are():
    sizes = [12, 8]
    tiny.build(GAN, generator_sizes=sizes, discriminator_sizes=sizes)
    assert sizes == [12, 8]


AUTHORS = yaml.safe_load(Path("configs/gan_sgd.yaml").read_text())["model"]["init_args"]


class Settings(Callback):
    """The learning rate and momentum of each step, of D and of G."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, *_):
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        self.seen.append([(group["lr"], group["momentum"]) for group in groups])


def test_the_schedules_reach_both_optimizers(tmp_path):
    """50 images a step; the momentum rises for 200, the rate falls by 2 per 100, and no lower than 0.04."""
    settings = Settings()
    schedules = {"momentum_kimg": 0.2, "learning_rate_divisor": 2.0, "learning_rate_floor": 0.04}
    model = tiny.build(GAN, **AUTHORS | schedules | {"output_bias_from_data": False})
    trainer = tiny.trainer(tmp_path, limit_val_batches=0, callbacks=[settings])
    trainer.fit(model, datamodule=tiny.NoiseData(6, batch_size=50))
    expected = [(0.1, 0.5), (0.0707107, 0.55), (0.05, 0.6), (0.04, 0.65), (0.04, 0.7), (0.04, 0.7)]
    for seen, rates in zip(settings.seen, expected, strict=True):
        assert seen == [pytest.approx(rates, rel=1e-5)] * 2


def test_initial_ranges_of_the_authors():
    model = GAN(tiny.spec(size=28), **AUTHORS)
    for network, reach in ((model.generator, 0.05), (model.discriminator, 0.005)):
        for layer in (part for part in network.modules() if isinstance(part, nn.Linear)):
            assert layer.bias.abs().max() == 0 and 0.9 * reach < layer.weight.abs().max() <= reach
            if layer.weight.numel() > 10_000:
                assert layer.weight.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.01)  # of a uniform one


def test_half_of_d_s_loss():
    whole, half = (tiny.build(GAN, discriminator_weight=weight).eval() for weight in (1.0, 0.5))
    batch = tiny.batch()
    fakes = whole.make_fakes(batch).detach()
    for name, term in half.discriminator_loss(batch, fakes).items():
        assert term.item() == pytest.approx(whole.discriminator_loss(batch, fakes)[name].item() / 2)
    assert torch.equal(
        half.generator_loss(batch, fakes)["g_adversarial"], whole.generator_loss(batch, fakes)["g_adversarial"]
    )


def test_pixels_from_zero_to_one():
    """D sees them, and G's last layer is a sigmoid; outside of the model pixels are in [-1, 1] as ever."""
    model, seen = tiny.build(GAN, unit_interval=True), []
    first = next(part for part in model.discriminator.modules() if isinstance(part, nn.Linear))
    model.eval()
    first.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    image = tiny.batch().image
    model.discriminator(image)
    torch.testing.assert_close(seen[0], (image.flatten(1) + 1) / 2)
    last = [part for part in model.generator.modules() if isinstance(part, nn.Linear)][-1]
    last.register_forward_hook(lambda layer, given, output: torch.full_like(output, math.log(3)))
    torch.testing.assert_close(model.generate(2), torch.full((2, 1, 16, 16), 0.5))  # sigmoid(log 3) = 3/4


MEANS = {
    "GAN": (GAN, {"generator_range": 0.0, "optimizer": "sgd"}, 1e-7),
    "GAN of [0, 1]": (GAN, {"generator_range": 0.0, "optimizer": "sgd", "unit_interval": True}, 1e-7),
    "VAE": (VAE, {"initialization": "glorot"}, 1e-3),
    "VAE, Gaussian": (VAE, {"initialization": "glorot", "likelihood": "gaussian"}, 0.0),
}


@pytest.mark.parametrize("name", MEANS)
def test_an_untrained_model_gives_the_mean_image(name, mnist_root, tmp_path):
    """The mean of the training images, none of validation among them; and a checkpoint is enough afterwards."""
    model_class, settings, least = MEANS[name]
    data = {"root": mnist_root, "val_size": 100, "batch_size": 50, "download": False}
    model = tiny.build(model_class, size=28, learning_rate=0.0, output_bias_from_data=True, **settings)
    tiny.trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(model, datamodule=MNIST(**data))
    pixels = read_idx(mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte")[:300]
    expected = (pixels / 255.0).mean(0).clip(least, 1 - least)
    with torch.no_grad():
        made = (model(torch.zeros(1, model.latent_dim)) + 1) / 2
    torch.testing.assert_close(made[0, 0].double(), torch.as_tensor(expected), rtol=0, atol=1e-6)

    with torch.no_grad():
        model.get_parameter(next(key for key, value in model.named_parameters() if value.numel() == 784)).fill_(0.25)
    path = tmp_path / "model.ckpt"
    model.trainer.save_checkpoint(path)
    for resumed in (model_class.load_from_checkpoint(path), tiny.build(model_class, size=28, **settings)):
        more = {"limit_train_batches": 1, "limit_val_batches": 0, "max_epochs": 2}
        resumed.output_bias_from_data, resumed.learning_rate = True, 0.0
        tiny.trainer(tmp_path, **more).fit(resumed, datamodule=MNIST(**data), ckpt_path=path)
        tiny.assert_same(tiny.parameters(resumed), tiny.parameters(model))


def test_what_cannot_work_is_refused(tmp_path):
    with pytest.raises(UserError, match="Set --model.optimizer=sgd"):
        tiny.build(GAN, final_momentum=0.7)
    with pytest.raises(UserError, match="learning_rate_divisor must be at least 1, not 0.5"):
        tiny.build(GAN, learning_rate_divisor=0.5)
    with pytest.raises(UserError, match="a mean_image, which NoiseData is without"):
        tiny.trainer(tmp_path).fit(tiny.build(GAN, output_bias_from_data=True), datamodule=tiny.NoiseData())
