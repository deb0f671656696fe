"""Puzzle: where key patches of an image belong, and the whole image around them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from lit_gen.data.batches import WithImages
from lit_gen.data.contract import DataModule
from lit_gen.errors import UserError
from lit_gen.layers.key_patches import KeyPatches, key_patches
from lit_gen.losses import Terms
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.tasks import pictures
from lit_gen.tasks.base import Stage, Task, mean_outputs, quality
from lit_gen.tasks.exports import IMAGE, Exported, Exports, Input, image_of, latents_of, sampler_of
from lit_gen.tasks.grids import Grid, grid_of_cells, side_by_side

HEADS = ("patch 1", "patch 2", "patch 3", "mask", "true mask", "generated", "real")


class PatchAssembler(Protocol):
    """What the task asks of a model."""

    image_shape: tuple[int, int, int]

    def assemble(self, patches: Tensor, latent: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return images (B, C, S, S) in [-1, 1] and masks (B, 1, S, S) in [0, 1] of patches (B, N, C, S, S).

        Without a graph and in evaluation mode; by noise (B, Z), which is drawn by default.
        """

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise (count, Z)."""

    def discriminate(self, batch: WithImages, fakes: Any) -> tuple[Tensor, Tensor]:
        """Return D's logits for the real images of a batch and for fakes (B, C, S, S)."""


class Puzzle(Task):
    """Key patches put in their places, and the image around them: `predict` writes a strip of all of it per image."""

    verbs: ClassVar[type] = PatchAssembler
    monitor: ClassVar[str | None] = "val/patch_l1"  # lower where patches are both placed and kept
    options: ClassVar[dict[str, str]] = {
        "images": "image file or folder: take the key patches of each, and make the image around them",
        "patches": "three image files, or a folder of three: patches to make one image around",
    }

    def plan(self, model: PatchAssembler, options: pictures.Options) -> pictures.Plan:
        """Return the plan of a strip for each image file, or of one for three files of patches."""
        if ("images" in options) == ("patches" in options):
            raise UserError("PuzzleGAN makes images around patches: give --images or --patches, one of them.")
        seed = pictures.base_seed(options)
        if "images" in options:
            files = pictures.image_paths(options, channels=model.image_shape[0])
            found = [pictures.Picture(name, partial(_strip, path, seed), seed, path) for name, path in files]
            return pictures.Plan(found, columns=1, heads=HEADS)
        files = pictures.image_paths(options, "patches", model.image_shape[0])
        if len(files) != 3:
            raise UserError(f"--patches must be three images, not {len(files)}.")
        sources = [path for _, path in files]
        heads = [head for head in HEADS if head not in ("true mask", "real")]
        puzzle = pictures.Picture("puzzle", partial(_around, sources, seed), seed)
        return pictures.Plan([puzzle], columns=1, heads=heads, sources=sources)

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the generator of images and masks from three patches and noise."""
        draw = image_of(model).draw
        words = f"three {IMAGE}; each as large as the image, in any order"
        patches = Input(words, lambda count, random: draw(3 * count, random).unflatten(0, (count, 3)))
        outputs = {"image": IMAGE, "mask": "where in it the patches are, from 0 to 1"}
        inputs = {"patches": patches, "latent": latents_of(model)}
        return {"generator": Exported(sampler_of(model), model.assemble, inputs, outputs)}

    def predict(self, model: PatchAssembler, batch: WithImages) -> Tensor:
        """Return a strip for each image; see `strips`."""
        return strips(model, batch.image)

    def sample_grids(self, model: PatchAssembler, batch: WithImages, count: int = 64) -> dict[str, Grid]:
        """Return `puzzle`: for each image the patches, predicted and true mask, generated and real image."""
        real = batch.image[: max(1, count // 4)]
        latent = model.sample_latent(len(real), torch.Generator().manual_seed(0))
        title = "key patches, and the image around them"
        return {"puzzle": grid_of_cells(strips(model, real, latent), 2, HEADS, title)}

    def held_out_terms(self, model: PatchAssembler, batch: WithImages, stage: Stage) -> Terms:
        """Return how well the patches were placed and kept, and D's mean logits."""
        key = key_patches(batch.image)
        image, mask = model.assemble(key.patches)
        return assembly_measures(image, mask, batch.image, key) | mean_outputs(model, batch, image)

    def evaluators(self, model: PatchAssembler, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the distances of generated images to other real ones than those that their patches are from."""
        return [
            quality(model, options, lambda batch: model.assemble(key_patches(batch.image).patches)[0], from_real=True)
        ]


def strips(model: PatchAssembler, real: Tensor, latent: Tensor | None = None) -> Tensor:
    """Return (B, C, S, W): patches, predicted and true mask, generated and real image of each, side by side."""
    key = key_patches(real)
    image, mask = model.assemble(key.patches, latent)
    masks = [(2 * shown - 1).expand_as(real) for shown in (mask, key.mask)]
    return side_by_side([*key.patches.unbind(1), *masks, image, real])


def _strip(path: Path, seed: int, model: Any) -> Tensor:
    return strips(model, pictures.read_square(path, model), pictures.latent_of(seed, model))


def _around(paths: Sequence[Path], seed: int, model: Any) -> Tensor:
    patches = [pictures.read_square(path, model) for path in paths]
    image, mask = model.assemble(torch.stack(patches, 1), pictures.latent_of(seed, model))
    return side_by_side([*patches, (2 * mask - 1).expand_as(image), image])


def assembly_measures(image: Tensor, mask: Tensor, real: Tensor, key: KeyPatches) -> Terms:
    """Return how well the patches of `real` were placed and kept in an image (B, C, S, S) and a mask (B, 1, S, S).

    mask_iou: intersection over union of the mask, cut at one half, with the true one. patch_l1: mean absolute
    difference to the real image inside the true mask, range [-1, 1]. Both are means over the images.
    """
    inside, predicted = key.mask > 0.5, mask > 0.5
    intersection, union = ((area.sum((1, 2, 3))) for area in (inside & predicted, inside | predicted))
    error = (image - real).abs().mean(1, keepdim=True) * key.mask
    patch_l1 = error.sum((1, 2, 3)) / key.mask.sum((1, 2, 3))
    return {"mask_iou": (intersection / union).mean(), "patch_l1": patch_l1.mean()}
