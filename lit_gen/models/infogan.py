"""InfoGAN.

Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel, "InfoGAN: Interpretable Representation Learning by
Information Maximizing Generative Adversarial Nets", NIPS 2016, arXiv:1606.03657.

Departures from the paper:
    - Images in [-1, 1] and a tanh at G's end for MNIST too, where the authors have [0, 1] and a sigmoid.
    - Q's Gaussians for continuous codes have the standard deviation 1, as in the authors' code for MNIST; the appendix
      lets Q give it, as `learnt_std` does.
    - The default weight of the continuous codes is 0.1, where the authors' code has 1.
    - D and G of one step share one batch of fakes and of codes.
    - configs/infogan.yaml has 50 epochs of 429 steps; the authors' code for MNIST ends after 5,000 steps.
    - LeakyReLU's slope is the appendix's 0.1, batch norm's scales begin at 1; the authors' code has 0.01, N(1, 0.02).
    - The two networks (appendix C.1 and C.3) follow one rule, for any number of convolutions that the settings give.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.distributions import CategoricalCode, Code, ContinuousCode
from lit_gen.errors import UserError
from lit_gen.layers.coders import square_side
from lit_gen.layers.weights import draw_weights
from lit_gen.limits import BelowOne, NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.tasks.code_sweeps import CodeSweeps
from lit_gen.training.modes import evaluating


class Fakes(NamedTuple):
    """image: (B, C, S, S); codes: (B, F), all codes side by side as they went into G."""

    image: Tensor
    codes: Tensor


class Generator(nn.Sequential):
    """A generator from (B, Z) to (B, C, S, S): a projection to the smallest map, then strided transposed convolutions.

    Batch norm follows the linear layers and the first convolution, which is all hidden layers of appendix C.1 and
    those that have it in appendix C.3.

    Args:
        latent_dim: Z, noise and codes.
        hidden_features: units of a linear layer before the projection, 0 for none.
        channels: widths from the smallest map on; the map has S / 2^len(channels) pixels.
        image_shape: C, S, S.
    """

    def __init__(
        self, latent_dim: int, hidden_features: int, channels: list[int], image_shape: tuple[int, ...]
    ) -> None:
        side = image_shape[-1] // 2 ** len(channels)
        sizes = [latent_dim, *([hidden_features] if hidden_features else []), channels[0] * side * side]
        layers: list[nn.Module] = []
        for before, size in pairwise(sizes):
            layers += [nn.Linear(before, size, bias=False), nn.BatchNorm1d(size), nn.ReLU()]
        layers.append(nn.Unflatten(1, (channels[0], side, side)))
        for index, (before, width) in enumerate(pairwise(channels)):
            layers.append(nn.ConvTranspose2d(before, width, 4, 2, 1, bias=index > 0))
            layers += [nn.ReLU()] if index else [nn.BatchNorm2d(width), nn.ReLU()]
        super().__init__(*layers, nn.ConvTranspose2d(channels[-1], image_shape[0], 4, 2, 1), nn.Tanh())
        self.apply(draw_weights)  # as in the authors' code


class Discriminator(nn.Module):
    """D and Q on one body of 4x4 convolutions of stride 2, with batch norm in all hidden layers except the first.

    Args:
        image_shape: C, S, S.
        channels: widths from the image on.
        hidden_features: units of a linear layer at the body's end, 0 for none.
        recognition_features: units of Q's hidden layer.
        outputs: how many numbers Q gives.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        channels: list[int],
        hidden_features: int,
        recognition_features: int,
        outputs: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, width) in enumerate(zip([image_shape[0], *channels], channels, strict=False)):
            layers.append(nn.Conv2d(before, width, 4, 2, 1, bias=index == 0))
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.1)] if index else [nn.LeakyReLU(0.1)]
        layers.append(nn.Flatten())
        features = channels[-1] * (image_shape[-1] // 2 ** len(channels)) ** 2
        if hidden_features:
            layers.append(nn.Linear(features, hidden_features, bias=False))
            layers += [nn.BatchNorm1d(hidden_features), nn.LeakyReLU(0.1)]
            features = hidden_features
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(features, 1)
        self.recognition = nn.Sequential(
            nn.Linear(features, recognition_features, bias=False),
            nn.BatchNorm1d(recognition_features),
            nn.LeakyReLU(0.1),
            nn.Linear(recognition_features, outputs),
        )
        self.apply(draw_weights)  # as in the authors' code

    def forward(self, images: Tensor) -> Tensor:
        """Return D's logits (B, 1)."""
        return self.head(self.body(images))

    def recognize(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits (B, 1) and Q's outputs (B, outputs), in the order of the codes."""
        features = self.body(images)
        return self.head(features), self.recognition(features)


class InfoGAN(AdversarialModule):
    """InfoGAN (Chen et al. 2016): a GAN with codes in G's input, which a network Q recovers from the images.

    G is trained to make that easy, so that a code comes to control something visible, such as which digit it is.
    The log has the lower bound L_I(G, Q) = H(c) + E[log Q(c | x)] of the mutual information (equation 5) in nats, as
    `information_categorical` and `information_continuous`: the sums over the codes of a kind. The former ends near the
    codes' entropy, ln 10 = 2.30 for ten categories; the latter has no such end, because c is a real number there.

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

    Called with noise and codes side by side (B, Z), it gives images (B, C, S, S) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data. The size must be a multiple of
            2^(number of generator_channels) and of 2^(number of discriminator_channels).
        noise_dim: length of the noise in G's input, uniform on (-1, 1); codes come on top.
        categorical_codes: number of categories of each categorical code; `test` reads the first as an image's class.
        continuous_codes: number of continuous codes, uniform on (-1, 1).
        information_weight: lambda of the categorical codes.
        continuous_weight: lambda of the continuous codes (paper: less than that of categorical codes, without a value;
            authors' code: 1).
        learnt_std: let Q give each continuous code's standard deviation, as in the paper's appendix; 1 otherwise, as in
            the authors' code for MNIST.
        generator_channels: widths of G from its smallest map on; one doubling of the size each.
        discriminator_channels: widths of the convolutions of D and Q, from the image on.
        hidden_features: units of the linear layers between maps and vectors, in G and D; 0 for none, as for CelebA.
        recognition_features: units of Q's own hidden layer.
        discriminator_learning_rate: learning rate of the Adam optimizer of D and Q.
        generator_learning_rate: learning rate of G's Adam optimizer.
    """

    task = CodeSweeps()
    memory_format = torch.channels_last
    has_gaussian_latents = False
    prior_in_words = "uniform from -1 to 1"
    discriminator: Discriminator

    def __init__(
        self,
        spec: DataSpec,
        noise_dim: PositiveInt = 62,
        categorical_codes: list[NonNegativeInt] = [10],
        continuous_codes: NonNegativeInt = 2,
        information_weight: NonNegativeFloat = 1.0,
        continuous_weight: NonNegativeFloat = 0.1,
        learnt_std: bool = False,
        generator_channels: list[PositiveInt] = [128, 64],
        discriminator_channels: list[PositiveInt] = [64, 128],
        hidden_features: NonNegativeInt = 1024,
        recognition_features: PositiveInt = 128,
        discriminator_learning_rate: NonNegativeFloat = 2e-4,
        generator_learning_rate: NonNegativeFloat = 1e-3,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        n_critic: PositiveInt = 1,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        self.codes: list[Code] = [CategoricalCode(categories) for categories in categorical_codes]
        self.codes += [ContinuousCode(learnt_std) for _ in range(continuous_codes)]
        self.weights = {"categorical": information_weight, "continuous": continuous_weight}
        size = square_side(self.image_shape, "InfoGAN")
        for name, channels in (("generator", generator_channels), ("discriminator", discriminator_channels)):
            if not channels or size % 2 ** len(channels):
                raise UserError(
                    f"InfoGAN with {len(channels)} {name}_channels needs an image size that is a multiple of "
                    f"{2 ** max(1, len(channels))}, not {size}. "
                    f"Set --data.image_size or --model.{name}_channels."
                )
        if not self.codes or min(categorical_codes, default=2) < 2:
            raise UserError(
                "InfoGAN needs at least one code, and at least two categories in each categorical one, not "
                f"categorical_codes {categorical_codes} and continuous_codes {continuous_codes}."
            )
        self.noise_dim = noise_dim
        self.latent_dim = noise_dim + sum(code.features for code in self.codes)
        self.learning_rates = discriminator_learning_rate, generator_learning_rate
        self.betas = betas
        self.generator = Generator(self.latent_dim, hidden_features, generator_channels, self.image_shape)
        self.discriminator = Discriminator(
            self.image_shape,
            discriminator_channels,
            hidden_features,
            recognition_features,
            sum(code.outputs for code in self.codes),
        )
        self.start_average()

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return (count, Z): noise, then the codes in their order."""
        noise = self.uniform_noise(count, self.noise_dim, generator=generator)
        return torch.cat([noise, *(code.sample(count, self.device, generator) for code in self.codes)], dim=1)

    def make_fakes(self, batch: WithImages) -> Fakes:
        if self.training and len(batch.image) < 2:
            raise UserError("InfoGAN needs two images per batch: raise --data.batch_size, or set a loader's drop_last.")
        latent = self.sample_latent(len(batch.image))
        return Fakes(self.generator(latent), latent[:, self.noise_dim :])

    def per_code(self, codes: Tensor, outputs: Tensor) -> Iterator[tuple[Code, Tensor, Tensor]]:
        """Yield each code with its part of all codes (B, F), and with its part of Q's outputs (B, O)."""
        values = codes.split([code.features for code in self.codes], dim=1)
        given = outputs.split([code.outputs for code in self.codes], dim=1)
        yield from zip(self.codes, values, given, strict=True)

    def code_terms(self, prefix: str, fakes: Fakes, outputs: Tensor) -> Terms:
        """Return −λ E[log Q(c|x)], summed over the codes of a kind: −λ L_I (equation 6) without the constant H(c)."""
        log_q: Terms = {}
        for code, value, output in self.per_code(fakes.codes, outputs):
            log_q[code.kind] = log_q.get(code.kind, 0) + code.log_density(value, output).mean()
        return {f"{prefix}_{kind}": -self.weights[kind] * value for kind, value in log_q.items()}

    @torch.no_grad()
    def information(self, codes: Tensor, outputs: Tensor) -> Terms:
        """Return the MI bound L_I (equation 5) in nats, summed over the codes of a kind."""
        bounds: Terms = {}
        for code, value, output in self.per_code(codes, outputs):
            name = f"information_{code.kind}"
            bounds[name] = bounds.get(name, 0) + code.information(value, output)
        return bounds

    def discriminator_loss(self, batch: WithImages, fakes: Fakes) -> Terms:
        """Return D's terms (equations 1 and 6); real images and fakes go through D in batches of their own.

        Both optimizers minimize −λ E[log Q(c|x)]: D's moves Q and, as in the authors' code, the body that it shares
        with D; G's moves G. Each kind of code has its own λ.

        d_real        = −E[log D(x)]
        d_fake        = −E[log(1 − D(G(z, c)))]
        d_categorical = −λ E[log Q(c | G(z, c))], summed over the categorical codes
        d_continuous  = −λ E[log Q(c | G(z, c))], summed over the continuous codes
        """
        real_logits = self.discriminator(batch.image)
        logits, outputs = self.recognize(fakes.image)
        self.beside |= self.information(fakes.codes, outputs)
        return minimax_discriminator(real_logits, logits) | self.code_terms("d", fakes, outputs)

    def generator_loss(self, batch: WithImages, fakes: Fakes) -> Terms:
        """Return G's terms (equation 6).

        g_adversarial = −E[log D(G(z, c))]
        g_categorical = −λ E[log Q(c | G(z, c))], summed over the categorical codes
        g_continuous  = −λ E[log Q(c | G(z, c))], summed over the continuous codes
        """
        logits, outputs = self.recognize(fakes.image)
        return nonsaturating_generator(logits) | self.code_terms("g", fakes, outputs)

    def recognize(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits (B, 1) of images, and what Q says of all codes (B, O)."""
        return self.discriminator.recognize(self.checked(images))

    @torch.no_grad()
    def categories(self, images: Tensor) -> Tensor:
        """Return the likeliest value (B,), int64, of the first categorical code: a class, found without labels.

        Raises:
            UserError: there is no categorical code.
        """
        if self.codes[0].kind != "categorical":
            raise UserError("this InfoGAN has no categorical code to tell categories by: set categorical_codes.")
        with evaluating(self.discriminator):
            return self.recognize(images)[1][:, : self.codes[0].outputs].argmax(1)

    def configure_optimizers(self) -> list[Optimizer]:
        networks = zip((self.discriminator, self.generator), self.learning_rates, strict=True)
        return [self.adam(network.parameters(), rate, self.betas) for network, rate in networks]
