"""The callbacks that each command brings."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import Namespace
from lightning import Callback
from lightning.pytorch.callbacks import ProgressBar

from lit_gen.callbacks.best import BestCheckpoint
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.predictions import Command, PredictionWriter
from lit_gen.callbacks.progress import TrainingBar, TrainingSpeed
from lit_gen.callbacks.rehearsal import Rehearsal
from lit_gen.callbacks.run_report import RunReport
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.callbacks.timing import TrainingTime
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.base import GenerativeModule
from lit_gen.runs.commands import RunCommand, line_of
from lit_gen.tasks.pictures import base_seed, switch


def callbacks_of_run(
    command: str,
    settings: Namespace,
    model: GenerativeModule,
    folder: Path | None,
    given: Sequence[Callback] = (),
    predictions: PredictionWriter | None = None,
    line: RunCommand | None = None,
) -> list[Callback]:
    """Return the project's callbacks for a command (fit, validate, test or predict) by its settings.

    `folder` is the run's, None where nothing is written; `given` are the user's callbacks, `predictions` writes the
    images of `predict`, and `line` goes to the run's report.
    """
    report = [] if folder is None else [RunReport(folder, line)]
    bar = settings.trainer.enable_progress_bar is not False and not settings.trainer.barebones
    # First, so that the bar has ended its line when the others say what they did.
    bars = [TrainingBar()] if bar and not any(isinstance(callback, ProgressBar) for callback in given) else []
    if command == "test":
        return [*bars, Evaluation(folder, **settings.evaluation.as_dict()), *report]
    if command == "validate":
        return [*bars, Evaluation(), *report]
    if settings.trainer.fast_dev_run:
        return [Rehearsal(), *bars] if command == "fit" else []
    if command == "predict":
        return [] if predictions is None else [*bars, predictions, *report]
    if folder is None:
        return []
    grids = settings.samples.as_dict() | {"all_to_wandb": settings.wandb.images == "all"}
    callbacks: list[Callback] = [*bars, TrainingSpeed(), Evaluation(), SampleGrids(folder / "samples", **grids)]
    if isinstance(model, AdversarialModule):
        callbacks.append(Health(**settings.health.as_dict()))
    if settings.trainer.enable_checkpointing is not False:
        checkpoints = folder / "checkpoints"
        if (monitor := model.task.monitored(model)) is not None:
            # First, so that last.ckpt holds the best value so far.
            minutes = settings.checkpoints.every_n_minutes
            callbacks.append(BestCheckpoint(checkpoints, monitor, minutes))
        callbacks.append(RunCheckpoints(checkpoints, **settings.checkpoints.as_dict()))
        callbacks.append(TrainingTime(folder))
    return callbacks + report


def prediction_writer(
    words: Sequence[str], options: dict[str, str], settings: Namespace, folder: Path | None
) -> PredictionWriter:
    """Return what writes the images of a `predict`: into `--output`, or below its run's `folder`.

    `words` are the command's; `options` and `settings` are what was typed of its own options, and all others.
    """
    output = Path(options["output"]) if "output" in options else (folder or Path()) / "predictions"
    command = Command(line_of(words), options, base_seed(options), settings.ckpt_path)
    return PredictionWriter(output, command, switch(options, "overwrite"), settings.wandb.images == "all")
