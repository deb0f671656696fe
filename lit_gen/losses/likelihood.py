"""Likelihoods, divergences and bounds of latent-variable models, in nats per image."""

import math

from torch import Tensor
from torch.nn import functional


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, I)) in nats per image, (B,), of means and log-variances (B, Z).

    Kingma & Welling (arXiv:1312.6114), appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def gaussian_log_density(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return log N(x; mean, exp(log_variance)) in nats, summed over the last dimension. The arguments broadcast."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (x - mean).square() / log_variance.exp()).sum(-1)


def bernoulli_log_likelihood(target: Tensor, logits: Tensor) -> Tensor:
    """Return the sum (...) of x log p + (1 - x) log(1 - p) over D pixels, in nats per image.

    Kingma & Welling (arXiv:1312.6114), appendix C.1. With grey targets between 0 and 1 it is a negative cross-entropy,
    and no likelihood. Targets x in [0, 1] broadcast to the logits (..., D), from which a sigmoid gives p.
    """
    # x l - log(1 + e^l), with only one array of the logits' size in memory, however many samples share a target.
    return -functional.softplus(logits).addcmul_(logits, target, value=-1).sum(-1)


def squared_error(image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return ‖x − x̂‖² per image, (B,), summed over pixels on the scale [0, 1], of images (B, C, H, W) in [-1, 1]."""
    return ((reconstruction - image).float() / 2).square().flatten(1).sum(1)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """Return the log of the mean of K importance weights p(x, z_k) / q(z_k | x), a lower bound of log p(x).

    Burda, Grosse, Salakhutdinov (arXiv:1509.00519), equation 8. For K = 1 it is the ELBO with a sampled KL. Logarithms
    of weights (K, B) give (B,), in nats per image.
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def attribute_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return E[-log D_cls(c | x)] (Choi et al., arXiv:1711.09020, equations 2 and 3) of logits and attributes c (B, A).

    The scalar in nats is summed over the attributes, and averaged over the batch.
    """
    return functional.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(target)
