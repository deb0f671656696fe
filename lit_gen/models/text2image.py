"""GAN-CLS and GAN-INT: Reed et al., "Generative Adversarial Text to Image Synthesis", ICML 2016, arXiv:1605.05396.

Departures from the paper (those of the text encoder, and of what a wrong image is, are in `layers/text.py`):
    - The text encoder is not trained beforehand but side by side with D and G, by D's optimizer. D and G see its
      vectors without their graph, so that only the joint embedding objective moves it, and scaled to a mean square of
      1, so that they weigh as much as the noise at any stage of the text encoder's training.
    - An image is seen with one caption per step, not with the mean vector of four.
    - A wrong image comes from the same batch, and its features in D from the same pass as those of the right one.
    - With `projection`, D does not concatenate: it adds the inner product of its features, averaged over the image,
      with a linear map of the text vector (Miyato & Koyama, arXiv:1802.05637, equation 3). D then learns sooner what
      single words mean. Combinations that never occur in training are generated well where all parts except one were
      seen together. They are generated badly where some parts exclude others, because D also learns that such faces do
      not occur.
    - G's loss is the mean over the batch's B sentences plus half the mean over its B / 2 midpoints of two sentences
      (GAN-INT): 3 / 2 times the authors' one mean over all rows. Adam does not see the factor.
    - D and G learn from the same fakes, as in algorithm 1; the authors' code draws new noise for G's step. As there,
      G's step has sentences and midpoints in one batch, for batch norm; here G makes the fakes of D's step so, too.
    - D's 256-channel layer has its leaky ReLU, which the authors' GAN-INT script leaves out, and the projection of the
      text in D has no batch norm, as in their GAN-CLS script.
    - Sizes other than 64 pixels have as many stages as lead from 4x4 to them. Images are not cropped at random.
    - The learning rates halve after each sixth of the training: in configs/text2image.yaml 30 epochs of faces with
      generated sentences, about as many steps as the authors' 600 epochs of birds.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from lit_gen.data.alphabet import ALPHABET, spell
from lit_gen.data.batches import CaptionedImages, DataSpec
from lit_gen.data.mismatches import choose_wrong, contradictions
from lit_gen.layers.coders import doublings, square_side
from lit_gen.layers.residual import Bottleneck, normed
from lit_gen.layers.text import (
    ImageEncoder,
    TextEncoder,
    embedding_scores,
    joint_embedding_loss,
    mean_where,
)
from lit_gen.limits import BelowOne, NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.adversarial import minimax_discriminator, nonsaturating_generator
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.tasks.text_to_image import TextToImage
from lit_gen.training.modes import evaluating


class Fakes(NamedTuple):
    """What G makes of a batch's sentences, and of midpoints of two of them (none without GAN-INT)."""

    image: Tensor  # (B, C, S, S), of the sentences
    text: Tensor  # (B, E), their vectors, without a graph
    between_image: Tensor  # (B // 2, C, S, S), of midpoints
    between: Tensor  # (B // 2, E), these


def initialize(module: nn.Module) -> None:
    """Draw convolutions from N(0, 0.02), batch norm from N(1, 0.02); linear layers keep PyTorch's, as the authors'."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


def widths(narrowest: int, size: int) -> list[int]:
    """Return channels at 4x4, 8x8, ...: `narrowest` at half of `size` pixels, and twice as many with each halving."""
    return [narrowest * 2**stage for stage in reversed(range(doublings(size, "Text2Image", "MNISTCaptions")))]


class Generator(nn.Module):
    """A generator from noise (B, Z) and text vectors (B, E) to images; `channels` are widths at 4x4, 8x8, ..."""

    def __init__(
        self, latent_dim: int, embedding_dim: int, text_dim: int, channels: list[int], image_channels: int
    ) -> None:
        super().__init__()
        self.text = nn.Sequential(nn.Linear(embedding_dim, text_dim), nn.LeakyReLU(0.2))
        layers = normed(nn.ConvTranspose2d(latent_dim + text_dim, channels[0], 4, bias=False))
        layers += [Bottleneck(channels[0], nn.ReLU())]
        layers += normed(nn.ConvTranspose2d(channels[0], channels[1], 4, 2, 1, bias=False))
        layers += [Bottleneck(channels[1], nn.ReLU())]
        for before, width in pairwise(channels[1:]):
            layers += normed(nn.ConvTranspose2d(before, width, 4, 2, 1, bias=False), nn.ReLU())
        last = nn.ConvTranspose2d(channels[-1], image_channels, 4, 2, 1, bias=False)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())
        self.apply(initialize)

    def forward(self, latent: Tensor, embedding: Tensor) -> Tensor:
        return self.layers(torch.cat([latent, self.text(embedding)], 1)[:, :, None, None])


class Discriminator(nn.Module):
    """A discriminator from images and text vectors to logits (B, 1); text joins at 4x4. `channels` are as above."""

    def __init__(
        self, embedding_dim: int, text_dim: int, channels: list[int], image_channels: int, projection: bool
    ) -> None:
        super().__init__()
        self.projection = projection
        last, before, first = channels[0], channels[1], channels[-1]
        layers = [nn.Conv2d(image_channels, first, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for width, wider in pairwise(channels[:0:-1]):
            layers += normed(nn.Conv2d(width, wider, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))
        layers += normed(nn.Conv2d(before, last, 4, 2, 1, bias=False))
        self.features = nn.Sequential(*layers, Bottleneck(last, nn.LeakyReLU(0.2)))
        concatenated = 0 if projection else text_dim
        self.joint = nn.Sequential(*normed(nn.Conv2d(last + concatenated, last, 1, bias=False), nn.LeakyReLU(0.2)))
        self.score = nn.Sequential(nn.Conv2d(last, 1, 4, bias=False), nn.Flatten())
        self.text: nn.Module = nn.Sequential(nn.Linear(embedding_dim, text_dim), nn.LeakyReLU(0.2))
        if projection:
            self.text = nn.Linear(embedding_dim, last, bias=False)
            nn.init.normal_(self.text.weight, 0, 0.02)  # as small as the convolutions: the image counts at first
        self.apply(initialize)

    def join(self, features: Tensor, embedding: Tensor) -> Tensor:
        """Return logits (B, 1) of the features (B, D, 4, 4) of images and of text vectors (B, E)."""
        text = self.text(embedding)
        if self.projection:
            features = self.joint(features)
            return self.score(features) + (features.mean((2, 3)) * text).sum(1, keepdim=True)
        text = text[:, :, None, None].expand(-1, -1, 4, 4)
        return self.score(self.joint(torch.cat([features, text], 1)))

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        return self.join(self.features(image), embedding)


class Text2Image(AdversarialModule):
    """Text2Image (Reed et al. 2016): images from sentences by GAN-CLS and GAN-INT; the text encoder is trained too.

    The step, D first and then G on the same fakes, is that of `adversarial.py`.

    Called with noise (B, Z) and the vectors of sentences (B, E), it gives images (B, C, S, S) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data. 16 pixels or more, a power of two.
        embedding_dim: length of a sentence's vector.
        text_dim: length to which G and D each project that vector.
        generator_channels: width of G's last hidden layer, at half the image size; it doubles with each halving.
        discriminator_channels: width of D's first layer, likewise.
        text_channels: widths of the text encoder's three convolutions; the last is its GRU's too.
        image_encoder_channels: width of the first layer of the image encoder, which serves to train the text encoder.
        matching_aware: GAN-CLS: D also learns that a real image with a sentence that it does not fit is wrong.
        projection: D compares image and sentence by an inner product, and learns faster what single words mean.
        interpolation_weight: GAN-INT: weight of G's mean over midpoints of two sentences, beside that over the
            sentences; 0 for none. With 0.5 a midpoint counts as much as a sentence, of which there are twice as many.
        learning_rate: initial learning rate of D's and G's Adam.
        text_learning_rate: initial learning rate of the text and image encoders.
        learning_rate_halvings: number of times that these rates halve during the training, at equal distances.
    """

    task = TextToImage()
    memory_format = torch.channels_last
    discriminator: nn.ModuleDict

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 100,
        embedding_dim: PositiveInt = 1024,
        text_dim: PositiveInt = 128,
        generator_channels: PositiveInt = 128,
        discriminator_channels: PositiveInt = 64,
        text_channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (384, 512, 512),
        image_encoder_channels: PositiveInt = 64,
        matching_aware: bool = True,
        projection: bool = False,
        interpolation_weight: NonNegativeFloat = 0.5,
        learning_rate: NonNegativeFloat = 2e-4,
        text_learning_rate: NonNegativeFloat = 7e-4,
        learning_rate_halvings: NonNegativeInt = 5,
        betas: tuple[BelowOne, BelowOne] = (0.5, 0.999),
        n_critic: PositiveInt = 1,
        ema_decay: BelowOne = 0.0,
    ) -> None:
        super().__init__(spec, n_critic, ema_decay)
        self.save_hyperparameters()
        image_channels, size = self.image_shape[0], square_side(self.image_shape, "Text2Image")
        self.latent_dim, self.learning_rate, self.betas = latent_dim, learning_rate, betas
        self.matching_aware, self.interpolation_weight = matching_aware, interpolation_weight
        self.text_learning_rate, self.learning_rate_halvings = text_learning_rate, learning_rate_halvings
        narrowest = generator_channels, discriminator_channels, image_encoder_channels
        up, down, compare = (widths(channels, size) for channels in narrowest)
        self.generator = Generator(latent_dim, embedding_dim, text_dim, up, image_channels)
        critic = Discriminator(embedding_dim, text_dim, down, image_channels, projection)
        text, image = TextEncoder(text_channels, embedding_dim), ImageEncoder(compare, image_channels, embedding_dim)
        self.discriminator = nn.ModuleDict({"critic": critic, "text_encoder": text, "image_encoder": image})
        self.start_average()

    def embed(self, caption: Tensor) -> Tensor:
        """Return the vectors (B, E) of sentences (B, L) as D and G see them: of mean square 1, without a graph."""
        with torch.no_grad():
            text = self.discriminator["text_encoder"](caption).float()
            return text * (text.square().mean(1, keepdim=True) + 1e-8).rsqrt()

    def make_fakes(self, batch: CaptionedImages) -> Fakes:
        text = self.embed(batch.caption)
        half = len(text) // 2 if self.interpolation_weight > 0 else 0
        between = (text[:half] + text[half : 2 * half]) / 2  # of the two halves of the batch (section 4.3, beta 0.5)
        rows = torch.cat([text, between])
        images = self.generator(self.sample_latent(len(rows)), rows)
        return Fakes(images[: len(text)], text, images[len(text) :], between)

    def discriminator_loss(self, batch: CaptionedImages, fakes: Fakes) -> Terms:
        """Return D's terms (GAN-CLS, algorithm 1), and the one that trains the text and image encoders.

        d_real      = −E[log D(x, t)]
        d_fake      = −½ E[log(1 − D(G(z, t), t))]
        d_wrong     = −½ E[log(1 − D(x', t))], x' a real image that t contradicts
        d_embedding = structured joint embedding of images and sentences; see `joint_embedding_loss`
        """
        critic: Any = self.discriminator["critic"]
        contradicted = contradictions(batch)
        real_features = critic.features(batch.image)
        terms = minimax_discriminator(critic.join(real_features, fakes.text), critic(fakes.image, fakes.text))
        if self.matching_aware:
            wrong, found = choose_wrong(contradicted)
            terms["d_fake"] = terms["d_fake"] / 2
            wrong_logits = critic.join(real_features[wrong], fakes.text).flatten()
            terms["d_wrong"] = mean_where(functional.softplus(wrong_logits), found) / 2
        terms["d_embedding"] = joint_embedding_loss(self.scores(batch), contradicted > 0)
        return terms

    def generator_loss(self, batch: CaptionedImages, fakes: Fakes) -> Terms:
        """Return G's terms; t̄ is halfway between two text vectors (GAN-INT), on which D never trains.

        g_adversarial   = −E[log D(G(z, t), t)]
        g_interpolation = −w E[log D(G(z, t̄), t̄)]
        """
        images, texts = torch.cat([fakes.image, fakes.between_image]), torch.cat([fakes.text, fakes.between])
        of_text, of_between = self.discriminator["critic"](images, texts).split([len(fakes.text), len(fakes.between)])
        terms = nonsaturating_generator(of_text)
        if len(of_between):
            terms["g_interpolation"] = self.interpolation_weight * nonsaturating_generator(of_between)["g_adversarial"]
        return terms

    def scores(self, batch: CaptionedImages) -> Tensor:
        """Return how well each sentence (row) and each image (column) of the batch fit by their vectors, (B, B)."""
        d = self.discriminator
        return embedding_scores(d["image_encoder"](batch.image), d["text_encoder"](batch.caption))

    def logits(self, batch: CaptionedImages, fakes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return D's logits (B, 1) of right pairs, fakes (B, C, S, S) and wrong pairs, and which of these there are."""
        critic: Any = self.discriminator["critic"]
        text, features = self.embed(batch.caption), critic.features(batch.image)
        wrong, found = choose_wrong(contradictions(batch))
        return critic.join(features, text), critic(fakes, text), critic.join(features[wrong], text), found

    def discriminate(self, batch: CaptionedImages, fakes: Fakes) -> tuple[Tensor, Tensor]:
        return self.logits(batch, fakes.image)[:2]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["alphabet"] = ALPHABET

    def learning_rate_factor(self) -> float:
        """Return 1, halved at equal distances: five times means after each 100 of the paper's 600 epochs."""
        return 0.5 ** math.floor((self.learning_rate_halvings + 1) * self.progress)

    def configure_optimizers(self) -> list[Optimizer]:
        d = self.discriminator
        encoders = [*d["text_encoder"].parameters(), *d["image_encoder"].parameters()]
        groups = [{"params": list(d["critic"].parameters())}, {"params": encoders, "lr": self.text_learning_rate}]
        return [self.adam(part, self.learning_rate, self.betas) for part in (groups, self.generator.parameters())]

    def forward(self, latent: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]  # not a latent vector alone
        """Return images (B, C, S, S) in [-1, 1] of noise (B, Z) and text vectors (B, E)."""
        return self.sampler(latent, embedding)

    @torch.no_grad()
    def paint(self, latent: Tensor, embedding: Tensor) -> Tensor:
        """Return images as `forward` does, in evaluation mode and float32."""
        with evaluating(self.sampler):
            return self(latent, embedding).float().clamp(-1, 1)

    def draw(self, captions: str | Sequence[str] | Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return an image (B, C, H, W) in [-1, 1] of each sentence; sentences may be character numbers (B, L)."""
        if not isinstance(captions, Tensor):
            captions = spell([captions] if isinstance(captions, str) else captions)
        text = self.embed(captions.to(self.device))
        return self.paint(self.sample_latent(len(text), generator), text)
