"""Progressive GAN.

Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and
Variation", ICLR 2018, arXiv:1710.10196.

Departures from the paper:
    - D and G of one step share one batch of fakes (the paper draws new latents for G).
    - Phases of 600 thousand images, minibatches, rates and 12 million images are those of the authors' later code. The
      paper has phases of 800 thousand, minibatches of 16 up to 128 pixels, then 14, 6 and 3, a constant rate, a
      deviation over 16 images, and 19 million images; table 1, at 128 pixels, has `channel_base: 4096` and 10 million.
    - CelebA's official training split of 162,770 images, where the authors' code trains on all 202,599; 95 % of
      CelebA-HQ, where it trains on all.
"""

import math
from collections.abc import Hashable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.layers.equalized import EqualizedConv2d, EqualizedLinear, MinibatchStddev, PixelNorm
from lit_gen.limits import BelowOne, NonNegativeFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import gradient_penalty, wasserstein_discriminator, wasserstein_generator
from lit_gen.models.growing import GrowingModule
from lit_gen.schedules import RESOLUTIONS
from lit_gen.tasks.sampling import GrowingSampling

upsample = nn.Upsample(scale_factor=2, mode="nearest")
downsample = nn.AvgPool2d(2)


def fade(before: Tensor, now: Tensor, alpha: Tensor | float) -> Tensor:
    """Return the blend of `before` (alpha 0) and `now` (alpha 1), in the type of `now`.

    They need not come in one type: under autocast `upsample` gives float32 on a GPU, and convolutions give 16 bits.
    """
    return torch.lerp(before.to(now.dtype).float(), now.float(), alpha).to(now.dtype)


class Generator(nn.Module):
    """A generator from latents to images at any stage (appendix A, table 2); `widths` are those of each stage."""

    def __init__(self, latent_dim: int, widths: list[int], image_channels: int) -> None:
        def convolution(before: int, width: int) -> tuple[nn.Module, ...]:
            return EqualizedConv2d(before, width, 3), nn.LeakyReLU(0.2), PixelNorm()

        super().__init__()
        # The gain of the first layer is sqrt(2) / 4: its fan-in is Z for each of 4x4 places.
        self.project = EqualizedLinear(latent_dim, widths[0] * 16, gain=math.sqrt(2) / 4, bias=False)
        self.project_bias = nn.Parameter(torch.zeros(widths[0], 1, 1))
        self.first = nn.Sequential(*convolution(widths[0], widths[0]))
        self.blocks = nn.ModuleList(
            nn.Sequential(*convolution(before, width), *convolution(width, width)) for before, width in pairwise(widths)
        )
        self.to_rgb = nn.ModuleList(EqualizedConv2d(width, image_channels, 1, gain=1) for width in widths)
        self.normalize = PixelNorm()

    def forward(self, latent: Tensor, stage: int, alpha: Tensor | float) -> Tensor:
        """Return images (B, C, S, S) of latents (B, Z), S = 4 * 2^stage; the output is linear.

        `alpha` is the weight of this stage's image beside that of the stage before; a tensor is below 1.
        """
        x = self.project(self.normalize(latent)).unflatten(1, (-1, 4, 4)) + self.project_bias  # (B, W, 4, 4)
        before = x = self.first(self.normalize(functional.leaky_relu(x, 0.2)))
        for block in self.blocks[:stage]:
            before, x = x, block(upsample(x))
        image = self.to_rgb[stage](x)
        if isinstance(alpha, Tensor) or alpha < 1:
            image = fade(upsample(self.to_rgb[stage - 1](before)), image, alpha)
        return image


class Discriminator(nn.Module):
    """A critic from images at any stage to scores (appendix A, table 2); `widths` are those of each stage."""

    def __init__(self, widths: list[int], image_channels: int, stddev_group: int) -> None:
        super().__init__()
        self.from_rgb = nn.ModuleList(
            nn.Sequential(EqualizedConv2d(image_channels, width, 1), nn.LeakyReLU(0.2)) for width in widths
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                EqualizedConv2d(width, width, 3), nn.LeakyReLU(0.2),
                EqualizedConv2d(width, before, 3), nn.LeakyReLU(0.2), nn.AvgPool2d(2),
            )
            for before, width in pairwise(widths)
        )  # fmt: skip
        self.last = nn.Sequential(
            MinibatchStddev(stddev_group),
            EqualizedConv2d(widths[0] + 1, widths[0], 3), nn.LeakyReLU(0.2),
            EqualizedConv2d(widths[0], widths[0], 4, padding=0), nn.LeakyReLU(0.2), nn.Flatten(),
            EqualizedLinear(widths[0], 1, gain=1),
        )  # fmt: skip

    def forward(self, image: Tensor, stage: int, alpha: Tensor | float) -> Tensor:
        """Return scores (B, 1) of images (B, C, S, S), S = 4 * 2^stage; `stage` and `alpha` are as for `Generator`."""
        x = self.from_rgb[stage](image)
        if stage > 0:
            x = self.blocks[stage - 1](x)
            if isinstance(alpha, Tensor) or alpha < 1:
                x = fade(self.from_rgb[stage - 1](downsample(image)), x, alpha)
            for block in reversed(self.blocks[: stage - 1]):
                x = block(x)
        return self.last(x)


class ProGAN(GrowingModule):
    """Progressive GAN (Karras et al. 2018): networks that grow from 4x4 pixels to the data's size while they train.

    The run ends by itself after `total_kimg` thousand images. Set `trainer.max_epochs` to -1, as the configs do. While
    the networks grow, images lack the details of held-out ones, so the metric that chooses best.ckpt is best at full
    size.

    The step, D first and then G on the same fakes, is that of `adversarial.py`; `growing.py` has the growth and its
    minibatches.

    Called with latent vectors (B, Z), it gives images (B, C, S, S) of the resolution that it has grown to, enlarged to
    the data's size S; they are about [-1, 1], without bounds.

    Args:
        spec: what the data look like; on the command line it comes from the data. A power of two from 4 to 1024 pixels.
        channel_base: channels are `channel_base / resolution`, and at most `max_channels` (paper: 4096 in its table 1).
        max_channels: channels at the small resolutions.
        fade_kimg: thousands of images over which a new resolution is faded in (paper: 800).
        stable_kimg: thousands of images that a resolution trains for once it has been faded in (paper: 800).
        total_kimg: thousands of images after which the run ends (paper: 19,000, or 10,000 for its table 1).
        minibatch_sizes: images per step and process, by resolution; by default those of the authors' later code for 1,
            2, 4 or 8 GPUs, by the number of processes (paper: 16 up to 128 pixels, then 14, 6 and 3). The batches of
            the data are split into these, so they should be multiples; a resolution that is not named takes them whole.
            Evaluation and sample grids split their images likewise.
        learning_rate_factors: factors on the learning rate by resolution, 1 where none is named; by default those
            of that code for that number of GPUs (paper: 1), or 1 beside `minibatch_sizes` of your own.
        penalty_weight: weight of the gradient penalty.
        penalty_interval: D steps from one gradient penalty to the next, each weighted that much more (the lazy
            regularization of Karras et al. 2020, arXiv:1912.04958, appendix B); 1, as in the paper, for every step.
        drift_weight: weight of the mean square of D's score on real images, which keeps it near 0.
        stddev_group: images per group of the minibatch standard deviation (paper: 16).
    """

    task = GrowingSampling()
    output_name = "d_score"
    memory_format = torch.channels_last

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 512,
        channel_base: PositiveInt = 16384,
        max_channels: PositiveInt = 512,
        fade_kimg: NonNegativeFloat = 600,
        stable_kimg: NonNegativeFloat = 600,
        total_kimg: NonNegativeFloat = 12_000,
        minibatch_sizes: dict[int, PositiveInt] | None = None,
        learning_rate: NonNegativeFloat = 1e-3,
        betas: tuple[BelowOne, BelowOne] = (0.0, 0.99),
        penalty_weight: NonNegativeFloat = 10.0,
        penalty_interval: PositiveInt = 1,
        drift_weight: NonNegativeFloat = 0.001,
        stddev_group: PositiveInt = 4,
        n_critic: PositiveInt = 1,
        ema_decay: BelowOne = 0.999,
        learning_rate_factors: dict[int, NonNegativeFloat] | None = None,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        self.latent_dim, self.learning_rate, self.betas = latent_dim, learning_rate, betas
        self.fade_kimg, self.stable_kimg, self.total_kimg = fade_kimg, stable_kimg, total_kimg
        self.minibatch_sizes = self.table("minibatch_sizes", minibatch_sizes)
        self.learning_rate_factors = self.table("learning_rate_factors", learning_rate_factors)
        self.penalty_weight, self.penalty_interval, self.drift_weight = penalty_weight, penalty_interval, drift_weight
        widths = [max(1, min(max_channels, channel_base // side)) for side in RESOLUTIONS[: self.last_stage + 1]]
        self.generator = Generator(latent_dim, widths, self.image_shape[0])
        self.discriminator = Discriminator(widths, self.image_shape[0], stddev_group)
        self.start_average()

    def kind_of_step(self) -> Hashable:
        return super().kind_of_step(), self.is_penalty_turn

    @property
    def is_penalty_turn(self) -> bool:
        """Return whether D's present step has the gradient penalty."""
        return self.discriminator_steps % self.penalty_interval == 0

    def reals(self, image: Tensor) -> Tensor:
        """Return images (B, C, H, W) as D sees them: averaged down to the present resolution, and faded like fakes."""
        image = functional.avg_pool2d(image, image.shape[-1] // self.resolution)
        return fade(upsample(downsample(image)), image, self.blend) if self.alpha < 1 else image

    def make_fakes(self, batch: WithImages) -> Tensor:
        latent = self.sample_latent(len(batch.image))
        return self.in_minibatches(lambda piece: self.generator(piece, self.stage, self.blend), latent)

    def discriminator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return D's terms (section 2 and appendix A.1), at the present resolution.

        d_real    = −E[D(x)]
        d_fake    = E[D(G(z))]
        d_drift   = ε E[D(x)²]
        d_penalty = λ E[(‖∇D(x̂)‖₂ − 1)²], x̂ between x and G(z)
        """
        reals = self.reals(batch.image)
        real_scores, fake_scores = self.score(reals), self.score(fakes)
        terms = wasserstein_discriminator(real_scores, fake_scores)
        terms["d_drift"] = self.drift_weight * real_scores.square().mean()
        if self.is_penalty_turn:
            terms |= gradient_penalty(self.score, reals, fakes, self.penalty_weight * self.penalty_interval)
        return terms

    def generator_loss(self, batch: WithImages, fakes: Tensor) -> Terms:
        """Return G's term.

        g_adversarial = −E[D(G(z))]
        """
        return wasserstein_generator(self.score(fakes))

    def score(self, image: Tensor) -> Tensor:
        """Return D's scores (B, 1) of images at the present resolution; float32 also under autocast."""
        return self.discriminator(image, self.stage, self.blend).float()

    def discriminate(self, batch: WithImages, fakes: Tensor) -> tuple[Tensor, Tensor]:
        real = self.in_minibatches(lambda image: self.score(self.reals(image)), batch.image)
        return real, self.in_minibatches(self.score, fakes)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the images (B, C, S, S) of latents (B, Z), S being the data's size, by the EMA if there is one."""
        image = self.in_minibatches(lambda piece: self.sampler(piece, self.stage, self.blend), latent)
        return functional.interpolate(image, size=self.image_shape[-1], mode="nearest")
