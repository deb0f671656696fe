"""Config files as the command line reads them before the parser does: what is wrong with one is said in one line."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_gen.command_line.sources import PACKAGE
from lit_gen.errors import UserError, nearest
from lit_gen.old_versions.configs import translate

CONFIG_OPTIONS = ("--config", "-c")
SHIPPED = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The recipes that come with the project: in the package where it is installed, beside it in a clone."""


def with_shipped_configs(words: Sequence[str]) -> list[str]:
    """Return the words of a command with the path of each config that is named by a recipe: `--config=quick/vae`.

    A file of that name comes first.
    """
    found = list(words)
    for number, word in enumerate(found):
        name, equals, value = word.partition("=")
        if name not in CONFIG_OPTIONS or (not equals and number + 1 == len(found)):
            continue
        named = value if equals else found[number + 1]
        recipe = SHIPPED / f"{named}.yaml"
        if re.fullmatch(r"(quick/)?\w+", named) and not Path(named).is_file() and recipe.is_file():
            path = os.path.relpath(recipe) if SHIPPED.parent == Path.cwd() else str(recipe)
            found[number if equals else number + 1] = f"{name}={path}" if equals else path
    return found


def read_config(name: str) -> dict[str, Any]:
    """Return the settings in a config file; those in a text that is no file, which the parser takes for a config too.

    Raises:
        UserError: there is no such file; it is no YAML, has no settings, or has one twice.
    """
    path = Path(name)
    if not path.exists() and ("{" in name or ": " in name or "://" in name or name == "-"):
        return inline(name)
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
    translate(content, text)  # the parser says what was changed
    return content


def inline(text: str) -> dict[str, Any]:
    """Return the settings in a text; {} where it is no YAML, or holds no `name: value`."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _check_node(file: str, node: yaml.Node | None) -> None:
    """Refuse what YAML takes without a word: a name that stands twice, and a time that it reads as a number."""
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
    elif isinstance(node, yaml.ScalarNode):
        line, text = node.start_mark.line + 1, node.value
        if node.style is None and node.tag.endswith((":int", ":float")) and ":" in text:
            raise UserError(f"{file}, line {line}: YAML takes {text} for a number. Put it in quotes: '{text}'.")
