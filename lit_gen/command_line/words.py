"""The words of a command, looked at before the parser sees them.

Each config file is read in the order in which the words stand: a setting of the model, or of the data, needs a class
that was named before it.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lit_gen.command_line.config_files import GROUPS, check_group, inline, read_config
from lit_gen.command_line.help import COMMANDS
from lit_gen.command_line.sources import PARTS, known, settings_of
from lit_gen.errors import UserError, nearest
from lit_gen.old_versions.configs import OLD_NETWORK_SETTINGS
from lit_gen.runs.commands import line_of
from lit_gen.runs.names import ROOT
from lit_gen.runs.settings import is_of_run


class Option(NamedTuple):
    """One option as it was typed, its name without dashes, and its value, which may stand in the next word."""

    typed: str
    name: str
    value: str | None

    @property
    def words(self) -> list[str]:
        """The words that it was typed in."""
        return [self.typed] if self.value is None or "=" in self.typed else [self.typed, self.value]

    @property
    def part(self) -> str:
        """The first part of its name, such as model or trainer."""
        return self.name.partition(".")[0]


class Given(NamedTuple):
    """What one word or file says of the model, or of the data: a class, or None, and settings by name."""

    source: str
    is_file: bool
    part: str
    kind: str | None
    settings: list[str]


def check_words(words: Sequence[str]) -> None:
    """Check the config files of a command, and the order of its settings.

    Raises:
        UserError: a file cannot be read, is empty, or says a thing twice; a value stands for a group of settings; a
            setting stands before the model or data that it is for, or they do not have it.
    """
    begin = next((number for number, word in enumerate(words) if word in COMMANDS), None)
    options = list(options_of(words))
    for option in options:
        _check_value(option)
    if begin != 0:
        _check_first_config(words[begin] if begin is not None else None, options)
        return  # a file of several sections, one a command, may say anything
    given = list(_given_by(words))
    kinds: dict[str, str | None] = dict.fromkeys(PARTS)
    for number, item in enumerate(given):
        if item.kind is not None:
            kinds[item.part] = item.kind
        kind = kinds[item.part]
        if item.settings and kind is None:
            raise UserError(_needs_a_class(item, given[number + 1 :]))
        allowed = settings_of(item.part, kind) if kind else None
        if not kind or allowed is None:
            continue
        if wrong := [name for name in item.settings if name not in allowed]:
            raise UserError(_no_setting(item, kind, wrong, allowed, given[:number]))


def check_order(words: Sequence[str]) -> None:
    """Refuse a setting that stands before a config with another value for it, which would take its place.

    Raises:
        UserError: there is such a setting.
    """
    before: list[Option] = []
    for option in options_of(words):
        if option.name != "config":
            before += [option] if option.value is not None and not option.typed.partition("=")[0].endswith("+") else []
            continue
        content = read_config(option.value) if option.value is not None else {}
        for other in before:
            value, typed = _value_in(content, other.name.split(".")), as_yaml(other.value)
            if other.name in PARTS:  # by a short name, or by its import path
                value, typed = value and str(value).rpartition(".")[2], str(typed).rpartition(".")[2]
            if value is not None and value != typed:
                raise UserError(f"{other.typed} stands before {option.value}, which has another value: put it behind.")


def _value_in(content: Any, names: Sequence[str]) -> Any:
    """Return the value of a setting in a config, the class of a model or of data; None where there is none."""
    for number, name in enumerate(names):
        if isinstance(content, Mapping) and number and names[0] in PARTS and name not in content:
            content = content.get("init_args")
        content = content.get(name) if isinstance(content, Mapping) else None
    return content.get("class_path") if isinstance(content, Mapping) else content


def as_yaml(text: str | None) -> Any:
    """Return a value as it is typed, read as YAML, or as it is where it is none."""
    try:
        return yaml.safe_load(text or "")
    except yaml.YAMLError:
        return text


def kinds_named(words: Sequence[str]) -> dict[str, str | None]:
    """Return the class of the model and of the data that a command's words and configs name; None for neither."""
    kinds: dict[str, str | None] = dict.fromkeys(PARTS)
    for item in _given_by(words):
        kinds[item.part] = item.kind or kinds[item.part]
    return kinds


def settings_named(words: Sequence[str], part: str) -> set[str]:
    """Return the settings of the model, or of the data, that a command's words and configs name."""
    return {name for item in _given_by(words) if item.part == part for name in item.settings}


def options_of(words: Sequence[str]) -> Iterator[Option]:
    """Yield the options among the words."""
    for number, word in enumerate(words):
        name, equals, behind = word.partition("=")
        if not name.startswith("-") or name.strip("-").isdigit():
            continue
        follows = words[number + 1] if number + 1 < len(words) else None
        alone = follows is None or re.match("-[-a-zA-Z]", follows)
        value = behind if equals else None if alone else follows
        # `-c`, and whatever argparse takes for an abbreviation.
        is_config = name == "-c" or (len(name) > 3 and "--config".startswith(name))
        yield Option(word, "config" if is_config else name.removeprefix("--").rstrip("+"), value)


def trainer_settings(words: Sequence[str]) -> dict[str, Any]:
    """Return the trainer's settings that a command's words and configs name, as typed or as a config has them."""
    settings: dict[str, Any] = {}
    for option in options_of(words):
        if option.name == "config" and option.value is not None:
            trainer = read_config(option.value).get("trainer")
            settings |= trainer if isinstance(trainer, dict) else {}
        elif option.part == "trainer" and option.value is not None:
            settings[option.name.removeprefix("trainer.")] = option.value
    return settings


def root_of(words: Sequence[str]) -> Path:
    """Return the folder of all runs that a command asks for, in its words or configs."""
    return Path(trainer_settings(words).get("default_root_dir") or ROOT).expanduser()


def first_config(words: Sequence[str]) -> str | None:
    """Return the first config file among the words that no run wrote; None where there is none."""
    configs = [option.value for option in options_of(words) if option.name == "config" and option.value is not None]
    return next((config for config in configs if Path(config).is_file() and not is_of_run(Path(config))), None)


def _check_value(option: Option) -> None:
    """Refuse a value that stands for a whole group of settings, `--trainer=3`, or that YAML reads as another."""
    if option.value is not None and (pair := re.search(r"[{,]\s*(\d+):(\d)", option.value)):
        raise UserError(
            f"--{option.name}={option.value}: put a space behind each colon and quotes around all, as in "
            f"'{{{pair[1]}: {pair[2]}}}'."
        )
    if option.name in GROUPS and option.name not in PARTS and option.value is not None:
        setting, value = GROUPS[option.name].split(": ")
        given = inline(option.value) if option.value.lstrip().startswith("{") else option.value
        check_group(f"--{option.name}", given, f"--{option.name}.{setting}={value}", Path())


def _given_by(words: Sequence[str]) -> Iterator[Given]:
    """Yield what a command's words say of the model and of the data, in their order."""
    return (item for option in options_of(words) for item in _given(option))


def _given(option: Option) -> Iterator[Given]:
    """Yield what an option says of the model and of the data."""
    part, _, name = option.name.partition(".")
    if option.name == "config" and option.value is not None:
        content = read_config(option.value)
        for part in PARTS:
            yield from _in_config(option.value, True, part, content.get(part))
    elif part not in PARTS or option.value is None or name.endswith("help"):
        return
    elif not name and option.value.endswith((".yaml", ".yml", ".json")):
        yield from _in_config(option.value, True, part, read_config(option.value))
    elif not name and option.value.lstrip().startswith("{"):
        yield from _in_config(option.typed, False, part, inline(option.value))
    elif not name or name == "class_path":
        yield Given(option.typed, False, part, option.value, [])
    else:
        setting = name.removeprefix("init_args.").split(".")[0]
        if not setting.startswith("dict_kwargs"):
            yield Given(option.typed, False, part, None, [setting])


def _in_config(source: str, is_file: bool, part: str, content: Any) -> Iterator[Given]:
    """Yield what a file says of a part: its class alone, or a class and settings, of which either may be missing."""
    if isinstance(content, str):
        yield Given(source, is_file, part, content, [])
    elif isinstance(content, Mapping):
        own = {name: value for name, value in content.items() if name not in ("class_path", "init_args", "dict_kwargs")}
        settings = content["init_args"] if "init_args" in content else own
        names = [str(name) for name in settings] if isinstance(settings, Mapping) else []
        yield Given(source, is_file, part, content.get("class_path"), names)


def _check_first_config(command: str | None, options: list[Option]) -> None:
    """Refuse a config before the command that has no section for a command: it stands in the wrong place."""
    for option in options:
        if option.name == "config" and option.value is not None:
            content = read_config(option.value)
            if content and not any(name in COMMANDS for name in content):
                command = command or "fit"
                raise UserError(f"the command comes first: {line_of([command])} --config {option.value}")


def _needs_a_class(item: Given, later: list[Given]) -> str:
    """Say what to put before settings that are for no class yet."""
    name = next((other for other in later if other.part == item.part and other.kind is not None), None)
    base = _base_of(item.source) if item.is_file else None
    if name is not None:
        before = f"--config {name.source}" if name.is_file else name.source
    elif base is not None:
        before = f"--config {base}"
    else:
        before = f"a --config that names the {item.part}, or --{item.part}=<class>,"
    if item.is_file:
        return f"{item.source} is an overlay: put {before} before it."
    return f"{item.source} stands before any {item.part} is named: put {before} before it."


def _base_of(overlay: str) -> str | None:
    """Return the base config of an overlay: the one of its name in the folder above."""
    path = Path(os.path.abspath(overlay))
    base = path.parent.parent / path.name
    return os.path.relpath(base) if base.is_file() else None


def _no_setting(item: Given, kind: str, wrong: list[str], allowed: set[str], before: list[Given]) -> str:
    """Say which settings a class does not have, and where they belong."""
    short = kind.rsplit(".", 1)[-1]
    names = ", ".join(repr(name) for name in wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    message = f"{short} has no setting {names}"
    if item.is_file:
        message += f", which {item.source} gives"
        base = _base_of(item.source) if item.kind is None else None
        if base is not None and not any(os.path.abspath(base) == os.path.abspath(other.source) for other in before):
            return f"{message}: it is an overlay for {base}."
    if wrong[0] in OLD_NETWORK_SETTINGS and "encoder" in allowed:
        instead = "encoder=<class>" if wrong[0] == "network" else f"encoder.{wrong[0]}"
        return f"{message}: it is --{item.part}.{instead} now."
    owners = [name for name in known(item.part) if wrong[0] in (settings_of(item.part, name) or ())]
    hint = f" That is a setting of {', '.join(owners)}." if owners else nearest(wrong[0], allowed)
    return f"{message}.{hint} `fit --{item.part}.help {short}` lists its settings."
