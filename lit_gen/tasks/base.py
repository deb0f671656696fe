"""What all tasks share: the log of held-out values, the distance that each validation measures.

A model names its task (`task = Translation()`) and offers the verbs that the task asks for (`translate`, ...). It then
has predictions, sample grids, evaluation and a best checkpoint. A task imports no model.
"""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from inspect import get_annotations
from operator import itemgetter
from typing import Any, ClassVar, Generic, Literal, Protocol

import torch
from torch import Tensor

from lit_gen.data.contract import DataModule
from lit_gen.errors import UserError
from lit_gen.losses import Terms, total
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.features import Features
from lit_gen.metrics.held_out import HeldOutDistance
from lit_gen.metrics.published import PublishedQuality
from lit_gen.metrics.samples import SampleQuality
from lit_gen.metrics.sliced_wasserstein import PATCH
from lit_gen.tasks.exports import Exports
from lit_gen.tasks.grids import Grid
from lit_gen.tasks.grids import grid as grid  # where tasks of a user's own may look for it
from lit_gen.tasks.pictures import Options as PictureOptions
from lit_gen.tasks.pictures import Plan

Stage = Literal["val", "test"]
DISTANCE = "val/sliced_wasserstein"
HeldOut = Mapping[str, Tensor | tuple[Tensor, Tensor]]
"""The means over a batch by their names. One over other things than its images is a pair, with the number of these."""


class Task:
    """What `predict` writes, sample grids show, and validation and test measure, for every model with the same verbs.

    A task keeps nothing: one object serves all models of its kind. For other grids or measurements, derive a class from
    a task and name it in the model.
    """

    verbs: ClassVar[type]
    """The protocol that lists what the task asks a model for."""
    needs: ClassVar[tuple[str, ...]] = ("image",)
    """The fields of a batch that the task and the losses read, unless the model has a `needs` of its own."""
    needs_to_predict: ClassVar[tuple[str, ...] | None] = None
    """Those that `predict` reads, where it can do with fewer."""
    monitor: ClassVar[str | None] = None
    """The logged value whose lowest point is kept as the best checkpoint, where there is one; see `monitored`."""
    generated_grids: ClassVar[tuple[str, ...]] = ()
    """Names (or patterns, `code_*`) of the grids that show neither images of the data nor what was made from them."""
    makes_samples: ClassVar[bool] = False
    """Whether a generator makes images from noise, so that it has collapsed when they are all alike."""
    options: ClassVar[dict[str, str]] = {}
    """The options of `predict` that `plan` reads, with the help for each; those of base classes are not repeated."""
    predicts_from: ClassVar[Literal["noise", "either", "data"]] = "data"
    """Whether `predict` makes images of nothing (`noise`), of images or sentences (`data`), or of what it is given."""

    def missing_verbs(self, model: Any) -> list[str]:
        """Return the names among `verbs` that a model lacks."""
        protocols = [kind for kind in self.verbs.__mro__ if kind not in (Protocol, Generic, object)]
        names = {name for kind in protocols for name in [*vars(kind), *get_annotations(kind)]}
        return sorted(name for name in names if not name.startswith("_") and not hasattr(model, name))

    def monitored(self, model: Any) -> str | None:
        """Return the logged value whose lowest point is kept as the best checkpoint of this model."""
        return self.monitor

    def predict(self, model: Any, batch: Any) -> Tensor:
        """Return what `predict` writes: an image (B, C, H, W) in [-1, 1] for each row of the batch."""
        raise NotImplementedError

    def plan(self, model: Any, options: PictureOptions) -> Plan:
        """Return the pictures that `predict` makes by the command's options, without any data module.

        Args:
            model: with the verbs of the task; its weights are not loaded yet.
            options: those of `all_options` that were typed, and `output` and `seed`.
        """
        raise NotImplementedError

    def exports(self, model: Any, options: PictureOptions) -> Exports:
        """Return the networks that `export` writes.

        Args:
            model: trained, in evaluation mode, on the CPU.
            options: `resolution`, where it was typed.
        """
        raise UserError(f"{type(self).__name__} does not say which networks to export: define its `exports`.")

    @classmethod
    def all_options(cls) -> dict[str, str]:
        """Return the options of `predict` for models of this kind, with the help for each."""
        return {name: text for kind in cls.__mro__ for name, text in vars(kind).get("options", {}).items()}

    @classmethod
    def plans(cls) -> bool:
        """Return whether `predict` without a data module is this task's: its `plan` is no older than its `predict`."""
        planner, predictor = (next(kind for kind in cls.__mro__ if name in vars(kind)) for name in ("plan", "predict"))
        return planner is not Task and issubclass(planner, predictor)

    def sample_grids(self, model: Any, batch: Any, count: int = 64) -> Mapping[str, Grid | Tensor]:
        """Return grids to look at while the model trains, by name; one without heads may be a picture (C, H, W) alone.

        Args:
            model: with the verbs of the task.
            batch: held-out data on the model's device; always the same, so that grids can be compared.
            count: about how many images per grid.
        """
        raise NotImplementedError

    @classmethod
    def shows_data(cls, name: str) -> bool:
        """Return whether a grid may show images of the data, or images made from them.

        A class with a `sample_grids` of its own is taken to show them until it, or a class derived from it, says
        otherwise in `generated_grids`.
        """
        maker = next(kind for kind in cls.__mro__ if "sample_grids" in vars(kind))
        speaker = next(kind for kind in cls.__mro__ if "generated_grids" in vars(kind))
        names = vars(speaker)["generated_grids"] if issubclass(speaker, maker) else ()
        return not any(fnmatchcase(name, pattern) for pattern in names)

    def held_out_terms(self, model: Any, batch: Any, stage: Stage) -> HeldOut:
        """Return the values that validation and test log, as means over the held-out images.

        They are the terms of a model's loss and their sum. A game has no loss: there they are D's mean outputs for real
        images and for new fakes. When held-out real images come near the fakes and training images do not, D has
        learnt its training images by heart.
        """
        if hasattr(model, "losses"):
            terms = model.losses(batch)
            return terms | {"loss": total(terms)}
        return mean_outputs(model, batch, model.make_fakes(batch))

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return what `test` measures beyond the held-out terms, on these data by the user's options."""
        return []

    def validation_evaluators(self, model: Any, data: DataModule) -> list[Evaluator]:
        """Return what each validation measures beyond the held-out terms, in seconds."""
        measurable = min(model.image_shape[1:]) >= PATCH and hasattr(data, "preview_batch")
        return [HeldOutDistance(partial(self.held_out_pairs, model))] if measurable and self.monitor == DISTANCE else []

    def held_out_pairs(self, model: Any, batch: Any, noise: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Return held-out images and as many generated ones that are to look like them, each (B, C, H, W) in [-1, 1].

        The noise is drawn from the CPU generator `noise`.
        """
        raise NotImplementedError


def quality(
    model: Any,
    options: Options,
    make: Callable[[Any], Tensor],
    from_real: bool = False,
    once: bool = False,
    features: Features | None = None,
) -> Evaluator:
    """Return the evaluator that compares what `make` makes of batches with real images, by the chosen protocol.

    See `SampleQuality` and `PublishedQuality`.
    """
    if options.published:
        return PublishedQuality(options, model.image_shape, make, features, from_real, once)
    return SampleQuality(options, model.image_shape, make, itemgetter(0), features=features, from_real=from_real)


def mean_outputs(model: Any, batch: Any, fakes: Any) -> Terms:
    """Return D's mean outputs for the real images of a batch and for fakes, such as `d_logit_real`, `d_logit_fake`."""
    real, fake = model.discriminate(batch, fakes)
    return {f"{model.output_name}_real": real.mean(), f"{model.output_name}_fake": fake.mean()}
