"""Distributions of latents: priors to draw from, and InfoGAN's codes with the densities of Q."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.errors import UserError
from lit_gen.losses.likelihood import gaussian_log_density

COMPONENTS = 10


class Gaussian:
    """The Gaussian N(0, std^2 I)."""

    components = 1  # number of parts that labels can be tied to

    def __init__(self, dim: int, std: float = 1.0) -> None:
        self.dim, self.std = dim, std

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one latent per component number in (B,), int64, as (B, dim) on the same device.

        With a CPU `generator` the draws are the same on every device. All priors have it.
        """
        return self.std * draw(torch.randn, (len(component), self.dim), component.device, generator)


class Uniform:
    """The uniform distribution on the cube [-half_width, half_width]^dim; its deviation is half_width / sqrt(3)."""

    components = 1

    def __init__(self, dim: int, half_width: float = 1.0) -> None:
        self.dim, self.half_width = dim, half_width

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (draw(torch.rand, (len(component), self.dim), component.device, generator) * 2 - 1) * self.half_width


class GaussianMixture:
    """A mixture of ten long 2-D Gaussians that point outwards from the origin, like petals.

    Makhzani et al. (arXiv:1511.05644), figure 4. Component k is N(0, diag(0.5, 0.05)), shifted by 1.4 along x, rotated
    by 2 pi k / 10, and multiplied by `scale`. The paper gives no numbers. Public code has 0.5 and 0.05 as deviations,
    where they are variances here: 15 % of the draws are likelier in another petal than in their own, there 0.7 %.

    Args:
        scale: factor on all lengths.
    """

    dim = 2
    components = COMPONENTS
    deviations = torch.tensor((0.5, 0.05)).sqrt().tolist()  # floats: a tensor would be copied to the GPU in every step
    shift = 1.4

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        draws = draw(torch.randn, (len(component), 2), component.device, generator)
        x, y = draws[:, 0] * self.deviations[0] + self.shift, draws[:, 1] * self.deviations[1]
        angle = component * (2 * math.pi / COMPONENTS)
        turned = torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], dim=1)  # (B, 2)
        return self.scale * turned


class SwissRoll:
    """A 2-D spiral of radius 2 sqrt(u) and angle 4 pi sqrt(u), where u is uniform on [0, 1).

    Component k of ten has u in [k/10, (k + 1)/10). The paper gives no numbers; public code has a `scale` of 1.5.

    Args:
        scale: factor on all lengths.
    """

    dim = 2
    components = COMPONENTS

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def sample(self, component: Tensor, generator: torch.Generator | None = None) -> Tensor:
        place = (component + draw(torch.rand, (len(component),), component.device, generator)) / COMPONENTS
        radius, angle = 2 * place.sqrt(), 4 * math.pi * place.sqrt()
        return self.scale * torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


PRIORS = {"gaussian": Gaussian, "uniform": Uniform, "gaussian_mixture": GaussianMixture, "swiss_roll": SwissRoll}


def prior_of(name: str, latent_dim: int, scale: float) -> Gaussian | Uniform | GaussianMixture | SwissRoll:
    """Return the prior of that name; a `UserError` when it has no positive scale, or not `latent_dim` dimensions."""
    if scale <= 0:
        raise UserError(f"prior_scale must be positive, not {scale}.")
    if name in ("gaussian", "uniform"):
        return PRIORS[name](latent_dim, scale)
    if latent_dim != 2:
        raise UserError(f"the prior {name} has two dimensions: set latent_dim to 2, not {latent_dim}.")
    return PRIORS[name](scale)


def draw(
    kind: Callable[..., Tensor], shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Return draws of a kind, such as `torch.randn`, on the device; a CPU generator gives the same on every device."""
    return kind(shape, device=device) if generator is None else kind(shape, generator=generator).to(device)


class Code:
    """The distribution of one code c, and the family of Q(c | x) for it (Chen et al., arXiv:1606.03657)."""

    kind: str
    features: int  # length of the code in G's input
    outputs: int  # number of Q's outputs for the code
    entropy: float  # H(c) in nats

    def sample(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (count, features) on `device`; with a CPU `generator`, the same on every device."""
        raise NotImplementedError

    def log_density(self, code: Tensor, output: Tensor) -> Tensor:
        """Return log Q(c | x) in nats per image (B,), from codes (B, features) and Q's outputs (B, outputs)."""
        raise NotImplementedError

    def information(self, code: Tensor, output: Tensor) -> Tensor:
        """Return the MI bound H(c) + E[log Q(c | x)] in nats, a scalar lower bound of I(c; G(z, c)) (equation 4)."""
        return self.entropy + self.log_density(code, output).mean()


class CategoricalCode(Code):
    """A code of one of `categories` equally likely values, as a one-hot vector; Q outputs logits."""

    kind = "categorical"

    def __init__(self, categories: int) -> None:
        self.features = self.outputs = categories
        self.entropy = math.log(categories)

    def sample(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        value = draw(partial(torch.randint, self.features), (count,), device, generator)
        return functional.one_hot(value, self.features).float()

    def log_density(self, code: Tensor, output: Tensor) -> Tensor:
        return (code * output.float().log_softmax(1)).sum(1)


class ContinuousCode(Code):
    """A code of one number, uniform on (-1, 1); Q outputs a Gaussian's mean and, if `learnt_std`, its log-variance."""

    kind = "continuous"
    features = 1
    entropy = math.log(2)

    def __init__(self, learnt_std: bool) -> None:
        self.outputs = 2 if learnt_std else 1

    def sample(self, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        return draw(torch.rand, (count, 1), device, generator) * 2 - 1

    def log_density(self, code: Tensor, output: Tensor) -> Tensor:
        mean, log_variance = output[:, :1].float(), output[:, 1:].float()
        return gaussian_log_density(code, mean, log_variance if self.outputs == 2 else torch.zeros_like(mean))

    def information(self, code: Tensor, output: Tensor) -> Tensor:
        """Return the MI bound; a fixed standard deviation is replaced by the best-fitting one of these samples.

        The fixed one only serves the gradient: with 1, the bound of a Q without errors would be -0.23 nats.
        """
        if self.outputs == 2:
            return super().information(code, output)
        squared_error = (code - output.float()).square().mean().clamp_min(1e-8)
        return self.entropy - 0.5 * (math.log(2 * math.pi * math.e) + squared_error.log())
