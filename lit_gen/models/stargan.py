"""StarGAN.

Choi, Choi, Kim, Ha, Kim, Choo, "StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation", CVPR 2018, arXiv:1711.09020.

Departures from the paper:
    - Sizes other than 128 pixels have as many layers in D as lead to a last map of 2x2 (or 3x3) places.
    - Both learning rates fall in every step of the second half of the training, not once per epoch.
    - D may be shown images with noise on them (`noise_deviation`), except in the gradient penalty. D learns attributes
      from real images only, and G finds patterns that D takes for an attribute and that nobody can see. Noise hides
      such patterns (Cohen et al., arXiv:1902.02918). The default is none, as in the paper.
    - G may also be asked to leave images as they are when they have the attributes already (`identity_weight`, after
      CycleGAN's identity term; none by default). The way back alone does not show that G turns light backgrounds
      into dark ones and back; in short trainings many a G does.
    - Images may be generated with an EMA of G's weights (`ema_decay`); the default is none, as in the paper.
    - One dataset at a time: the mask vector for joint training on several is left out.
    - CelebA's official split, where the paper tests on 2,000 random images and trains on all others.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.batches import AttributedImages, DataSpec, Images
from lit_gen.errors import UserError
from lit_gen.layers.coders import square_side
from lit_gen.layers.residual import ResidualBlock
from lit_gen.lightning_compat import data_of
from lit_gen.limits import BelowOne, NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import gradient_penalty, wasserstein_discriminator, wasserstein_generator
from lit_gen.losses.likelihood import attribute_cross_entropy
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.schedules import constant_then_linear
from lit_gen.tasks.attribute_editing import AttributeEditing, check_known, editable, wanted_changes, with_changes
from lit_gen.training.modes import evaluating

PAPER_ATTRIBUTES = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]


class Translations(NamedTuple):
    """image: (B, C, H, W), translated; target: (B, A) in {0, 1}, the attributes it was to get."""

    image: Tensor
    target: Tensor


class Generator(nn.Module):
    """A generator from an image and attributes to an image (table 4): down by 4, residual blocks, up by 4.

    Padding is with zeros: next to mirrored edges a constant plane stays constant, and instance norm takes it away.

    Args:
        image_channels: C.
        attributes: A.
        channels: width at full size; twice at half, four times at a quarter.
        residual_blocks: how many.
    """

    def __init__(self, image_channels: int, attributes: int, channels: int, residual_blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(image_channels + attributes, channels, 7, padding=3, bias=False)]
        layers += [nn.InstanceNorm2d(channels, affine=True), nn.ReLU()]
        for width in (channels, channels * 2):
            layers += [nn.Conv2d(width, width * 2, 4, stride=2, padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(width * 2, affine=True), nn.ReLU()]
        layers += [ResidualBlock(channels * 4, "zeros", affine=True) for _ in range(residual_blocks)]
        for width in (channels * 2, channels):
            layers += [nn.ConvTranspose2d(width * 2, width, 4, stride=2, padding=1, bias=False)]
            layers += [nn.InstanceNorm2d(width, affine=True), nn.ReLU()]
        layers += [nn.Conv2d(channels, image_channels, 7, padding=3, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Return images (B, C, H, W) with the attributes (B, A), of images (B, C, H, W)."""
        planes = target[:, :, None, None].expand(-1, -1, *image.shape[2:])  # (B, A, H, W)
        return self.layers(torch.cat([image, planes.to(image.dtype)], dim=1))


class Discriminator(nn.Module):
    """A discriminator from images to scores of patches and logits of attributes (table 5), without any norm.

    Args:
        image_channels: C.
        attributes: A.
        channels: width behind the first layer; it doubles with each.
        size: side of the images in pixels.
    """

    def __init__(self, image_channels: int, attributes: int, channels: int, size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, width = image_channels, channels
        while size >= 4:
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.LeakyReLU(0.01)]
            before, width, size = width, width * 2, size // 2
        self.layers = nn.Sequential(*layers)
        self.to_score = nn.Conv2d(before, 1, 3, padding=1, bias=False)
        self.to_logits = nn.Conv2d(before, attributes, size, bias=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B, 1, S', S'), S' being 2 or 3, and logits (B, A) of images; float32 also under autocast."""
        features = self.layers(image)
        return self.to_score(features).float(), self.to_logits(features).flatten(1).float()


class StarGAN(AdversarialModule):
    """StarGAN (Choi et al. 2018): one generator that changes any of several attributes of an image.

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

    Called with images (B, C, H, W) in [-1, 1] and attributes (B, A) in {0, 1}, it gives images (B, C, H, W) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data. Sizes are multiples of 4 from 8 on.
        attributes: names of the attributes to change, among those of the data; where the data lack any of the default,
            the paper's five of CelebA, all that the data have.
        channels: width of G at full size.
        residual_blocks: residual blocks of G.
        discriminator_channels: width of D behind its first layer.
        classification_weight: weight of the cross-entropy of the attributes, summed over them.
        reconstruction_weight: weight of the mean absolute error of the image translated there and back.
        identity_weight: weight of the mean absolute change of an image that is given the attributes it has; with 0, as
            in the paper, there is no such term.
        penalty_weight: weight of the gradient penalty, which takes the gradient of the sum of an image's patch scores.
        noise_deviation: standard deviation of the Gaussian noise that is added to D's images in the losses, except in
            the gradient penalty.
        learning_rate: learning rate of both Adam optimizers in the first half of the training; it then falls to 0
            linearly.
    """

    task = AttributeEditing()
    output_name = "d_score"
    memory_format = torch.contiguous_format  # instance norm works channel by channel

    def __init__(
        self,
        spec: DataSpec,
        attributes: list[str] = PAPER_ATTRIBUTES,
        channels: PositiveInt = 64,
        residual_blocks: NonNegativeInt = 6,
        discriminator_channels: PositiveInt = 64,
        classification_weight: NonNegativeFloat = 1.0,
        reconstruction_weight: NonNegativeFloat = 10.0,
        identity_weight: NonNegativeFloat = 0.0,
        penalty_weight: NonNegativeFloat = 10.0,
        noise_deviation: NonNegativeFloat = 0.0,
        learning_rate: NonNegativeFloat = 1e-4,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        n_critic: PositiveInt = 5,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        attributes = editable(attributes, PAPER_ATTRIBUTES, spec["attributes"])
        self.save_hyperparameters()
        self.save_hyperparameters({"attributes": attributes})  # all that the data have, perhaps
        image_channels, size = self.image_shape[0], square_side(self.image_shape, "StarGAN")
        if size < 8 or size % 4:
            raise UserError(
                f"StarGAN needs an image size that is a multiple of 4 from 8 on, not {size}. Set --data.image_size."
            )
        if not attributes or len(set(attributes)) < len(attributes):
            raise UserError(
                f"StarGAN needs one or more attributes, each once, not {attributes}. Set --model.attributes."
            )
        self.attributes, self.data_attributes = list(attributes), list(spec["attributes"])
        self.classification_weight, self.reconstruction_weight = classification_weight, reconstruction_weight
        self.identity_weight, self.penalty_weight = identity_weight, penalty_weight
        self.noise_deviation, self.learning_rate, self.betas = noise_deviation, learning_rate, betas
        self.generator = Generator(image_channels, len(attributes), channels, residual_blocks)
        self.discriminator = Discriminator(image_channels, len(attributes), discriminator_channels, size)
        self.start_average()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.data_attributes = list(getattr(data_of(self.trainer), "spec", self.spec)["attributes"])
        if stage != "predict":
            check_known(self.attributes, self.data_attributes)

    def labels(self, batch: AttributedImages) -> Tensor:
        """Return the batch's own values (B, A) of the model's attributes."""
        columns = [self.data_attributes.index(name) for name in self.attributes]
        return torch.stack([batch.attributes[:, column] for column in columns], dim=1).float()

    def make_fakes(self, batch: AttributedImages) -> Translations:
        """Return translations to the batch's own labels in another order, so only to combinations that exist."""
        labels = self.labels(batch)
        target = labels[torch.randperm(len(labels), device=labels.device)]
        return Translations(self.generator(batch.image, target), target)

    def discriminator_loss(self, batch: AttributedImages, fakes: Translations) -> Terms:
        """Return D's terms (equation 5, with equation 8); attributes are learnt from the real images alone.

        D_src is the mean of the patches' scores. In the penalty it is their sum, as in the authors' code: a penalty on
        the mean of four patches would let scores lie four times as far apart.

        d_real           = −E[D_src(x)]
        d_fake           = E[D_src(G(x, c))]
        d_penalty        = λ_gp E[(‖∇D_src(x̂)‖₂ − 1)²], x̂ between x and G(x, c)
        d_classification = λ_cls E[−log D_cls(c' | x)], c' the labels of x
        """
        images = len(batch.image)
        scores, logits = self.examine(torch.cat([batch.image, fakes.image]))  # one pass: D has no norm
        labels = self.labels(batch)
        return {
            **wasserstein_discriminator(scores[:images], scores[images:]),
            **gradient_penalty(self.patch_scores, batch.image, fakes.image, self.penalty_weight),
            "d_classification": self.classification_weight * attribute_cross_entropy(logits[:images], labels),
        }

    def generator_loss(self, batch: AttributedImages, fakes: Translations) -> Terms:
        """Return G's terms (equation 6).

        g_adversarial    = −E[D_src(G(x, c))]
        g_classification = λ_cls E[−log D_cls(c | G(x, c))]
        g_reconstruction = λ_rec E‖x − G(G(x, c), c')‖₁
        g_identity       = λ_id E‖x − G(x, c')‖₁, not in the paper, where `identity_weight` is above 0
        """
        scores, logits = self.examine(fakes.image)
        labels = self.labels(batch)
        back = self.generator(fakes.image, labels)
        terms = {
            **wasserstein_generator(scores),
            "g_classification": self.classification_weight * attribute_cross_entropy(logits, fakes.target),
            "g_reconstruction": self.reconstruction_weight * functional.l1_loss(back.float(), batch.image),
        }
        if self.identity_weight:
            kept = self.generator(batch.image, labels).float()
            terms["g_identity"] = self.identity_weight * functional.l1_loss(kept, batch.image)
        return terms

    def examine(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's scores and logits, as of `Discriminator`, for the images with `noise_deviation` on them."""
        if self.noise_deviation:
            image = image + self.noise_deviation * torch.randn_like(image)
        return self.discriminator(image)

    def patch_scores(self, image: Tensor) -> Tensor:
        """Return D's scores of the patches, (B, 1, S', S')."""
        return self.discriminator(image)[0]

    def discriminate(self, batch: AttributedImages, fakes: Translations) -> tuple[Tensor, Tensor]:
        """Return the mean scores (B,) over the patches."""
        return self.patch_scores(batch.image).mean((1, 2, 3)), self.patch_scores(fakes.image).mean((1, 2, 3))

    def learning_rate_factor(self) -> float:
        return constant_then_linear(self.progress)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]  # not a latent vector alone
        """Return images (B, C, H, W) with the attributes (B, A), by the EMA if there is one."""
        image = self.checked(image, step=4)
        if not torch.compiler.is_compiling():  # an export would make the length a constant
            wanted: Any = (len(image), len(self.attributes))
            given = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
            if given != wanted:
                names = ", ".join(self.attributes)
                raise UserError(
                    f"these images need a tensor of attributes, shape {wanted}, not {given}: a column each for {names}."
                )
            if not len(image):
                return image  # instance norm takes no empty batch
        return self.sampler(image, target)

    @torch.no_grad()
    def translate(self, image: Tensor, target: Tensor | str) -> Tensor:
        """Return the images with other attributes, in evaluation mode, by the EMA if there is one.

        Args:
            image: (B, C, H, W) of uint8, or floats in [-1, 1].
            target: (B, A) in {0, 1}: all attributes, in the order of `attributes`; or what to change, such as
                "+Blond_Hair,-Male", of the attributes that D sees in the images.
        """
        if isinstance(target, str):
            image = self.checked(image)  # D takes no other size
            target = with_changes(self, Images(image), wanted_changes(target, self.attributes, "the target"))
        with evaluating(self.sampler):
            return self(image, target).float()
