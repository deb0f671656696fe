"""CycleGAN.

Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
ICCV 2017, arXiv:1703.10593.

Departures from the paper:
    - The critics step first and the generators then, on the same fakes; the authors' code steps the generators first.
    - The identity terms (section 5.2) are on by default. The paper has them for paintings and flowers only, but they
      keep colours, and with them zebras made of horses have the better FID (62 against 77).
    - The learning rate falls with every step of the second half of the training, not with every epoch.
    - The generators may lay their output over the given image through a mask (`blend`); by default they do not.
    - An epoch has each image of the larger domain once, beside random ones of the other. In the authors' PyTorch code
      it is as long, but those in turn are always A's, which come again where B is larger, and those of B are random.
    - 5 % of the training images choose best.ckpt and are not trained on; `--data.val_fraction=0` trains on all.
    - Convolutions before an instance norm have no bias (the norm takes it away again), and the norms have no learnt
      scale and shift.
"""

from collections.abc import Hashable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.batches import DataSpec, UnpairedImages
from lit_gen.errors import UserError
from lit_gen.layers.residual import ResidualBlock
from lit_gen.layers.weights import draw_weights
from lit_gen.limits import BelowOne, NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import least_squares
from lit_gen.models.adversarial import AdversarialModule, real_and_fake
from lit_gen.schedules import constant_then_linear
from lit_gen.tasks.translation import WAYS, Translation
from lit_gen.training.image_pool import ImagePool
from lit_gen.training.modes import evaluating


class Generator(nn.Sequential):
    """A generator from images to images (B, C, H, W): down by 4, residual blocks, up by 4 (appendix).

    With `blend`, one more channel of the output makes a mask, with which the others are laid over the given image.
    """

    def __init__(self, image_channels: int, channels: int, residual_blocks: int, blend: bool = False) -> None:
        def layers(convolution: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
            return convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU()

        half, quarter = channels * 2, channels * 4
        super().__init__(
            *layers(nn.Conv2d(image_channels, channels, 7, padding=3, padding_mode="reflect", bias=False)),
            *layers(nn.Conv2d(channels, half, 3, 2, 1, bias=False)),
            *layers(nn.Conv2d(half, quarter, 3, 2, 1, bias=False)),
            *(ResidualBlock(quarter) for _ in range(residual_blocks)),
            *layers(nn.ConvTranspose2d(quarter, half, 3, 2, 1, output_padding=1, bias=False)),
            *layers(nn.ConvTranspose2d(half, channels, 3, 2, 1, output_padding=1, bias=False)),
            nn.Conv2d(channels, image_channels + blend, 7, padding=3, padding_mode="reflect"),
        )
        self.blend = blend
        self.apply(draw_weights)  # appendix, training details

    def forward(self, images: Tensor) -> Tensor:
        made = super().forward(images).float()
        if not self.blend:
            return made.tanh()
        # A mask that may close everywhere does, while the images laid over are still bad, and then has no gradient to
        # open again. The norm holds it open for the part of the image where its logit is highest.
        logit = functional.instance_norm(made[:, -1:])
        return torch.lerp(images.float(), made[:, :-1].tanh(), torch.sigmoid(4 * logit - 4))


class Discriminator(nn.Sequential):
    """A critic from images (B, C, H, W) to scores (B, 1, H', W') of overlapping patches (appendix).

    The width is `channels` and doubles with each layer, up to eight times; `strided_layers` of them halve the size.
    """

    def __init__(self, image_channels: int, channels: int, strided_layers: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(image_channels, channels, 4, 2, 1), nn.LeakyReLU(0.2)]
        before = channels
        for layer in range(1, strided_layers + 1):
            width, stride = channels * min(2**layer, 8), 2 if layer < strided_layers else 1
            layers += [nn.Conv2d(before, width, 4, stride, 1, bias=False), nn.InstanceNorm2d(width), nn.LeakyReLU(0.2)]
            before = width
        super().__init__(*layers, nn.Conv2d(before, 1, 4, 1, 1))
        self.apply(draw_weights)  # appendix, training details


class Fakes(NamedTuple):
    """All (B, C, H, W): fake_a is image_b brought to domain A, and same_a image_a; fake_b and same_b are of B."""

    fake_a: Tensor
    fake_b: Tensor
    same_a: Tensor | None = None
    same_b: Tensor | None = None


class CycleGAN(AdversarialModule):
    """CycleGAN (Zhu et al. 2017): translations both ways between two domains of unpaired images.

    Each translation is trained to undo the other (cycle consistency).

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

    Called with images (B, C, H, W) in [-1, 1], it gives their translations (B, C, H, W) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data. Sides that are multiples of 4.
        residual_blocks: blocks of each generator; by default 9 for images of 256 pixels and more, 6 for smaller ones.
        channels: width of the generators at full resolution; at a quarter of it they are four times as wide.
        discriminator_channels: width of the critics' first layer.
        discriminator_layers: layers of the critics that halve the size: with 3 a score is for a patch of 70x70 pixels,
            with 2 of 34x34, with 1 of 16x16.
        blend: let the generators make a mask too, and lay their image over the given one through it (after Pumarola et
            al., arXiv:1807.09251, equation 1). For short trainings: what lies around the animal is kept from the start.
        cycle_weight: weight of the mean absolute error of A to B to A, and of B to A to B; 0 leaves the terms out.
        identity_weight: weight of the mean absolute change of an image of the target domain; 0, the paper's for
            horses and zebras, leaves the terms out.
        pool_size: number of past fakes of each domain that are kept to show the critics; 0 shows the new ones only.
        direction: way in which `predict` translates images.
        learning_rate: learning rate of both Adam optimizers; it falls to 0 in the second half of the training.
    """

    task = Translation()
    output_name = "d_score"
    checkpoints_hold_images = True  # in the pools
    generator: nn.ModuleDict
    discriminator: nn.ModuleDict

    def __init__(
        self,
        spec: DataSpec,
        residual_blocks: NonNegativeInt | None = None,
        channels: PositiveInt = 64,
        discriminator_channels: PositiveInt = 64,
        discriminator_layers: int = 3,
        blend: bool = False,
        cycle_weight: NonNegativeFloat = 10.0,
        identity_weight: NonNegativeFloat = 5.0,
        pool_size: NonNegativeInt = 50,
        direction: Literal["a_to_b", "b_to_a"] = "a_to_b",
        learning_rate: NonNegativeFloat = 2e-4,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        n_critic: PositiveInt = 1,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        image_channels, *sides = self.image_shape
        size = "x".join(map(str, sides))
        if any(side % 4 for side in sides):
            raise UserError(f"CycleGAN needs images whose sides are multiples of 4, not {size}. Set --data.image_size.")
        # The last instance norm must have more than one pixel to norm.
        if discriminator_layers < 1 or min(sides) // 2**discriminator_layers < 3:
            raise UserError(
                f"CycleGAN's critics with {discriminator_layers} layers that halve the size do not fit images of "
                f"{size}: they need 1 layer at least, and 3 pixels behind the last. "
                "Set --model.discriminator_layers, or --data.image_size."
            )
        if residual_blocks is None:
            residual_blocks = 9 if min(sides) >= 256 else 6
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.direction, self.learning_rate, self.betas = direction, learning_rate, betas
        self.generator = nn.ModuleDict(
            {way: Generator(image_channels, channels, residual_blocks, blend) for way in ("a_to_b", "b_to_a")}
        )
        self.discriminator = nn.ModuleDict(
            {domain: Discriminator(image_channels, discriminator_channels, discriminator_layers) for domain in "ab"}
        )
        self.pools = nn.ModuleDict({domain: ImagePool(pool_size) for domain in "ab"})
        self.start_average()

    def make_fakes(self, batch: UnpairedImages) -> Fakes:
        a, b = batch
        to_a, to_b = self.generator["b_to_a"], self.generator["a_to_b"]
        if not (self.identity_weight and torch.is_grad_enabled()):
            return Fakes(to_a(b), to_b(a))
        # One pass through each network: their norms mix no images.
        fake_a, same_a = to_a(torch.cat([b, a])).split([len(b), len(a)])
        fake_b, same_b = to_b(torch.cat([a, b])).split([len(a), len(b)])
        return Fakes(fake_a, fake_b, same_a, same_b)

    def discriminator_loss(self, batch: UnpairedImages, fakes: Fakes) -> Terms:
        """Return the critics' terms (section 4): least squares, halved (appendix), with fakes from the pools.

        d_a_real = ½ E[(D_A(a) − 1)²]
        d_a_fake = ½ E[D_A(F(b))²]
        d_b_real = ½ E[(D_B(b) − 1)²]
        d_b_fake = ½ E[D_B(G(a))²]
        """
        terms: Terms = {}
        for domain, real, fake in zip("ab", batch, fakes[:2], strict=True):
            real_scores, fake_scores = real_and_fake(self.discriminator[domain], real, self.pools[domain](fake))
            terms[f"d_{domain}_real"] = 0.5 * least_squares(real_scores, 1)
            terms[f"d_{domain}_fake"] = 0.5 * least_squares(fake_scores, 0)
        return terms

    def generator_loss(self, batch: UnpairedImages, fakes: Fakes) -> Terms:
        """Return the terms of the generators G: A to B and F: B to A (equations 1 to 3, section 5.2).

        g_a_to_b     = E[(D_B(G(a)) − 1)²]
        g_b_to_a     = E[(D_A(F(b)) − 1)²]
        g_cycle_a    = λ E‖F(G(a)) − a‖₁
        g_cycle_b    = λ E‖G(F(b)) − b‖₁
        g_identity_a = λ_id E‖F(a) − a‖₁
        g_identity_b = λ_id E‖G(b) − b‖₁
        """
        a, b = batch
        fake_a, fake_b, same_a, same_b = fakes
        terms = {
            "g_a_to_b": least_squares(self.discriminator["b"](fake_b), 1),
            "g_b_to_a": least_squares(self.discriminator["a"](fake_a), 1),
        }
        to_a, to_b = self.generator["b_to_a"], self.generator["a_to_b"]
        if self.cycle_weight:
            terms["g_cycle_a"] = self.cycle_weight * functional.l1_loss(to_a(fake_b), a)
            terms["g_cycle_b"] = self.cycle_weight * functional.l1_loss(to_b(fake_a), b)
        if same_a is not None and same_b is not None:
            terms["g_identity_a"] = self.identity_weight * functional.l1_loss(same_a, a)
            terms["g_identity_b"] = self.identity_weight * functional.l1_loss(same_b, b)
        return terms

    def discriminate(self, batch: UnpairedImages, fakes: Fakes) -> tuple[Tensor, Tensor]:
        """Return all patch scores of D_A, then of D_B: (2, B, 1, H', W') each."""
        d_a, d_b = self.discriminator["a"], self.discriminator["b"]
        real, fake = (torch.stack([d_a(image_a), d_b(image_b)]) for image_a, image_b in (batch, fakes[:2]))
        return real, fake

    def kind_of_step(self) -> Hashable:
        return tuple(pool.count for pool in self.pools.values())  # until they are full

    def learning_rate_factor(self) -> float:
        return constant_then_linear(self.progress)

    def forward(self, images: Tensor, direction: str | None = None) -> Tensor:
        """Return the translations of images (B, C, H, W) in [-1, 1], by the EMA if any; by default in `direction`."""
        way = direction or self.direction
        if way not in WAYS:
            raise UserError(f"the direction must be {' or '.join(WAYS)}, not {way}.")
        return self.sampler.get_submodule(way)(self.checked(images, step=4))

    @torch.no_grad()
    def translate(self, images: Tensor, direction: str) -> Tensor:
        """Return translations as `forward` does, in evaluation mode."""
        with evaluating(self.sampler):
            return self(images, direction)
