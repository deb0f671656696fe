"""AutoEncoder: its loss by hand, and that it can learn eight images by heart."""

import pytest
import torch
from lightning import Callback
from torch import nn

from lit_gen.data.batches import LabelledImages
from lit_gen.errors import UserError
from lit_gen.layers.coders import ConvEncoder, MLPEncoder, network
from lit_gen.models import AAE, VAE, AutoEncoder, SemiSupervisedAAE
from tests.models import tiny


def images(*values, size=4):
    return LabelledImages(
        torch.stack([torch.full((1, size, size), value) for value in values]), torch.zeros(len(values))
    )


def test_loss_by_hand():
    """Squared errors on [0, 1], summed over 16 pixels, averaged over images: 16 * 0.25^2 and 16 * 0.5^2."""
    model = tiny.build(AutoEncoder, size=4)
    model.reconstruct = torch.zeros_like
    assert {name: term.item() for name, term in model.losses(images(0.5, -1.0)).items()} == {"reconstruction": 2.5}


def test_loss_does_not_depend_on_the_batch_size_but_on_the_pixels():
    model = tiny.build(AutoEncoder)
    batch = tiny.batch(6)
    one = model.losses(batch)["reconstruction"]
    twice = model.losses(LabelledImages(batch.image.repeat(2, 1, 1, 1), batch.label.repeat(2)))["reconstruction"]
    torch.testing.assert_close(one, twice)
    model.reconstruct = torch.zeros_like
    small, large = (model.losses(images(0.7, size=size))["reconstruction"] for size in (4, 8))
    torch.testing.assert_close(large, 4 * small)


def test_validation_logs_the_training_loss_averaged_over_all_images(tmp_path):
    model = tiny.build(AutoEncoder)
    (metrics,) = tiny.trainer(tmp_path).validate(model, datamodule=tiny.NoiseData(3), verbose=False)
    with torch.no_grad():
        expected = sum(model.losses(tiny.batch(seed=seed))["reconstruction"] for seed in range(3)) / 3
    assert metrics["val/loss"] == metrics["val/reconstruction"] == pytest.approx(expected.item())


def test_network_of_the_paper():
    """784-1000-500-250-30 and back (Hinton & Salakhutdinov 2006)."""
    model = AutoEncoder(tiny.spec(size=28))
    sizes = [784, 1000, 500, 250, 30]
    for coder, expected in ((model.encoder, sizes), (model.decoder, sizes[::-1])):
        linear = [layer for layer in coder if isinstance(layer, nn.Linear)]
        assert [layer.in_features for layer in linear] + [linear[-1].out_features] == expected


def test_output_can_reach_both_ends_of_the_range():
    """Images are in [-1, 1]: a sigmoid could never fit them (papers.md, section 1)."""
    model = tiny.build(AutoEncoder)
    decoded = model.decode(1000 * torch.randn(64, 4))
    assert decoded.min() < -0.99 and decoded.max() > 0.99 and decoded.abs().max() <= 1


@pytest.mark.parametrize("encoder", [network(MLPEncoder, hidden_sizes=[64]), network(ConvEncoder, channels=8)])
def test_learns_eight_images_by_heart(encoder):
    torch.manual_seed(0)
    model = AutoEncoder(tiny.spec(), latent_dim=8, learning_rate=3e-3, encoder=encoder)
    batch, optimizer = tiny.batch(8), model.configure_optimizers()
    losses = []
    for _ in range(200):
        loss = sum(model.losses(batch).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


@pytest.mark.parametrize("model_class", [AutoEncoder, VAE, AAE, SemiSupervisedAAE])
def test_codes_have_no_random_draws_in_evaluation_mode(model_class):
    """In training mode they have, except those of the AutoEncoder."""
    model, images = tiny.build(model_class), tiny.images()
    for training in (False, True):
        model.train(training)
        for verb in (model.code, model.reconstruct, getattr(model, "classify", model.code)):
            assert torch.equal(verb(images), verb(images)) == (not training or model_class is AutoEncoder)


@pytest.mark.parametrize("model_class", [AutoEncoder, VAE, AAE])
def test_learning_rates_fall_by_equal_factors(model_class, tmp_path):
    """Four epochs of two batches, to a hundredth: by 100^(-1/8) from batch to batch, in every group of parameters."""

    class Watch(Callback):
        def on_before_optimizer_step(self, trainer, model, optimizer):
            seen.append([group["lr"] / group["initial_lr"] for group in optimizer.param_groups])

    seen = []
    model = tiny.build(model_class, learning_rate_decay=0.01)
    tiny.trainer(tmp_path, max_epochs=4, callbacks=[Watch()]).fit(model, datamodule=tiny.NoiseData(2))
    assert len(seen) == 8
    for batch, factors in enumerate(seen):
        assert factors == pytest.approx([100 ** (-batch / 8)] * len(factors))


def test_a_learning_rate_cannot_decay_to_nothing():
    with pytest.raises(UserError, match="learning_rate_decay"):
        tiny.build(AutoEncoder, learning_rate_decay=0.0)
