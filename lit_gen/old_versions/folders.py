"""Run folders of older versions, which were called by the model: `vae` for configs/vae_residual.yaml, too."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_gen.old_versions.configs import translate_networks
from lit_gen.runs.settings import read_settings

SIZES = re.compile(
    r"(_|^)(dim|channels|sizes|features|layers|blocks|categories|categorical|continuous|pieces|attributes|base)(_|$)"
)
"""Names of settings that a network's shapes depend on."""


def runs_of_then(parent: Path, class_path: str, settings: Mapping[str, Any], name: str) -> list[Path]:
    """Return the runs of a model by older versions that have a checkpoint called `name` and the same networks.

    `parent` is the folder that holds the system's runs now; class and settings are the model's.
    """
    older = parent.with_name(class_path.rpartition(".")[2].lower())
    if older == parent:
        return []
    runs = [path.parents[1] for path in older.glob(f"*/checkpoints/{name}.ckpt")]
    return [run for run in runs if _has_networks(run, class_path, settings)]


def _has_networks(run: Path, class_path: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a run trained networks of these classes and sizes, as its `config.yaml` says."""
    stored = read_settings(run)
    model = stored.get("model")
    if "system" in stored or not isinstance(model, dict) or model.get("class_path") != class_path:
        return False
    translate_networks(model)
    return _same(model.get("init_args", {}), settings)


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether two mappings agree in the networks and sizes that both name."""
    for name in old.keys() & new.keys():
        before, after = old[name], new[name]
        if isinstance(before, Mapping) and isinstance(after, Mapping) and "class_path" in after:
            if before.get("class_path") != after["class_path"]:
                return False
            if not _same(before.get("init_args") or {}, after.get("init_args") or {}):
                return False
        elif SIZES.search(name) and _plain(before) != _plain(after):
            return False
    return True


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
