"""Semi-supervised classification by a model that reconstructs: few labels are known in training, all in `test`."""

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from lit_gen.data.batches import LabelledImages, WithImages
from lit_gen.data.contract import DataModule
from lit_gen.metrics.categories import ClassificationError
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.tasks.base import HeldOut, Stage
from lit_gen.tasks.grids import Grid, grid
from lit_gen.tasks.reconstruction import PriorMatcher, PriorMatching
from lit_gen.training.modes import evaluating


class ClassifyingAutoencoder(PriorMatcher, Protocol):
    """What the task asks of a model, beside what `PriorMatcher` lists."""

    num_classes: int
    style_dim: int
    classification_weight: float
    """Weight of the cross-entropy of known labels."""

    def classify(self, image: Tensor) -> Tensor:
        """Return class logits (B, classes) of images (B, C, H, W)."""

    def codes_of(self, label: Tensor, style: Tensor) -> Tensor:
        """Return codes (B, classes + Z) of class indices (B,) and styles (B, Z)."""


class SemiSupervised(PriorMatching):
    """Reconstruction by codes of a class and a style: the classification error comes with it."""

    verbs: ClassVar[type] = ClassifyingAutoencoder
    needs: ClassVar[tuple[str, ...]] = ("image", "label")
    needs_to_predict: ClassVar[tuple[str, ...] | None] = ("image",)
    monitor: ClassVar[str | None] = "val/classification_error"
    generated_grids: ClassVar[tuple[str, ...]] = ("samples", "analogies")

    def held_out_terms(self, model: Any, batch: LabelledImages, stage: Stage) -> HeldOut:
        """Return the terms of the loss except `classification`, a mean over labelled images, any number per batch."""
        terms = super().held_out_terms(model, batch, stage)
        return {name: value for name, value in terms.items() if name != "classification"}

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return what is said of labelled images, beside what `PriorMatching` measures."""
        return [ClassificationError(), *super().evaluators(model, data, options)]

    def validation_evaluators(self, model: Any, data: DataModule) -> list[Evaluator]:
        """Return what is said of labelled images."""
        return [ClassificationError()]

    def sample_grids(self, model: Any, batch: WithImages, count: int = 64) -> dict[str, Grid]:
        """Return `samples`, `reconstructions`, and `analogies`: a style per row, a class per column."""
        rows, classes = max(1, round(count / model.num_classes)), model.num_classes
        style = model.noise(rows, model.style_dim, generator=torch.Generator().manual_seed(0))
        label = torch.arange(classes, device=style.device).repeat(rows)
        with evaluating(model):
            analogies = model.decode(model.codes_of(label, style.repeat_interleave(classes, dim=0)))
        heads = [f"class {number}" for number in range(classes)]
        shown = Grid(grid(analogies, classes), "analogies: a style per row, a class per column", heads)
        return super().sample_grids(model, batch, count) | {"analogies": shown}
