"""VAE: its bounds against log p(x) by numerical integration, and on which scale its loss is."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.data.batches import LabelledImages
from lit_gen.errors import UserError
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.models import VAE
from tests.models import tiny

LIKELIHOODS = ["bernoulli", "gaussian"]


def images(*tensors):
    image = torch.cat(tensors)
    return LabelledImages(image, torch.zeros(len(image), dtype=torch.long))


def grey(value, count=1, size=4):
    """`count` images of the grey value `value` in [0, 1]."""
    return torch.full((count, 1, size, size), 2 * value - 1)


@pytest.fixture(params=LIKELIHOODS)
def small(request):
    """A VAE with one latent number, whose encoder is a bad one; with its images of 4 pixels."""
    torch.manual_seed(0)
    model = VAE(
        tiny.spec(1, 2),
        latent_dim=1,
        likelihood=request.param,
        pixel_deviation=0.5,
        encoder=network(MLPEncoder, hidden_sizes=[5], activation="tanh"),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
        model.encoder[-1].weight.mul_(0.5)
        model.encoder[-1].bias.copy_(torch.tensor([0.5, 0.5]))
    return model.eval(), images(torch.rand(6, 1, 2, 2) * 2 - 1)


GRID = torch.linspace(-9, 9, 4001, dtype=torch.float64)
STEP = 18 / 4000


def log_joint(model, target):
    """log p(x, z) at each z of the grid (Z, B), by torch.distributions."""
    with torch.no_grad():
        output = deepcopy(model.decoder).double()(GRID[:, None])[:, None]  # (Z, 1, C, H, W)
    given_z = Bernoulli(logits=output) if model.likelihood == "bernoulli" else Normal(output, 0.5)
    return given_z.log_prob(target.double()).flatten(2).sum(2) + Normal(0, 1).log_prob(GRID)[:, None]


def log_evidence(model, target):
    """log of the integral of p(x, z) dz; one value an image."""
    return log_joint(model, target).logsumexp(0) + math.log(STEP)


def mean_bound(model, batch, draws):
    """Mean over many copies of the batch of the bound that `losses` holds."""
    with torch.no_grad():
        return -sum(model.losses(images(*[batch.image] * draws)).values()).item()


def test_bounds_against_the_integral(small):
    """The evidence lower bound is below log p(x), by KL(q(z|x) || p(z|x)); the importance-weighted one nearer."""
    model, batch = small
    target = model.target(batch.image)
    exact = log_evidence(model, target)
    torch.manual_seed(1)
    elbo = mean_bound(model, batch, 5000)

    mean, log_variance = (head.detach().double() for head in model.encode(target))
    posterior = Normal(mean, (log_variance / 2).exp()).log_prob(GRID).T  # (Z, B)
    divergence = (posterior.exp() * (posterior - log_joint(model, target) + exact)).sum(0) * STEP
    gap = divergence.mean().item()
    assert gap > 0.05, "the encoder is to be a bad one, or there is nothing to see"
    assert elbo == pytest.approx(exact.mean().item() - gap, abs=0.05 * gap + 0.02)

    model.train()  # only training uses the importance-weighted bound, and draws binary images anew: give it binary ones
    if model.likelihood == "bernoulli":
        batch = images(target * 2 - 1)
    model.num_importance_samples = 5
    closer = mean_bound(model, batch, 2000)
    model.num_importance_samples = 2000
    closest = mean_bound(model, batch, 20)
    assert elbo < closer < closest
    assert closest == pytest.approx(exact.mean().item(), abs=0.02)


def test_log_weights_average_to_the_evidence(small):
    model, batch = small
    target = model.target(batch.image)
    torch.manual_seed(1)
    with torch.no_grad():
        log_weights = model.log_weights(target, 20_000)
    assert log_weights.shape == (20_000, 6)
    estimate = log_weights.double().logsumexp(0) - math.log(20_000)
    torch.testing.assert_close(estimate, log_evidence(model, target), rtol=0, atol=0.1)


def test_log_likelihood_of_the_test_split(tmp_path):
    """With one code, the evidence is an integral over the line."""
    torch.manual_seed(0)
    model = VAE(
        tiny.spec(),
        latent_dim=1,
        encoder=network(MLPEncoder, hidden_sizes=[4], activation="tanh"),
        num_eval_samples=1000,
    )
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(features="none")])
    (metrics,) = trainer.test(model, datamodule=tiny.NoiseData(1), verbose=False)
    exact = log_evidence(model.eval(), model.target(tiny.batch().image)).mean().item()
    assert metrics["test/nll"] == pytest.approx(-exact, abs=0.1)
    assert metrics["test/elbo"] < exact
    assert metrics["test/active_units"] in (0, 1)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_terms_by_hand(likelihood):
    """A decoder that ignores its code, and an encoder of constant mean 1 and log-variance log 4."""
    model = VAE(
        tiny.spec(1, 4),
        latent_dim=3,
        likelihood=likelihood,
        pixel_deviation=0.5,
        encoder=network(MLPEncoder, hidden_sizes=[2], activation="tanh"),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.decoder[-2].bias.fill_(0.4)
        model.encoder[-1].bias.copy_(torch.tensor([1.0] * 3 + [math.log(4)] * 3))
    batch = images(grey(1.0, 2), grey(0.0, 1))
    terms = model.losses(batch)
    if likelihood == "bernoulli":
        p = 1 / (1 + math.exp(-0.4))
        white, black = -math.log(p), -math.log(1 - p)
    else:
        white, black = (0.5 * math.log(2 * math.pi * 0.25) + (x - 0.4) ** 2 / 0.5 for x in (1, -1))
    assert terms["reconstruction"].item() == pytest.approx(16 * (2 * white + black) / 3, rel=1e-5)
    expected = 3 * kl_divergence(Normal(1.0, 2.0), Normal(0.0, 1.0)).item()
    assert terms["kl"].item() == pytest.approx(expected, rel=1e-5)
    doubled = model.losses(images(batch.image, batch.image))
    assert {name: term.item() for name, term in doubled.items()} == pytest.approx(
        {name: term.item() for name, term in terms.items()}, rel=1e-5
    )


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_twice_the_pixels_are_twice_the_reconstruction(likelihood):
    model = tiny.build(VAE, size=4, likelihood=likelihood, binarize=False).eval()
    latent, target = torch.randn(5, 3, 4), torch.rand(3, 1, 4, 4)
    decoder = model.decoder
    once = model.log_likelihood(target, latent)
    model.decoder = nn.Sequential(decoder)
    model.decoder.forward = lambda code: torch.cat([decoder(code)] * 2, dim=2)
    assert once.shape == (5, 3)
    torch.testing.assert_close(model.log_likelihood(torch.cat([target] * 2, dim=2), latent), 2 * once)


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_kl_alone(beta):
    model, plain = (tiny.build(VAE, beta=value).eval() for value in (beta, 1.0))
    batch = tiny.batch()
    terms, expected = {}, {}
    for made, one in ((terms, model), (expected, plain)):
        torch.manual_seed(1)
        made |= one.losses(batch)
    torch.testing.assert_close(terms["kl"], beta * expected["kl"])
    assert torch.equal(terms["reconstruction"], expected["reconstruction"])


@pytest.mark.parametrize("settings", [{}, {"beta": 0.3}, {"likelihood": "gaussian"}])
def test_validation_loss_is_on_the_scale_of_the_training_loss(tmp_path, settings):
    """Public code weighs the KL by 0.00025 in training and by 1 in validation, and logs it with the sign flipped."""
    model = tiny.build(VAE, **settings)
    with torch.no_grad():
        model.encoder[-1].bias[:4] = 3.0  # a KL of 4 * 3^2 / 2 and more
    black_and_white = images((tiny.batch(256).image > 0).float() * 2 - 1)

    class Data(tiny.NoiseData):
        def _batches(self):
            return [black_and_white]

    (metrics,) = tiny.trainer(tmp_path).validate(model, datamodule=Data(), verbose=False)
    model.train()
    with torch.no_grad():
        terms = [model.losses(black_and_white) for _ in range(20)]
    loss = sum(sum(term.values()).item() for term in terms) / 20
    assert metrics["val/loss"] == pytest.approx(loss, rel=0.01)
    assert metrics["val/kl"] == pytest.approx(terms[0]["kl"].item() / model.beta, rel=1e-4)
    assert metrics["val/kl"] > 18 and metrics["val/reconstruction"] > 0
    assert metrics["val/elbo"] == pytest.approx(-metrics["val/reconstruction"] - metrics["val/kl"], rel=1e-5)


def test_kl_pulls_towards_the_prior():
    model = tiny.build(VAE)
    batch, optimizer = tiny.batch(), torch.optim.SGD(model.parameters(), 1e-3)
    values = []
    for _ in range(10):
        values.append(model.losses(batch)["kl"])
        optimizer.zero_grad()
        values[-1].backward()
        optimizer.step()
    assert all(value >= 0 for value in values) and values[-1] < values[0]


def test_training_images_are_made_binary_anew_each_time():
    model = tiny.build(VAE, size=4)
    torch.manual_seed(0)
    draws = torch.stack([model.target(torch.cat([grey(0.25), grey(0.9)])) for _ in range(3000)])
    assert set(draws.unique().tolist()) == {0, 1}
    torch.testing.assert_close(draws.mean(0)[0], torch.full((1, 4, 4), 0.25), rtol=0, atol=0.04)
    torch.testing.assert_close(draws.mean(0)[1], torch.full((1, 4, 4), 0.9), rtol=0, atol=0.03)
    assert not torch.equal(draws[0], draws[1])


def test_evaluation_images_are_made_binary_once_for_all():
    model = tiny.build(VAE, size=32).eval()
    image = torch.cat([grey(value, size=32) for value in (0.0, 0.3, 0.8, 1.0)])
    torch.manual_seed(1)
    first = model.target(image)
    torch.manual_seed(2)
    assert torch.equal(first, model.target(image))
    assert torch.equal(first[2:], model.target(image[2:])), "the draw must not depend on the place in the batch"
    assert set(first.unique().tolist()) == {0, 1}
    assert first.mean((1, 2, 3)).tolist() == pytest.approx([0, 0.3, 0.8, 1], abs=0.06)
    assert torch.equal(first, tiny.build(VAE, size=32, latent_dim=9).eval().target(image)), "runs are to be comparable"


def test_evaluation_does_not_touch_the_random_state():
    model = tiny.build(VAE).eval()
    before = torch.get_rng_state()
    model.target(tiny.batch().image)
    assert torch.equal(before, torch.get_rng_state())


def test_targets_without_binarization():
    image = tiny.batch().image
    torch.testing.assert_close(tiny.build(VAE, binarize=False).target(image), (image + 1) / 2)
    assert torch.equal(tiny.build(VAE, likelihood="gaussian").target(image), image)


def test_better_samples_get_more_weight():
    """Public code gives the worst sample the most. The gradient of the loss with respect to a sample's log-weight
    is minus its normalized weight, by hand."""
    model = tiny.build(VAE, num_importance_samples=3)
    log_weights = torch.tensor([[-200.0], [-201.0], [-205.0]], requires_grad=True)
    model.log_weights = lambda target, samples: log_weights[:samples]
    (loss,) = model.losses(tiny.batch(1)).values()
    loss.backward()
    relative = torch.tensor([1, math.exp(-1), math.exp(-5)])
    torch.testing.assert_close(log_weights.grad[:, 0], -relative / relative.sum())
    assert loss.item() == pytest.approx(200 - math.log(relative.sum() / 3), rel=1e-5)


def test_one_importance_sample_is_the_bound_with_the_closed_form():
    """And not with a sampled log-ratio: the KL does not depend on the noise."""
    model = tiny.build(VAE, num_importance_samples=1)
    kls = {model.losses(images(torch.ones(4, 1, 16, 16)))["kl"].item() for _ in range(5)}
    assert len(kls) == 1
    mean, log_variance = model.encode(torch.ones(4, 1, 16, 16))
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean().item()
    assert kls.pop() == pytest.approx(expected, rel=1e-4)
    several = tiny.build(VAE, num_importance_samples=4)
    assert several.losses(tiny.batch()).keys() == {"bound"}
    assert several.eval().losses(tiny.batch()).keys() == {"reconstruction", "kl"}


def test_draws_are_reparametrized():
    mean, log_variance = torch.tensor([[2.0, -1.0]]), torch.tensor([[math.log(9), math.log(0.25)]])
    torch.manual_seed(0)
    draws = VAE.sample_posterior(mean.requires_grad_(), log_variance, 20_000)
    assert draws.shape == (20_000, 1, 2)
    assert draws.mean(0)[0].tolist() == pytest.approx([2, -1], abs=0.1)
    assert draws.std(0)[0].tolist() == pytest.approx([3, 0.5], rel=0.03)
    draws.sum().backward()
    assert mean.grad.tolist() == [[20_000, 20_000]]


def test_network_of_the_iwae_paper():
    model = VAE(tiny.spec(size=28))
    for coder, expected in (
        (model.encoder, [(200, 784), (200, 200), (100, 200)]),
        (model.decoder, [(200, 50), (200, 200), (784, 200)]),
    ):
        assert [tuple(layer.weight.shape) for layer in coder if isinstance(layer, nn.Linear)] == expected
        assert sum(isinstance(layer, nn.Tanh) for layer in coder) == 2
    mean, log_variance = model.encode(torch.zeros(2, 1, 28, 28))
    assert mean.shape == log_variance.shape == (2, 50)


def test_initial_weights_of_the_papers():
    """Glorot & Bengio: uniform within sqrt(6 / (in + out)), biases of zero; Kingma & Welling: a deviation of 0.01."""
    glorot, normal = (VAE(tiny.spec(size=28), initialization=how) for how in ("glorot", "normal"))
    first, hidden = glorot.encoder[1], glorot.encoder[3]
    assert first.weight.abs().max().item() == pytest.approx(math.sqrt(6 / 984), rel=1e-3)
    assert hidden.weight.abs().max().item() == pytest.approx(math.sqrt(6 / 400), rel=1e-3)
    assert all(part.bias.abs().max() == 0 for part in glorot.modules() if isinstance(part, nn.Linear))
    assert normal.encoder[1].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert normal.decoder[4].bias.std().item() == pytest.approx(0.01, rel=0.1)


def test_adam_s_epsilon_and_the_prior_of_the_parameters():
    (group,) = tiny.build(VAE, adam_epsilon=1e-4, weight_decay=2e-5).configure_optimizers().param_groups
    assert (group["eps"], group["weight_decay"]) == (1e-4, 2e-5)


def test_adagrad_with_the_prior_by_its_closed_form():
    """Of w x + w x^2 / 2 per image, under x's prior: a step is the rate over the root of all squares so far."""
    model = tiny.build(VAE, optimizer="adagrad", learning_rate=0.1, weight_decay=0.5)
    optimizer = model.configure_optimizers()
    parameter = model.encoder[-1].bias
    with torch.no_grad():
        parameter.fill_(2.0)
    expected, squares = 2.0, 0.0
    for gradient in (3.0, -1.0, 0.5):
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
        gradient += 0.5 * expected  # of the negative logarithm of the prior
        squares += gradient**2
        expected -= 0.1 * gradient / math.sqrt(squares)
        assert parameter.tolist() == pytest.approx([expected] * len(parameter), rel=1e-5)


def test_the_stages_of_burda_et_al_in_a_training(tmp_path):
    """A first stage of two batches, a second of six."""
    rates = []
    model = tiny.build(VAE, learning_rate_stage_kimg=0.016)
    model.on_before_zero_grad = lambda optimizer: rates.append(optimizer.param_groups[0]["lr"])
    tiny.trainer(tmp_path, limit_val_batches=0, max_epochs=2).fit(model, datamodule=tiny.NoiseData(5))
    expected = [1e-3] * 2 + [7.1969e-4] * 6 + [5.1795e-4] * 2
    assert rates == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("encoder", ["ConvEncoder", "ResidualEncoder"])
def test_a_bias_per_pixel_is_asked_for(encoder):
    with pytest.raises(UserError, match="such as MLPDecoder"):
        VAE(tiny.spec(), output_bias_from_data=True, encoder={"class_path": encoder})


def test_lists_in_the_signature_stay_as_they_are():
    """Public code reverses its caller's list in place."""
    sizes = [12, 8]
    for _ in range(2):
        model = tiny.build(VAE, encoder=network(MLPEncoder, hidden_sizes=sizes))
        assert sizes == [12, 8]
        assert [layer.out_features for layer in model.decoder if isinstance(layer, nn.Linear)] == [8, 12, 256]


def test_decoded_images_are_means_on_the_scale_of_the_data():
    model = tiny.build(VAE, size=4)
    model.decoder = nn.Identity()
    logits = torch.tensor([0.0, math.log(3), -1e4])
    torch.testing.assert_close(model.decode(logits), torch.tensor([0.0, 0.5, -1.0]))  # p of 1/2, 3/4, 0
    model.likelihood = "gaussian"
    assert torch.equal(model.decode(logits), logits)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_importance_samples": 0}, "at least 1"),
        ({"num_eval_samples": 0}, "at least 1"),
        ({"num_importance_samples": 5, "beta": 2.0}, "beta must be 1"),
        ({"pixel_deviation": 0.0}, "must be positive"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(UserError, match=message):
        tiny.build(VAE, **settings)
