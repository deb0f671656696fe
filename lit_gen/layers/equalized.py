"""The layers of Progressive GAN (Karras et al. 2018, arXiv:1710.10196), sections 3 and 4."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class EqualizedConv2d(nn.Conv2d):
    """A convolution with weights from N(0, 1) that are scaled at run time by gain / sqrt(fan_in) (section 4.1).

    The bias starts at 0 and is not scaled.

    Args:
        in_channels: number of input channels.
        out_channels: number of output channels.
        kernel_size: side of the kernel in pixels, odd.
        gain: He's constant: sqrt(2) before a leaky ReLU, 1 where no nonlinearity follows.
        padding: width of the border of zeros in pixels; by default the output keeps the size of the input.
    """

    bias: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        gain: float = math.sqrt(2),
        padding: int | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2 if padding is None else padding
        )
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(self.weight[0].numel())

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class EqualizedLinear(nn.Linear):
    """A linear layer with weights from N(0, 1), scaled at run time by gain / sqrt(fan_in) (section 4.1).

    Args:
        in_features: length of the input.
        out_features: length of the output.
        gain: He's constant, as for `EqualizedConv2d`.
        bias: whether the layer has a bias, which starts at 0 and is not scaled.
    """

    def __init__(self, in_features: int, out_features: int, gain: float = math.sqrt(2), bias: bool = True) -> None:
        super().__init__(in_features, out_features, bias)
        nn.init.normal_(self.weight)
        if bias:
            nn.init.zeros_(self.bias)
        self.scale = gain / math.sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.scale, self.bias)


class PixelNorm(nn.Module):
    """A norm that scales each pixel's features to unit mean square: x / sqrt(mean_C(x^2) + 1e-8) (section 4.2).

    It computes in float32, whatever type the features have: in float16, 1e-8 is 0 and 256 squared is infinite.
    """

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float() if x.element_size() < 4 else x
        return (wide * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + 1e-8)).to(x.dtype)


class MinibatchStddev(nn.Module):
    """A layer that appends one channel: the standard deviation of the features over a group of images (section 3).

    The deviation of each feature at each place over the group, averaged over features and places, is one number per
    group. Images i, i + M, i + 2M, ... form a group, where M is the number of groups.

    Args:
        group_size: images per group; for a batch that is not a multiple of it, the batch's largest smaller divisor.
    """

    def __init__(self, group_size: int = 4) -> None:
        super().__init__()
        self.group_size = group_size

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        group = next(size for size in range(min(self.group_size, batch), 0, -1) if batch % size == 0)
        with torch.autocast(x.device.type, enabled=False):
            grouped = x.float().reshape(group, -1, channels, height, width)  # (G, M, C, H, W)
            deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # (M,)
        plane = deviation.to(x.dtype).repeat(group)[:, None, None, None].expand(batch, 1, height, width)
        return torch.cat([x, plane], dim=1)
