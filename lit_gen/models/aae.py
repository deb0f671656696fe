"""AAE: Makhzani, Shlens, Jaitly, Goodfellow, Frey, "Adversarial Autoencoders", 2015, arXiv:1511.05644.

Departures from the paper:
    - The reconstruction, the encoder's adversarial term and D's are summed and stepped at once by Adam, where the paper
      takes turns with SGD; the gradients are those of separate backward passes, because the encoder's term takes D's
      weights as constants and D's term takes the codes as constants.
    - The squared error is not halved, and `adversarial_weight` stands in for the paper's two learning rates: 0.01 for
      the reconstruction (momentum 0.9) and 0.1 for the game (momentum 0.1), both fall to a tenth at epoch 50 and
      again at epoch 1,000. configs/aae.yaml has Adam's constant 2e-4 for 200 epochs.
    - Pixels in [-1, 1] and a tanh, where the paper has [0, 1] and a sigmoid. So a pixel that input dropout drops is
      grey here, and black there.
    - PyTorch's initialization of the weights.
    - The priors in the plane have sizes of this project, for the paper gives none. Petals overlap: 15 % of their draws
      are likelier in another petal. In public code, with deviations of 0.5 and 0.05, it is 0.7 %.
    - The posterior that takes noise beside the image (section 2), and sections 4, 6 and 7, are left out.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim import Optimizer

from lit_gen.data.batches import UNLABELLED, DataSpec
from lit_gen.distributions import Gaussian, draw, prior_of
from lit_gen.errors import UserError
from lit_gen.layers.coders import DecoderArgument, EncoderArgument, MLPEncoder, network
from lit_gen.layers.dense import linear_layers
from lit_gen.lightning_compat import data_of
from lit_gen.limits import BelowOne, ClosedUnitInterval, NonNegativeFloat, PositiveFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator
from lit_gen.losses.likelihood import squared_error
from lit_gen.models.autoencoding import AutoencodingModule
from lit_gen.old_versions.labels import hide_labels
from lit_gen.tasks.reconstruction import PriorMatching


class AAE(AutoencodingModule):
    """Adversarial autoencoder (Makhzani et al. 2015).

    A discriminator on codes makes them follow any prior that can be sampled.

    Called with codes (B, Z), it gives images (B, C, H, W) in [-1, 1].

    Args:
        latent_dim: length of the latent z; 2 for `gaussian_mixture` and `swiss_roll`.
        prior: the distribution that codes are to follow.
        prior_scale: standard deviation of `gaussian`, half width of `uniform`, factor on the two others.
        posterior: the encoder gives the code itself (`deterministic`), or mean and log-variance of a `gaussian`.
        conditional: tie labels to the components of a two-dimensional prior (figure 3); needs data with labels. Images
            with the label -1 (`--data.labelled`) carry one class more, "unlabelled".
        labelled_fraction: fraction of the training images that keep their label, as in older configs; below 1 it sets
            `--data.labelled` of MNIST.
        adversarial_weight: weight of the encoder's adversarial term beside the squared error summed over pixels.
        input_dropout: dropped part of the encoder's input, in training.
        discriminator_sizes: units of D's hidden layers.
        discriminator_learning_rate: learning rate of D's Adam (paper: SGD, 0.1 at first).
        betas: betas of Adam.
        learning_rate: learning rate of encoder's and decoder's Adam (paper: SGD, 0.01 at first).
    """

    task = PriorMatching()

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 8,
        prior: Literal["gaussian", "uniform", "gaussian_mixture", "swiss_roll"] = "gaussian",
        prior_scale: PositiveFloat = 5.0,
        posterior: Literal["deterministic", "gaussian"] = "deterministic",
        conditional: bool = False,
        labelled_fraction: ClosedUnitInterval = 1.0,
        adversarial_weight: NonNegativeFloat = 10.0,
        input_dropout: BelowOne = 0.2,
        discriminator_sizes: list[PositiveInt] = [1000, 1000],
        discriminator_learning_rate: NonNegativeFloat = 2e-4,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        encoder: EncoderArgument = network(MLPEncoder, hidden_sizes=[1000, 1000]),
        decoder: DecoderArgument | None = None,
        learning_rate: NonNegativeFloat = 2e-4,
        learning_rate_decay: float = 1.0,
    ) -> None:
        code_features = 2 * latent_dim if posterior == "gaussian" else latent_dim
        super().__init__(spec, latent_dim, encoder, decoder, learning_rate, learning_rate_decay, code_features)
        self.save_hyperparameters()
        self.prior = prior_of(prior, latent_dim, prior_scale)
        self.has_gaussian_latents = isinstance(self.prior, Gaussian)
        self.prior_in_words = f"{prior}, of scale {prior_scale:g}"
        self.num_classes = spec["num_classes"] if conditional else 0
        if conditional and self.num_classes != self.prior.components:
            raise UserError(
                f"conditional ties labels to the prior's components: {prior} has {self.prior.components}, the data "
                f"have {spec['num_classes']} classes. Use gaussian_mixture or swiss_roll with data of ten classes."
            )
        if not 0 <= labelled_fraction <= 1:
            raise UserError(f"labelled_fraction must be from 0 to 1, not {labelled_fraction}.")
        if conditional:
            self.needs = "image", "label"
        self.posterior, self.labelled_fraction = posterior, labelled_fraction
        self.adversarial_weight, self.input_dropout = adversarial_weight, input_dropout
        self.discriminator_learning_rate, self.betas = discriminator_learning_rate, betas
        # With labels, D sees one class more: "unlabelled".
        labels = self.num_classes + 1 if conditional else 0
        self.discriminator = nn.Sequential(*linear_layers([latent_dim + labels, *discriminator_sizes, 1]))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.labelled_fraction < 1:
            hide_labels(data_of(self.trainer), self.labelled_fraction)

    def encode(self, image: Tensor, draw: bool | None = None) -> Tensor:
        """Return codes (B, Z) of images (B, C, H, W) in [-1, 1]; of a Gaussian posterior its mean, or a draw from it.

        A draw is taken, by default, in training only.
        """
        code = self.encoder(functional.dropout(self.checked(image), self.input_dropout, self.training))
        if self.posterior == "deterministic":
            return code
        mean, log_variance = code.float().chunk(2, dim=1)  # 16 bits are few for a variance
        draw = self.training if draw is None else draw
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean) if draw else mean

    def code(self, image: Tensor) -> Tensor:
        return self.encode(image, draw=False)

    def decode(self, latent: Tensor) -> Tensor:
        return torch.tanh(self.decoder(latent))

    def reconstruct(self, image: Tensor) -> Tensor:
        return self.decode(self.encode(image))

    def sample_prior(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return draws (count, Z) from the prior, and the component (count,) of each."""
        component = draw(partial(torch.randint, self.prior.components), (count,), self.device, generator)
        return self.prior.sample(component, generator), component

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        return self.sample_prior(count, generator)[0]

    def sample_class(self, label: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return draws (B, Z) from the components of the prior that class indices (B,) are tied to."""
        return self.prior.sample(label.to(self.device), generator)

    def losses(self, batch: Any) -> Terms:
        """Return all terms, on the scale of images in [0, 1] (section 2). One Adam steps on their sum.

        The first two move encoder and decoder only, the others D only, which tells draws z of the prior from codes.

        reconstruction      = E‖x − x̂‖², summed over pixels
        encoder_adversarial = −λ E[log D(q(x))]
        d_real              = −E[log D(z)]
        d_fake              = −E[log(1 − D(q(x)))]
        """
        code = self.encode(batch.image)
        prior, component = self.sample_prior(len(code))
        labels = batch.label if self.num_classes else component
        # As many draws of the prior are unlabelled as codes, so that D cannot tell them apart by that.
        prior_labels = component.masked_fill(labels == UNLABELLED, UNLABELLED)
        fooled = frozen(self.discriminator, self.discriminator_input(code, labels))
        real = self.discriminator(self.discriminator_input(prior, prior_labels))
        fake = self.discriminator(self.discriminator_input(code.detach(), labels))
        encoder_term = self.adversarial_weight * nonsaturating_generator(fooled)["g_adversarial"]
        return {
            "reconstruction": squared_error(batch.image, self.decode(code)).mean(),
            "encoder_adversarial": encoder_term,
            **minimax_discriminator(real, fake),
        }

    def discriminator_input(self, code: Tensor, labels: Tensor) -> Tensor:
        """Return codes (B, Z), with the one-hot label beside them (B, Z + classes + 1) when `conditional`.

        The last of the classes is "unlabelled".
        """
        if not self.num_classes:
            return code
        classes = labels.masked_fill(labels == UNLABELLED, self.num_classes)
        return torch.cat([code, functional.one_hot(classes, self.num_classes + 1).to(code.dtype)], dim=1)

    def configure_optimizers(self) -> Optimizer:
        return two_rates(self, self.discriminator)


def frozen(network: nn.Module, x: Tensor) -> Tensor:
    """Return the network's output for x, whose gradient goes to x and to no parameter of the network."""
    return functional_call(network, {name: value.detach() for name, value in network.named_parameters()}, x)


def two_rates(model: Any, *discriminators: nn.Module) -> Optimizer:
    """Return one Adam of encoder, decoder and discriminators, which have a learning rate of their own."""
    coders = [*model.encoder.parameters(), *model.decoder.parameters()]
    others = [parameter for network in discriminators for parameter in network.parameters()]
    rates = (coders, model.learning_rate), (others, model.discriminator_learning_rate)
    return model.adam([{"params": part, "lr": rate} for part, rate in rates], model.learning_rate, model.betas)
