"""Adversarial losses on D's logits or scores, one pair of functions (D's and G's) per objective.

Each term is a mean over the batch and D's patches, computed in float32 or wider, whatever the precision of D's output.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.losses import Terms


def minimax_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Terms:
    """Return D's terms of the minimax game (Goodfellow et al., arXiv:1406.2661, equation 1), in nats.

    d_real = -E[log D(x)]
    d_fake = -E[log(1 - D(G(z)))]

    Logits are of any shape. Each term is log 2 for a D that gives every image the probability 1/2.
    """
    real, fake = functional.softplus(-_wide(real_logits)), functional.softplus(_wide(fake_logits))
    return {"d_real": real.mean(), "d_fake": fake.mean()}


def nonsaturating_generator(fake_logits: Tensor) -> Terms:
    """Return G's non-saturating term (Goodfellow et al., arXiv:1406.2661, section 3), in nats.

    g_adversarial = -E[log D(G(z))]
    """
    return {"g_adversarial": functional.softplus(-_wide(fake_logits)).mean()}


def saturating_generator(fake_logits: Tensor) -> Terms:
    """Return G's term of the minimax game (Goodfellow et al., arXiv:1406.2661, equation 1), in nats, at most 0.

    g_adversarial = E[log(1 - D(G(z)))]
    """
    return {"g_adversarial": -functional.softplus(_wide(fake_logits)).mean()}


def wasserstein_discriminator(real_scores: Tensor, fake_scores: Tensor) -> Terms:
    """Return D's terms of the Wasserstein distance (Gulrajani et al., arXiv:1704.00028, equation 3).

    d_real = -E[D(x)]
    d_fake = E[D(G(z))]
    """
    return {"d_real": -_wide(real_scores).mean(), "d_fake": _wide(fake_scores).mean()}


def wasserstein_generator(fake_scores: Tensor) -> Terms:
    """Return G's term of the Wasserstein distance (Gulrajani et al., arXiv:1704.00028).

    g_adversarial = -E[D(G(z))]
    """
    return {"g_adversarial": -_wide(fake_scores).mean()}


def least_squares(scores: Tensor, target: float) -> Tensor:
    """Return E[(D(x) - target)^2] (Mao et al., arXiv:1611.04076), a scalar; targets are 1 (real) and 0 (fake)."""
    return (_wide(scores) - target).square().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, weight: float = 10.0) -> Terms:
    """Return the gradient penalty (Gulrajani et al., arXiv:1704.00028, equation 3), in float32 also under autocast.

    d_penalty = weight * E[(||grad D(x)||_2 - 1)^2] at random points x between real images and fakes

    Args:
        critic: D, from images (B, C, H, W) to scores of any shape with B first; the gradient is that of their sum.
        real: real images (B, C, H, W).
        fake: fakes (B, C, H, W).
        weight: the paper's lambda.
    """
    with torch.autocast(real.device.type, enabled=False), torch.enable_grad():
        real, fake = real.detach().float(), fake.detach().float()
        mix = torch.rand(len(real), *[1] * (real.dim() - 1), device=real.device)
        between = torch.lerp(real, fake, mix).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        # The square root's slope at 0 is infinite, hence the small constant.
        norm = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
        return {"d_penalty": weight * (norm - 1).square().mean()}


def _wide(scores: Tensor) -> Tensor:
    """Return scores in float32 if they have 16 bits."""
    return scores.float() if scores.element_size() < 4 else scores
