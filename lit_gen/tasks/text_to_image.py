"""Text to image: an image of what a sentence says."""

import re
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from lit_gen.data.alphabet import CAPTION_LENGTH, decode, encode
from lit_gen.data.batches import CaptionedImages
from lit_gen.data.contract import DataModule
from lit_gen.data.mismatches import contradictions
from lit_gen.data.text_files import read_text
from lit_gen.errors import UserError
from lit_gen.layers.text import joint_embedding_loss, mean_where
from lit_gen.metrics.captions import CaptionMatching, StatedAttributes
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.true_images import TrueEffects
from lit_gen.tasks import pictures
from lit_gen.tasks.base import DISTANCE, HeldOut, Stage, Task, quality
from lit_gen.tasks.exports import Exported, Exports, Input, latents_of, sampler_of
from lit_gen.tasks.grids import Grid, grid


class Painter(Protocol):
    """What the task asks of a model."""

    image_shape: tuple[int, int, int]

    def draw(self, captions: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return an image (B, C, H, W) in [-1, 1] of each sentence (B, L), without a graph and in evaluation mode."""

    def embed(self, caption: Tensor) -> Tensor:
        """Return the vectors (B, E) of sentences (B, L)."""

    def paint(self, latent: Tensor, embedding: Tensor) -> Tensor:
        """Return images of noise (B, Z) and vectors of sentences (B, E), as `draw` does."""

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise (count, Z)."""

    def logits(self, batch: CaptionedImages, fakes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return D's logits (B, 1) of right pairs, of fakes for the batch's sentences, and of wrong pairs.

        The fourth tensor, (B,) bool, says which sentences have a wrong image.
        """

    def scores(self, batch: CaptionedImages) -> Tensor:
        """Return how well each sentence (row) and each image (column) of a batch fit by their vectors, (B, B)."""


class TextToImage(Task):
    """Images of sentences: `predict` writes some for each of `--prompts`, or one for each sentence of the data."""

    verbs: ClassVar[type] = Painter
    needs: ClassVar[tuple[str, ...]] = CaptionedImages._fields
    needs_to_predict: ClassVar[tuple[str, ...] | None] = ("caption",)
    monitor: ClassVar[str | None] = DISTANCE
    generated_grids: ClassVar[tuple[str, ...]] = ("captions", "interpolation")
    makes_samples: ClassVar[bool] = True
    options: ClassVar[dict[str, str]] = {
        "prompts": "a sentence, or a text file with one per line",
        "count": "number of images of each sentence, 8 by default",
        "image_seeds": "the seed of each image's noise, such as 0-7; all sentences share them",
    }

    def plan(self, model: Painter, options: pictures.Options) -> pictures.Plan:
        """Return the plan of images of sentences: a row for each, a column for each seed."""
        if "prompts" not in options:
            raise UserError('Text2Image needs sentences: give --prompts="a smiling woman", or a file of them.')
        sentences, seeds = prompts(options["prompts"]), pictures.image_seeds(options, 8)
        found = []
        for number, sentence in enumerate(sentences, 1):
            if len(" ".join(sentence.split())) > CAPTION_LENGTH:
                raise UserError(f"--prompts: {sentence[:30]!r}... is longer than {CAPTION_LENGTH} characters.")
            caption = encode(sentence, CAPTION_LENGTH)
            words = re.sub(r"[^a-z0-9]+", "-", sentence.lower()).strip("-")[:40].strip("-")
            for seed in seeds:
                name = f"{number:02d}-{words}-{seed:06d}"
                found.append(pictures.Picture(name, partial(_drawn, caption, seed), seed))
        heads = [f"seed {seed}" for seed in seeds]
        return pictures.Plan(found, columns=len(seeds), heads=heads, lines=sentences)

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the generator of images from noise and vectors of sentences, and the encoder of these."""
        encoder = dict(model.named_modules()).get("discriminator.text_encoder", model)
        caption = encode("a smiling woman", CAPTION_LENGTH)
        numbers = "numbers of characters, 1 for the first of the alphabet; 0 for others and behind the end"
        captions = Input(numbers, lambda count, random: caption.expand(count, -1))
        vectors = Input("vectors of sentences", lambda count, random: model.embed(caption.expand(count, -1)))
        inputs = {"latent": latents_of(model), "embedding": vectors}
        embed = Exported(encoder, model.embed, {"caption": captions}, {"embedding": vectors.values})
        return {"generator": Exported(sampler_of(model), model.paint, inputs), "text_encoder": embed}

    def predict(self, model: Painter, batch: CaptionedImages) -> Tensor:
        """Return an image of each sentence of the batch."""
        return model.draw(batch.caption)

    def sample_grids(self, model: Painter, batch: CaptionedImages, count: int = 64) -> dict[str, Grid]:
        """Return `captions`, sentences above rows of images, and `interpolation`, from one sentence to another.

        A column of the first grid and a row of the second share their noise.
        """
        texts = model.embed(batch.caption[:8])  # the encoder has no layer that training and evaluation differ in
        sentences = [decode(numbers) for numbers in batch.caption[:8]]
        columns = max(1, count // len(texts))
        latent = model.sample_latent(columns, torch.Generator().manual_seed(0))
        rows = torch.cat([grid(model.paint(latent, text.expand(columns, -1)), columns) for text in texts], 1)
        captions = Grid(rows, "sentences, each above its images; a column has one noise", (), sentences)

        last, steps = len(texts) // 2, torch.linspace(0, 1, 8, device=texts.device)
        path = torch.lerp(texts[0], texts[last], steps[:, None])  # (8, E)
        rows = grid(torch.cat([model.paint(noise.expand(8, -1), path) for noise in latent[:4]]), 8)
        title = f"from: {sentences[0]} -- to: {sentences[last]}"
        heads = ["from", *(f"{step:.0%}" for step in steps[1:-1].tolist()), "to"]
        return {"captions": captions, "interpolation": Grid(rows, title, heads)}

    def held_out_pairs(
        self, model: Painter, batch: CaptionedImages, noise: torch.Generator
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the images, and what is drawn of their sentences."""
        return [(batch.image, model.draw(batch.caption, noise))]

    def held_out_terms(self, model: Painter, batch: CaptionedImages, stage: Stage) -> HeldOut:
        """Return D's mean logits of the three kinds of pairs, and how well sentences find their images.

        `retrieval` is the fraction of a sentence's wrong images that score below its own image.
        """
        right, fake, wrong, found = model.logits(batch, model.draw(batch.caption))
        mismatch, scores = contradictions(batch) > 0, model.scores(batch)
        # A last batch of one image has no wrong one. Where no batch has any, the means are 0.
        sentences, pairs = (chosen.sum().clamp(min=1e-6) for chosen in (found, mismatch))
        return {
            "d_logit_right": right.mean(),
            "d_logit_wrong": (mean_where(wrong.flatten(), found), sentences),
            "d_logit_fake": fake.mean(),
            "d_embedding": (joint_embedding_loss(scores, mismatch), pairs),
            "retrieval": (mean_where(scores < scores.diagonal()[:, None], mismatch), pairs),
        }

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the quality of images of test sentences, and how well the model's encoders match both.

        Where a classifier can learn the attributes, it also says whether the images show what the sentences state. The
        true images of rendered faces say what each attribute does to an image.
        """
        found: list[Evaluator] = [quality(model, options, lambda batch: model.draw(batch.caption))]
        if getattr(data, "has_attributes", False):
            found.append(StatedAttributes(options.samples))
        if hasattr(data, "counterfactuals") and hasattr(data, "opposite_captions"):
            found.append(TrueEffects(data.spec["attributes"], model.image_shape, options.samples))
        return [*found, CaptionMatching(options.samples)]


def prompts(text: str) -> list[str]:
    """Return the sentence, or those of the file that `text` names, one per line."""
    path = Path(text).expanduser()
    try:
        if text.strip() and path.is_dir():
            raise UserError(f"--prompts: {text} is a folder. Give a sentence, or a text file with one per line.")
        lines = read_text(path).splitlines() if path.is_file() else [text]
    except OSError:  # a sentence may be longer than any file's name
        lines = [text]
    if lines == [text] and re.fullmatch(r"\S+\.txt", text):
        raise UserError(f"--prompts: there is no file {text}.")
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise UserError("--prompts has no sentence. Write one, for example 'a smiling woman'.")
    return found


def _drawn(caption: Tensor, seed: int, model: Any) -> Tensor:
    return model.draw(caption[None], torch.Generator().manual_seed(seed))
