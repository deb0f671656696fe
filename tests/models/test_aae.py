"""AAE: whose gradient each term is, the labels that D sees, and priors that are matched."""

import pytest
import torch

from lit_gen.errors import UserError
from lit_gen.models import AAE
from tests.models import tiny

OWNER = {
    "reconstruction": "coders",
    "encoder_adversarial": "encoder",
    "d_real": "discriminator",
    "d_fake": "discriminator",
}


def build(**settings):
    torch.manual_seed(0)
    small = {"latent_dim": 2, "hidden_sizes": [16], "discriminator_sizes": [16]}
    return AAE(tiny.spec(), **small | settings)


@pytest.mark.parametrize("term", OWNER)
def test_each_term_moves_its_own_network_only(term):
    model = build()
    model.losses(tiny.batch())[term].backward()
    moved = {
        name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None and value.grad.any()
    }
    expected = {"coders": {"encoder", "decoder"}, "encoder": {"encoder"}, "discriminator": {"discriminator"}}
    assert moved == expected[OWNER[term]]


def test_one_backward_pass_gives_the_gradients_of_separate_ones():
    model = build(input_dropout=0.0)

    def gradients(*names):
        model.zero_grad()
        torch.manual_seed(3)
        terms = model.losses(tiny.batch())
        sum(terms[name] for name in names).backward()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    together = gradients(*OWNER)
    for names in (("reconstruction", "encoder_adversarial"), ("d_real", "d_fake")):
        for name, value in gradients(*names).items():
            torch.testing.assert_close(value, together[name])


def test_the_reconstruction_is_a_sum_over_pixels_by_hand():
    model = build(input_dropout=0.0)
    image = tiny.batch().image
    error = ((model.reconstruct(image) + 1) / 2 - (image + 1) / 2).square()
    expected = sum(float(one.sum()) for one in error) / len(image)
    assert float(model.losses(tiny.batch())["reconstruction"]) == pytest.approx(expected, rel=1e-5)


def test_input_dropout_only_in_training():
    model = build(input_dropout=0.5)
    image = tiny.batch().image
    assert not torch.equal(model.encode(image), model.encode(image))
    model.eval()
    assert torch.equal(model.encode(image), model.encode(image))


def test_gaussian_posterior_is_random_in_training_and_its_mean_otherwise():
    model = build(posterior="gaussian", input_dropout=0.0)
    image = tiny.batch(1).image
    draws = torch.stack([model.encode(image) for _ in range(4_000)])
    mean, log_variance = model.encoder(image).chunk(2, dim=1)
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(draws.std(0), (0.5 * log_variance).exp(), rtol=0.1, atol=0)
    model.eval()
    assert torch.equal(model.encode(image), mean)


def test_hidden_labels_are_the_eleventh_class():
    model = build(prior="gaussian_mixture", conditional=True, labelled_fraction=0.25)
    labels = torch.arange(10).repeat(2_000)
    shown = model.hide_labels(labels)
    hidden = shown == 10
    assert float(hidden.float().mean()) == pytest.approx(0.75, abs=0.02)
    assert torch.equal(shown[~hidden], labels[~hidden])
    code = torch.randn(4, 2)
    given = model.discriminator_input(code, torch.tensor([0, 3, 9, 10]))
    assert given.shape == (4, 13) and torch.equal(given[:, :2], code)
    assert given[:, 2:].argmax(1).tolist() == [0, 3, 9, 10] and torch.equal(given[:, 2:].sum(1), torch.ones(4))


def test_without_labels_d_sees_codes_only():
    assert build().discriminator[0].in_features == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prior": "swiss_roll", "latent_dim": 8}, "set latent_dim to 2"),
        ({"prior": "gaussian", "conditional": True}, "gaussian has 1"),
        ({"prior_scale": 0.0}, "positive"),
        ({"labelled_fraction": 1.5}, "from 0 to 1"),
    ],
)
def test_settings_that_cannot_work(settings, words):
    with pytest.raises(UserError, match=words):
        build(**settings)


@pytest.mark.parametrize("prior", ["gaussian_mixture", "swiss_roll"])
def test_two_dimensional_codes_have_two_more_sheets(prior):
    model = build(prior=prior)
    sheets = model.sample_sheets(tiny.batch(), count=8)
    assert set(sheets) == {"samples", "reconstructions", "plane", "codes"}
    assert sheets["codes"].shape == (3, 384, 384)


def test_two_learning_rates():
    optimizer = build(learning_rate=0.1, discriminator_learning_rate=0.2).configure_optimizers()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def test_codes_come_to_follow_the_prior():
    """On structured noise: the mean and spread of the codes go to the prior's, from far away."""
    model = build(
        prior="gaussian", prior_scale=2.0, learning_rate=2e-3, discriminator_learning_rate=2e-3, input_dropout=0.0
    )
    optimizer = model.configure_optimizers()
    image = tiny.batch(256).image
    data = tiny.batch(256)
    with torch.no_grad():
        model.encoder[-1].bias.fill_(6.0)
    for _ in range(600):
        loss = sum(model.losses(data).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = model.encode(image)
    assert codes.mean(0).abs().max() < 1.0
    assert 1.0 < float(codes.std(0).min()) and float(codes.std(0).max()) < 3.0
