"""A run's `config.yaml`: how it is written, read, and told from other configs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from lit_gen.files.atomic import write_text

SETTINGS = "config.yaml"
NOT_OF_FIT = ("verbose", "return_predictions")
"""Lightning's settings that each of the other commands has one of, and `fit` has not."""


class SaveSettings(SaveConfigCallback):
    """Write `config.yaml` into the run's folder, whatever logs and wherever to.

    A training writes it when its first batch is about to begin: a checkpoint that does not fit leaves the run's file as
    it was. The file holds no ckpt_path then: whoever trains with it begins a new run.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | {"save_to_log_dir": False})

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        if stage != "fit":
            super().setup(trainer, model, stage)

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        super().setup(trainer, model, "fit")

    def save_config(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        settings = self.config.clone()
        settings.pop("name", None)  # a run has one that is its own
        if stage == "fit":
            settings.pop("ckpt_path", None)
        write_text(Path(trainer.default_root_dir) / SETTINGS, self.parser.dump(settings, skip_none=False))


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings in a run's `config.yaml` as plain types; {} where that is not there or cannot be read."""
    try:
        settings = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return settings if isinstance(settings, dict) else {}


def class_in(settings: Mapping[str, Any], part: str) -> str:
    """Return the name of the class that the settings of a run have as its model, or its data; '' without one."""
    named = settings.get(part) or ""
    return str(named.get("class_path", "") if isinstance(named, Mapping) else named).rpartition(".")[2]


def is_of_run(path: Path) -> bool:
    """Return whether a file holds the resolved settings of a run."""
    try:
        with path.open(encoding="utf-8") as file:
            return has_header(file.readline())
    except (OSError, ValueError):
        return False


def has_header(text: str) -> bool:
    """Return whether a config begins as Lightning heads the resolved settings of a run."""
    return re.match(r"# (pytorch_)?lightning[.\w]*==", text) is not None


def is_of_training(path: Path) -> bool:
    """Return whether a run's `config.yaml` was written by `fit`: the other commands have settings that it lacks."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return not re.search(rf"^({'|'.join(NOT_OF_FIT)}):", text, re.MULTILINE)
