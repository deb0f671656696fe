"""Lightning's own callbacks, loggers and profilers, as a user adds them: what cannot work here is said in one line."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch import callbacks, loggers, profilers
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
from lightning.pytorch.loggers import LitLogger, Logger
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.utilities import rank_zero_info
from lightning_utilities.core.enums import StrEnum
from torch import nn
from yaml import SafeDumper

from lit_gen.errors import UserError, nearest
from lit_gen.lightning_compat import saves_by_the_clock
from lit_gen.runs import OWN_CHECKPOINTS

# Timer's default interval is such an enumeration, and jsonargparse writes config.yaml with this class.
SafeDumper.add_multi_representer(StrEnum, lambda dumper, value: dumper.represent_str(value.value))

BASES = (Callback, Checkpoint, ProgressBar, BaseFinetuning, BasePredictionWriter, Logger, Profiler)
"""What does nothing, or only fails, until somebody writes a subclass."""
UNUSABLE = {
    LearningRateFinder: "trains before the run begins, at rates that the schedules of this project would set back in "
    "every step. Leave it out, and compare short runs: --model.learning_rate=1e-3 --trainer.max_steps=200.",
    BatchSizeFinder: "trains before the run begins, and what it finds would be in no config.yaml. Leave it out, and "
    "double --data.batch_size until --trainer.max_steps=3 ends for want of memory.",
    ModelPruning: "has settings that cannot be written to config.yaml, and its masks are in no checkpoint, so that the "
    "run could not go on. Leave it out, and prune the trained model with torch.nn.utils.prune.",
    StochasticWeightAveraging: "puts its average in place of the weights after the last checkpoint, so that no file "
    "would have it. EMAWeightAveraging averages an AutoEncoder, VAE or AAE, --model.ema_decay the generator of a GAN.",
}
"""What is of no use to any model of this project, and what to do instead."""
NEED_A_LOG = (DeviceStatsMonitor, LearningRateMonitor, ThroughputMonitor)
USEFUL = {
    "callbacks": [name for name in callbacks.__all__ if getattr(callbacks, name) not in (*BASES, *UNUSABLE)],
    # LitLogger is no Logger by its type, and Lightning's Trainer takes none but these.
    "logger": [name for name in loggers.__all__ if getattr(loggers, name) not in (*BASES, LitLogger)],
    "profiler": [name for name in profilers.__all__ if getattr(profilers, name) not in BASES],
}


# What a user types


def explain_choice(message: str) -> str | None:
    """jsonargparse's message about `--trainer.callbacks`, `.logger` or `.profiler` in words that say what to do."""
    place = re.search(r'Parser key "trainer\.(callbacks|logger|profiler)"', message)
    if not place:
        return None
    option, kind, known = f"--trainer.{place[1]}", place[1].removesuffix("s"), USEFUL[place[1]]
    if found := re.search(r"the following arguments are required: ([\w, ]+)", message):
        needed = found[1].split(", ")
        given = re.findall(r"class_path='[\w.]*?(\w+)', init_args=Namespace\(([^)]*)", message)
        name = next((name for name, settings in given if all(f"{one}=None" in settings for one in needed)), kind)
        return f"{name} needs {found[1]}: set {', '.join(f'{option}.{one}' for one in needed)}."
    if found := re.search(r'^( *)- Parser key "(\w+)":\n((?:\1 {2,}.*\n?)+)', message, re.MULTILINE):
        return f"{option}.{found[2]}{_what_is_wrong(found[3])}"
    if found := re.search(r"Option '([^']+)' is not accepted", message):
        return f"{option} has no setting {found[1]!r}. `fit {option}.help=<class>` lists those of a {kind}."
    if found := re.search(r"Problem with given class_path '([\w.]+)':\s+(.+?)\s+- ", message, re.DOTALL):
        return f"there is no {kind} {found[1]!r}: {found[2]}."
    names = r"import path string: ([\w.]+)|Import path ([\w.]+) does not|, but ([\w.]+) is abstract"
    names += r"|Given value: '?([\w.]+)'?$"
    if found := re.search(names, message, re.MULTILINE):
        path, others = next(filter(None, found.groups())), ", ".join(known)
        name = path.rsplit(".", 1)[-1]
        if hasattr({"callbacks": callbacks, "logger": loggers, "profiler": profilers}[place[1]], name):
            return f"Lightning's Trainer cannot use {name} as its {kind}. Known: {others}."
        hint = "" if "." in path else nearest(path, known)
        return f"there is no {kind} {path!r}.{hint} Known: {others}."
    return f"{option}{_what_is_wrong(message)}"


def _what_is_wrong(reasons: str) -> str:
    """With a value, by the indented lines that follow the name of its setting."""
    lines = re.findall(r"^ +- (.+)", reasons, re.MULTILINE) or [re.split(r"\. Got value", reasons.strip())[0]]
    told = [line for line in lines if not re.match(r"Expected an? |Does not|Not a valid|a (class|dict)", line)]
    if told:
        return f": {told[0]}."
    kinds = [
        re.sub(r"^Expected an? |<class '(.+?)'>|typing\.", r"\1", line) for line in lines if line[:8] == "Expected"
    ]
    value = re.search(r"(?:Got|Given) value: (.*)", reasons)
    kinds = " or ".join(kind for kind in kinds if kind != "NoneType")
    return f" must be of type {kinds}{f', not {value[1]}' if value else ''}."


# What cannot work


def check_callbacks(given: Sequence[Callback], model: LightningModule, subcommand: str, logs: bool) -> None:
    """To be called before anything is downloaded, written or trained.

    Args:
        given: the callbacks that the user added.
        model: what is to be trained or used.
        subcommand: `fit`, `validate`, `test` or `predict`.
        logs: whether there is a logger.

    Raises:
        UserError: one of them cannot work with this model or this command line.
    """
    for callback in given:
        why = "is a base class and does nothing by itself: name a subclass of it." if type(callback) in BASES else None
        if subcommand == "fit" or isinstance(callback, BatchSizeFinder):
            why = why or next((why for kind, why in UNUSABLE.items() if isinstance(callback, kind)), None)
        if subcommand == "fit":
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
    """Why a callback cannot work with the training of this model, and what to do; None when it can."""
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
    """Whether it is to write where a run has its last.ckpt; a file's name may lead out of its folder."""
    folder, name = getattr(callback, "dirpath", None), getattr(callback, "filename", None) or ""
    if folder is None:
        return os.path.normpath(name).startswith(("..", os.sep))
    places = {Path(os.path.realpath(place)) for place in (folder, os.path.dirname(os.path.join(folder, name)))}
    return any(place.name == "checkpoints" and (place.parent / "config.yaml").is_file() for place in places)


def prepare_callbacks(given: Sequence[Callback], folder: Path | None) -> list[Callback]:
    """The callbacks, ready for a run; with another one before them where they need it.

    A ModelCheckpoint without a folder gets one in the run's, where it takes none of the run's own files.

    Args:
        given: the callbacks that the user added.
        folder: the run's; None where nothing is written.
    """
    for callback in given:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None and folder is not None:
            callback.dirpath = os.path.realpath(folder / OWN_CHECKPOINTS)
            rank_zero_info(f"{type(callback).__name__} writes to {callback.dirpath}")
        if isinstance(callback, SpikeDetection) and not hasattr(callback, "running"):
            callback.running = callback.running_mean  # the name that Lightning 2.6 restores its state by
    watched = any(isinstance(callback, LearningRateMonitor) for callback in given)
    return [RatesOfThisStep(), *given] if watched else list(given)


class RatesOfThisStep(Callback):
    """Sets the learning rates before LearningRateMonitor reads them: a model's own hooks come after all callbacks."""

    def on_train_epoch_start(self, trainer: Trainer, model: LightningModule) -> None:
        if trainer.fit_loop.total_batch_idx >= 0:  # a resumed run's optimizers begin at the full rates
            model.set_learning_rates(*trainer.optimizers)

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        model.set_learning_rates(*trainer.optimizers)


# What goes wrong later


def explain_monitor(error: BaseException) -> UserError | None:
    """For the error of a callback that watches a value which nothing logs: which values there are."""
    message = str(error)
    early = re.search(r"conditioned on metric `(.+?)` which is not available.*following: `(.*)`", message, re.DOTALL)
    best = re.search(r"(\w+)\(monitor='(.+?)'\)` could not find the monitored key .*metrics: \[(.*?)\]", message)
    if early:
        name, value, known = "EarlyStopping", early[1], early[2].split("`, `")
    elif best:
        name, value, known = best[1], best[2], re.findall(r"'(.+?)'", best[3])
    else:
        return None
    return UserError(
        f"{name} watches {value!r}, which nothing logs.{nearest(value, known)} Set its monitor to one of: "
        f"{', '.join(known)}."
    )


def explain_error(error: BaseException) -> UserError | None:
    """An error that came up within one of Lightning's callbacks, loggers or profilers, as one line; None for others."""
    if isinstance(error, TrainingSpikeException):
        return UserError(
            f"SpikeDetection: {error}. Go on from a checkpoint before it with a lower --model.learning_rate, or leave "
            "SpikeDetection out."
        )
    # jsonargparse's, when a constructor raises.
    made = r"Problem with given class_path 'lightning\.[\w.]*?(\w+)':\s+(.+?)(?:\s+- |$)"
    if found := re.search(made, str(error), re.DOTALL):
        return UserError(f"{found[1]}: {found[2]}")
    if str(error).startswith("Does not validate against") and "lightning.pytorch." in str(error):
        said = re.findall(
            r"^ +- (?!Does not|Not a valid|Expected a|Problem with|a class path|a dict)(.+)$", str(error), re.M
        )
        name = re.findall(r"class_path='lightning\.[\w.]*?(\w+)'", str(error))
        if said and name:
            return UserError(f"{name[0]}: {said[0]}")
    culprit = _culprit(error.__traceback__)
    if culprit is None:
        return None
    if isinstance(error, ImportError):
        install = f" Try pip install {error.name}." if error.name and "pip install" not in str(error) else ""
        return UserError(f"{culprit}: {error}{install}")
    what = ": ".join(filter(None, (type(error).__name__, str(error).strip().rstrip("."))))
    return UserError(f"{culprit} does not work here ({what}). Leave it out, or set it otherwise.")


def _culprit(traceback: TracebackType | None) -> str | None:
    """The name of the callback, logger or profiler of Lightning's in whose code an error came up; None for others."""
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in reversed(frames):
        module, owner = frame.f_globals.get("__name__", ""), frame.f_locals.get("self")
        # What lies outside of libraries is this project or the user's own, where a traceback is of use.
        if not re.search(r"^<|[/\\](?:site-packages|dist-packages|python3\.\d+)[/\\]", frame.f_code.co_filename):
            return None
        if module.startswith("lightning.") and isinstance(owner, Callback | Logger | Profiler):
            return None if type(owner).__module__.startswith("lit_gen.") else type(owner).__name__
        if re.match(r"lit_gen\.|lightning\.pytorch\.(trainer|loops|strategies)\.", module):
            return None
    return None
