"""Adversarial losses on logits or critic scores, as pairs of pure functions; all are means over batch and patches.

All are computed in float32 at least, whatever precision the scores come in.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.losses import Terms


def minimax_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Terms:
    """-E[log D(x)] - E[log(1 - D(G(z)))], Goodfellow et al. (arXiv:1406.2661), equation 1.

    Args:
        real_logits: any shape; D before its sigmoid.
        fake_logits: likewise.

    Returns:
        Scalars `d_real` and `d_fake`, in nats; each is log 2 for a D that cannot tell.
    """
    real, fake = functional.softplus(-_wide(real_logits)), functional.softplus(_wide(fake_logits))
    return {"d_real": real.mean(), "d_fake": fake.mean()}


def nonsaturating_generator(fake_logits: Tensor) -> Terms:
    """-E[log D(G(z))], Goodfellow et al. (arXiv:1406.2661), section 3. Scalar `g_adversarial` in nats."""
    return {"g_adversarial": functional.softplus(-_wide(fake_logits)).mean()}


def saturating_generator(fake_logits: Tensor) -> Terms:
    """E[log(1 - D(G(z)))] in nats, at most 0: the minimax game, Goodfellow et al. (arXiv:1406.2661), equation 1."""
    return {"g_adversarial": -functional.softplus(_wide(fake_logits)).mean()}


def wasserstein_discriminator(real_scores: Tensor, fake_scores: Tensor) -> Terms:
    """E[D(G(z))] - E[D(x)], Gulrajani et al. (arXiv:1704.00028), equation 3."""
    return {"d_real": -_wide(real_scores).mean(), "d_fake": _wide(fake_scores).mean()}


def wasserstein_generator(fake_scores: Tensor) -> Terms:
    """-E[D(G(z))], Gulrajani et al. (arXiv:1704.00028)."""
    return {"g_adversarial": -_wide(fake_scores).mean()}


def least_squares(scores: Tensor, target: float) -> Tensor:
    """E[(D(x) - target)^2], Mao et al. (arXiv:1611.04076): a scalar, for targets 1 (real) and 0 (fake)."""
    return (_wide(scores) - target).square().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, weight: float = 10.0) -> Terms:
    """weight * E[(||grad D(x)||_2 - 1)^2] at points x between reals and fakes.

    Gulrajani et al. (arXiv:1704.00028), equation 3. Computed in float32 also under autocast.

    Args:
        critic: images (B, C, H, W) to scores of any shape with B first; the gradient is of their sum.
        real: (B, C, H, W).
        fake: (B, C, H, W).
        weight: lambda.

    Returns:
        Scalar `d_penalty`.
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
    """In float32 where they come in 16 bits."""
    return scores.float() if scores.element_size() < 4 else scores
