"""Loggers that a user chooses instead of W&B: they log into the run's folder, unless told where to."""

import inspect
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import Logger, WandbLogger

from lit_gen.loggers.wandb import wandb_id
from lit_gen.runs.processes import is_first_process

FOLDERS = ("save_dir", "root_dir")
"""The names that loggers have for the folder that they log into."""


def defer(class_type: type[Logger], *arguments: Any, **settings: Any) -> partial[Logger]:
    """Put off the building of a logger until the run's folder is known; for jsonargparse."""
    settings.pop("applied_instantiation_links", None)
    return partial(class_type, *arguments, **settings)


def add_missing_folders(settings: Namespace) -> None:
    """Set the folder of loggers that need one, and were given none, to "." for the run's."""
    loggers = settings.get("trainer.logger")
    for logger in loggers if isinstance(loggers, list) else [loggers]:
        if not isinstance(logger, Namespace) or "class_path" not in logger:
            continue
        for name, default in _folders(resolve_name(logger.class_path)).items():
            if default is inspect.Parameter.empty and logger.get(f"init_args.{name}") is None:
                logger[f"init_args.{name}"] = "."


def build(loggers: Any, folder: Path) -> list[Logger]:
    """Build the loggers that `defer` has put off: `trainer.logger`, one or several.

    Loggers that were given no folder log in the run's, a relative default lies below it, and "." is that folder itself.
    A WandbLogger without an id gets the run's, so that a resumed run goes on with its page.
    """
    built = []
    for logger in loggers if isinstance(loggers, Iterable) else [loggers]:
        if isinstance(logger, partial):
            kind: Any = logger.func
            settings = dict(logger.keywords)
            for name, default in _folders(kind).items():
                value = settings.get(name, default)
                if value is None or os.fspath(value) in (".", default):
                    settings[name] = os.path.normpath(folder / (value or ""))
            named = settings.get("id") or settings.get("version")
            if issubclass(kind, WandbLogger) and not named and is_first_process():
                settings["id"] = wandb_id(folder)
            logger = kind(*logger.args, **settings)
        built.append(logger)
    return built


def _folders(class_type: type) -> dict[str, Any]:
    """Return the parameters of a logger for its folder, with their defaults."""
    parameters = inspect.signature(class_type).parameters
    return {name: parameters[name].default for name in FOLDERS if name in parameters}
