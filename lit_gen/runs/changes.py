"""What differs between the settings of two runs, in words."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

LONGEST = 40  # characters of a value
COMPARED = ("model", "data", "trainer")
BATCHES = r"limit_\w+_batches|overfit_batches|val_check_interval"  # a number of batches or a part


class Change(NamedTuple):
    """A setting that two runs have with different values, and these in a few words."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name} {self.old} -> {self.new}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """Return a change for each name that both have with different values."""
    found = []
    for name, value in new.items():
        if name not in old or _plain(old[name], name) == _plain(value, name):
            continue
        before, kinds = old[name], [_class_of(old[name]), _class_of(value)]
        if kinds[0] and kinds[0] == kinds[1]:
            found += differences(before.get("init_args") or {}, value.get("init_args") or {}, f"{prefix}{name}.")
        else:
            found.append(Change(f"{prefix}{name}", kinds[0] or _short(before), kinds[1] or _short(value)))
    return found


def _class_of(value: Any) -> str | None:
    """Return the name of the class that a setting names, if it does."""
    return str(value["class_path"]).rpartition(".")[2] if isinstance(value, Mapping) and "class_path" in value else None


def changes_of_run(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change] | None:
    """Return what differs between the resolved settings of two trainings; None where the old ones were not readable.

    Settings that only one of the two knows are left out, as are those of another class.
    """
    try:
        changes = []
        for part in ("model", "data"):
            if _same_class(old[part]["class_path"], new[part]["class_path"]):
                changes += differences(old[part]["init_args"], new[part]["init_args"], f"{part}.")
            else:
                changes += differences(old[part], {"class_path": new[part]["class_path"]}, f"{part}.")
        trainer = {name: value for name, value in new["trainer"].items() if name != "default_root_dir"}
        return changes + differences(old["trainer"], trainer, "trainer.")
    except (KeyError, TypeError, AttributeError):  # not there, or changed by hand
        return None


def changes_from_base(base: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return what differs between the resolved settings of a training and those of its base config alone.

    Beside what `changes_of_run` compares these are the settings of all other groups, and the seed.
    """
    changes = changes_of_run(base, new) or []
    for name, settings in new.items():
        if isinstance(settings, Mapping) and name not in COMPARED:
            changes += differences(base.get(name) or {}, settings, f"{name}.")
    return changes + differences(base, {"seed_everything": new.get("seed_everything")})


def changes_of_model(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return which hyperparameters of a model, and what of its data's `spec`, differ from those in a checkpoint."""
    before, now = (str(settings.get("_class_path", "")) for settings in (old, new))
    if before and now and not _same_class(before, now):
        return [Change("model", before, now)]
    old, new = ({**settings, "_class_path": None} for settings in (old, new))
    spec = differences(old.get("spec", {}), new.get("spec", {}), "data.spec.")
    return spec + differences({**old, "spec": None}, {**new, "spec": None}, "model.")


def _same_class(one: str, other: str) -> bool:
    """Return whether two import paths are of one class, which a package may also export at its top."""
    return one == other or all(one.split(".")[place] == other.split(".")[place] for place in (0, -1))


def _plain(value: Any, name: str = "") -> Any:
    """Return something that is equal for two values that mean the same, and for these only."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if name == "devices":
        return str(value)
    # 1 is one batch, 1.0 all of them; no other number means two things.
    return repr(value) if value == 1 and re.fullmatch(BATCHES, name) else value


def _short(value: Any) -> str:
    """Return a value in one line of at most 40 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
