"""Callbacks that a user adds: a line for one that cannot work here, and what the others need."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    BasePredictionWriter,
    BatchSizeFinder,
    Checkpoint,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelPruning,
    ProgressBar,
    SpikeDetection,
    StochasticWeightAveraging,
    ThroughputMonitor,
    WeightAveraging,
)
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.enums import StrEnum
from torch import nn
from yaml import SafeDumper

from lit_gen.errors import UserError
from lit_gen.lightning_compat import saves_by_the_clock
from lit_gen.old_versions.log_names import current_name
from lit_gen.runs.folders import OWN_CHECKPOINTS

# Timer's default interval is such an enumeration, and jsonargparse writes config.yaml with this class.
SafeDumper.add_multi_representer(StrEnum, lambda dumper, value: dumper.represent_str(value.value))

BASES = (Callback, Checkpoint, ProgressBar, BaseFinetuning, BasePredictionWriter, Logger, Profiler)
"""Classes that do nothing, or only fail, until somebody writes a subclass."""
UNUSABLE = {
    LearningRateFinder: "trains before the run begins, and what it finds would be in no config.yaml. Leave it out, and "
    "compare short runs: --model.learning_rate=1e-3 --trainer.max_steps=200.",
    BatchSizeFinder: "trains before the run begins, and what it finds would be in no config.yaml. Leave it out, and "
    "double --data.batch_size until --trainer.max_steps=3 ends for want of memory.",
    ModelPruning: "has settings that cannot be written to config.yaml, and its masks are in no checkpoint, so that the "
    "run could not go on. Leave it out, and prune the trained model with torch.nn.utils.prune.",
    StochasticWeightAveraging: "puts its average in place of the weights after the last checkpoint, so that no file "
    "would have it. EMAWeightAveraging averages an AutoEncoder, VAE, AAE or SemiSupervisedAAE, --model.ema_decay the "
    "generator of a GAN.",
}
"""Callbacks that are of no use to any model of this project, with what to do instead."""
NEED_A_LOG = (DeviceStatsMonitor, LearningRateMonitor, ThroughputMonitor)


def check_callbacks(given: Sequence[Callback], model: LightningModule, command: str, trainer: Namespace) -> None:
    """Refuse callbacks of the user that cannot work, before anything is downloaded, written or trained.

    `command` is fit, validate, test or predict, and `trainer` has the Trainer's settings.

    Raises:
        UserError: a callback cannot work with this model or these settings.
    """
    if trainer.barebones and command in ("validate", "test"):
        raise UserError(
            "in barebones mode nothing is logged, and so nothing measured: leave --trainer.barebones=true out of "
            f"{command}."
        )
    logs = trainer.logger not in (False, []) and not trainer.barebones
    for callback in given:
        why = "is a base class and does nothing by itself: name a subclass of it." if type(callback) in BASES else None
        if command == "fit" or isinstance(callback, BatchSizeFinder):
            why = why or next((why for kind, why in UNUSABLE.items() if isinstance(callback, kind)), None)
        if command == "fit":
            why = why or _why_not_fit(callback, model, logs)
        if why:
            raise UserError(f"{type(callback).__name__} {why}")
    stateful = [callback.state_key for callback in given if type(callback).state_dict is not Callback.state_dict]
    twice = next((key for key in stateful if stateful.count(key) > 1), None)
    if twice:
        raise UserError(
            f"there are two callbacks {twice}, whose states a checkpoint could not tell apart. Leave one out, or give "
            "it other settings (what it watches, or how often)."
        )


def _why_not_fit(callback: Callback, model: LightningModule, logs: bool) -> str | None:
    """Say why a callback cannot work with the training of this model, and what to do; None when it can."""
    name = type(model).__name__
    if isinstance(callback, NEED_A_LOG) and not logs:
        return "has no log to write to: leave it out, or else --trainer.logger=false or --trainer.barebones=true."
    if isinstance(callback, BackboneFinetuning) and not isinstance(getattr(model, "backbone", None), nn.Module):
        parts = ", ".join(part for part, _ in model.named_children())
        return f"needs a model with a part called `backbone`; {name} has {parts}. Leave it out."
    if isinstance(callback, Checkpoint) and _among_a_runs_own(callback):
        return (
            "would write among a run's own checkpoints, from which that run goes on. Leave dirpath out, or set it to "
            "another folder."
        )
    if model.automatic_optimization:
        return None
    if isinstance(callback, WeightAveraging):
        instead = "set --model.ema_decay=0.999" if "ema_decay" in model.hparams else "call start_average in the model"
        return (
            f"would average {name}'s discriminator too, and keep its counters as they were at first. Leave it out; for "
            f"an average of the generator {instead}."
        )
    if isinstance(callback, GradientAccumulationScheduler):
        works = hasattr(model, "accumulate_grad_batches")
        instead = "Set --trainer.accumulate_grad_batches, which works for it." if works else "Leave it out."
        return f"is for models that leave their steps to Lightning; {name} takes them itself. {instead}"
    if isinstance(callback, SpikeDetection):
        return (
            f"watches the one loss that a training step returns; {name} has several. Leave it out: the log says how D "
            "and G are doing, as often as --health.every_n_batches."
        )
    if isinstance(callback, ModelCheckpoint) and saves_by_the_clock(callback):
        # Lightning would pass over it without a word.
        return f"does not heed train_time_interval where a model takes its steps itself, as {name}: set every_n_epochs."
    return None


def _among_a_runs_own(callback: Checkpoint) -> bool:
    """Return whether a callback is to write where a run has its last.ckpt; a file name may lead out of its folder."""
    folder, name = getattr(callback, "dirpath", None), getattr(callback, "filename", None) or ""
    if folder is None:
        return os.path.normpath(name).startswith(("..", os.sep))
    places = {Path(os.path.realpath(place)) for place in (folder, os.path.dirname(os.path.join(folder, name)))}
    return any(place.name == "checkpoints" and (place.parent / "config.yaml").is_file() for place in places)


def prepare_callbacks(given: Sequence[Callback], folder: Path | None, model: LightningModule) -> list[Callback]:
    """Return the user's callbacks, ready for a run, with others before them where they need it.

    A ModelCheckpoint without a folder gets one within the run's, away from the run's own checkpoints; where nothing is
    written, there is no such folder.
    """
    placed = []
    for callback in given:
        monitor = getattr(callback, "monitor", None)
        if monitor and (name := current_name(monitor, model)) != monitor:
            callback.monitor = name  # type: ignore[attr-defined]  # it has one
            rank_zero_info(f"{type(callback).__name__} watches {name}, which was {monitor}")
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None and folder is not None:
            callback.dirpath = os.path.realpath(folder / OWN_CHECKPOINTS)
            rank_zero_info(f"{type(callback).__name__} writes to {callback.dirpath}")
        if isinstance(callback, ModelCheckpoint) and os.path.isabs(callback.dirpath or ""):  # and no address
            placed.append(callback)
        if isinstance(callback, SpikeDetection) and not hasattr(callback, "running"):
            callback.running = callback.running_mean  # type: ignore[attr-defined]  # Lightning 2.6 restores it by this
    watched = any(isinstance(callback, LearningRateMonitor) for callback in given)
    return [*[RatesOfThisStep()] * watched, *[OwnCheckpointsInPlace(placed)] * bool(placed), *given]


class OwnCheckpointsInPlace(Callback):
    """Have ModelCheckpoints of a run that goes on find their files in their folder, wherever that was moved to.

    Lightning would forget all that were in another folder. And it removes a file that a checkpoint names once it has a
    better one, which is not to be one outside of the folder.
    """

    def __init__(self, placed: Sequence[ModelCheckpoint]) -> None:
        self.placed = placed

    def on_load_checkpoint(self, trainer: Trainer, model: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = checkpoint["callbacks"]
        for callback in self.placed:
            if callback.state_key in states:
                states[callback.state_key] = _in_folder(states[callback.state_key], str(callback.dirpath))


def _in_folder(state: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the state of a ModelCheckpoint that now writes to `folder`, with those of its files that are there."""

    def place(path: str) -> str:
        name = os.path.relpath(path or ".", state["dirpath"])
        now = os.path.join(folder, name)
        return now if not name.startswith("..") and os.path.isfile(now) else ""

    best = {now: value for path, value in state["best_k_models"].items() if (now := place(path))}
    paths = {name: place(path) for name, path in state.items() if name.endswith("_model_path")}
    return {**state, **paths, "best_k_models": best, "dirpath": folder}


class RatesOfThisStep(Callback):
    """Set the learning rates before LearningRateMonitor reads them: a model's own hooks come after all callbacks."""

    def on_train_epoch_start(self, trainer: Trainer, model: Any) -> None:
        if trainer.fit_loop.total_batch_idx >= 0:  # a resumed run's optimizers begin at the full rates
            model.set_learning_rates(*trainer.optimizers)

    def on_train_batch_start(self, trainer: Trainer, model: Any, *_: Any) -> None:
        model.set_learning_rates(*trainer.optimizers)
