"""Sampling: new images from noise."""

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.data.contract import DataModule
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.parzen import ParzenWindow
from lit_gen.tasks.base import DISTANCE, Task, grid, quality


class Sampler(Protocol):
    """What the task asks of a model."""

    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return `count` new images (count, C, H, W) in [-1, 1]; those of a CPU generator can be had again."""


class Sampling(Task):
    """New images from noise: `predict` writes one for each image of the data, `samples` shows some.

    Validation measures how far they are from held-out images, since no loss of a game says how good they are.
    """

    verbs: ClassVar[type] = Sampler
    monitor: ClassVar[str | None] = DISTANCE
    generated_grids: ClassVar[tuple[str, ...]] = ("samples",)
    makes_samples: ClassVar[bool] = True

    def predict(self, model: Sampler, batch: Any) -> Tensor:
        """Return one new image for each image of the batch."""
        return model.generate(len(batch[0]))

    def sample_grids(self, model: Sampler, batch: Any, count: int = 64) -> dict[str, Tensor]:
        """Return `samples`, of the same noise each time."""
        return {"samples": grid(model.generate(count, torch.Generator().manual_seed(0)))}

    def held_out_pairs(self, model: Sampler, batch: Any, noise: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Return the held-out images and as many new ones."""
        return [(batch.image, model.generate(len(batch.image), noise))]

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the distances of new images to real ones and, for images of MNIST's size, Parzen windows."""
        return sample_evaluators(model, data, options)


class GrowingSampling(Sampling):
    """Sampling by a model whose images grow: `reals(image)` gives real images as D sees them at present."""

    generated_grids: ClassVar[tuple[str, ...]] = ("samples",)

    def sample_grids(self, model: Any, batch: Any, count: int = 64) -> dict[str, Tensor]:
        """Return `samples`, and `reals`: held-out images at the present resolution, enlarged to the data's size."""
        shown = functional.interpolate(model.reals(batch.image[:count]), size=model.image_shape[-1], mode="nearest")
        return super().sample_grids(model, batch, count) | {"reals": grid(shown)}


def sample_evaluators(model: Any, data: DataModule, options: Options) -> list[Evaluator]:
    """Return what tells how good the images are that a model generates."""
    found: list[Evaluator] = [quality(model, options, lambda batch: model.generate(len(batch[0])))]
    if model.image_shape == ParzenWindow.image_shape and hasattr(data, "preview_batch"):
        found.append(ParzenWindow(options.samples))
    return found
