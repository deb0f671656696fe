"""Encoders and decoders of images: fully connected, convolutional (from 6 pixels on) and residual networks."""

import math

from torch import Tensor, nn

from lit_gen.errors import UserError


class MLPEncoder(nn.Sequential):
    """A fully connected encoder of images (B, C, H, W) to (B, out_features).

    Args:
        image_shape: C, H, W.
        hidden_sizes: widths of the hidden layers, from the image on.
        out_features: length of the output.
        activation: class of the nonlinearity.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], hidden_sizes: list[int], out_features: int, activation: type[nn.Module]
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        sizes = [math.prod(image_shape), *hidden_sizes]
        for before, size in zip(sizes, hidden_sizes, strict=False):
            layers += [nn.Linear(before, size), activation()]
        super().__init__(*layers, nn.Linear(sizes[-1], out_features))


class MLPDecoder(nn.Sequential):
    """A fully connected decoder of latents (B, latent_dim) to images (B, C, H, W); the output is linear.

    Args:
        latent_dim: length of a latent.
        hidden_sizes: widths of the hidden layers, from the latent on.
        image_shape: C, H, W.
        activation: class of the nonlinearity.
    """

    def __init__(
        self, latent_dim: int, hidden_sizes: list[int], image_shape: tuple[int, int, int], activation: type[nn.Module]
    ) -> None:
        layers: list[nn.Module] = []
        sizes = [latent_dim, *hidden_sizes]
        for before, size in zip(sizes, hidden_sizes, strict=False):
            layers += [nn.Linear(before, size), activation()]
        super().__init__(*layers, nn.Linear(sizes[-1], math.prod(image_shape)), nn.Unflatten(1, image_shape))


def doublings(size: int, model: str, digits: str = "MNIST") -> int:
    """Return the number of doublings, at least 2, from a side of 4 pixels to `size`.

    Args:
        size: side of the images in pixels.
        model: name of the model that needs the size, for the error message.
        digits: name of the data whose images must be enlarged to 32 pixels, for the error message.

    Raises:
        UserError: `size` is no power of two from 16 on.
    """
    stages = math.log2(size) - 2
    if stages < 2 or stages != int(stages):
        raise UserError(
            f"{model} needs an image size that is a power of two from 16 on, not {size}. "
            f"Set --data.image_size, to 32 for {digits}."
        )
    return int(stages)


def halvings(size: int) -> int:
    """Return the number of halvings, at least 1, from a side of `size` pixels to 3 to 5 pixels (28 to 14, 7 and 3)."""
    return max(1, int(math.log2(size / 3)))


class ConvEncoder(nn.Sequential):
    """A convolutional encoder of images (B, C, S, S) to (B, out_features).

    4x4 convolutions of stride 2, with batch norm, halve the side down to 3, 4 or 5 pixels.

    Args:
        image_shape: C, S, S.
        channels: width of the first convolution. Each further one is twice as wide, up to eight times `channels`.
        out_features: length of the output.
    """

    def __init__(self, image_shape: tuple[int, int, int], channels: int, out_features: int) -> None:
        layers: list[nn.Module] = []
        before, size = image_shape[0], image_shape[-1]
        for index in range(halvings(image_shape[-1])):
            width = channels * min(2**index, 8)
            layers += [nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            before, size = width, size // 2
        super().__init__(*layers, nn.Flatten(), nn.Linear(before * size * size, out_features))


class ConvDecoder(nn.Module):
    """A convolutional decoder of latents (B, latent_dim) to images (B, C, S, S), the mirror of `ConvEncoder`.

    The output is linear.

    Args:
        latent_dim: length of a latent.
        channels: width of the last hidden layer. Each earlier one is twice as wide, up to eight times `channels`.
        image_shape: C, S, S.
    """

    def __init__(self, latent_dim: int, channels: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        count, size = halvings(image_shape[-1]), image_shape[-1]
        sizes = [size // 2**index for index in range(count + 1)]  # 28, 14, 7, 3
        widths = [image_shape[0], *(channels * min(2**index, 8) for index in range(count))]
        self.project = nn.Sequential(
            nn.Linear(latent_dim, widths[-1] * sizes[-1] ** 2),
            nn.Unflatten(1, (widths[-1], sizes[-1], sizes[-1])),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for index in reversed(range(count)):
            odd = sizes[index] % 2  # 3 pixels become 7, not 6
            layers.append(nn.ConvTranspose2d(widths[index + 1], widths[index], 4, 2, 1, output_padding=odd))
            if index:
                layers += [nn.BatchNorm2d(widths[index]), nn.ReLU()]
        self.upsample = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        return self.upsample(self.project(latent))


class Branch(nn.Module):
    """A residual block x + f(x) on (B, C, H, W), where f is twice a SiLU and a 3x3 convolution.

    He et al., "Identity Mappings in Deep Residual Networks", arXiv:1603.05027, without norms.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolutions = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.layers = nn.Sequential(*(layer for convolution in convolutions for layer in (nn.SiLU(), convolution)))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class ResidualEncoder(nn.Sequential):
    """A residual encoder of images (B, C, S, S) to (B, out_features).

    Convolutions reduce the image to a quarter of its side; a residual block and hidden layers follow. There is no norm,
    so that an image's output does not depend on the rest of the batch.

    Args:
        image_shape: C, S, S; S a multiple of 4.
        channels: width at half of the side; a quarter of the side has four times this width.
        hidden_sizes: widths of the fully connected hidden layers.
        out_features: length of the output.

    Raises:
        UserError: S is no multiple of 4.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], channels: int, hidden_sizes: list[int], out_features: int
    ) -> None:
        side = _quarter(image_shape[-1])
        layers: list[nn.Module] = [
            nn.Conv2d(image_shape[0], channels, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(channels, 4 * channels, 4, 2, 1),
            Branch(4 * channels),
            nn.SiLU(),
        ]
        super().__init__(*layers, MLPEncoder((4 * channels, side, side), hidden_sizes, out_features, nn.SiLU))


class ResidualDecoder(nn.Sequential):
    """A residual decoder of latents (B, latent_dim) to images (B, C, S, S), the mirror of `ResidualEncoder`.

    It is twice as wide as the encoder at half of the side. The output is linear.

    Args:
        latent_dim: length of a latent.
        hidden_sizes: widths of the fully connected hidden layers.
        channels: half of the width at half of the side.
        image_shape: C, S, S; S a multiple of 4.

    Raises:
        UserError: S is no multiple of 4.
    """

    def __init__(
        self, latent_dim: int, hidden_sizes: list[int], channels: int, image_shape: tuple[int, int, int]
    ) -> None:
        side = _quarter(image_shape[-1])
        super().__init__(
            MLPDecoder(latent_dim, hidden_sizes, (4 * channels, side, side), nn.SiLU),
            Branch(4 * channels),
            nn.SiLU(),
            _doubled(4 * channels, 2 * channels),
            nn.SiLU(),
            _doubled(2 * channels, image_shape[0]),
        )


def _doubled(channels: int, out_channels: int) -> nn.Module:
    """Return a sub-pixel convolution that doubles the side (Shi et al., arXiv:1609.05158)."""
    return nn.Sequential(nn.Conv2d(channels, 4 * out_channels, 3, padding=1), nn.PixelShuffle(2))


def _quarter(size: int) -> int:
    if size % 4:
        raise UserError(
            f"residual networks need an image size that is a multiple of 4, not {size}. Set --data.image_size."
        )
    return size // 4
