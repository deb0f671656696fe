"""Encoders and decoders of images, as arguments of models: fully connected, convolutional and residual networks."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lit_gen.errors import UserError
from lit_gen.import_paths import import_path
from lit_gen.layers.dense import Activation, linear_layers
from lit_gen.layers.residual import normed
from lit_gen.limits import PositiveInt


class Decoder(nn.Module):
    """A network from latents (B, latent_dim) to images (B, C, H, W), whose output is linear.

    Its first arguments are `latent_dim` and `image_shape` (C, H, W); the others are settings.
    """


class Encoder(nn.Module):
    """A network from images (B, C, H, W) to (B, out_features).

    Its first arguments are `image_shape` (C, H, W) and `out_features`; the others are settings.
    """

    def mirror(self, latent_dim: int) -> Decoder:
        """Return the decoder of latents (B, latent_dim) that has these layers in reverse.

        Raises:
            UserError: the class does not say what its mirror is.
        """
        raise UserError(f"{type(self).__name__} has no mirror. Set --model.decoder=<class>.")


if TYPE_CHECKING:
    EncoderArgument = Callable[[tuple[int, int, int], int], Encoder] | dict[str, Any]
    DecoderArgument = Callable[[int, tuple[int, int, int]], Decoder] | dict[str, Any]
else:  # the command line takes a class and its settings, and makes them a callable
    EncoderArgument = Callable[[tuple[int, int, int], int], Encoder]
    DecoderArgument = Callable[[int, tuple[int, int, int]], Decoder]


def network(kind: type[nn.Module], **settings: Any) -> dict[str, Any]:
    """Return a network as an argument of a model, in the form that config files and checkpoints have it.

    `settings` are what it is built with beside the sizes, which the model knows.
    """
    return {"class_path": import_path(kind), "init_args": settings}


def plain_network(value: Any) -> Any:
    """Return a class of a network, or a `functools.partial` of one, as `network` does; anything else as it is."""
    kind, settings = (value.func, value.keywords) if isinstance(value, partial) else (value, {})
    return network(kind, **settings) if isinstance(kind, type) and issubclass(kind, nn.Module) else value


def build(argument: Any, *sizes: Any) -> Any:
    """Build a network of these sizes from an argument of a model: what `network` returns, or a callable.

    Raises:
        UserError: the argument names no network.
    """
    if not isinstance(argument, dict):
        return argument(*sizes)
    return network_class(argument["class_path"])(*sizes, **argument.get("init_args", {}))


def network_class(path: str) -> type[nn.Module]:
    """Return the class of a network by its import path, in which a class of this file may lack its module.

    Raises:
        UserError: there is no such class, or it is something else than a network.
    """
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(import_module(module or __name__), name, None)
    except ImportError as error:
        raise UserError(f"cannot import the network {path}: {error}.") from error
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UserError(f"{path} is no network. Set --model.encoder and --model.decoder to classes of networks.")
    return kind


class MLPEncoder(Encoder, nn.Sequential):
    """A fully connected encoder of images (B, C, H, W) to (B, out_features).

    Args:
        hidden_sizes: widths of the hidden layers, from the image on.
        activation: nonlinearity after each hidden layer.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        out_features: int,
        hidden_sizes: list[PositiveInt] = [1000, 1000],
        activation: Activation = "relu",
    ) -> None:
        sizes = [math.prod(image_shape), *hidden_sizes, out_features]
        super().__init__(nn.Flatten(), *linear_layers(sizes, activation))
        self.image_shape, self.hidden_sizes, self.activation = image_shape, hidden_sizes, activation

    def mirror(self, latent_dim: int) -> Decoder:
        return MLPDecoder(latent_dim, self.image_shape, self.hidden_sizes[::-1], self.activation)


class MLPDecoder(Decoder, nn.Sequential):
    """A fully connected decoder of latents (B, latent_dim) to images (B, C, H, W).

    Args:
        hidden_sizes: widths of the hidden layers, from the latent on.
        activation: nonlinearity after each hidden layer.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        hidden_sizes: list[PositiveInt] = [1000, 1000],
        activation: Activation = "relu",
    ) -> None:
        sizes = [latent_dim, *hidden_sizes, math.prod(image_shape)]
        super().__init__(*linear_layers(sizes, activation), nn.Unflatten(1, image_shape))


def square_side(image_shape: Sequence[int], taker: str) -> int:
    """Return the side in pixels of square images (C, S, S).

    Raises:
        UserError: they are not square; the message names the class that takes none of these.
    """
    height, width = image_shape[1:]
    if height != width:
        raise UserError(f"{taker} takes square images, not {height} x {width}. Crop or resize them.")
    return width


def doublings(size: int, model: str, digits: str = "MNIST") -> int:
    """Return the number of doublings, at least 2, from a side of 4 pixels to `size`.

    Raises:
        UserError: `size` is no power of two from 16 on. The message names the `model` that needs the size, and the data
            (`digits`) whose images must be enlarged to 32 pixels.
    """
    stages = math.log2(size) - 2
    if stages < 2 or stages != int(stages):
        raise UserError(
            f"{model} needs an image size that is a power of two from 16 on, not {size}. "
            f"Set --data.image_size, to 32 for {digits}."
        )
    return int(stages)


def halvings(size: int) -> int:
    """Return the number of halvings from a side of `size` pixels to 3, 4 or 5 (28 to 14, 7 and 3).

    It is at least 1, so that 4 and 5 pixels become 2.
    """
    return max(1, int(math.log2(size / 3)))


class ConvEncoder(Encoder, nn.Sequential):
    """A convolutional encoder of images (B, C, S, S) to (B, out_features).

    4x4 convolutions of stride 2, with batch norm, halve the side down to 3, 4 or 5 pixels, or from 4 or 5
    pixels to 2: there is at least one.

    Args:
        channels: width of the first convolution. Each further one is twice as wide, up to eight times `channels`.
    """

    def __init__(self, image_shape: tuple[int, int, int], out_features: int, channels: PositiveInt = 64) -> None:
        layers: list[nn.Module] = []
        before, size = image_shape[0], square_side(image_shape, "ConvEncoder")
        for index in range(halvings(size)):
            width = channels * min(2**index, 8)
            layers += normed(nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))
            before, size = width, size // 2
        super().__init__(*layers, nn.Flatten(), nn.Linear(before * size * size, out_features))
        self.image_shape, self.channels = image_shape, channels

    def mirror(self, latent_dim: int) -> Decoder:
        return ConvDecoder(latent_dim, self.image_shape, self.channels)


class ConvDecoder(Decoder):
    """A convolutional decoder of latents (B, latent_dim) to images (B, C, S, S), the mirror of `ConvEncoder`.

    Args:
        channels: width of the last hidden layer. Each earlier one is twice as wide, up to eight times `channels`.
    """

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int], channels: PositiveInt = 64) -> None:
        super().__init__()
        size = square_side(image_shape, "ConvDecoder")
        count = halvings(size)
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


class ResidualEncoder(Encoder, nn.Sequential):
    """A residual encoder of images (B, C, S, S), S a multiple of 4, to (B, out_features).

    Convolutions reduce the image to a quarter of its side; residual blocks and hidden layers follow. There is no norm,
    so that an image's output does not depend on the rest of the batch.

    Args:
        channels: width at half of the side; a quarter of the side has four times this width.
        hidden_sizes: widths of the fully connected hidden layers.
        blocks: number of residual blocks.

    Raises:
        UserError: images are not square, or S is no multiple of 4.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        out_features: int,
        channels: PositiveInt = 64,
        hidden_sizes: list[PositiveInt] = [1000, 1000],
        blocks: PositiveInt = 1,
    ) -> None:
        side = _quarter(image_shape)
        super().__init__(
            nn.Conv2d(image_shape[0], channels, 4, 2, 1),
            nn.SiLU(),
            nn.Conv2d(channels, 4 * channels, 4, 2, 1),
            *(Branch(4 * channels) for _ in range(blocks)),
            nn.SiLU(),
            MLPEncoder((4 * channels, side, side), out_features, hidden_sizes, "silu"),
        )
        self.image_shape, self.channels, self.hidden_sizes, self.blocks = image_shape, channels, hidden_sizes, blocks

    def mirror(self, latent_dim: int) -> Decoder:
        return ResidualDecoder(latent_dim, self.image_shape, self.channels, self.hidden_sizes[::-1], self.blocks)


class ResidualDecoder(Decoder, nn.Sequential):
    """A residual decoder of latents (B, latent_dim) to images (B, C, S, S), the mirror of `ResidualEncoder`.

    It is twice as wide as the encoder at half of the side.

    Args:
        channels: half of the width at half of the side.
        hidden_sizes: widths of the fully connected hidden layers.
        blocks: number of residual blocks.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        channels: PositiveInt = 64,
        hidden_sizes: list[PositiveInt] = [1000, 1000],
        blocks: PositiveInt = 1,
    ) -> None:
        side = _quarter(image_shape)
        super().__init__(
            MLPDecoder(latent_dim, (4 * channels, side, side), hidden_sizes, "silu"),
            *(Branch(4 * channels) for _ in range(blocks)),
            nn.SiLU(),
            _doubled(4 * channels, 2 * channels),
            nn.SiLU(),
            _doubled(2 * channels, image_shape[0]),
        )


def _doubled(channels: int, out_channels: int) -> nn.Module:
    """Return a sub-pixel convolution that doubles the side (Shi et al., arXiv:1609.05158)."""
    return nn.Sequential(nn.Conv2d(channels, 4 * out_channels, 3, padding=1), nn.PixelShuffle(2))


def _quarter(image_shape: Sequence[int]) -> int:
    size = square_side(image_shape, "a residual network")
    if size % 4:
        raise UserError(
            f"residual networks need an image size that is a multiple of 4, not {size}. Set --data.image_size."
        )
    return size // 4
