"""What differs between the settings of two runs, for people to read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

LONGEST = 40  # characters of a value


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`name old -> new` for each name that both have with different values."""
    return [
        f"{prefix}{name} {_short(old[name])} -> {_short(value)}"
        for name, value in new.items()
        if name in old and _plain(old[name]) != _plain(value)
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


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
