"""Reconstruction: what predict and grids show, and what validation logs, of the models that encode."""

import math

import pytest
import torch

from lit_gen.models import AAE, VAE, AutoEncoder
from tests.models import tiny
from tests.models.test_aae import build


@pytest.mark.parametrize("prior", ["gaussian_mixture", "swiss_roll"])
def test_two_dimensional_codes_have_two_more_grids(prior):
    model = build(prior=prior)
    grids = tiny.grids(model, tiny.batch(), 8)
    assert set(grids) == {"samples", "reconstructions", "plane", "codes"}
    assert grids["codes"].shape == (3, 384, 384)


@pytest.mark.parametrize("model_class", [AutoEncoder, VAE, AAE])
def test_originals_stand_to_the_left_of_their_reconstructions(model_class):
    model, batch = tiny.build(model_class, 3), tiny.batch(8, 3)
    grids = tiny.grids(model, batch, 12)
    assert list(grids) == ["samples", "reconstructions"]
    assert grids["reconstructions"].shape == (3, 2 * 22 + 6, 4 * 40 + 6)  # 6 pairs, 4 per row
    model.eval()
    with torch.no_grad():
        predicted = model.predict_step(batch, 0)
    for number in range(6):
        top, left = 6 + number // 4 * 22, 6 + number % 4 * 40
        original, decoded = (grids["reconstructions"][:, top : top + 16, at : at + 16] for at in (left, left + 18))
        assert torch.equal(original, batch.image[number])
        torch.testing.assert_close(decoded, predicted[number])


def test_a_model_is_judged_by_the_bound_that_it_is_trained_on(tmp_path):
    """Without weights p(x|z) is 1/2 per pixel, and both bounds are exact; otherwise that of K samples is tighter."""

    def measured(model):
        return tiny.trainer(tmp_path).validate(model, datamodule=tiny.NoiseData(2), verbose=False)[0]

    one, several = tiny.build(VAE), tiny.build(VAE, num_importance_samples=50)
    assert [model.task.monitored(model) for model in (one, several)] == ["val/loss", "val/bound"]
    assert "val/bound" not in measured(one)
    with torch.no_grad():
        several.decoder.requires_grad_(False)
        for parameter in several.decoder.parameters():
            parameter.mul_(8)  # what the code says matters
    values = measured(several)
    assert values["val/bound"] < values["val/loss"] - 1 and values["val/loss"] == pytest.approx(-values["val/elbo"])
    for parameter in several.parameters():
        torch.nn.init.zeros_(parameter)
    values = measured(several)
    assert values["val/bound"] == pytest.approx(256 * math.log(2), rel=1e-5) == pytest.approx(values["val/loss"])


def test_the_elbo_has_no_beta(tmp_path):
    """The loss has."""
    (values,) = tiny.trainer(tmp_path).validate(tiny.build(VAE, beta=3.0), datamodule=tiny.NoiseData(2), verbose=False)
    terms = values["val/reconstruction"], values["val/kl"]
    assert values["val/elbo"] == pytest.approx(-sum(terms), rel=1e-5)
    assert values["val/loss"] == pytest.approx(terms[0] + 3 * terms[1], rel=1e-5)
