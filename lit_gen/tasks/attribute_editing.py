"""Attribute editing: an image with one attribute changed, and everything else as it was."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional

from lit_gen.data.batches import AttributedImages, Images, WithImages
from lit_gen.data.contract import DataModule
from lit_gen.errors import UserError, nearest
from lit_gen.losses import Terms
from lit_gen.losses.likelihood import attribute_cross_entropy
from lit_gen.metrics.attributes import AttributeChanges, single_changes
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.features import Features
from lit_gen.metrics.published import PublishedTargetDomains
from lit_gen.metrics.target_domains import TargetDomains
from lit_gen.metrics.true_images import TrueEdits
from lit_gen.synthetic.faces.names import HAIR_COLOURS
from lit_gen.tasks import pictures
from lit_gen.tasks.base import Stage, Task, quality
from lit_gen.tasks.exports import IMAGE, Exported, Exports, Input, image_of, sampler_of
from lit_gen.tasks.grids import Grid, grid


class AttributeEditor(Protocol):
    """What the task asks of a model."""

    attributes: Sequence[str]
    """Names of the A attributes that it changes."""
    data_attributes: Sequence[str]
    """Names of the attributes of the data."""
    image_shape: tuple[int, int, int]
    classification_weight: float
    reconstruction_weight: float

    def labels(self, batch: AttributedImages) -> Tensor:
        """Return the batch's own values (B, A) in {0, 1} of the model's attributes."""

    def translate(self, image: Tensor, target: Tensor) -> Tensor:
        """Return images with attributes (B, A) in {0, 1}, (B, C, H, W), without a graph and in evaluation mode."""

    def discriminator(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's scores of images, of any shape (B, ...), and its logits (B, A) of their attributes."""


class AttributeEditing(Task):
    """Images with one attribute changed: `predict` writes for each image a wide one with all single changes.

    The best checkpoint is the one whose translations show what they were asked to and lead back. A distance to held-out
    images would favour a G that changes nothing, and D's score is a moving measure.
    """

    verbs: ClassVar[type] = AttributeEditor
    needs: ClassVar[tuple[str, ...]] = ("image", "attributes")
    needs_to_predict: ClassVar[tuple[str, ...] | None] = ("image",)
    monitor: ClassVar[str | None] = "val/translation"
    options: ClassVar[dict[str, str]] = {
        "images": "image file or folder: change each",
        "attributes": "what to change, such as +Blond_Hair,-Male; without it, each change by itself, side by side",
    }

    def predict(self, model: AttributeEditor, batch: WithImages) -> Tensor:
        """Return for each image a wide one (B, C, H, (1 + A) W): itself, then with each attribute changed."""
        return torch.cat(changed(model, batch), dim=3)

    def plan(self, model: AttributeEditor, options: pictures.Options) -> pictures.Plan:
        """Return the plan of image files with attributes changed; what they have beside them is D's guess."""
        if "images" not in options:
            raise UserError("--attributes is for the images to change: give --images=<file or folder>.")
        changes = None
        if "attributes" in options:
            changes = wanted_changes(options["attributes"], model.attributes)
        pictures.refuse_seed(options)
        files = pictures.image_paths(options, channels=model.image_shape[0])
        found = [pictures.Picture(name, partial(_edited, path, changes), 0, path) for name, path in files]
        return pictures.Plan(found) if changes else pictures.Plan(found, columns=1, heads=["input", *model.attributes])

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the generator, told all attributes of its result, and D, which tells those of an image."""
        names = ", ".join(model.attributes)

        def draw(count: int, random: torch.Generator) -> Tensor:
            return torch.randint(2, (count, len(model.attributes)), generator=random).float()

        wanted = Input(f"1 for what the result is to have, or else 0: {names}", draw)
        inputs = {"image": image_of(model, free_size=True), "attributes": wanted}
        logits = {"logits": f"above 0 for what the image has: {names}"}
        d = model.discriminator
        return {
            "generator": Exported(sampler_of(model), model.translate, inputs, {"translation": IMAGE}),
            "classifier": Exported(d, lambda image: d(image)[1], {"image": image_of(model)}, logits),
        }

    def sample_grids(self, model: AttributeEditor, batch: AttributedImages, count: int = 64) -> dict[str, Grid]:
        """Return `samples`, with a row per image: itself, then with each attribute changed."""
        columns = 1 + len(model.attributes)
        batch = type(batch)(*(field[: max(1, count // columns)] for field in batch))
        shown = grid(torch.stack(changed(model, batch), dim=1).flatten(0, 1), columns)
        return {"samples": Grid(shown, "each attribute changed by itself", ["input", *model.attributes])}

    def held_out_terms(self, model: AttributeEditor, batch: AttributedImages, stage: Stage) -> Terms:
        """Return how well images get their neighbours' attributes and come back, and D's mean scores.

        All without weights, except `translation`, the weighted sum of both errors.
        """
        labels = model.labels(batch)
        target = labels.roll(1, 0)
        fakes = model.translate(batch.image, target)
        scores, logits = model.discriminator(fakes)
        reconstruction = functional.l1_loss(model.translate(fakes, labels), batch.image)
        classification = attribute_cross_entropy(logits, target)
        weighted = model.reconstruction_weight * reconstruction + model.classification_weight * classification
        return {
            "reconstruction": reconstruction,
            "classification": classification,
            "translation": weighted,
            "d_score_real": model.discriminator(batch.image)[0].mean(),
            "d_score_fake": scores.mean(),
        }

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the quality of translations, together and per attribute, and what a classifier sees in them.

        The first translates to the neighbours' attributes. Where a classifier can learn the attributes, it says whether
        each change is there, and all else as it was. For rendered images the true images say so too.
        """

        def to_neighbours(batch: AttributedImages) -> Tensor:
            return model.translate(batch.image, model.labels(batch).roll(1, 0))

        features = Features(options.features, model.image_shape, options.published)
        per_attribute = PublishedTargetDomains if options.published else TargetDomains
        found: list[Evaluator] = [
            quality(model, options, to_neighbours, from_real=True, once=True, features=features),
            per_attribute(options, model.attributes, features),
        ]
        if getattr(data, "has_attributes", False):
            found.append(AttributeChanges(model.attributes, options.samples))
        if hasattr(data, "counterfactuals"):
            found.append(TrueEdits(model.attributes, options.samples))
        return found


def editable(asked: list[str], default: list[str], of_data: list[str]) -> list[str]:
    """Return the names of the attributes to edit: those of the data in place of default ones that the data lack."""
    if not of_data or asked != default or set(asked) <= set(of_data):
        return asked
    rank_zero_info(f"the attributes are all that the data have (--model.attributes): {', '.join(of_data)}")
    return list(of_data)


def check_known(names: Sequence[str], of_data: Sequence[str]) -> None:
    """Raise a `UserError` if the data lack an attribute that is to be edited."""
    for name in names:
        if not of_data:
            raise UserError("attribute editing needs data with attributes, and the spec of these names none.")
        if name not in of_data:
            raise UserError(
                f"the data have no attribute {name!r}.{nearest(name, list(of_data))} "
                f"Set --model.attributes to names that the data have: {', '.join(of_data)}."
            )


def wanted_changes(text: str, names: Sequence[str], said: str = "--attributes") -> dict[int, float]:
    """Return the values, 0 or 1, of what `+Blond_Hair,-Male` names, by the column of each name in `names`.

    A hair colour that is to be there takes the place of the others, unless these are named too.

    Raises:
        UserError: a name is not known, or stands there twice; `said` is what the line calls the text.
    """
    changes: dict[int, float] = {}
    for word in filter(None, (word.strip() for word in text.split(","))):
        name = word.lstrip("+-")
        if name not in names or word[0] not in "+-" or word[1:] != name:
            hint = nearest(name, list(names)) if name not in names else ""
            known = ", ".join(names)
            raise UserError(f"{said} must be + or - before names of {known}, not {word}.{hint}")
        if names.index(name) in changes:
            raise UserError(f"{said} names {name} twice.")
        changes[names.index(name)] = float(word[0] == "+")
    if not changes:
        raise UserError(f"{said} is empty: write + or - before each name, such as +Blond_Hair,-Male.")
    hair = [column for column, name in enumerate(names) if name in HAIR_COLOURS]
    if any(changes.get(column) for column in hair):
        changes = dict.fromkeys(hair, 0.0) | changes
    return changes


def _edited(path: Path, changes: dict[int, float] | None, model: Any) -> Tensor:
    batch = Images(pictures.read_square(path, model))
    if changes is None:
        return torch.cat(changed(model, batch), dim=3)
    return model.translate(batch.image, with_changes(model, batch, changes))


def with_changes(model: Any, batch: WithImages, changes: dict[int, float]) -> Tensor:
    """Return the labels (B, A) of a batch with some columns set, as `wanted_changes` has them."""
    target = known_or_guessed_labels(model, batch).clone()
    for column, value in changes.items():
        target[:, column] = value
    return target


@torch.no_grad()
def known_or_guessed_labels(model: AttributeEditor, batch: Any) -> Tensor:
    """Return the batch's own labels (B, A), or what D sees in the images where the batch does not have them."""
    if hasattr(batch, "attributes") and set(model.attributes) <= set(model.data_attributes):
        return model.labels(batch)
    return (model.discriminator(batch.image)[1] > 0).float()


def changed(model: AttributeEditor, batch: WithImages) -> list[Tensor]:
    """Return the images, and their translations by each single change, each (B, C, H, W)."""
    targets = single_changes(known_or_guessed_labels(model, batch), model.attributes)
    return [batch.image, *(model.translate(batch.image, target) for target in targets)]
