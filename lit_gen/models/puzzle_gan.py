"""PuzzleGAN.

Lee, Yun, Choi, Yoo, Yang, Oh, "Unsupervised Holistic Image Generation from Key Local Patches", ECCV 2018,
arXiv:1703.10730.

The networks are the U-net variant of the second author's released code.

Departures from the paper:
    - The key patches are the best boxes of a grid by the edges they hold (`lit_gen.layers.key_patches`) instead of
      EdgeBoxes proposals.
    - The patches of a batch share the statistics of batch norm, where the released code normalizes three streams, the
      first, the second and the third patches, by themselves: here the order means nothing in training either.
    - The spatial and appearance losses are means over elements; the default weights make them equal to the released
      code's sums at 64 pixels and batches of 64. Their decay is smooth, not once per epoch.
    - The image that is spliced into a real one is the next of the same minibatch, where the released code loads further
      images. A minibatch of one has no spliced images.
    - Composites with generated pixels, which the paper's objective shows D too, are left out unless
      `generated_composites` is set, as in the released code; G's loss never has them.
    - PyTorch's initialization of the weights, as in the current released code; the first had N(0, 0.02), with which the
      mask stayed empty in one trial of narrow networks.
    - D and G of one step share one batch of fakes, where the released code makes them anew for G.
    - Images are mirrored one by one, where the released code decides once per batch.
    - configs/puzzle_gan.yaml cuts 128x128 pixels around (89, 121) out of CelebA's images, where the released code cuts
      the middle 108x108.
    - CelebA's official split, where the released code trains on all images but 128.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.errors import UserError
from lit_gen.layers.coders import doublings, square_side
from lit_gen.layers.key_patches import in_fixed_order, key_patches
from lit_gen.limits import BelowOne, NonNegativeFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.schedules import log_spaced
from lit_gen.tasks.puzzle import Puzzle
from lit_gen.training.modes import evaluating

KERNEL = 5


class Assembly(NamedTuple):
    """What G makes of three patches, and where they belong."""

    image: Tensor  # (B, C, S, S) in [-1, 1]
    mask: Tensor  # (B, 1, S, S) in [0, 1], where G puts the patches
    truth: Tensor  # (B, 1, S, S) in {0, 1}, where they belong


def strided_stages(image_channels: int, widths: list[int]) -> nn.ModuleList:
    """Return strided 5x5 convolutions, each of which halves the size, without batch norm at the input."""
    stages = nn.ModuleList()
    for before, width in pairwise([image_channels, *widths]):
        norm = [nn.BatchNorm2d(width)] if stages else []
        stages.append(nn.Sequential(nn.Conv2d(before, width, KERNEL, 2, KERNEL // 2), *norm, nn.LeakyReLU(0.2)))
    return stages


class PatchEncoder(nn.Module):
    """An encoder from (B, C, S, S) to maps of these widths, S/2 to 4 pixels per side, and an embedding (B, E, 1, 1)."""

    def __init__(self, image_channels: int, widths: list[int], embedding_dim: int) -> None:
        super().__init__()
        self.stages = strided_stages(image_channels, widths)
        self.stages.append(nn.Sequential(nn.Conv2d(widths[-1], embedding_dim, 4), nn.LeakyReLU(0.2)))

    def forward(self, images: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        return features


class Decoder(nn.Module):
    """A decoder from a code (B, Z, 1, 1), joined with given maps from 4 pixels on, to (B, C, S, S); linear at the end.

    `widths` are those of its own maps and `joined_widths` those of the maps to join, from the finest on.
    """

    def __init__(self, code_channels: int, widths: list[int], joined_widths: list[int], image_channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [nn.Sequential(nn.ConvTranspose2d(code_channels, widths[-1], 4), nn.BatchNorm2d(widths[-1]), nn.ReLU())]
        )
        inputs = [own + joined for own, joined in zip(widths, joined_widths, strict=True)]
        for before, width in zip(inputs[:0:-1], widths[-2::-1], strict=True):
            double = nn.ConvTranspose2d(before, width, KERNEL, 2, KERNEL // 2, output_padding=1)
            self.stages.append(nn.Sequential(double, nn.BatchNorm2d(width), nn.ReLU()))
        self.last = nn.ConvTranspose2d(inputs[0], image_channels, KERNEL, 2, KERNEL // 2, output_padding=1)

    def forward(self, code: Tensor, maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the image, and the decoder's maps joined with the given ones; maps go from the finest on."""
        joined: list[Tensor] = []
        for stage, features in zip(self.stages, reversed(maps), strict=True):
            code = torch.cat([stage(code), features], 1)
            joined.insert(0, code)
        return self.last(code), joined


class Assembler(nn.Module):
    """A generator from patches and noise to image and mask: one encoder for all patches, and two decoders.

    The image's decoder reads the maps of the mask's. `widths` are those of all three, from half the size on.
    """

    def __init__(self, image_channels: int, widths: list[int], embedding_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = PatchEncoder(image_channels, widths, embedding_dim)
        self.mask_decoder = Decoder(embedding_dim, widths, widths, 1)
        self.image_decoder = Decoder(
            embedding_dim + latent_dim, widths, [2 * width for width in widths], image_channels
        )

    def forward(self, patches: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (B, C, S, S) in [-1, 1] and masks (B, 1, S, S) in [0, 1] of patches (B, N, C, S, S) and noise.

        The order of the patches changes no bit of the result.
        """
        count = patches.shape[1]
        features = self.encoder(in_fixed_order(patches).flatten(0, 1))
        *maps, code = (level.unflatten(0, (-1, count)).sum(1) for level in features)  # sums over the patches
        mask, maps = self.mask_decoder(code, maps)
        image, _ = self.image_decoder(torch.cat([code, latent[:, :, None, None]], 1), maps)
        return image.tanh(), mask.sigmoid()


class Discriminator(nn.Sequential):
    """A discriminator from (B, C, S, S) to logits (B, 1); `widths` are those of its stages, from the finest on."""

    def __init__(self, image_channels: int, widths: list[int]) -> None:
        super().__init__(*strided_stages(image_channels, widths), nn.Conv2d(widths[-1], 1, 4), nn.Flatten())


class PuzzleGAN(AdversarialModule):
    """PuzzleGAN (Lee et al. 2018): the whole image from three key patches of it.

    G is told neither the patches' places nor their order; it also says where they belong.

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

    Called with patches (B, N, C, S, S) in [-1, 1] and noise (B, Z), it gives images (B, C, S, S) in [-1, 1] and masks
    (B, 1, S, S) in [0, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data. 16 pixels or more, a power of two.
        channels: width of the first convolution; it doubles with each further one, up to eight times.
        embedding_dim: length of the embedding of the patches.
        latent_dim: length of the noise vector, uniform on (-1, 1).
        mask_weight: weight of the mean absolute error of the mask, at the beginning and at the end of training; in
            between it falls exponentially. The adversarial loss has weight 1.
        appearance_weight: weight of the mean absolute error of the image under the masks, likewise.
        generated_composites: show D two further kinds of fakes, as in the paper's objective: generated inside the true
            mask with real around it, and the reverse. The authors' code leaves them out.
    """

    task = Puzzle()
    has_gaussian_latents = False
    prior_in_words = "uniform from -1 to 1"
    weights: Tensor

    def __init__(
        self,
        spec: DataSpec,
        channels: PositiveInt = 64,
        embedding_dim: PositiveInt = 128,
        latent_dim: PositiveInt = 128,
        mask_weight: tuple[NonNegativeFloat, NonNegativeFloat] = (2621.44, 26.2144),
        appearance_weight: tuple[NonNegativeFloat, NonNegativeFloat] = (7864.32, 78.6432),
        generated_composites: bool = False,
        learning_rate: NonNegativeFloat = 2e-4,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        n_critic: PositiveInt = 2,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        image_channels, size = self.image_shape[0], square_side(self.image_shape, "PuzzleGAN")
        stages = doublings(size, "PuzzleGAN")
        for name, ends in (("mask_weight", mask_weight), ("appearance_weight", appearance_weight)):
            if min(ends) <= 0:
                raise UserError(f"{name} falls by equal factors: both its ends must be above 0, not {list(ends)}.")
        self.mask_weight, self.appearance_weight = mask_weight, appearance_weight
        # Those of the present step lie on the device, where a CUDA graph reads them.
        self.register_buffer("weights", torch.tensor([mask_weight[0], appearance_weight[0]]), persistent=False)
        self.generated_composites = generated_composites
        self.latent_dim, self.learning_rate, self.betas = latent_dim, learning_rate, betas
        widths = [channels * 2 ** min(3, stage) for stage in range(stages)]
        self.generator = Assembler(image_channels, widths, embedding_dim, latent_dim)
        self.discriminator = Discriminator(image_channels, widths)
        self.start_average()

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise (count, Z), uniform on (-1, 1)."""
        return self.uniform_noise(count, self.latent_dim, generator=generator)

    def make_fakes(self, batch: WithImages) -> Assembly:
        key = key_patches(batch.image)
        image, mask = self.generator(key.patches, self.sample_latent(len(batch.image)))
        return Assembly(image, mask, key.mask)

    def discriminator_loss(self, batch: WithImages, fakes: Assembly) -> Terms:
        """Return D's terms (equation 5, as in the released code); each kind of image goes through D by itself.

        M is the true mask, x' another real image. With `generated_composites`, two more terms have G's images for x'.

        d_real         = −E[log D(x)]
        d_fake         = −E[log(1 − D(G(p, z)))]
        d_real_inside  = −E[log(1 − D(M x' + (1 − M) x))]
        d_real_outside = −E[log(1 − D(M x + (1 − M) x'))]
        """
        terms = minimax_discriminator(self.discriminator(batch.image), self.discriminator(fakes.image))
        for name, images in self.composites(batch.image, fakes).items():
            terms[f"d_{name}"] = functional.softplus(self.discriminator(images).float()).mean()
        return terms

    def composites(self, real: Tensor, fakes: Assembly) -> dict[str, Tensor]:
        """Return images that are seamed along the true mask, and so fake, by name of what is spliced in."""
        truth, other = fakes.truth, real.roll(1, 0)
        images: dict[str, Tensor] = {}
        if len(real) > 1:
            images["real_inside"] = torch.where(truth > 0, other, real)
            images["real_outside"] = torch.where(truth > 0, real, other)
        if self.generated_composites:
            images["generated_inside"] = torch.where(truth > 0, fakes.image, real)
            images["generated_outside"] = torch.where(truth > 0, real, fakes.image)
        return images

    def generator_loss(self, batch: WithImages, fakes: Assembly) -> Terms:
        """Return G's terms: adversarial, spatial and appearance loss. m is the predicted mask, M the true one.

        g_adversarial = −E[log D(G(p, z))]
        g_mask        = λ_M E|m − M|
        g_appearance  = λ_A E|m G(p, z) − M x|
        """
        terms = nonsaturating_generator(self.discriminator(fakes.image))
        image, mask = fakes.image.float(), fakes.mask.float()
        # Both masks take part: what is generated counts where it is taken to belong.
        terms["g_mask"] = self.weights[0] * (mask - fakes.truth).abs().mean()
        terms["g_appearance"] = self.weights[1] * (image * mask - batch.image * fakes.truth).abs().mean()
        return terms

    def before_step(self) -> None:
        progress = self.progress
        for weight, ends in zip(self.weights, (self.mask_weight, self.appearance_weight), strict=True):
            weight.fill_(log_spaced(progress, *ends))

    @torch.no_grad()
    def assemble(self, patches: Tensor, latent: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return whole images and masks from patches, in evaluation mode, by the EMA if there is one.

        Patches (B, N, C, S, S) in [-1, 1], in any order, are each enlarged to the size of an image. Noise (B, Z) is
        drawn by default. Images are (B, C, S, S) in [-1, 1], masks (B, 1, S, S) in [0, 1], float32.
        """
        given = tuple(patches.shape) if isinstance(patches, Tensor) else ()
        if len(given) != 5 or given[2:] != self.image_shape:
            channels, size, _ = self.image_shape
            raise UserError(
                f"assemble takes a tensor of patches (images, patches, {channels}, {size}, {size}), not "
                f"{given or type(patches).__name__}. Resize each patch to {size} pixels."
            )
        patches = self.checked(patches.flatten(0, 1)).unflatten(0, given[:2])
        with evaluating(self.sampler):
            image, mask = self(patches, self.sample_latent(len(patches)) if latent is None else latent)
        return image.float().clamp(-1, 1), mask.float().clamp(0, 1)

    def forward(self, patches: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # not a latent vector alone
        """Return images (B, C, S, S) and masks (B, 1, S, S), in [0, 1], of patches (B, N, C, S, S) and noise (B, Z)."""
        return self.sampler(patches, latent)
