"""What logs a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger

from lit_gen.errors import UserError
from lit_gen.loggers import of_user
from lit_gen.loggers.metrics_file import AppendingCSVLogger
from lit_gen.loggers.tensorboard import RunTensorBoard, check_tensorboard
from lit_gen.loggers.wandb import WandbOptions, check_wandb, is_on_wandb, wandb_logger
from lit_gen.runs.processes import is_first_process


@dataclass
class LogOptions:
    """What keeps the log of a run.

    Args:
        logger: what keeps the log beside `metrics.csv`: `wandb` (the default), `tensorboard`, or `csv` for nothing
            else; false for no log at all. Loggers of your own go to `--trainer.logger`.
    """

    logger: Literal["wandb", "tensorboard", "csv"] | bool | None = None


def check_loggers(
    logger: str | bool | None, own: Any, options: WandbOptions, command: str, training: Path | None
) -> None:
    """Check what is to log a command before anything is made; for the arguments see `loggers_of_run`.

    `own` is the value of `trainer.logger`.

    Raises:
        UserError: two settings say different things, a package is missing, or W&B cannot log as it is told to.
    """
    if logger not in (None, True) and own not in (None, True):
        raise UserError(
            f"--logger={logger} and --trainer.logger both say what keeps the log. Leave one out, or set it to null."
        )
    kinds = [getattr(one, "class_path", "") or "" for one in (own if isinstance(own, list) else [own])]
    if command != "predict" and (logger == "tensorboard" or any(kind.endswith(".TensorBoardLogger") for kind in kinds)):
        check_tensorboard()
    if command != "predict" or is_on_wandb(training):
        check_wandb(options, own if logger in (None, True, "wandb") else logger)


def loggers_of_run(
    given: Any,
    folder: Path | None,
    command: str,
    config: dict[str, Any],
    options: WandbOptions,
    logger: str | bool | None = None,
    training: Path | None = None,
) -> bool | Logger | list[Logger]:
    """Return the loggers for the Trainer: `metrics.csv`, and W&B or what the user chose instead of it.

    Args:
        given: the value of `trainer.logger`, which is not False.
        folder: the folder to log in; None where nothing is written.
        command: fit, validate, test or predict. A prediction has one value and one grid to log, and only on W&B, where
            its training is there too.
        config: the resolved settings.
        options: those for W&B.
        logger: the setting of that name.
        training: as for `wandb_logger`.
    """
    if logger is False:
        return False
    if folder is None:
        return DummyLogger()  # Lightning's own choice would write
    first = is_first_process()  # the others log nothing, and may not yet see the folder
    logs = first and command != "predict"
    own: list[Logger] = [AppendingCSVLogger(folder)] if logs else []
    if given not in (None, True):
        return own + of_user.build(given, folder)
    if logs and logger == "tensorboard":
        own.append(RunTensorBoard(folder, config))
    elif first and logger in (None, True, "wandb") and (logs or is_on_wandb(training)):
        wandb = wandb_logger(folder, config, options, command, training)
        own += [] if wandb is None else [wandb]
    return own or DummyLogger()  # callbacks that need a logger would refuse to work without any
