"""Sampling: new images from noise."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.data.batches import WithImages
from lit_gen.data.contract import DataModule
from lit_gen.errors import UserError
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.parzen import ParzenWindow
from lit_gen.schedules import RESOLUTIONS
from lit_gen.tasks import pictures
from lit_gen.tasks.base import DISTANCE, Task, quality
from lit_gen.tasks.exports import Exported, Exports, latents_of, sampler_of
from lit_gen.tasks.grids import Grid, grid


class Sampler(Protocol):
    """What the task asks of a model."""

    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return `count` new images (count, C, H, W) in [-1, 1]; those of a CPU generator can be had again."""


class Sampling(Task):
    """New images from noise: `predict` writes `--count`, or one for each image of the data; `samples` shows some.

    Validation measures how far they are from held-out images, since no loss of a game says how good they are.
    """

    verbs: ClassVar[type] = Sampler
    monitor: ClassVar[str | None] = DISTANCE
    generated_grids: ClassVar[tuple[str, ...]] = ("samples",)
    makes_samples: ClassVar[bool] = True
    predicts_from: ClassVar[Literal["noise", "either", "data"]] = "noise"
    options: ClassVar[dict[str, str]] = {
        "count": "number of images, 64 by default; with --interpolate that of frames",
        "image_seeds": "the seed of each image, such as 0-63 or 3,8,12; an image depends on its own seed only",
        "interpolate": "walk from the image of one seed to that of the next: frames and a GIF",
    }

    def predict(self, model: Sampler, batch: Any) -> Tensor:
        """Return one new image for each image of the batch."""
        return model.generate(len(batch[0]))

    def plan(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of new images, each by a seed of its own."""
        return samples(model, options)

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the generator of images."""
        return {"generator": Exported(sampler_of(model), model.forward, {"latent": latents_of(model)})}

    def sample_grids(self, model: Sampler, batch: Any, count: int = 64) -> dict[str, Grid]:
        """Return `samples`, of the same noise each time."""
        return {"samples": Grid(grid(model.generate(count, torch.Generator().manual_seed(0))), "samples")}

    def held_out_pairs(self, model: Sampler, batch: WithImages, noise: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Return the held-out images and as many new ones."""
        return [(batch.image, model.generate(len(batch.image), noise))]

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the distances of new images to real ones and, for images of MNIST's size, Parzen windows."""
        return sample_evaluators(model, data, options)


class GrowingSampling(Sampling):
    """Sampling by a model whose images grow: `reals(image)` gives real images as D sees them at present.

    `stage` and `alpha` tell the present resolution, `resolution` pixels, and how far it is faded in.
    """

    generated_grids: ClassVar[tuple[str, ...]] = ("samples",)
    options: ClassVar[dict[str, str]] = {
        "resolution": "side of the images in pixels: 4, 8, ... up to what was trained",
    }

    def plan(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of new images, of a lower resolution where the command asks for it."""
        plan = super().plan(model, options)
        if "resolution" not in options:
            return plan
        resolution = resolution_in(model, options)
        makes = [partial(_at_resolution, picture.make, resolution) for picture in plan.pictures]
        found = [picture._replace(make=make) for picture, make in zip(plan.pictures, makes, strict=True)]
        return plan._replace(pictures=found)

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the generator, of images of the data's size or of the resolution that the command asks for."""
        size = resolution_in(model, options) if "resolution" in options else model.image_shape[-1]
        present = stage_of(model, size) if "resolution" in options else (model.stage, model.alpha)

        def enlarged(latent: Tensor) -> Tensor:
            return functional.interpolate(model.sampler(latent, *present), size=size, mode="nearest")

        return {"generator": Exported(model.sampler, enlarged, {"latent": latents_of(model)})}

    def sample_grids(self, model: Any, batch: WithImages, count: int = 64) -> dict[str, Grid]:
        """Return `samples`, and `reals`: held-out images at the present resolution, enlarged to the data's size."""
        shown = functional.interpolate(model.reals(batch.image[:count]), size=model.image_shape[-1], mode="nearest")
        side = model.resolution
        reals = Grid(grid(shown), f"real images as D sees them, at {side} x {side} pixels")
        return super().sample_grids(model, batch, count) | {"reals": reals}


def samples(model: Any, options: pictures.Options) -> pictures.Plan:
    """Return the plan of new images, or of a walk between some."""
    if not pictures.switch(options, "interpolate"):
        seeds = pictures.image_seeds(options)
        return pictures.Plan([pictures.Picture(f"{seed:06d}", partial(_sample, seed), seed) for seed in seeds])
    if not hasattr(model, "sample_latent"):
        raise UserError(f"--interpolate needs a model with sample_latent, which {type(model).__name__} has not.")
    others = {name: value for name, value in options.items() if name != "count"}
    return pictures.frames([partial(pictures.latent_of, seed) for seed in pictures.image_seeds(others, 2)], options)


def _sample(seed: int, model: Any) -> Tensor:
    return model.generate(1, torch.Generator().manual_seed(seed))


def resolution_in(model: Any, options: pictures.Options) -> int:
    """Return the resolution that a command asks for, one of those that the model grows through."""
    known = list(map(str, RESOLUTIONS[: model.last_stage + 1]))
    return int(pictures.name_of(options, "resolution", known))


def stage_of(model: Any, resolution: int) -> tuple[int, float]:
    """Return the stage and alpha of images of a resolution.

    Raises:
        UserError: the model was not trained that far.
    """
    trained = model.resolution
    if resolution > trained:
        raise UserError(f"--resolution must be at most {trained}, not {resolution}: this model was trained no further.")
    return (model.stage, model.alpha) if resolution == trained else (RESOLUTIONS.index(resolution), 1.0)


def _at_resolution(make: Callable[[Any], Tensor], resolution: int, model: Any) -> Tensor:
    before = model.stage, model.alpha
    model.stage, model.alpha = stage_of(model, resolution)
    try:
        image = make(model)
    finally:
        model.stage, model.alpha = before
    step = image.shape[-1] // resolution
    return image[..., ::step, ::step]  # each pixel was enlarged to a square of them


def sample_evaluators(model: Any, data: DataModule, options: Options) -> list[Evaluator]:
    """Return what tells how good the images are that a model generates."""
    found: list[Evaluator] = [quality(model, options, lambda batch: model.generate(len(batch[0])))]
    if model.image_shape == ParzenWindow.image_shape and hasattr(data, "preview_batch"):
        found.append(ParzenWindow(options.samples))
    return found
