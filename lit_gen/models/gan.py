"""GAN: Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, arXiv:1406.2661.

Departures from the paper:
    - D and G share the fakes of a step, where algorithm 1 draws new noise for G. D steps first, as there; the authors'
      code steps both at once.
    - D may have LeakyReLU layers (`maxout_pieces: 0`); by default it has the authors' maxout layers of 240 units x 5.

By default, and in configs/gan.yaml, also these; configs/gan_sgd.yaml has the authors' own, from their published code:
    - Adam with a rate of 2e-4 in place of SGD with momentum and their schedules, for 100 epochs. (Their code has no
      rule where to stop; gan_sgd.yaml trains for 1,000.) Their momentum rises from one epoch to the next, that of
      gan_sgd.yaml from step to step.
    - PyTorch's initialization of the weights, and of G's output.
    - Pixels in [-1, 1] and a tanh, where theirs are in [0, 1] after a sigmoid.
    - D's loss is the sum of its two terms, and not half of it, which makes a difference to SGD only.
    - 55,000 training images, where they kept 10,000 for validation.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.errors import UserError
from lit_gen.layers.dense import Affine, Maxout, linear_layers
from lit_gen.limits import BelowOne, NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator, saturating_generator
from lit_gen.models.adversarial import AdversarialModule, real_and_fake
from lit_gen.schedules import divided, linear
from lit_gen.training.output_bias import start_at_mean
from lit_gen.training.scheduled_sgd import ScheduledSGD
from lit_gen.training.step import set_number

AUTHORS_BATCH = 100


class GAN(AdversarialModule):
    """Generative adversarial nets (Goodfellow et al. 2014): fully connected G and D, and the two-player game.

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

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
        learning_rate: learning rate of both optimizers (authors, with SGD: 0.1).
        momentum: first beta of Adam, or SGD's momentum; with a `final_momentum`, the one at the start of training.
        n_critic: D steps per G step; the paper's k.
        final_momentum: SGD's momentum at the end of a linear rise (authors: 0.7); by default it does not change.
        momentum_kimg: thousands of images that this rise takes; by default the authors' 249 epochs of 50,000.
        learning_rate_divisor: divisor of the learning rate per hundred images, the authors' batch (1.000004); 1 for a
            constant rate.
        learning_rate_floor: lowest learning rate (authors: 1e-6).
        generator_range: half width of the uniform distribution of G's initial weights (authors: 0.05), with biases of
            zero; PyTorch's initialization by default.
        discriminator_range: the same for D (authors: 0.005).
        discriminator_weight: weight of both terms of D's loss (authors: 0.5).
        unit_interval: G ends in a sigmoid, and D sees pixels in [0, 1], as in the authors' code; by default a tanh, and
            [-1, 1].
        output_bias_from_data: start G's output at the mean of the training images (authors: true).
    """

    has_gaussian_latents = False
    prior_in_words = "uniform from -sqrt(3) to sqrt(3), of deviation 1"

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
        final_momentum: BelowOne | None = None,
        momentum_kimg: NonNegativeFloat = 12_450.0,
        learning_rate_divisor: NonNegativeFloat = 1.0,
        learning_rate_floor: NonNegativeFloat = 0.0,
        generator_range: NonNegativeFloat | None = None,
        discriminator_range: NonNegativeFloat | None = None,
        discriminator_weight: NonNegativeFloat = 1.0,
        unit_interval: bool = False,
        output_bias_from_data: bool = False,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        if final_momentum is not None and optimizer != "sgd":
            raise UserError("final_momentum is SGD's. Set --model.optimizer=sgd, or leave --model.final_momentum out.")
        if learning_rate_divisor < 1:
            raise UserError(f"learning_rate_divisor must be at least 1, not {learning_rate_divisor}.")
        self.latent_dim, self.optimizer = latent_dim, optimizer
        self.learning_rate, self.momentum, self.betas = learning_rate, momentum, (momentum, 0.999)
        self.final_momentum = momentum if final_momentum is None else final_momentum
        self.momentum_kimg = momentum_kimg
        self.learning_rate_divisor, self.learning_rate_floor = learning_rate_divisor, learning_rate_floor
        self.discriminator_weight, self.output_bias_from_data = discriminator_weight, output_bias_from_data
        self.output_scale = 1.0 if unit_interval else 2.0  # tanh(y) = 2 sigmoid(2 y) − 1: the bias is of y
        self.generator_term = nonsaturating_generator if loss == "nonsaturating" else saturating_generator
        pixels = math.prod(self.image_shape)

        dense = linear_layers([latent_dim, *generator_sizes, pixels])
        squash = nn.Sequential(nn.Sigmoid(), Affine(2, -1)) if unit_interval else nn.Tanh()
        self.generator = nn.Sequential(*dense, squash, nn.Unflatten(1, self.image_shape))

        flat = nn.Sequential(nn.Flatten(), Affine(0.5, 0.5)) if unit_interval else nn.Flatten()
        layers: list[nn.Module] = [flat, nn.Dropout(input_dropout)]
        for before, size in zip([pixels, *discriminator_sizes], discriminator_sizes, strict=False):
            if maxout_pieces:
                layers += [Maxout(before, size, maxout_pieces), nn.Dropout(hidden_dropout)]
            else:
                layers += [nn.Linear(before, size), nn.LeakyReLU(0.2), nn.Dropout(hidden_dropout)]
        self.discriminator = nn.Sequential(*layers, nn.Linear((discriminator_sizes or [pixels])[-1], 1))
        for network, reach in ((self.generator, generator_range), (self.discriminator, discriminator_range)):
            for part in network.modules():
                if reach is not None and isinstance(part, nn.Linear):
                    nn.init.uniform_(part.weight, -reach, reach)
                    nn.init.zeros_(part.bias)
        self.start_average()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        start_at_mean(self, stage, self.generator, lambda mean: mean.clamp(1e-7, 1 - 1e-7).logit() / self.output_scale)

    def before_step(self) -> None:
        if self.optimizer == "sgd":
            momentum = linear(self.images_seen, self.momentum, self.final_momentum, 1000 * self.momentum_kimg)
            for group in (group for optimizer in self.trainer.optimizers for group in optimizer.param_groups):
                set_number(group, "momentum", momentum)

    def learning_rate_factor(self) -> float:
        floor = min(1.0, self.learning_rate_floor / self.learning_rate) if self.learning_rate else 1.0
        return max(floor, divided(self.images_seen, self.learning_rate_divisor, AUTHORS_BATCH))

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise (count, Z), uniform with unit variance, as in the authors' code."""
        return self.uniform_noise(count, self.latent_dim, generator=generator) * math.sqrt(3)

    def make_fakes(self, batch: WithImages) -> Tensor:
        return self.generator(self.sample_latent(len(batch.image)))

    def discriminator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return D's terms (equation 1).

        d_real = −w E[log D(x)]
        d_fake = −w E[log(1 − D(G(z)))]
        """
        terms = minimax_discriminator(*real_and_fake(self.discriminator, batch.image, fakes))
        return {name: self.discriminator_weight * term for name, term in terms.items()}

    def generator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return G's term (section 3), or the one of equation 1 for the `saturating` loss.

        g_adversarial = −E[log D(G(z))], or E[log(1 − D(G(z)))]
        """
        return self.generator_term(self.discriminator(fakes))

    def configure_optimizers(self) -> list[Optimizer]:
        if self.optimizer == "adam":
            return super().configure_optimizers()
        networks = self.discriminator, self.generator
        return [ScheduledSGD(network.parameters(), self.learning_rate, self.momentum) for network in networks]
