"""What every model shares: the check against the data, the count of images, the log of named terms, and its task."""

import math
import os
import sys
from collections.abc import Mapping
from copy import copy
from textwrap import shorten
from typing import Any, ClassVar, Self

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.optim import Adam, Optimizer

from lit_gen.data.batches import AttributedImages, DataSpec
from lit_gen.data.contract import (
    check_attributes,
    check_classes,
    check_pair,
    check_range,
    fields_read,
    images_for,
    named_batch,
)
from lit_gen.distributions import draw
from lit_gen.errors import UserError
from lit_gen.import_paths import import_path
from lit_gen.layers.coders import plain_network
from lit_gen.lightning_compat import (
    call_all_hooks,
    data_of,
    reopen_epoch_cut_short,
    skip_idle_hooks,
    told_optimizers,
    trainer_of,
)
from lit_gen.models.of_checkpoint import model_of_checkpoint
from lit_gen.old_versions.checkpoints import bring_up_to_date
from lit_gen.runs.changes import changes_of_model
from lit_gen.runs.checkpoint_files import check_weights_only
from lit_gen.tasks.base import Stage, Task
from lit_gen.tasks.pictures import Picture
from lit_gen.tasks.sampling import Sampling
from lit_gen.training import graphs
from lit_gen.training.graphs import GraphsWhen, StepGraphs
from lit_gen.training.log import LoggedTerms
from lit_gen.training.seeds import seed_generators
from lit_gen.training.step import set_as_told, set_number

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


class GenerativeModule(LoggedTerms):
    """A generative model: it counts images, logs named terms, and its task uses it.

    Args:
        spec: what the data look like; on the command line it comes from the data.
    """

    task: ClassVar[Task] = Sampling()
    """How the model is shown, measured and used; it asks the model for verbs, such as `generate`."""
    needs: tuple[str, ...] | None = None
    """The fields of a batch that the losses read, where they are others than the task's."""
    takes_unlabelled: ClassVar[bool] = False
    """Whether losses that read `label` expect that of some images to be `UNLABELLED`."""
    checkpoints_hold_images: ClassVar[bool] = False
    """Whether checkpoints hold images made from the data."""
    has_gaussian_latents: bool = True
    """Whether `sample_latent` draws from a Gaussian, so that the way from one latent to another is an arc."""
    prior_in_words: str = "normal, with mean 0 and deviation 1"
    """The distribution that `sample_latent` draws from."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec
        self.image_shape = tuple(spec["image_shape"])
        self._trained_with: Mapping[str, Any] = {}  # the hyperparameters in the checkpoint, once there is one
        self._groups_before: list[set[str]] = []  # the settings of each optimizer in the checkpoint
        self.run_seed: int | None = None  # what all that is drawn depends on, once there is a run
        self.new_run_seed: int | None = None  # what the user asks for in place of a checkpoint's
        # Schedules count images, by numbers on the host: reading a buffer would wait for the GPU in every step.
        self.images_seen = self.images_in_epoch = self._images_a_batch = 0
        self._stages_checked: set[Any] = set()  # in which a first batch of plain tensors was looked at
        self.graphs_when: GraphsWhen = "never"  # whether CUDA graphs are to take the training steps
        self.graphs: StepGraphs | None = None

    def get_extra_state(self) -> dict[str, Any]:
        counts = {"images_seen": self.images_seen, "images_in_epoch": self.images_in_epoch, "log": self.last_terms}
        return counts | ({} if self.run_seed is None else {"run_seed": self.run_seed})

    def set_extra_state(self, state: dict[str, Any]) -> None:
        # That of another model may lack something; what else does not fit it says better.
        self.images_seen, self.images_in_epoch = state.get("images_seen", 0), state.get("images_in_epoch", 0)
        self.run_seed = state.get("run_seed", self.run_seed)
        self.last_terms = dict(state.get("log", {}))  # a term that not every step has stays until its next value

    def seed(self, purpose: str, place: int = 0) -> None:
        """Seed what this process draws next by the run's seed, the purpose, the rank, the images seen and `place`.

        Each step and each batch of an evaluation (`place` is its number) begins with it. What was drawn before makes no
        difference then, and a run that is resumed draws what the unbroken one would have drawn.
        """
        seed_generators(self.device, self.run_seed or 0, purpose, self.global_rank, self.images_seen, place)

    def count_images(self, images: int) -> None:
        """Count the images of a step: `images` of this process, and as many of each other."""
        self.images_seen += images * self.trainer.world_size
        self.images_in_epoch += images * self.trainer.world_size

    def setup(self, stage: str) -> None:
        self._stages_checked.clear()
        if self.run_seed is None:  # before anything is drawn by it
            self.run_seed = self.trainer.strategy.broadcast(torch.initial_seed())
        if self.trainer.precision not in PRECISIONS:
            raise UserError(
                f"precision {self.trainer.precision} would need images of that type. Set --trainer.precision to one of "
                f"{', '.join(PRECISIONS)}."
            )
        if missing := self.task.missing_verbs(self):
            verbs = self.task.verbs
            raise UserError(
                f"{type(self).__name__} names the task {type(self.task).__name__}, but has no {', '.join(missing)}. "
                f"Define what {import_path(verbs)} lists."
            )
        data = data_of(self.trainer)
        if data is not None:
            check_pair(type(self), data, predicting=stage == "predict")
            given = tuple(getattr(data, "spec", self.spec)["image_shape"])
            if given != self.image_shape:
                raise UserError(
                    f"the model was built for images of shape {self.image_shape}, but the data give "
                    f"{given}. Use the same data settings for both."
                )

    def save_hyperparameters(self, *arguments: Any, **options: Any) -> None:
        """Keep the arguments of the constructor as plain values: a checkpoint names a network by class and settings."""
        frame = options.pop("frame", None) or sys._getframe(1)
        super().save_hyperparameters(*arguments, frame=frame, **options)
        super().save_hyperparameters({name: plain_network(value) for name, value in self.hparams.items()})

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | os.PathLike,
        map_location: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **settings: Any,
    ) -> Self:
        """Build the model of a checkpoint as `model_of_checkpoint` does: `settings` replace the checkpoint's."""
        check_weights_only(weights_only)
        return model_of_checkpoint(cls, checkpoint_path, map_location, strict, settings)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights as torch does, but raise a `UserError` when they are those of other networks."""
        if "_extra_state" not in state_dict:  # of before every model counted images
            whole: Any = copy(state_dict)  # with its metadata
            whole["_extra_state"] = self.get_extra_state()
            state_dict = whole
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            first = shorten(str(error).splitlines()[1] if "\n" in str(error) else str(error), 160, placeholder=" ...")
            changes = changes_of_model(self._trained_with, self.hparams)
            differs = f"What differs: {', '.join(map(str, changes))}. " if changes else ""
            trainer, how = trainer_of(self), "--config <run>/config.yaml"
            if changes and all(change.name.startswith("data.") for change in changes):
                how = "--data.image_size, --data.channels and others, or leave --data out"
            elif trainer is not None and trainer.state.fn != "fit" and type(self).__module__.startswith("lit_gen."):
                how = f"leave --config and --model out, or give {how}"
            raise UserError(
                f"the checkpoint does not fit this {type(self).__name__}: {first} {differs}"
                f"Use the settings it was trained with: {how}."
            ) from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"]["_extra_state"] = self.get_extra_state()  # and not that of averaged weights
        data = data_of(self.trainer)
        classes = {"model": type(self)} | ({} if data is None else {"data": type(data)})
        checkpoint["classes"] = {part: import_path(kind) for part, kind in classes.items()}
        for state in checkpoint.get("optimizer_states", []):
            for group in state["param_groups"]:
                # Those of graphs are tensors.
                group |= {name: float(value) for name, value in group.items() if isinstance(value, Tensor)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._trained_with = checkpoint.get("hyper_parameters", {})
        trainer = trainer_of(self)
        if trainer is not None and trainer.state.fn == "fit" and "optimizer_states" not in checkpoint:
            raise UserError(
                "the checkpoint has weights only, and no state of optimizers: no training can go on with it."
            )
        self._check_classes()
        bring_up_to_date(checkpoint, self)
        reopen_epoch_cut_short(checkpoint)
        self._groups_before = [set(state["param_groups"][0]) for state in checkpoint.get("optimizer_states", [])]
        counts = checkpoint["state_dict"]["_extra_state"]
        if self.new_run_seed is not None:
            old, counts["run_seed"] = counts.get("run_seed"), self.new_run_seed
            if old not in (None, self.new_run_seed) and trainer is not None and trainer.state.fn == "fit":
                rank_zero_info(
                    f"the seed is now {self.new_run_seed}, for all that is drawn but the order of the training data, "
                    f"which stays that of seed {old}"
                )

    def on_fit_start(self) -> None:
        super().on_fit_start()
        for before, optimizer in zip(self._groups_before, self.trainer.optimizers, strict=False):
            now = set(optimizer.param_groups[0])
            # One class of optimizer may gain settings from one version of torch to the next, or lose some, not both.
            if (gone := before - now - {"initial_lr"}) and now - before:
                named, how = self._trained_with.get("optimizer"), "Use the one of then"
                if named not in (None, self.hparams.get("optimizer")):
                    how = f"Set --model.optimizer={named}"
                raise UserError(
                    f"the checkpoint has the state of an optimizer with {', '.join(sorted(gone))}, "
                    f"and the training has {type(optimizer).__name__}. {how}, or train anew."
                )

    def _check_classes(self) -> None:
        """Raise a `UserError` if a model that is told classes was trained with others than the table has."""
        if "label" not in fields_read(self):
            return
        before, now = (spec.get("classes") for spec in (self._trained_with.get("spec", {}), self.spec))
        if before is not None and now is not None and list(before) != list(now):
            raise UserError(
                f"the model was trained with the classes {', '.join(before)}, and the data have {', '.join(now)}. "
                "Use data with the same classes."
            )

    def begin_step_anew(self, same_batches: bool) -> int:
        """Return how many images are to come again when a run is resumed, since their step cannot go on.

        The checkpoint is of a moment before that step. `same_batches`: whether batches have as many images as then.
        """
        return 0

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        trainer = trainer_of(self)
        if trainer is None or (stage := trainer.state.stage) is None:  # validation is one of its own within `fit`
            return batch  # no batch, but what the model is called with: Lightning's `to_onnx` sends it this way
        if isinstance(batch, Mapping):
            keys = ", ".join(map(str, batch))
            raise UserError(
                f"a batch is a tensor of images, or images and labels, not a dictionary of {keys}. "
                "Give a tuple, as data/README.md says, or a named tuple of lit_gen.data.batches."
            )
        if not isinstance(batch, Tensor | tuple | list) or hasattr(batch, "_fields"):
            return batch
        parts = [batch] if isinstance(batch, Tensor) else batch
        named = named_batch(parts, self)
        if stage not in self._stages_checked:  # a look at each batch would wait for the GPU
            for part in parts:
                if part.ndim == 4 and part.is_floating_point():
                    check_range(part)
            if "label" in fields_read(self):
                check_classes(named.label, self.spec["num_classes"])
            if isinstance(named, AttributedImages) and "attributes" in fields_read(self):
                check_attributes(named.attributes, getattr(data_of(trainer), "spec", self.spec)["attributes"])
            self._stages_checked.add(stage)
        return named

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        self.images_in_epoch = 0

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._images_a_batch = len(batch[0]) * self.trainer.world_size

    def on_train_start(self) -> None:
        super().on_train_start()
        set_as_told(self.trainer.optimizers, told_optimizers(self), rates=not self.trainer.lr_scheduler_configs)
        self.graphs = graphs.start(self.trainer, self, self.graphs_when)
        skip_idle_hooks(self.trainer)

    def on_train_end(self) -> None:
        call_all_hooks(self.trainer)
        self.graphs = None

    def adam(
        self, parameters: Any, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999), **settings: Any
    ) -> Adam:
        """Return Adam for parameters, or for groups, which may have learning rates of their own.

        It is fused, except in 16-mixed: the scaler would hand a fused one scaled gradients.
        """
        trainer = trainer_of(self)
        settings |= {"fused": trainer is None or trainer.precision != "16-mixed"}
        return Adam(parameters, learning_rate, betas, **settings)

    def learning_rate_factor(self) -> float:
        """Return the factor on the optimizers' learning rates in this step; models with a schedule override it."""
        return 1.0

    def set_learning_rates(self, *optimizers: Optimizer | LightningOptimizer) -> None:
        """Set the rates to what the optimizers were told, times `learning_rate_factor`; not those of a scheduler."""
        if self.trainer.lr_scheduler_configs:  # of a subclass, or of Lightning's search for a rate
            return
        factor = self.learning_rate_factor()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                set_number(group, "lr", group["initial_lr"] * factor)

    @property
    def progress(self) -> float:
        """Return the part of the training that is done, from 0 to 1, for schedules; 0 outside of training.

        With `max_epochs` it is the part of their images that steps have been made on, with `max_steps` that of the
        steps; with both, what ends sooner counts. Where a run goes on with batches or epochs of another size, the
        epochs that are done count as they did.

        Raises:
            UserError: neither `max_epochs` nor `max_steps` says where the training ends.
        """
        trainer = trainer_of(self)
        if trainer is None or not trainer.training:
            return 0.0
        parts = []
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            loop: Any = trainer.fit_loop
            epochs, images = loop.epoch_progress.current.processed, self.images_in_epoch
            an_epoch = trainer.num_training_batches * self._images_a_batch
            if not 0 < an_epoch < math.inf:  # before the first batch; or data without a length
                images, an_epoch = 0, 1
            parts.append((epochs * an_epoch + min(images, an_epoch)) / (trainer.max_epochs * an_epoch))
        if trainer.max_steps > 0:
            parts.append(trainer.global_step / trainer.max_steps)
        if not parts:
            how = "set --trainer.max_epochs or --trainer.max_steps."
            raise UserError(f"{type(self).__name__}'s schedule ends with the training: {how}")
        return min(1.0, max(parts))

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seed("validate", batch_idx)

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seed("test", batch_idx)

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.seed("predict", batch_idx)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        if isinstance(batch, Picture):  # which depends on nothing but its own seed
            seed_generators(self.device, "picture", batch.seed)
            return batch.make(self)
        return self.task.predict(self, batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log_held_out(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log_held_out(batch, "test")

    def log_held_out(self, batch: Any, stage: Stage) -> None:
        """Log the held-out terms of the task, averaged over all batches and processes by what each is a mean over."""
        terms = self.task.held_out_terms(self, batch, stage)
        in_bar = "loss" in terms  # which a game has not
        for name, term in terms.items():
            value, count = term if isinstance(term, tuple) else (term, len(batch[0]))
            size: Any = 1.0 * count  # of whole numbers Lightning would round the processes' mean down
            self.log(f"{stage}/{name}", value, in_bar, batch_size=size, sync_dist=True)

    def checked(self, images: Any, step: int = 0) -> Tensor:
        """Return images that somebody calls the model with, as floats in [-1, 1]; see `images_for`."""
        return images_for(self, images, step)

    @staticmethod
    def checked_count(count: int) -> int:
        """Return a number of images that somebody asks for; raise a `UserError` if it is below 0."""
        if count < 0:
            raise UserError(f"generate takes a number of images from 0 on, not {count}.")
        return count

    def noise(self, *shape: int, generator: torch.Generator | None = None) -> Tensor:
        """Return standard normal noise on the model's device; with a CPU generator, the same on every device."""
        return draw(torch.randn, shape, self.device, generator)

    def uniform_noise(self, *shape: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise uniform on (-1, 1), as `noise` otherwise."""
        return draw(torch.rand, shape, self.device, generator) * 2 - 1
