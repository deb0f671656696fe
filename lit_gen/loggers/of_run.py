"""What logs a run."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger

from lit_gen.loggers import of_user
from lit_gen.loggers.metrics_file import AppendingCSVLogger
from lit_gen.loggers.wandb import WandbOptions, wandb_logger
from lit_gen.runs.processes import is_first_process


def loggers_of_run(
    given: Any, folder: Path | None, command: str, config: dict[str, Any], options: WandbOptions
) -> bool | Logger | list[Logger]:
    """Return the loggers for the Trainer: `metrics.csv`, and W&B or what the user chose instead of it.

    Args:
        given: the value of `trainer.logger`, which is not False.
        folder: the run's folder; None where nothing is written.
        command: fit, validate, test or predict.
        config: the resolved settings.
        options: those for W&B.
    """
    if folder is None:
        return given and True  # for fast_dev_run Lightning has a logger that does nothing
    first = is_first_process()  # the others log nothing, and may not yet see the folder
    logs = first and command != "predict"  # a prediction has nothing to log
    own: list[Logger] = [AppendingCSVLogger(folder)] if logs else []
    if given not in (None, True):
        return own + of_user.build(given, folder)
    if not own:
        return DummyLogger()  # callbacks that need a logger would refuse to work without any
    wandb = wandb_logger(folder, config, options)
    return own if wandb is None else [*own, wandb]
