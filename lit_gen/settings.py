"""What a setting may be, by its name; and what differs between the settings of two runs, for people to read."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lit_gen.errors import UserError

LONGEST = 40  # characters of a value
BATCHES = r"limit_\w+_batches|overfit_batches|val_check_interval"  # a number of batches or a part

Limit = tuple[str, Callable[[float], bool], str]
LIMITS: list[Limit] = [
    (r"betas|momentum|ema_decay|.*_dropout", lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (
        r"n_critic|recognition_features|.*(_dim|channels|_sizes|_base|_group|_interval)",
        lambda value: value >= 1,
        "at least 1",
    ),
    (
        r"beta|num_workers|pool_size|hidden_features|.*(_blocks|_pieces|_codes|_halvings|_kimg|_rate|_scale|_deviation|_weight)",
        lambda value: 0 <= value < math.inf,
        "finite and not negative",
    ),
]
"""Names, which values are allowed, and that in words. A model checks by itself what its other settings make impossible.

A setting of several numbers, such as the sizes of layers, has the limit for each."""


def check_settings(part: str, settings: Mapping[str, Any]) -> None:
    """Looks at numbers before anything is built from them.

    Args:
        part: model or data.
        settings: by name.

    Raises:
        UserError: a number is one that no setting of that name can be.
    """
    for name, value in settings.items():
        allowed, words = next((rest for names, *rest in LIMITS if re.fullmatch(names, name)), (None, None))
        if allowed and not all(allowed(number) for number in _numbers(value)):
            raise UserError(f"{name} must be {words}, not {_short(value)}. Set --{part}.{name}.")


def check_amounts(command: str, trainer: Mapping[str, Any]) -> None:
    """Raises a `UserError` if the Trainer is told to do nothing.

    Args:
        command: fit, validate, test or predict.
        trainer: its settings by name.
    """
    if trainer.get("fast_dev_run"):
        return  # some batches, whatever else is said
    names = {"fit": ["limit_train_batches", "max_epochs", "max_steps"], "validate": ["limit_val_batches"]}
    for name in names.get(command, [f"limit_{command}_batches"]):
        overruled = name in ("limit_train_batches", "limit_val_batches") and trainer.get("overfit_batches")
        value = trainer.get(name)
        if value is not None and value == 0 and not overruled:
            raise UserError(f"trainer.{name} is {value}: {command} would do nothing. Leave it out, or set it higher.")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, int | float):
            yield item


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`name old -> new` for each name that both have with different values."""
    return [
        f"{prefix}{name} {_short(old[name])} -> {_short(value)}"
        for name, value in new.items()
        if name in old and _plain(old[name], name) != _plain(value, name)
    ]


def changes_of_run(folder: Path, new: Mapping[str, Any]) -> list[str] | None:
    """What of model, data and trainer differs from the `config.yaml` of a run; None where that cannot be read.

    Nothing is said of settings that one of the two does not know, nor of those of another class.

    Args:
        folder: the run's.
        new: the resolved settings.
    """
    try:
        old = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        changes = []
        for part in ("model", "data"):
            changes += differences(old[part], {"class_path": new[part]["class_path"]}, f"{part}.")
            if old[part]["class_path"] == new[part]["class_path"]:
                changes += differences(old[part]["init_args"], new[part]["init_args"], f"{part}.")
        trainer = {name: value for name, value in new["trainer"].items() if name != "default_root_dir"}
        return changes + differences(old["trainer"], trainer, "trainer.")
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):  # not there, or changed by hand
        return None


def changes_of_model(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Which hyperparameters of a model, and what of its data's `spec`, differ from those in a checkpoint."""
    if differences(old, {"_class_path": new.get("_class_path", old.get("_class_path"))}):
        return [f"model {old['_class_path']} -> {new['_class_path']}"]
    spec = differences(old.get("spec", {}), new.get("spec", {}), "data.spec.")
    return spec + differences({**old, "spec": None}, {**new, "spec": None}, "model.")


def _plain(value: Any, name: str = "") -> Any:
    """Equal for two values that mean the same, and for these only."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if name == "devices":
        return str(value)
    # 1 is one batch, 1.0 all of them; no other number means two things.
    return repr(value) if value == 1 and re.fullmatch(BATCHES, name) else value


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
