"""Residual blocks of generators and discriminators."""

from typing import Literal

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """A residual block x + f(x) on (B, C, H, W), where f is conv, norm, ReLU, conv, norm; no ReLU after the sum.

    The convolutions are 3x3, the norms instance norm.
    Johnson et al. (arXiv:1603.08155), as CycleGAN (arXiv:1703.10593, appendix) and StarGAN (arXiv:1711.09020, table 4)
    use it. The norm has no running statistics, so that training and evaluation are alike.

    Args:
        channels: number of channels C.
        padding_mode: values beyond the edges: the mirror image (`reflect`) or 0 (`zeros`).
        affine: whether the norms have a learnt scale and shift.
    """

    def __init__(self, channels: int, padding_mode: Literal["reflect", "zeros"] = "reflect", affine: bool = False):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode, bias=False),
            nn.InstanceNorm2d(channels, affine=affine),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode=padding_mode, bias=False),
            nn.InstanceNorm2d(channels, affine=affine),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


def normed(convolution: nn.Conv2d | nn.ConvTranspose2d, *activation: nn.Module) -> list[nn.Module]:
    """Return a convolution with batch norm and activation."""
    return [convolution, nn.BatchNorm2d(convolution.out_channels), *activation]


class Bottleneck(nn.Module):
    """A residual block: x + branch(x), then the activation; the branch is 1x1 to a quarter of the width, 3x3, 3x3 back.

    Args:
        channels: width.
        activation: after each convolution except the last, and after the sum.
    """

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.branch = nn.Sequential(
            *normed(nn.Conv2d(channels, inner, 1, bias=False), activation),
            *normed(nn.Conv2d(inner, inner, 3, padding=1, bias=False), activation),
            *normed(nn.Conv2d(inner, channels, 3, padding=1, bias=False)),
        )
        self.activation = activation

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(features + self.branch(features))
