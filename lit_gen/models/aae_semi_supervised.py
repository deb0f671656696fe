"""Semi-supervised AAE: Makhzani et al., "Adversarial Autoencoders", 2015, arXiv:1511.05644, section 5.

Departures from the paper:
    - All terms are summed and stepped at once by Adam, where the paper takes turns with SGD: reconstruction, both
      discriminators, the encoder against both, labels. As in `AAE`, the gradients are those of separate passes.
    - `adversarial_weight` and `classification_weight` stand in for the paper's rates and momenta of SGD. A constant
      gradient moves the weights there by rate / (1 - momentum): 0.01 and 0.9 make 0.1 for the reconstruction, 0.1 and
      0.1 make 0.11 for the game, 0.1 and 0.9 make 1 for the labels. The default of `adversarial_weight`, 0.3, is
      smaller than theirs: of those tried it errs least (lab notes).
    - Rates are constant, and lower ones err more in as many epochs (lab notes). The paper's fall to a tenth at epoch 50
      and again at epoch 1,000.
    - PyTorch's initialization of the weights.
    - 1,000 epochs, where the paper has 5,000.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from lit_gen.data.batches import UNLABELLED, DataSpec, LabelledImages
from lit_gen.distributions import draw
from lit_gen.errors import UserError
from lit_gen.layers.coders import DecoderArgument, EncoderArgument, MLPEncoder, network
from lit_gen.layers.dense import linear_layers
from lit_gen.lightning_compat import data_of
from lit_gen.limits import BelowOne, NonNegativeFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator
from lit_gen.losses.likelihood import squared_error
from lit_gen.models.aae import frozen, two_rates
from lit_gen.models.autoencoding import AutoencodingModule
from lit_gen.tasks.semi_supervised import SemiSupervised


class SemiSupervisedAAE(AutoencodingModule):
    """Semi-supervised adversarial autoencoder (Makhzani et al. 2015, section 5): a classifier from a few labels.

    The encoder gives class probabilities y and a style z; the decoder sees both. One discriminator makes y follow
    one-hot vectors of random classes, another z a normal distribution. `--data.labelled` says how many training images
    of MNIST keep their labels; in a table, rows may have none. Each step draws as many of the labelled images as the
    batch has images, for a cross-entropy.

    best.ckpt has the lowest classification error on the validation images whose labels are known, of MNIST all;
    last.ckpt has seen no label but those of training images.

    Called with codes (B, classes + Z), y before z, it gives images (B, C, H, W) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data, which need labels.
        style_dim: length Z of the style z.
        input_noise: standard deviation, in training, of Gaussian noise on the encoder's input, with pixels in [0, 1].
        adversarial_weight: weight of the encoder's adversarial terms beside half the squared error, summed over pixels.
        classification_weight: weight of the cross-entropy of the known labels.
        discriminator_sizes: units of the hidden layers of each discriminator.
        discriminator_learning_rate: learning rate of both discriminators (paper: SGD, 0.1 at first).
        betas: betas of Adam.
        learning_rate: learning rate of encoder and decoder (paper: SGD, 0.01 at first).
    """

    task = SemiSupervised()
    takes_unlabelled = True
    prior_in_words = "a one-hot class, all equally likely, and a normal style of deviation 1"
    has_gaussian_latents = False  # a part of them is a class

    def __init__(
        self,
        spec: DataSpec,
        style_dim: PositiveInt = 10,
        input_noise: NonNegativeFloat = 0.3,
        adversarial_weight: NonNegativeFloat = 0.3,
        classification_weight: NonNegativeFloat = 10.0,
        discriminator_sizes: list[PositiveInt] = [1000, 1000],
        discriminator_learning_rate: NonNegativeFloat = 2e-4,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        encoder: EncoderArgument = network(MLPEncoder, hidden_sizes=[1000, 1000]),
        decoder: DecoderArgument | None = None,
        learning_rate: NonNegativeFloat = 2e-4,
        learning_rate_decay: float = 1.0,
    ) -> None:
        self.num_classes = classes = spec["num_classes"]
        if not classes:
            raise UserError("SemiSupervisedAAE needs data with labels, such as MNIST. Set --data=MNIST.")
        super().__init__(spec, classes + style_dim, encoder, decoder, learning_rate, learning_rate_decay)
        self.save_hyperparameters()
        self.style_dim, self.input_noise = style_dim, input_noise
        self.adversarial_weight, self.classification_weight = adversarial_weight, classification_weight
        self.discriminator_learning_rate, self.betas = discriminator_learning_rate, betas
        self.label_discriminator = nn.Sequential(*linear_layers([classes, *discriminator_sizes, 1]))
        self.style_discriminator = nn.Sequential(*linear_layers([style_dim, *discriminator_sizes, 1]))
        self._labelled: LabelledImages | None = None  # in a training, those that minibatches are drawn from

    def on_train_start(self) -> None:
        super().on_train_start()
        data = data_of(self.trainer)
        labelled = data.labelled_images() if hasattr(data, "labelled_images") else None
        if labelled is not None:
            self._labelled = LabelledImages(*(field.to(self.device) for field in labelled))

    def on_train_end(self) -> None:
        super().on_train_end()
        self._labelled = None

    def heads(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits (B, classes), in float32, and styles (B, Z) of images (B, C, H, W) in [-1, 1]."""
        pixels = (self.checked(image) + 1) / 2
        if self.training:
            pixels = pixels + self.input_noise * torch.randn_like(pixels)
        logits, style = self.encoder(pixels).split([self.num_classes, self.style_dim], dim=1)
        return logits.float(), style

    def classify(self, image: Tensor) -> Tensor:
        """Return class logits (B, classes) of images (B, C, H, W), in evaluation mode without random draws."""
        return self.heads(image)[0]

    def encode(self, image: Tensor, draw: bool | None = None) -> Tensor:
        """Return codes (B, classes + Z): class probabilities, then styles. They are the same for each `draw`."""
        logits, style = self.heads(image)
        return torch.cat([logits.softmax(1), style], dim=1)

    def code(self, image: Tensor) -> Tensor:
        return self.encode(image)

    def decode(self, latent: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.decoder(latent)) - 1

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return draws (count, classes + Z): one-hot vectors of uniformly random classes, and normal styles."""
        label = draw(partial(torch.randint, self.num_classes), (count,), self.device, generator)
        return self.codes_of(label, self.noise(count, self.style_dim, generator=generator))

    def sample_class(self, label: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return codes (B, classes + Z) of class indices (B,), with normal styles."""
        return self.codes_of(label.to(self.device), self.noise(len(label), self.style_dim, generator=generator))

    def codes_of(self, label: Tensor, style: Tensor) -> Tensor:
        """Return codes (B, classes + Z) of class indices (B,) and styles (B, Z)."""
        return torch.cat([functional.one_hot(label, self.num_classes).to(style.dtype), style], dim=1)

    def labelled_minibatch(self, batch: LabelledImages) -> LabelledImages:
        """Return images whose labels are known, drawn anew in each step; of other data, the batch as it is."""
        if self._labelled is None or not self.training:
            return batch
        known, data = self._labelled, data_of(self.trainer)
        rows = torch.randint(len(known.label), (len(batch.image),), device=known.label.device)
        flip = getattr(data, "horizontal_flip", False)
        return data.to_floats(LabelledImages(*(field[rows] for field in known)), flip)

    def losses(self, batch: LabelledImages) -> Terms:
        """Return all terms (section 5), with pixels in [0, 1]. One Adam steps on their sum.

        Encoder and decoder minimize the first, the encoder alone the next three, each discriminator its own two.

        reconstruction = 1/2 E‖x − x̂‖², summed over pixels, x̂ from y = softmax and z
        encoder_label  = −λ E[log D_y(y)]
        encoder_style  = −λ E[log D_z(z)]
        classification = −μ E[log y_c], over images whose class c is known
        d_real_label   = −E[log D_y(one-hot)]        d_fake_label = −E[log(1 − D_y(y))]
        d_real_style   = −E[log D_z(N(0, I))]        d_fake_style = −E[log(1 − D_z(z))]
        """
        code = self.encode(batch.image)
        terms = {"reconstruction": squared_error(batch.image, self.decode(code)).mean() / 2}

        sizes = [self.num_classes, self.style_dim]
        pairs = zip(code.split(sizes, dim=1), self.sample_latent(len(code)).split(sizes, dim=1), strict=True)
        networks = {"label": self.label_discriminator, "style": self.style_discriminator}
        for (name, discriminator), (given, prior) in zip(networks.items(), pairs, strict=True):
            fooled = nonsaturating_generator(frozen(discriminator, given))["g_adversarial"]
            terms[f"encoder_{name}"] = self.adversarial_weight * fooled
            own = minimax_discriminator(discriminator(prior), discriminator(given.detach()))
            terms |= {f"{term}_{name}": value for term, value in own.items()}

        if self._labelled is None or len(self._labelled.label):  # without any label, the classes are clusters
            known = self.labelled_minibatch(batch)
            entropy = functional.cross_entropy(
                self.classify(known.image), known.label, ignore_index=UNLABELLED, reduction="sum"
            )
            count = (known.label != UNLABELLED).sum().clamp(min=1)
            terms["classification"] = self.classification_weight * entropy / count
        return terms

    def configure_optimizers(self) -> Optimizer:
        return two_rates(self, self.label_discriminator, self.style_discriminator)
