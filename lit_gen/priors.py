"""Prior distributions of latents: draws, and the log-density if there is one."""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

COMPONENTS = 10


class Prior(Protocol):
    """The interface of a prior.

    dim: length of a latent.
    components: number of parts that labels can be tied to; 1 for a prior without parts.
    """

    dim: int
    components: int

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one latent per component number in (B,), int64, as (B, dim) on the same device.

        With a CPU `generator` the draws are the same on every device.
        """

    def log_density(self, code: Tensor) -> Tensor:
        """Return the whole prior's log p (B,) in nats at latents (B, dim).

        Raises:
            NotImplementedError: the prior has no density.
        """


class Gaussian:
    """The Gaussian N(0, std^2 I)."""

    components = 1

    def __init__(self, dim: int, std: float = 1.0) -> None:
        self.dim, self.std = dim, std

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.std * _draw(torch.randn, (len(component), self.dim), component, generator)

    def log_density(self, code: Tensor) -> Tensor:
        constant = self.dim * (math.log(self.std) + 0.5 * math.log(2 * math.pi))
        return -0.5 * (code / self.std).square().sum(-1) - constant


class Uniform:
    """The uniform distribution on the cube [-half_width, half_width]^dim; its deviation is half_width / sqrt(3)."""

    components = 1

    def __init__(self, dim: int, half_width: float = 1.0) -> None:
        self.dim, self.half_width = dim, half_width

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (_draw(torch.rand, (len(component), self.dim), component, generator) * 2 - 1) * self.half_width

    def log_density(self, code: Tensor) -> Tensor:
        inside = (code.abs() <= self.half_width).all(-1)
        density = torch.full_like(code[..., 0], -self.dim * math.log(2 * self.half_width))
        return density.masked_fill(~inside, -math.inf)


class GaussianMixture:
    """A mixture of ten narrow 2-D Gaussians that point outwards from the origin, like petals.

    Makhzani et al. (arXiv:1511.05644), figure 4. Component k is N(0, diag(0.5, 0.05)), shifted by 1.4 along x, rotated
    by 2 pi k / 10, and multiplied by `scale`. The paper gives no numbers; these are from public code.

    Args:
        scale: factor on all lengths.
    """

    dim = 2
    components = COMPONENTS
    variances = (0.5, 0.05)
    deviations = torch.tensor(variances).sqrt().tolist()  # floats: a tensor would be copied to the GPU in every step
    shift = 1.4

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        draws = _draw(torch.randn, (len(component), 2), component, generator)
        x, y = draws[:, 0] * self.deviations[0] + self.shift, draws[:, 1] * self.deviations[1]
        angle = component * (2 * math.pi / COMPONENTS)
        turned = torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], dim=1)  # (B, 2)
        return self.scale * turned

    def log_density(self, code: Tensor) -> Tensor:
        angle = torch.arange(COMPONENTS, device=code.device) * (2 * math.pi / COMPONENTS)
        x, y = (code / self.scale).unsqueeze(-1).unbind(-2)  # (B, 1) each
        along = x * angle.cos() + y * angle.sin() - self.shift  # (B, 10)
        across = y * angle.cos() - x * angle.sin()
        quadratic = along.square() / self.variances[0] + across.square() / self.variances[1]
        log_normal = -0.5 * quadratic - math.log(2 * math.pi) - 0.5 * math.log(math.prod(self.variances))
        return log_normal.logsumexp(-1) - math.log(COMPONENTS) - 2 * math.log(self.scale)


class SwissRoll:
    """A 2-D spiral of radius 2 sqrt(u) and angle 4 pi sqrt(u), where u is uniform on [0, 1).

    Component k of ten has u in [k/10, (k + 1)/10). The paper gives no numbers; these are from public code. A curve has
    no density in the plane.

    Args:
        scale: factor on all lengths.
    """

    dim = 2
    components = COMPONENTS

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        place = (component + _draw(torch.rand, (len(component),), component, generator)) / COMPONENTS
        radius, angle = 2 * place.sqrt(), 4 * math.pi * place.sqrt()
        return self.scale * torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)

    def log_density(self, code: Tensor) -> Tensor:
        raise NotImplementedError("the swiss roll is a curve: it has no density in the plane")


def _draw(
    draw: Callable[..., Tensor], shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    if generator is None:
        return draw(*shape, device=like.device)
    return draw(*shape, generator=generator).to(like.device)
