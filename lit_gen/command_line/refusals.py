"""What the parser refuses, in words that say what to do."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

from lightning.pytorch import callbacks, loggers, profilers, strategies

from lit_gen.callbacks.of_user import BASES, UNUSABLE
from lit_gen.command_line.class_help import VALUES
from lit_gen.command_line.config_files import read_config
from lit_gen.command_line.help import COMMANDS
from lit_gen.command_line.paths import EMPTY
from lit_gen.command_line.sources import PARTS, known, no_such, settings_of
from lit_gen.command_line.words import Option, options_of, root_of
from lit_gen.errors import UserError, nearest
from lit_gen.layers.coders import Decoder, Encoder
from lit_gen.limits import TYPES
from lit_gen.runs.folders import find_checkpoint, run_of
from lit_gen.runs.settings import SETTINGS

SHIPPED = {
    "trainer.callbacks": callbacks,
    "trainer.logger": loggers,
    "trainer.profiler": profilers,
    "trainer.strategy": strategies,
}
BASES_OF_PARTS = {
    "model": "a class of lit_gen.models, or from lit_gen.models.base.GenerativeModule (docs/own-model.md)",
    "data": "LightningDataModule, or from a class of lit_gen.data (docs/own-data.md)",
}
NETWORKS = {"model.encoder": Encoder, "model.decoder": Decoder}
EXPECTED = re.compile(
    r"Expected an? (?!path)(?:<class '(?:\w+\.)*)?(?:typing\.)?(.+?)(?:'>)?(?:\. Got value: .*)?$|"
    r"Not of type (\w+):? ?(.*)",
    re.DOTALL,
)
BESIDE = re.compile(r"Expected an? |Does not|Not a valid|a (class|dict)")
"""Lines of the parser's that add nothing to the types."""
NO_CLASS = re.compile(r"import path string: ?(\S*)|Import path ([\w.]+) does not|, but ([\w.]+) is abstract")
NAMES_OF_TYPES = VALUES | {"NoneType": "null", "Clock": "DD:HH:MM:SS"}
NAMES_OF_TYPES |= {limited.__name__: VALUES[name] for name, limited in TYPES.items()}


def explain(message: str, words: Sequence[str] = (), names: Iterable[str] = ()) -> str:
    """Return the parser's message for the commonest mistakes in words that say what to do; others as they are.

    `words` are the command's, and `names` those of all its options, without dashes.
    """
    names = [name for name in names if not name.endswith("help")]
    names = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    options = list(options_of(words))
    key, message = _innermost(message, words)

    if missing := re.search(r"the following arguments are required: ([\w., ]+)", message):
        needed = [name.strip() for name in missing[1].split(",")]
        return _needs(key, needed, message) if key else _unnamed([name.rpartition(".")[2] for name in needed], words)
    if key:
        line = _wrong_value(key, message)
        below = max((one.name for one in options if key.startswith(one.name)), key=len, default="")
        if "NestedArg" in line and below:
            return f"there is no option --{below}: --{below.rpartition('.')[0]} is one value."
        return line
    if strange := re.search(r"does not accept option '([\w.]+)'|Option '([\w.]+)' is not accepted(?! before)", message):
        return _no_option(strange[1] or strange[2], options, names)
    if missing := re.search(r"argument (--[\w.]+): expected one argument", message):
        empty = [option.typed for option in options if option.value is None and option.typed.startswith(missing[1])]
        typed = empty[0] if empty else missing[1]
        return f"{typed} has no value: write {typed}=<value>."
    if unknown := re.match(r"unrecognized arguments: (.+)", message, re.DOTALL):
        return _unrecognized(unknown[1].split(), names)
    return message


def _innermost(message: str, words: Sequence[str]) -> tuple[str, str]:
    """Return the key of what is wrong, and what is said of it: a model's parser has its message within another's."""
    if asked := re.match(r"--([\w.]+)\.help: ", message):
        return asked[1], message
    keys: list[str] = []
    nested = re.findall(r"NestedArg\(key='([\w.]+)'", message)
    while match := re.search(r'^( *(?:- )?)Parser key "([\w.]+)":', message, re.MULTILINE):
        keys.append(match[2].removeprefix(f"{words[0]}.") if words else match[2])
        message = message[match.end() :]
        ends = re.search(rf"^ {{0,{len(match[1]) - 2}}}\S", message, re.MULTILINE) if match[1] else None
        message = message[: ends.start()] if ends else message
    if keys and nested:  # of a network's setting, the parser names the network only there
        path = nested[-1].split(".")
        if f"Option '{path[-1]}' is not accepted" in message or NO_CLASS.search(message):
            path.pop()
        same = max(count for count in range(len(path) + 1) if path[len(path) - count :] == keys[1 : 1 + count])
        keys[1:] = path + keys[1 + same :]
    return ".".join(keys), message


# ------------------------------------------------------------------------------------------------------------- values


def _needs(key: str, needed: list[str], message: str) -> str:
    """Say which settings a class needs: of those in the message, the one that was given none of them."""
    given = re.findall(r"class_path='[\w.]*?(\w+)'(?:, init_args=Namespace\(([^)]*))?", message)
    owner = next((name for name, settings in given if all(f"{one}=None" in settings for one in needed)), None)
    owner = owner or (given[0][0] if given else f"--{key}")
    return f"{owner} needs {', '.join(needed)}: set {', '.join(f'--{key}.{name}' for name in needed)}."


def _wrong_value(key: str, message: str) -> str:
    """Say what is wrong with the value of a setting: its class, the settings of that, or its type."""
    kind = key.rpartition(".")[2].removesuffix("s")
    if setting := re.search(r"Option '([^']+)' is not accepted(?! before)", message):
        return f"--{key} has no setting {setting[1]!r}. `fit --{key}.help=<class>` lists those of each {kind}."
    if broken := re.search(r"Problem with given class_path '(\S+?)':\s+(.+?)\s*$", message, re.MULTILINE):
        if not broken[1].startswith("lit_gen."):
            return f"there is no {kind} {broken[1]!r}: {broken[2]}."
    if found := broken or re.search(f"{NO_CLASS.pattern}|not correspond to a subclass|but is abstract", message):
        given = next(filter(None, found.groups()), None)
        given = given or (re.findall(r"Given value: '?(\S+?)'?$", message, re.MULTILINE) or [""])[-1]
        if key in BASES_OF_PARTS and "not correspond to a subclass" in found[0] and _is_there(given):
            return f"{given} is no {key} of this project: derive it from {BASES_OF_PARTS[key]}."
        if setting := re.search(r"NestedArg\(key='(?!class_path)([\w.]+)'", message):
            instead = "" if "is abstract" in found[0] else f", not to {given}, which takes none"
            needed = f"--{key}.{setting[1]} is a setting of a class: first set --{key} to one{instead}."
            return f"{needed}{_known(key, given)}"
        return _no_class(key, kind, given)
    return f"--{key}{_what_is_wrong(message)}"


def _is_there(path: str) -> bool:
    """Return whether an import path leads to something."""
    try:
        resolve_name(path)
    except Exception:  # whatever the module does when it is imported
        return False
    return "." in path


def _no_class(key: str, kind: str, given: str) -> str:
    """Say that there is no class of a name, or none that the setting can take."""
    if key in PARTS:
        return str(no_such(key, given.rpartition(".")[2] if given.startswith("lit_gen.") else given))
    if key in NETWORKS:
        known = sorted(network.__name__ for network in NETWORKS[key].__subclasses__())
        return f"there is no {kind} {given!r}.{nearest(given, known)} Known: {', '.join(known)}."
    name = given.rpartition(".")[2]
    if key in SHIPPED and name in SHIPPED[key].__all__:
        return f"Lightning's Trainer cannot use {name} as its {kind}.{_known(key)}"
    return f"there is no {kind} {given!r}.{_known(key, given)}"


def _known(key: str, given: str = ".") -> str:
    """Return the classes of Lightning's that a setting of the Trainer can take, the nearest to a name first."""
    if key not in SHIPPED:
        return ""
    # LitLogger is no Logger by its type, and Lightning's Trainer takes none but these.
    unusable = (*BASES, *UNUSABLE, loggers.LitLogger, strategies.Strategy, strategies.ParallelStrategy)
    known = [name for name in SHIPPED[key].__all__ if getattr(SHIPPED[key], name) not in unusable]
    return f"{'' if '.' in given else nearest(given, known)} Known: {', '.join(known)}."


def _what_is_wrong(message: str) -> str:
    """Say which types a value may have, or what the check of a type said."""
    if EMPTY in message:
        return f" {EMPTY}."
    lines = re.findall(r"^ +- (.+)", message, re.MULTILINE) or [re.split(r"\. Got value", message.strip())[0]]
    expected = [found for line in lines if (found := EXPECTED.match(line))]
    said = [line for line in lines if not EXPECTED.match(line) and not BESIDE.match(line)]
    if said or not expected:
        return f": {(said or lines)[0]}."
    of_values = {found[1] or found[2]: found[2] if found[2] != "Path" else None for found in expected}
    types = {NAMES_OF_TYPES.get(name, name): inner for name, inner in of_values.items()}
    got = re.search(r"(?:Got|Given) value: (.*)$", message, re.MULTILINE)
    value = got[1] if got else next((found[3] for found in expected if found[3]), None)
    if value and value.startswith("{") and any(types.values()):  # of what stands within it
        within, others = ([name for name in types if bool(types[name]) == inner] for inner in (True, False))
        instead = f", or be {' or '.join(others)}" if others else ""
        return f" must have values of type {' or '.join(within)}{instead}, not {value}."
    finite = "finite " if value and value.lstrip("+-.").lower() in ("inf", "nan") else ""
    return f" must be of type {finite}{' or '.join(types)}{f', not {value}' if value else ''}."


# -------------------------------------------------------------------------------------------------------------- names


def _unnamed(parts: list[str], words: Sequence[str]) -> str:
    """Say that a command names no model, no data, or neither."""
    parts = [part for part in PARTS if part in parts]
    missing = f"no {' and no '.join(parts)} {'is' if len(parts) == 1 else 'are'} named."
    options = {option.name: option.value for option in options_of(words)}
    if "config" not in options and (config := _config_of_run(words, options)):
        return f"{missing} To go on with the run of that checkpoint, add --config={config} right behind fit."
    named = " and ".join(f"--{part}=<class>" for part in parts)
    config = "" if "config" in options else " --config configs/<system>.yaml, or"
    lists = " ".join(f"{PARTS[part].capitalize()}: {', '.join(known(part))}." for part in parts)
    return f"{missing} Give{config} {named}. {lists}"


def _config_of_run(words: Sequence[str], options: Mapping[str, str | None]) -> str | None:
    """Return the quoted config of the run that a training is to go on with; None where there is none."""
    checkpoint = options.get("ckpt_path")
    if checkpoint is None or words[0] != "fit":
        return None
    try:
        found = find_checkpoint(checkpoint, root_of(words), "fit", class_path=options.get("model"))
    except UserError:
        return None
    run = run_of(found) if found is not None else None
    return shlex.quote(str(run / SETTINGS)) if run is not None and (run / SETTINGS).is_file() else None


def _no_option(name: str, options: list[Option], names: list[str]) -> str:
    """Say that a config file has a name that is no setting."""
    sources = [option for option in options if option.name == "config" and option.value and _has(option.value, name)]
    where = f" in {sources[-1].value}" if sources else ""
    section = name.partition(".")[0]
    if section in COMMANDS:
        return f"there is a section {section!r}{where}. Leave that line out: model, data and trainer stand alone."
    sections = {one.partition(".")[0] for one in names}
    if section not in sections:  # what stands in it says nothing
        name, names = section, sorted(sections)
    return f"there is no setting {name!r}{where}.{nearest(name, names)}"


def _has(file: str, name: str) -> bool:
    content: Any = read_config(file)
    for key in name.split("."):
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return True


def _unrecognized(typed: list[str], names: list[str]) -> str:
    """Name the option that is nearest to a word that is none: by the last part of the name, then by the whole."""
    if not typed[0].startswith("-"):
        hint = f" Did you mean --config {typed[0]}?" if typed[0].endswith((".yaml", ".yml")) else ""
        return f"{typed[0]!r} is no option, which begins with two dashes.{hint}"
    name = typed[0].partition("=")[0].strip("-")
    same = [option for option in names if option.rpartition(".")[2] == name.rpartition(".")[2]]
    same += [f"{part}.{name}" for part in PARTS for kind in known(part) if name in (settings_of(part, kind) or ())]
    meant = same[0] if same else re.sub(r".*Did you mean (.*)\?", r"\1", nearest(name, names))
    hint = f" Did you mean --{meant}?" if meant else ""
    return f"there is no option {typed[0]}.{hint} `--help` lists the commonest, `--help=all` each."
