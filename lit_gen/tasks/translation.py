"""Translation: images of two domains, brought from each to the other, without pairs to learn from."""

from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.batches import UnpairedImages
from lit_gen.data.contract import DataModule
from lit_gen.data.decoding import decode_image
from lit_gen.errors import UserError
from lit_gen.losses import Terms
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.features import Features
from lit_gen.metrics.samples import SampleQuality
from lit_gen.metrics.translation import DomainTranslations
from lit_gen.tasks import pictures
from lit_gen.tasks.base import DISTANCE, Stage, Task
from lit_gen.tasks.exports import IMAGE, Exported, Exports, image_of, sampler_of
from lit_gen.tasks.grids import Grid, grid_of_cells, side_by_side

WAYS = {"a_to_b": ("image_a", "image_b"), "b_to_a": ("image_b", "image_a")}
"""Each way with the fields of a batch that it leads from and to."""
BACK = {"a_to_b": "b_to_a", "b_to_a": "a_to_b"}


class Translator(Protocol):
    """What the task asks of a model."""

    image_shape: tuple[int, int, int]
    direction: str
    """The way that `predict` translates images: `a_to_b` or `b_to_a`."""

    def translate(self, images: Tensor, direction: str) -> Tensor:
        """Return the translations (B, C, H, W) in [-1, 1] of images, without a graph and in evaluation mode."""

    def discriminate(self, batch: UnpairedImages, fakes: Any) -> tuple[Tensor, Tensor]:
        """Return D's outputs for the real images of a batch and for fakes (a pair: of domain A, of domain B).

        Each is (2, ...): for the images of A, and for those of B.
        """


def _translated(path: Path, way: str, model: Any) -> Tensor:
    pixels = decode_image(path, in_fours, channels=model.image_shape[0])
    return model.translate(pictures.as_image(pixels, model), way)


def in_fours(width: int, height: int) -> tuple[int, int]:
    """Return the nearest multiples of four, as the networks need and the authors' code makes them; 16 at least."""
    return max(16, round(width / 4) * 4), max(16, round(height / 4) * 4)


class Translation(Task):
    """Images of two domains translated both ways: `predict` writes the translations one way."""

    verbs: ClassVar[type] = Translator
    needs: ClassVar[tuple[str, ...]] = ("image_a", "image_b")
    needs_to_predict: ClassVar[tuple[str, ...] | None] = ()  # images of any kind: see predict
    options: ClassVar[dict[str, str]] = {
        "images": "image file or folder: translate each at its own size",
        "direction": "a_to_b or b_to_a",
    }
    monitor: ClassVar[str | None] = DISTANCE

    def predict(self, model: Translator, batch: Any) -> Tensor:
        """Return the translations of `image`, where the batch has it, or else of the domain to translate from."""
        source, _ = WAYS[model.direction]
        return model.translate(batch.image if hasattr(batch, "image") else getattr(batch, source), model.direction)

    def plan(self, model: Translator, options: pictures.Options) -> pictures.Plan:
        """Return the plan of translations of image files, each at its own size, in multiples of four pixels."""
        if "images" not in options:
            raise UserError("--direction is for the images to translate: give --images=<file or folder>.")
        way = options.get("direction", model.direction)
        if way not in WAYS:
            raise UserError(f"--direction must be {' or '.join(WAYS)}, not {way or 'nothing'}.")
        pictures.refuse_seed(options)
        files = pictures.image_paths(options, channels=model.image_shape[0])
        return pictures.Plan([pictures.Picture(name, partial(_translated, path, way), 0, path) for name, path in files])

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the translator of each way, the model's own first, for images of any size."""
        found = {}
        for way in sorted(WAYS, key=lambda way: way != model.direction):
            network = sampler_of(model)
            network = network[way] if isinstance(network, nn.ModuleDict) else network
            image, outputs = {"image": image_of(model, free_size=True)}, {"translation": IMAGE}
            found[way] = Exported(network, partial(model.translate, direction=way), image, outputs)
        return found

    def sample_grids(self, model: Translator, batch: UnpairedImages, count: int = 64) -> dict[str, Grid]:
        """Return a grid for each way: image, translation, and the translation translated back, side by side."""
        rows = max(1, count // 3)
        columns = max(1, round((rows / 3) ** 0.5))
        grids = {}
        for way, (source, _) in WAYS.items():
            triples = []
            for image in getattr(batch, source)[:rows].split(1):  # one by one: at 256 pixels all at once take gigabytes
                translated = model.translate(image, way)
                triples.append(side_by_side([image, translated, model.translate(translated, BACK[way])]))
            start, end = way[0].upper(), way[-1].upper()
            heads = start, f"as {end}", f"back as {start}"
            title = f"from domain {start} to domain {end}, and back"
            grids[way] = grid_of_cells(torch.cat(triples), columns, heads, title)
        return grids

    def held_out_pairs(
        self, model: Translator, batch: UnpairedImages, noise: torch.Generator
    ) -> list[tuple[Tensor, Tensor]]:
        """Return the images of each domain, and the translations into it."""
        return [
            (batch.image_a, model.translate(batch.image_b, "b_to_a")),
            (batch.image_b, model.translate(batch.image_a, "a_to_b")),
        ]

    def held_out_terms(self, model: Translator, batch: UnpairedImages, stage: Stage) -> Terms:
        """Return the mean absolute errors of both cycles, and D's mean scores of real images and fakes per domain."""
        fake_a, fake_b = model.translate(batch.image_b, "b_to_a"), model.translate(batch.image_a, "a_to_b")
        terms = {
            "cycle_a": functional.l1_loss(model.translate(fake_b, "b_to_a").float(), batch.image_a),
            "cycle_b": functional.l1_loss(model.translate(fake_a, "a_to_b").float(), batch.image_b),
        }
        for domain, real, fake in zip("ab", *model.discriminate(batch, (fake_a, fake_b)), strict=True):
            terms |= {f"d_score_{domain}_real": real.mean(), f"d_score_{domain}_fake": fake.mean()}
        return terms

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the distances of translations to images of the target domain.

        Where a classifier can learn the domains, it also says how often it takes a translation for one of them.
        """
        known = hasattr(data, "test_images")
        size_a, size_b = (len(data.test_images(domain)["test"]) if known else options.samples for domain in "AB")
        if options.split == "train":
            raise UserError("translations are compared with test images, as published ones are. Set no other split.")
        features = Features(options.features, model.image_shape, options.published)

        def translations(way: str, distinct: tuple[int, int]) -> Evaluator:
            source, target = (attrgetter(field) for field in WAYS[way])
            return SampleQuality(
                options,
                model.image_shape,
                lambda batch: model.translate(source(batch), way),
                target,
                prefix=f"{way}_",
                features=features,
                distinct=distinct,
            )

        found = [translations("a_to_b", (size_a, size_b)), translations("b_to_a", (size_b, size_a))]
        return [*found, DomainTranslations(options.samples)] if known else found
