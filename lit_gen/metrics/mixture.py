"""A Gaussian mixture of an autoencoder's codes, and the quality of images that are decoded from it."""

from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from lit_gen.data.contract import DataModule
from lit_gen.metrics.evaluator import Options
from lit_gen.metrics.inputs import ENCODED_AT_ONCE
from lit_gen.metrics.samples import SampleQuality

COMPONENTS = 10
FITTED_CODES = 10_000
STEPS = 200
ENOUGH = 1e-5  # nats per point that a step must gain for another to follow
FLOOR = 1e-6  # least variance, as a part of the mean variance of the points: a component may have too few of them


class GaussianMixture(NamedTuple):
    """A mixture of K normal distributions of Z dimensions.

    weights: (K,), which sum to 1.
    means: (K, Z).
    factors: (K, Z, Z), the lower triangular Cholesky factors of the covariances.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def log_densities(self, points: Tensor) -> Tensor:
        """Return log(w_k N(x; mu_k, Sigma_k)) of points (N, Z), as (N, K)."""
        parts = zip(self.means, self.factors, strict=True)
        normals = [MultivariateNormal(mean, scale_tril=factor, validate_args=False) for mean, factor in parts]
        return self.weights.log() + torch.stack([normal.log_prob(points) for normal in normals], dim=1)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return draws (count, Z)."""
        component = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(count, self.means.shape[1], 1, generator=generator, dtype=self.means.dtype)
        return self.means[component] + (self.factors[component] @ noise).squeeze(2)


def fit_mixture(points: Tensor, components: int, generator: torch.Generator) -> GaussianMixture:
    """Fit a mixture of `components` normal distributions to points (N, Z) by expectation maximization, in float64.

    It begins with the covariance of all points around some of them, chosen at random.
    """
    points = points.double()
    floor = FLOOR * points.var(0).mean() * torch.eye(points.shape[1], dtype=torch.float64)
    means = points[torch.randperm(len(points), generator=generator)[:components]]
    whole = torch.linalg.cholesky(points.T.cov() + floor).expand(len(means), -1, -1)
    mixture = GaussianMixture(torch.full((len(means),), 1 / len(means), dtype=torch.float64), means, whole)
    before = -torch.inf
    for _ in range(STEPS):
        densities = mixture.log_densities(points)
        now = float(densities.logsumexp(1).mean())
        if now - before < ENOUGH:
            break
        before = now
        shares = densities.softmax(1)  # (N, K)
        counts = shares.sum(0).clamp(min=1e-9)
        means = shares.T @ points / counts[:, None]
        scatters = [
            (points - mean).T @ (share[:, None] * (points - mean)) for mean, share in zip(means, shares.T, strict=True)
        ]
        covariances = torch.stack(scatters) / counts[:, None, None] + floor
        mixture = GaussianMixture(counts / counts.sum(), means, torch.linalg.cholesky(covariances))
    return mixture


class FittedCodes(SampleQuality):
    """The quality of images that an autoencoder decodes from a Gaussian mixture fitted to codes of training images.

    Nothing shapes the codes of a plain autoencoder. What a distribution that is fitted afterwards makes of them stands
    beside what draws of N(0, I) give, and what a VAE's or an AAE's prior gives. The metrics are those of features of
    `SampleQuality`, with `mixture_` before their names. The mixture has ten components.

    Args:
        options: the user's settings.
        model: the autoencoder, with `image_shape`, `code` and `decode`.
    """

    pixels = False

    def __init__(self, options: Options, model: Any) -> None:
        def make(batch: Any) -> Tensor:
            codes = self.mixture.draw(len(batch[0])).to(model.device, torch.float32)
            return model.decode(codes)

        super().__init__(options, model.image_shape, make, itemgetter(0), "mixture_")

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        super().prepare(model, data)
        random = torch.Generator().manual_seed(0)  # the same mixture on all processes, and in every test
        batches = data.training_batches(FITTED_CODES, ENCODED_AT_ONCE, random)
        codes = torch.cat([model.code(batch.image.to(model.device)).float().cpu() for batch in batches])
        self.mixture = fit_mixture(codes, min(COMPONENTS, len(codes)), random)
