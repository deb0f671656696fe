"""What is wrong with the words of a command, in place of what the parser says of it.

Each config file is read before the parser sees it, in the order in which the words stand: a setting needs a model, or
data, that was named before it. What the parser refuses is said anew, with what to do.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lit_gen.errors import UserError, nearest
from lit_gen.help import COMMANDS, PARTS, known, no_such, settings_of

CLASSES = {"callbacks": "callback", "logger": "logger", "plugins": "plugin", "profiler": "profiler"}


class Option(NamedTuple):
    """One option as it was typed, its name without dashes, and its value, which may stand in the next word."""

    typed: str
    name: str
    value: str | None


class Given(NamedTuple):
    """What one word or file says of the model, or of the data: a class, or None, and settings by name."""

    source: str
    is_file: bool
    part: str
    kind: str | None
    settings: list[str]


def check_words(words: Sequence[str]) -> None:
    """Looks at the config files of a command, and at the order of its settings.

    Args:
        words: what stands behind the program's name.

    Raises:
        UserError: a file cannot be read, is empty, or says a thing twice; a setting stands before the model or data
            that it is for, or they do not have it.
    """
    begin = next((number for number, word in enumerate(words) if word in COMMANDS), None)
    options = list(_options(words))
    if begin != 0:
        _check_first_config(words[begin] if begin is not None else None, options)
        return  # a file of several sections, one a command, may say anything
    given = [item for option in options for item in _given(option)]
    kinds: dict[str, str | None] = dict.fromkeys(PARTS)
    for number, item in enumerate(given):
        if item.kind is not None:
            kinds[item.part] = item.kind
        kind = kinds[item.part]
        if item.settings and kind is None:
            raise UserError(_needs_a_class(item, given[number + 1 :]))
        allowed = settings_of(item.part, kind) if kind else None
        wrong = [name for name in item.settings if allowed is not None and name not in allowed]
        if wrong:
            raise UserError(_no_setting(item, kind, wrong, allowed, given[:number]))


def _options(words: Sequence[str]) -> Iterator[Option]:
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not name.startswith("-") or name.strip("-").isdigit():
            continue
        follows = words[number + 1] if number + 1 < len(words) else None
        if not equals:
            value = None if follows is None or re.match("-[-a-zA-Z]", follows) else follows
        # `-c`, and whatever argparse takes for an abbreviation.
        is_config = name == "-c" or (len(name) > 3 and "--config".startswith(name))
        yield Option(word, "config" if is_config else name.removeprefix("--").rstrip("+"), value)


def _given(option: Option) -> Iterator[Given]:
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
        yield from _in_config(option.typed, False, part, _inline(option.value))
    elif not name or name == "class_path":
        yield Given(option.typed, False, part, option.value, [])
    else:
        setting = name.removeprefix("init_args.").split(".")[0]
        if not setting.startswith("dict_kwargs"):
            yield Given(option.typed, False, part, None, [setting])


def _in_config(source: str, is_file: bool, part: str, content: Any) -> Iterator[Given]:
    """What a file says of a part: its class alone, or a class and settings, of which either may be missing."""
    if isinstance(content, str):
        yield Given(source, is_file, part, content, [])
    elif isinstance(content, Mapping):
        own = {name: value for name, value in content.items() if name not in ("class_path", "init_args", "dict_kwargs")}
        settings = content["init_args"] if "init_args" in content else own
        names = [str(name) for name in settings] if isinstance(settings, Mapping) else []
        yield Given(source, is_file, part, content.get("class_path"), names)


# ----------------------------------------------------------------------------------------------------------- the files


def read_config(name: str) -> dict[str, Any]:
    """The settings in a config file; nothing for what is no local file, which is left to the parser.

    Raises:
        UserError: there is no such file; it is no YAML, has no settings, or has one twice.
    """
    path = Path(name)
    if not path.exists() and ("{" in name or ": " in name or "://" in name or name == "-"):
        return _inline(name)
    if path.is_dir():
        inside = path / "config.yaml"
        raise UserError(f"{name} is a folder, and no config.{f' Did you mean {inside}?' if inside.is_file() else ''}")
    if not path.is_file():
        beside = [str(file) for file in (*path.parent.glob("*.yaml"), *Path("configs").glob("*.yaml"))]
        raise UserError(f"there is no config {name}.{nearest(name, beside)}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{name} is no config, since it is no text. A checkpoint goes to --ckpt_path.") from None
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
        line = f" line {mark.line + 1}:" if mark else ""
        raise UserError(f"{name} is no YAML:{line} {problem}.") from error
    except ValueError as error:  # such as a date that is none
        raise UserError(f"{name} is no YAML: {error}.") from error
    if content is None:
        raise UserError(f"{name} is empty: it has no settings, or all are comments. Leave it out.")
    if not isinstance(content, dict):
        raise UserError(f"{name} is no config: it has no `name: value`.")
    _check_node(name, node)
    return content


def _inline(text: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _check_node(file: str, node: yaml.Node) -> None:
    """Refuses what YAML takes without a word: a name that stands twice, and a time that it reads as a number."""
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in lines and isinstance(key, yaml.ScalarNode) and key.value != "<<":
                raise UserError(f"{file} has {key.value!r} twice, in lines {lines[key.value]} and {line}. Keep one.")
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
            _check_node(file, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_node(file, value)
    elif node.style is None and node.tag.endswith((":int", ":float")) and ":" in node.value:
        line = node.start_mark.line + 1
        raise UserError(f"{file}, line {line}: YAML takes {node.value} for a number. Put it in quotes: '{node.value}'.")


def _check_first_config(command: str | None, options: list[Option]) -> None:
    """A config before the command has a section for each command; one that has none stands in the wrong place."""
    for option in options:
        if option.name == "config" and option.value is not None:
            content = read_config(option.value)
            if content and not any(name in COMMANDS for name in content):
                command = command or "fit"
                raise UserError(f"the command comes first: python main.py {command} --config {option.value}")


# ----------------------------------------------------------------------------------------------------- what is missing


def _needs_a_class(item: Given, later: list[Given]) -> str:
    """What to put before settings that are for no class yet."""
    name = next((other for other in later if other.part == item.part and other.kind is not None), None)
    base = base_of(item.source) if item.is_file else None
    if name is not None:
        before = f"--config {name.source}" if name.is_file else name.source
    elif base is not None:
        before = f"--config {base}"
    else:
        before = f"a --config that names the {item.part}, or --{item.part}=<class>,"
    if item.is_file:
        return f"{item.source} is an overlay: put {before} before it."
    return f"{item.source} stands before any {item.part} is named: put {before} before it."


def base_of(overlay: str) -> str | None:
    """The config that an overlay is laid over: the one of its name in the folder above."""
    path = Path(os.path.abspath(overlay))
    base = path.parent.parent / path.name
    return os.path.relpath(base) if base.is_file() else None


def _no_setting(item: Given, kind: str, wrong: list[str], allowed: set[str], before: list[Given]) -> str:
    short = kind.rsplit(".", 1)[-1]
    names = ", ".join(repr(name) for name in wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
    message = f"{short} has no setting {names}"
    if item.is_file:
        message += f", which {item.source} gives"
        base = base_of(item.source) if item.kind is None else None
        if base is not None and not any(os.path.abspath(base) == os.path.abspath(other.source) for other in before):
            return f"{message}: it is an overlay for {base}."
    owners = [name for name in known(item.part) if wrong[0] in (settings_of(item.part, name) or ())]
    hint = f" It is one of {', '.join(owners)}." if owners else nearest(wrong[0], allowed)
    return f"{message}.{hint} `fit --{item.part}.help {short}` lists its settings."


# ------------------------------------------------------------------------------------------------ what the parser says


def explain(message: str, words: Sequence[str] = (), names: Iterable[str] = ()) -> str:
    """The parser's message for the commonest mistakes in words that say what to do; others as they are.

    Args:
        message: the parser's.
        words: what stands behind the program's name.
        names: of all options of the command, without dashes.
    """
    names = [name for name in names if not name.endswith("help")]
    names = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    options = list(_options(words))
    key, message = _innermost(message, words)
    part = next((name for name in PARTS if re.match(rf"(\w+\.)?{name}\b|--{name}\.help", key or message)), None)

    missing = re.search(r"the following arguments are required: ([\w., ]+)", message)
    if missing and not key:
        return _missing([name.strip().rpartition(".")[2] for name in missing[1].split(",")], options)
    if missing:
        kind = re.search(r"class_path='([\w.]+)'", message)
        owner = kind[1].rsplit(".", 1)[-1] if kind else f"--{key}"
        wanted = [f"--{key}.{name.strip()}" for name in missing[1].split(",")]
        return f"{owner} needs {' and '.join(wanted)}."

    setting = re.search(r"Option '([^']+)' is not accepted(?! before)", message)
    if setting and part:
        return f"--{part} has no setting {setting[1]!r}. `fit --{part}.help <class>` lists them."
    if setting and key:
        return f"--{key} has no setting {setting[1]!r}, or names no class. `fit --{key}.help <class>` lists them."

    path = re.search(
        r"dot import path string: ?(\S*)|class_path '(\S+?)':\s+(.+)|(not correspond to a subclass)", message
    )
    if path:
        value = path[1] or path[2] or (re.findall(r"Given value: (\S+)", message) or [""])[-1]
        if part and (path[1] is not None or value.startswith("lit_gen.")):
            return str(no_such(part, value.rsplit(".", 1)[-1]))
        kind = part or CLASSES.get(key.rpartition(".")[2], "class")
        return f"--{key}: {value!r} is no {kind}{f' ({path[3]})' if path[3] else ''}.{nearest(value, _shipped(kind))}"

    strange = re.search(r"does not accept option '([\w.]+)'", message)
    if strange:
        return _no_option(strange[1], options, names)
    unknown = re.match(r"unrecognized arguments: (.+)", message, re.DOTALL)
    if unknown:
        return _unrecognized(unknown[1].split(), names)

    if key and "Expected" in message:
        return _wrong_type(key, message)
    return message


def _innermost(message: str, words: Sequence[str]) -> tuple[str, str]:
    """The key of what is wrong, and what is said of that: a model's parser has its message within another's."""
    keys: list[str] = []
    while match := re.search(r'^( *(?:- )?)Parser key "([\w.]+)":', message, re.MULTILINE):
        keys.append(match[2].removeprefix(f"{words[0]}.") if words else match[2])
        message = message[match.end() :]
        ends = re.search(rf"^ {{0,{len(match[1]) - 2}}}\S", message, re.MULTILINE) if match[1] else None
        message = message[: ends.start()] if ends else message
    return ".".join(keys), message


def _missing(parts: list[str], options: list[Option]) -> str:
    """A command names no model, no data, or neither."""
    parts = [part for part in PARTS if part in parts]
    named = " and ".join(f"--{part}=<class>" for part in parts)
    config = "" if any(option.name == "config" for option in options) else " --config configs/<system>.yaml, or"
    lists = " ".join(f"{PARTS[part].capitalize()}: {', '.join(known(part))}." for part in parts)
    return f"no {' and no '.join(parts)} {'is' if len(parts) == 1 else 'are'} named. Give{config} {named}. {lists}"


def _no_option(name: str, options: list[Option], names: list[str]) -> str:
    """A config file has a name that is no setting."""
    sources = [option for option in options if option.name == "config" and option.value and _has(option.value, name)]
    where = f" in {sources[-1].value}" if sources else ""
    section = name.partition(".")[0]
    if section in COMMANDS:
        return f"there is a section {section!r}{where}. Leave that line out: model, data and trainer stand alone."
    return f"there is no setting {name!r}{where}.{nearest(name, names)}"


def _has(file: str, name: str) -> bool:
    content: Any = read_config(file)
    for key in name.split("."):
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return True


def _unrecognized(typed: list[str], names: list[str]) -> str:
    """Words that are no options, with the nearest that are: by the last part of the name, then by the whole."""
    if not typed[0].startswith("-"):
        hint = f" Did you mean --config {typed[0]}?" if typed[0].endswith((".yaml", ".yml")) else ""
        return f"{typed[0]!r} is no option, which begins with two dashes.{hint}"
    name = typed[0].partition("=")[0].strip("-")
    same = [option for option in names if option.rpartition(".")[2] == name.rpartition(".")[2]]
    same += [f"{part}.{name}" for part in PARTS for kind in known(part) if name in (settings_of(part, kind) or ())]
    meant = same[0] if same else re.sub(r".*Did you mean (.*)\?", r"\1", nearest(name, names))
    hint = f" Did you mean --{meant}?" if meant else ""
    return f"there is no option {typed[0]}.{hint} `--help` lists the commonest, `--help=all` each."


def _wrong_type(key: str, message: str) -> str:
    """A value is of another type than its setting."""
    kinds = re.findall(r"Expected an? (.+?)(?:\. Got value: .*)?$|[Nn]ot of type (\w+):", message, re.MULTILINE)
    value = re.search(r"(?:Got|Given) value: (.*)$", message, re.MULTILINE)
    kinds = [re.sub(r"<class '(?:[\w]+\.)*(\w+)'>", r"\1", one or other) for one, other in kinds]
    names = {"NoneType": "null", "Clock": "DD:HH:MM:SS", "str": "text"}
    kinds = [names.get(kind, kind.replace("typing.", "")) for kind in kinds if not kind.startswith("path")]
    if not kinds or not value:
        return message
    return f"--{key} must be of type {' or '.join(dict.fromkeys(kinds))}, not {value[1]}."


def _shipped(kind: str) -> list[str]:
    """The names that Lightning has for what is not this project's."""
    from lightning.pytorch import callbacks, loggers, profilers  # takes seconds, which only this mistake needs

    modules = {"callback": callbacks, "logger": loggers, "profiler": profilers}
    return list(modules[kind].__all__) if kind in modules else known(kind) if kind in PARTS else []
