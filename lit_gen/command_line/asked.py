"""What a command leaves to the checkpoint: its model and data; and the options of `predict`, which its task reads."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from lightning import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info

import lit_gen.data
import lit_gen.models
from lit_gen.callbacks.predictions import check_output
from lit_gen.command_line.sources import GENERAL_OPTIONS, options_of_predict, settings_of
from lit_gen.command_line.words import kinds_named, options_of, root_of, settings_named
from lit_gen.errors import UserError
from lit_gen.import_paths import import_path
from lit_gen.models.of_checkpoint import class_named, class_of_checkpoint, is_of, settings_of_now
from lit_gen.old_versions.configs import translate
from lit_gen.runs import folders, processes
from lit_gen.runs.checkpoint_files import read_checkpoint
from lit_gen.runs.names import ROOT
from lit_gen.runs.settings import read_settings
from lit_gen.tasks.pictures import Pictures, base_seed, switch

SWITCHES = ("overwrite", "interpolate", "plane")
NOT_SAID = {"spec": {"image_shape": [1, 4, 4], "num_classes": 0, "attributes": []}}  # until the checkpoint is read
PICTURES = import_path(Pictures)


class Asked(NamedTuple):
    """The options of a `predict` by name, as typed; and whether a config or the command line named data.

    `checkpoint` is the content of the command's, where it was read for the model that it is of.
    """

    options: dict[str, str]
    names_data: bool = False
    types_data: bool = False
    checkpoint: Mapping[str, Any] | None = None

    @property
    def of_task(self) -> dict[str, str]:
        """Return those that are not for all tasks."""
        return {name: value for name, value in self.options.items() if name not in GENERAL_OPTIONS}


def take_options(words: Sequence[str]) -> tuple[Asked, list[str]]:
    """Return the options of `predict` among its words, and the words without them.

    Raises:
        UserError: one has no value, or stands there twice.
    """
    known, options, others = options_of_predict(), dict[str, str](), []
    rest: Iterator[str] = iter(words)
    for word in rest:
        typed, equals, value = word.partition("=")
        name = typed.removeprefix("--")
        if not typed.startswith("--") or name not in known:
            others.append(word)
            continue
        if name in options:
            raise UserError(f"--{name} stands there twice.")
        if not equals and name not in SWITCHES:
            value = next(rest, "--")
            if value.startswith("--"):
                raise UserError(f"--{name} needs a value: --{name}=<value>.")
        options[name] = value or ("true" if name in SWITCHES else "")
    return Asked(options, types_data=any(option.part == "data" for option in options_of(others))), others


def complete(words: Sequence[str]) -> tuple[Asked, list[str]]:
    """Return what a `predict` asks for, and a command's words with the model and data of its checkpoint before them.

    Words that name data stay as they are, and so do configs; settings overrule those of the checkpoint. Data whose size
    of images or number of channels they leave open have the checkpoint's. A model of one's own, which no checkpoint
    brings, has the checkpoint's settings where the words name its class.

    Raises:
        UserError: there is no such checkpoint; it does not say what it is of, or names a class of another package.
    """
    command, asked = words[0] if words else "", Asked({})
    words = list(words)
    if command not in ("validate", "test", "predict") or any(re.match(r"--(\w+\.)?help\b", word) for word in words):
        return asked, words
    if command == "predict":
        asked, words = take_options(words)
        if "seed" in asked.options and asked.options["seed"].isdecimal():
            words.append(f"--seed_everything={asked.options['seed']}")
    kinds = kinds_named(words)
    asked = asked._replace(names_data=kinds["data"] is not None)
    typed = {option.name: option.value for option in options_of(words) if option.value is not None}
    before: list[str] = []
    data: Mapping[str, Any] | None = None
    found = _of_the_model(command, words, kinds, typed)
    if found is not None:
        path, checkpoint, kind = found
        asked = asked._replace(checkpoint=checkpoint)
        settings = settings_of_now(checkpoint, kind, {})
        settings.pop("spec", None)
        before.append(_word("model", import_path(kind), settings))
        words.append(f"--ckpt_path={path}")
        folder = folders.run_of(path)
        if folder is not None and (system := read_settings(folder).get("system")):
            before.append(f"--system={system}")
            root = folder.absolute().parent.parent
            unsaid = root_of(words) == Path(ROOT) and root.resolve() != Path(ROOT).resolve()
            if command == "test" and unsaid and folder.absolute().parent.name == system and os.access(root, os.W_OK):
                before.append(f"--trainer.default_root_dir={root}")  # beside the training, whose report looks there
        data = data_of_checkpoint(checkpoint, path)
        if command == "predict" and not asked.types_data:  # which may be no longer there
            data = None
        elif data is not None and kinds["data"] is None:
            before.append(_word("data", data["class_path"], data["init_args"]))
            own = ", ".join(f"{name} {value}" for name, value in data["init_args"].items() if value is not None)
            rank_zero_info(f"data as the checkpoint says: {data['class_path'].rpartition('.')[2]} ({own})")
        if kinds["data"] is not None and (shape := _shape_of_images(checkpoint, kinds["data"], words)):
            words += shape
            rank_zero_info(f"images as the checkpoint says: {' '.join(shape)}")
    if kinds["data"] is None and data is None:
        if command == "predict":
            before.append(_word("data", PICTURES, NOT_SAID))
        elif before:
            named = (asked.checkpoint or {}).get("classes", {}).get("data")
            unknown = f"does not say which data {command} is to read: add --data=<class>."
            own = f"is of data of your own, whose settings it does not bring: add --data={named}, and its settings."
            raise UserError(f"{typed['ckpt_path']} {unknown if named is None else own}")
    return asked, [command, *before, *words[1:]]


def _of_the_model(
    command: str, words: Sequence[str], kinds: Mapping[str, str | None], typed: Mapping[str, str]
) -> tuple[str, Mapping[str, Any], type] | None:
    """Return path and content of the checkpoint that says how to build a command's model, and the model's class.

    None where the words say all of the model: by a config, or by a class of this project or another than the
    checkpoint's.
    """
    model = kinds["model"]
    if model is not None:
        is_own = "." in model and not model.startswith("lit_gen.")
        if not is_own or not typed.get("ckpt_path") or any(option.name == "config" for option in options_of(words)):
            return None
    told = processes.told()
    named = (typed.get("ckpt_path") or None) if told is None else told[1]
    system = typed.get("system")
    parent = root_of(words) / (system or "")
    path = str(folders.find_checkpoint(named, parent, command, class_path=None if system else model))
    checkpoint = read_checkpoint(path, mmap=True)
    kind = class_named(model) or class_of_checkpoint(checkpoint, path)
    if model is None or is_of(checkpoint, kind):
        return path, checkpoint, kind
    if command != "predict" and kinds["data"] is None:
        of = checkpoint.get("classes", {}).get("model", "another class")
        raise UserError(f"{path} is of {of}, not of {model}: name that class, or add --data=<class> all the same.")
    return None


def _word(part: str, class_path: str, settings: Mapping[str, Any]) -> str:
    return f"--{part}={json.dumps({'class_path': class_path, 'init_args': settings})}"


def _shape_of_images(checkpoint: Mapping[str, Any], data: str, words: Sequence[str]) -> list[str]:
    """Return words that set the data's size and channels to those of the checkpoint's images, unless words say them.

    Raises:
        UserError: the data's images have always another number of channels.
    """
    shape = checkpoint.get("hyper_parameters", {}).get("spec", {}).get("image_shape")
    if shape is None:
        return []
    values = {"image_size": shape[-1], "channels": shape[0]}
    settings = set(settings_of("data", data) or ())
    if settings and "channels" not in settings:
        name = data.rpartition(".")[2]
        given = getattr(lit_gen.data, name).channels
        if given != shape[0]:
            raise UserError(
                f"the checkpoint is of images of {shape[0]} channel{'s' * (shape[0] != 1)}, and those of {name} have "
                f"{given}. Name other data; ImageFolder and ImageTable bring your files to 1 (grey) or 3 (RGB)."
            )
    free = settings - settings_named(words, "data")
    return [f"--data.{name}={value}" for name, value in values.items() if name in free]


def data_of_checkpoint(checkpoint: Mapping[str, Any], path: str) -> dict[str, Any] | None:
    """Return class and settings of the data that a checkpoint is of, as a config has them; None if it does not say.

    A checkpoint of an older version may lie in its run's folder, whose `config.yaml` says it.

    Raises:
        UserError: they are of another package.
    """
    settings = checkpoint.get("datamodule_hyper_parameters")
    named = checkpoint.get("classes", {}).get("data")
    if not isinstance(settings, Mapping) or named is None:
        folder = folders.run_of(path)
        of_run = {} if folder is None else read_settings(folder)
        translate(of_run, "")
        data = of_run.get("data")
        if not isinstance(data, dict) or not {"class_path", "init_args"} <= data.keys():
            return None
        named, settings = str(data["class_path"]), data["init_args"]
    module, _, name = str(named).rpartition(".")
    if not re.fullmatch(r"lit_gen\.data(\.\w+)?", module):
        return None  # who names it on the command line may use it
    kind = getattr(lit_gen.data, name, None)
    if not (isinstance(kind, type) and issubclass(kind, LightningDataModule)):
        raise UserError(f"{path} names data {named}, which lit_gen does not have.")
    class_path = f"lit_gen.data.{name}"
    # A data module of images stores the arguments of its base class too, some of which it does not take.
    taken = settings_of("data", class_path) or set()
    return {"class_path": class_path, "init_args": {name: settings[name] for name in settings if name in taken}}


def prepare_pictures(settings: Any, asked: Asked) -> bool:
    """Return whether `predict` makes its pictures without a data module, and put them in its place in the settings.

    Raises:
        UserError: the model's task does not know an option, or needs something.
    """
    kind = resolve_name(settings.model.class_path)
    name, task = kind.__name__, kind.task
    own = task.all_options() if task.plans() else {}
    if unknown := [option for option in asked.of_task if option not in own]:
        known = ", ".join(f"--{option}" for option in [*own, *GENERAL_OPTIONS])
        raise UserError(f"predict with {name} has no --{unknown[0]}. It has {known}.")
    for option in SWITCHES:
        switch(asked.options, option)
    base_seed(asked.options)
    if "output" in asked.options and processes.is_first_process():
        folder = Path(asked.options["output"]).expanduser()
        check_output(folder, switch(asked.options, "overwrite"), "the images that predict has written there")
    if asked.options.keys() & {"output", "overwrite"} == {"overwrite"}:
        raise UserError("--overwrite is for the folder that --output names.")
    unsaid = settings.data.class_path == PICTURES
    alone = task.predicts_from == "noise" or (task.predicts_from == "either" and not asked.names_data)
    if not asked.of_task and (asked.types_data or not alone or not task.plans()):
        if unsaid:
            own = {option: text for option, text in own.items() if option in ("images", "patches", "prompts")}
            options = " or ".join(f"--{option}=<{text.partition(':')[0]}>" for option, text in own.items())
            raise UserError(f"what is {name} to make images of? Give {options or '--data=<class>'}.")
        return False
    if asked.types_data:
        rank_zero_info(f"--data is left out: --{next(iter(asked.of_task))} says what to make images of")
    checkpoint = asked.checkpoint or read_checkpoint(settings.ckpt_path, mmap=True)
    spec = checkpoint.get("hyper_parameters", {}).get("spec")
    if spec is None:
        raise UserError(f"{settings.ckpt_path} does not say what its data look like: add --data=<class>.")
    settings.data = type(settings)(class_path=PICTURES, init_args=type(settings)(spec=dict(spec)))
    return True
