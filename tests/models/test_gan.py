"""GAN: the authors' networks, both games, and one batch of fakes a step."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lit_gen.models import GAN, adversarial
from lit_gen.models.gan import Maxout
from lit_gen.training.step import descend
from tests.models import tiny


def test_maxout_by_hand():
    """Two units of three pieces each: pieces 0..2 are unit 0, pieces 3..5 unit 1."""
    layer = Maxout(2, 2, 3)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, -1], [2, 0], [0, 2], [0, 0]]))
        layer.linear.bias.copy_(torch.tensor([0.0, 0, 0, 0, 0, 5]))
    output = layer(torch.tensor([[1.0, 4.0], [-3.0, -2.0]]))
    assert output.tolist() == [[4, 8], [5, 5]]


def test_maxout_passes_the_gradient_to_the_winner_only():
    layer = Maxout(1, 1, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        layer.linear.bias.zero_()
    layer(torch.tensor([[3.0]])).backward()
    assert layer.linear.weight.grad.tolist() == [[3], [0]]


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
    assert [type(optimizer) for optimizer in sgd] == [torch.optim.SGD] * 2
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
