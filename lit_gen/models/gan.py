"""GAN: Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, arXiv:1406.2661.

Departures from the paper:
    - Adam in place of SGD with momentum; `optimizer: sgd`, `learning_rate: 0.1` and `momentum: 0.5` are the paper's.
    - D steps before G, where the authors step both at once; the factor 1/2 of their code's D loss is not there.
    - PyTorch's initialization of the weights, and no schedules for momentum and learning rate.
    - D may have LeakyReLU layers (`maxout_pieces: 0`); by default it has the authors' maxout layers of 240 units x 5.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.limits import BelowOne, NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator, saturating_generator
from lit_gen.models.adversarial import AdversarialModule, real_and_fake


class Maxout(nn.Module):
    """The largest of `pieces` linear functions for each unit (Goodfellow et al. 2013, arXiv:1302.4389).

    Args:
        in_features: units in.
        out_features: units out.
        pieces: linear functions per unit.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(-1)  # (B, out_features)


class GAN(AdversarialModule):
    """Generative adversarial nets (Goodfellow et al. 2014): fully connected G and D, and the two-player game.

    Called with noise (B, Z), it gives images (B, C, H, W) in [-1, 1].

    Args:
        latent_dim: length of the noise vector, uniform on (-sqrt(3), sqrt(3)): unit variance.
        generator_sizes: units of G's hidden layers.
        discriminator_sizes: units of D's hidden layers.
        maxout_pieces: linear functions per unit of D, as in the authors' code (5); 0 for LeakyReLU layers.
        input_dropout: dropped part of D's input.
        hidden_dropout: dropped part of D's hidden units.
        loss: loss of G: `nonsaturating` (section 3), or the `saturating` minimax game itself (equation 1).
        optimizer: `adam`, or the paper's `sgd`.
        learning_rate: learning rate of both optimizers.
        momentum: first beta of Adam, or SGD's momentum.
        n_critic: D steps per G step; the paper's k.
    """

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 100,
        generator_sizes: list[PositiveInt] = [1200, 1200],
        discriminator_sizes: list[PositiveInt] = [240, 240],
        maxout_pieces: NonNegativeInt = 5,
        input_dropout: BelowOne = 0.2,
        hidden_dropout: BelowOne = 0.5,
        loss: Literal["nonsaturating", "saturating"] = "nonsaturating",
        optimizer: Literal["adam", "sgd"] = "adam",
        learning_rate: NonNegativeFloat = 2e-4,
        momentum: BelowOne = 0.5,
        n_critic: PositiveInt = 1,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        self.latent_dim, self.optimizer = latent_dim, optimizer
        self.learning_rate, self.momentum = learning_rate, momentum
        self.generator_term = nonsaturating_generator if loss == "nonsaturating" else saturating_generator
        pixels = math.prod(self.image_shape)

        layers: list[nn.Module] = []
        for before, size in zip([latent_dim, *generator_sizes], generator_sizes, strict=False):
            layers += [nn.Linear(before, size), nn.ReLU()]
        last = nn.Linear((generator_sizes or [latent_dim])[-1], pixels)
        self.generator = nn.Sequential(*layers, last, nn.Tanh(), nn.Unflatten(1, self.image_shape))

        layers = [nn.Flatten(), nn.Dropout(input_dropout)]
        for before, size in zip([pixels, *discriminator_sizes], discriminator_sizes, strict=False):
            if maxout_pieces:
                layers += [Maxout(before, size, maxout_pieces), nn.Dropout(hidden_dropout)]
            else:
                layers += [nn.Linear(before, size), nn.LeakyReLU(0.2), nn.Dropout(hidden_dropout)]
        self.discriminator = nn.Sequential(*layers, nn.Linear((discriminator_sizes or [pixels])[-1], 1))
        self.start_average()

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise (count, Z), uniform with unit variance, as in the authors' code."""
        return self.uniform_noise(count, self.latent_dim, generator=generator) * math.sqrt(3)

    def make_fakes(self, batch: WithImages) -> Tensor:
        return self.generator(self.sample_latent(len(batch.image)))

    def discriminator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return D's terms (equation 1).

        d_real = −E[log D(x)]
        d_fake = −E[log(1 − D(G(z)))]
        """
        return minimax_discriminator(*real_and_fake(self.discriminator, batch.image, fakes))

    def generator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return G's term (section 3), or the one of equation 1 for the `saturating` loss.

        g_adversarial = −E[log D(G(z))], or E[log(1 − D(G(z)))]
        """
        return self.generator_term(self.discriminator(fakes))

    def configure_optimizers(self) -> list[Optimizer]:
        networks = (self.discriminator, self.generator)
        if self.optimizer == "sgd":
            return [SGD(network.parameters(), self.learning_rate, self.momentum) for network in networks]
        betas = (self.momentum, 0.999)
        return [self.adam(network.parameters(), self.learning_rate, betas) for network in networks]
