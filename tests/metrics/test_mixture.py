import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from lit_gen.data.batches import Images
from lit_gen.metrics.evaluator import Options
from lit_gen.metrics.mixture import FittedCodes, GaussianMixture, fit_mixture
from lit_gen.models import AutoEncoder
from tests.models import tiny

RANDOM = torch.Generator


def three() -> MixtureSameFamily:
    """Three normal distributions in the plane, far from each other."""
    means = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    factors = torch.tensor([[[1.0, 0], [0, 1]], [[2.0, 0], [1, 0.5]], [[0.3, 0], [0, 3]]], dtype=torch.float64)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    return MixtureSameFamily(Categorical(weights), MultivariateNormal(means, scale_tril=factors))


def test_one_component_has_mean_and_covariance_of_the_points():
    points = torch.randn(500, 4, generator=RANDOM().manual_seed(0)) @ torch.randn(4, 4) + 3
    fitted = fit_mixture(points, 1, RANDOM().manual_seed(0))
    double = points.double()
    assert fitted.weights.tolist() == [1]
    assert torch.allclose(fitted.means[0], double.mean(0))
    apart = double - double.mean(0)
    assert torch.allclose(fitted.factors[0] @ fitted.factors[0].T, apart.T @ apart / 500, rtol=1e-4, atol=1e-4)


def test_a_known_mixture_is_found():
    torch.manual_seed(0)
    true = three()
    fitted = fit_mixture(true.sample((20_000,)), 3, RANDOM().manual_seed(1))
    order = [int((fitted.means - mean).norm(dim=1).argmin()) for mean in true.component_distribution.mean]
    assert sorted(order) == [0, 1, 2]
    assert torch.allclose(fitted.weights[order], true.mixture_distribution.probs, atol=0.015)
    assert torch.allclose(fitted.means[order], true.component_distribution.mean, atol=0.1)
    found = fitted.factors[order] @ fitted.factors[order].mT
    assert torch.allclose(found, true.component_distribution.covariance_matrix, atol=0.25)


def test_densities_are_those_of_torch():
    true = three()
    parts = true.component_distribution
    mixture = GaussianMixture(true.mixture_distribution.probs, parts.mean, parts.scale_tril)
    points = torch.randn(50, 2, dtype=torch.float64) * 5
    assert torch.allclose(mixture.log_densities(points).logsumexp(1), true.log_prob(points))


def test_draws_have_the_moments_of_the_mixture():
    true = three()
    parts = true.component_distribution
    mixture = GaussianMixture(true.mixture_distribution.probs, parts.mean, parts.scale_tril)
    drawn = mixture.draw(100_000, RANDOM().manual_seed(0))
    assert torch.allclose(drawn.mean(0), true.mean, atol=0.05)
    assert torch.allclose(drawn.var(0), true.variance, rtol=0.02)
    assert torch.equal(drawn, mixture.draw(100_000, RANDOM().manual_seed(0)))


def test_points_in_a_plane_of_space_and_equal_points_have_a_mixture():
    flat = torch.cat([torch.randn(300, 2), torch.ones(300, 2)], dim=1)
    equal = torch.cat([torch.zeros(5, 3), torch.randn(20, 3)])
    for points in (flat, equal):
        fitted = fit_mixture(points, 10, RANDOM().manual_seed(0))
        assert all(part.isfinite().all() for part in fitted)


def test_an_autoencoder_of_two_kinds_of_codes_makes_both_kinds_of_images():
    """Codes are the means of upper and lower half: of each image one is white. Draws of N(0, I) seldom are such."""

    class Halves(AutoEncoder):
        def code(self, image):
            return image.unflatten(2, (2, 14)).mean((1, 3, 4)) + 0.01 * torch.randn(len(image), 2)

        def decode(self, latent):
            return latent[:, None, :, None, None].expand(-1, 1, -1, 14, 28).flatten(2, 3).clamp(-1, 1)

    class Data:
        def training_batches(self, count, size, generator):
            white = torch.randint(2, (count,), generator=generator)
            image = torch.full((count, 1, 28, 28), -1.0)
            image[white == 0, :, :14] = 1
            image[white == 1, :, 14:] = 1
            for piece in image.split(size):
                yield Images(piece)

    model = Halves(tiny.spec(1, 28))
    evaluator = FittedCodes(Options(features="none"), model)
    evaluator.prepare(model, Data())
    made = evaluator.make(Images(torch.zeros(400, 1, 28, 28)))
    upper, lower = made[:, 0, 0, 0], made[:, 0, -1, 0]
    assert ((upper > 0.8) & (lower < -0.8) | (upper < -0.8) & (lower > 0.8)).all()
    assert 100 < (upper > 0).sum() < 300
