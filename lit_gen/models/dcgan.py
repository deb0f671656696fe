"""DCGAN.

Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016, arXiv:1511.06434.

Departures from the paper:
    - Sizes other than 64 pixels have as many stages as lead from 4x4 to them; at 32 pixels the outermost is missing.
    - D and G of one step share one batch of fakes. The authors' code for faces gives each batch to one of the two,
      in turn, so that an epoch has half as many steps; it has a weight decay of 1e-5, and no biases but batch norm's.
    - configs/dcgan.yaml is for the faces of CelebA, 25 epochs of 163,000; the paper has bedrooms, ImageNet and faces of
      its own. Batches, rate and betas are the paper's.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.layers.coders import doublings, square_side
from lit_gen.layers.residual import normed
from lit_gen.layers.weights import draw_weights
from lit_gen.limits import BelowOne, NonNegativeFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator
from lit_gen.models.adversarial import AdversarialModule

KERNEL = 5


def initialize(module: nn.Module) -> None:
    """Draw weights from N(0, 0.02) (section 4), those of batch norm from N(1, 0.02), and set biases to 0."""
    draw_weights(module)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)


class Generator(nn.Sequential):
    """A generator from (B, Z) to (B, C, S, S): a projection to 4x4, then transposed 5x5 convolutions (figure 1).

    Args:
        latent_dim: Z.
        channels: widths from 4x4 on, one for each stage.
        image_channels: C.
    """

    def __init__(self, latent_dim: int, channels: list[int], image_channels: int) -> None:
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, channels[0] * 16, bias=False),
            nn.Unflatten(1, (channels[0], 4, 4)),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        for before, width in pairwise(channels):
            double = nn.ConvTranspose2d(before, width, KERNEL, 2, KERNEL // 2, output_padding=1, bias=False)
            layers += normed(double, nn.ReLU())
        last = nn.ConvTranspose2d(channels[-1], image_channels, KERNEL, 2, KERNEL // 2, output_padding=1)
        super().__init__(*layers, last, nn.Tanh())
        self.apply(initialize)


class Discriminator(nn.Sequential):
    """A discriminator from (B, C, S, S) to logits (B, 1): strided 5x5 convolutions to 4x4; no batch norm at the input.

    Args:
        channels: widths from 4x4 on, as for `Generator`.
        image_channels: C.
    """

    def __init__(self, channels: list[int], image_channels: int) -> None:
        layers: list[nn.Module] = []
        for before, width in pairwise([image_channels, *reversed(channels)]):
            norm = [nn.BatchNorm2d(width)] if layers else []
            layers += [nn.Conv2d(before, width, KERNEL, 2, KERNEL // 2, bias=not layers), *norm, nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels[0] * 16, 1))
        self.apply(initialize)


class DCGAN(AdversarialModule):
    """DCGAN (Radford et al. 2015): convolutional G and D with batch norm.

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

    Called with noise (B, Z), it gives images (B, C, S, S) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data. 16 pixels or more, a power of two.
        latent_dim: length of the noise vector, uniform on (-1, 1).
        max_channels: width at 4x4; it halves with each doubling of the size.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 100,
        max_channels: PositiveInt = 1024,
        learning_rate: NonNegativeFloat = 2e-4,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        n_critic: PositiveInt = 1,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        image_channels, size = self.image_shape[0], square_side(self.image_shape, "DCGAN")
        stages = doublings(size, "DCGAN")
        self.latent_dim, self.learning_rate, self.betas = latent_dim, learning_rate, betas
        widths = [max(1, max_channels // 2**stage) for stage in range(stages)]
        self.generator = Generator(latent_dim, widths, image_channels)
        self.discriminator = Discriminator(widths, image_channels)
        self.start_average()

    has_gaussian_latents = False
    prior_in_words = "uniform from -1 to 1"

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise (count, Z), uniform on (-1, 1) (figure 1; the range is that of the authors' code)."""
        return self.uniform_noise(count, self.latent_dim, generator=generator)

    def make_fakes(self, batch: WithImages) -> Tensor:
        return self.generator(self.sample_latent(len(batch.image)))

    def discriminator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return D's terms; real images and fakes go through D in batches of their own, for batch norm.

        d_real = −E[log D(x)]
        d_fake = −E[log(1 − D(G(z)))]
        """
        return minimax_discriminator(self.discriminator(batch.image), self.discriminator(fakes))

    def generator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return G's term.

        g_adversarial = −E[log D(G(z))]
        """
        return nonsaturating_generator(self.discriminator(fakes))
