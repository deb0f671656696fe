"""The building of a model from its checkpoint, which names classes of this project only."""

import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

from torch import Tensor

from lit_gen.errors import UserError, nearest
from lit_gen.import_paths import import_path
from lit_gen.layers.coders import Decoder, Encoder, network, network_class
from lit_gen.lightning_compat import where_saved
from lit_gen.old_versions.configs import translate_networks
from lit_gen.runs.checkpoint_files import read_checkpoint


def model_of_checkpoint(
    kind: type, path: str | os.PathLike, map_location: Any, strict: bool | None, given: Mapping[str, Any]
) -> Any:
    """Return the model of a checkpoint; its class is `kind`, whatever the checkpoint says of that.

    Args:
        kind: class of the model.
        path: file of this version or an older one.
        map_location: as for `torch.load`; None for the device that the tensors were saved from, if it is there.
        strict: whether the weights must be those of this model and all of them; None for what the model says.
        given: settings that replace the checkpoint's.

    Raises:
        UserError: the file is no checkpoint, or not of this model; or it names a network of another package.
    """
    checkpoint = read_checkpoint(path, map_location or where_saved)
    model = kind(**settings_of_now(checkpoint, kind, given))
    model.on_load_checkpoint(checkpoint)
    weights = checkpoint["state_dict"]
    model.load_state_dict(weights, strict=model.strict_loading if strict is None else strict)
    return model.to(next((value.device for value in weights.values() if isinstance(value, Tensor)), model.device))


def class_of_checkpoint(checkpoint: Mapping[str, Any], path: str) -> type:
    """Return the class of the model that a checkpoint is of.

    Raises:
        UserError: it does not say, or names a class that is not of this project.
    """
    named = next(_classes_of(checkpoint), None)
    if named is None:
        raise UserError(f"{path} does not say which model it is of: add --config configs/<system>.yaml.")
    module, _, name = named.rpartition(".")
    if not re.fullmatch(r"lit_gen\.models(\.\w+)?", module):
        raise UserError(
            f"{path} is of {named}, a class of your own, which a checkpoint cannot bring: name it, by --model={named}, "
            f"or in Python by lit_gen.load(path, model={name})."
        )
    models = import_module("lit_gen.models")
    kind = getattr(models, name, None)
    if name not in models.__all__ or not isinstance(kind, type):
        raise UserError(f"{path} is of {named}, which lit_gen does not have.")
    return kind


def class_named(named: str | None) -> type | None:
    """Return the class of the model that a command names; None where it leaves that to the checkpoint."""
    if named is None:
        return None
    module, _, name = named.rpartition(".")
    try:
        return getattr(import_module(module or "lit_gen.models"), name)
    except (ImportError, AttributeError):
        models = import_module("lit_gen.models").__all__
        raise UserError(f"there is no model {named}.{nearest(named, models)}") from None


def is_of(checkpoint: Mapping[str, Any], kind: type) -> bool:
    """Return whether a checkpoint names this class."""
    return import_path(kind) in _classes_of(checkpoint)


def _classes_of(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a checkpoint calls its model's class: as it was asked for, perhaps, and where it is defined."""
    named = checkpoint.get("hyper_parameters", {}).get("_class_path"), checkpoint.get("classes", {}).get("model")
    return (str(name) for name in named if name)


def settings_of_now(checkpoint: Mapping[str, Any], kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments to build the model of a checkpoint with, as they are called now.

    Args:
        checkpoint: of any version.
        kind: class of the model; settings that it does not take are left out.
        given: settings that replace the checkpoint's.

    Raises:
        UserError: a network is of another package; only who loads the checkpoint may name such a class.
    """
    settings = dict(checkpoint.get("hyper_parameters", {}))
    translate_networks(settings)
    parameters = inspect.signature(kind).parameters
    takes_others = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    taken = parameters.keys() | {name for name in settings if takes_others and not name.startswith("_")}
    given = {name: _with_settings_of(settings.get(name), value) for name, value in given.items()}
    settings = {name: value for name, value in settings.items() if name in taken - given.keys()}
    for name, value in settings.items():
        for path in _classes_in(value):
            if not path.startswith("lit_gen."):
                raise UserError(
                    f"the checkpoint's {name} is {path}, not of lit_gen. "
                    f"Name it yourself: by --config=<run>/config.yaml, or in Python by {name}=<class>."
                )
            if not issubclass(network_class(path), Encoder | Decoder):
                raise UserError(f"the checkpoint's {name} is {path}, which is no encoder or decoder.")
    return settings | given


def _with_settings_of(stored: Any, given: Any) -> Any:
    """Return a network that is given as a class with the settings that the checkpoint has for that class."""
    if isinstance(given, type) and isinstance(stored, Mapping):
        if stored.get("class_path") == network(given)["class_path"]:
            return partial(given, **stored.get("init_args", {}))
    return given


def _classes_in(value: Any) -> Iterator[str]:
    """Yield the classes that a setting names, however deep within it."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            yield str(value["class_path"])
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Tensor):
        for part in value:
            yield from _classes_in(part)
