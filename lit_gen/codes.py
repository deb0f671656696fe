"""The distributions of InfoGAN's codes, and Q's log-density of them: Chen et al., arXiv:1606.03657."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.losses.likelihood import gaussian_log_density


class Code:
    """The distribution of one code c, and the family of Q(c | x) for it.

    features: length of the code in G's input.
    outputs: number of Q's outputs for the code.
    entropy: H(c) in nats.
    """

    kind: str
    features: int
    outputs: int
    entropy: float

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
        on = device if generator is None else None
        value = torch.randint(self.features, (count,), generator=generator, device=on).to(device)
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
        on = device if generator is None else None
        return torch.rand(count, 1, generator=generator, device=on).to(device) * 2 - 1

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
