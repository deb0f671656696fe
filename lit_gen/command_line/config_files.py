"""Config files as the command line reads them before the parser does: what is wrong with one is said in one line."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_gen.command_line.help import COMMANDS
from lit_gen.command_line.sources import PACKAGE, PARTS
from lit_gen.errors import UserError, nearest
from lit_gen.old_versions.configs import translate

CONFIG_OPTIONS = ("--config", "-c")
SHIPPED = PACKAGE / "configs" if (PACKAGE / "configs").is_dir() else PACKAGE.parent / "configs"
"""The recipes that come with the project: in the package where it is installed, beside it in a clone."""
GROUPS = {
    "model": "class_path: VAE",
    "data": "class_path: MNIST",
    "trainer": "max_epochs: 20",
    "samples": "count: 16",
    "checkpoints": "keep: 3",
    "evaluation": "samples: 1000",
    "health": "every_n_batches: 0",
    "wandb": "mode: disabled",
    "speed": "graphs: auto",
}
"""The groups of settings, each with an example."""


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
        UserError: there is no such file; it is no YAML, has no settings, has one twice, or a value for a whole group.
    """
    path = Path(name)
    if not name.strip():
        raise UserError("--config names no file: it is empty. Give it one, or leave it out.")
    if not path.exists() and ("{" in name or ": " in name or "://" in name or name == "-"):
        content = inline(name)
        _check_groups(name, content)
        return content
    if path.is_dir():
        inside = path / "config.yaml"
        raise UserError(f"{name} is a folder, and no config.{f' Did you mean {inside}?' if inside.is_file() else ''}")
    if not path.is_file():
        beside = [str(file) for file in (*path.parent.glob("*.yaml"), *Path("configs").glob("*.yaml"))]
        recipes = [file.relative_to(SHIPPED).with_suffix("").as_posix() for file in SHIPPED.rglob("*.yaml")]
        first, then = (recipes, beside) if path.name == name and not path.suffix else (beside, recipes)
        raise UserError(f"there is no config {name}.{nearest(name, first) or nearest(name, then)}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{name} is no config, since it is no text. A checkpoint goes to --ckpt_path.") from None
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
        _check_node(name, node)
    except RecursionError:
        raise UserError(f"{name} is no config: an anchor in it holds itself, or it is nested too deeply.") from None
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
    _check_groups(name, content)
    translate(content, text)  # the parser says what was changed
    return content


def inline(text: str) -> dict[str, Any]:
    """Return the settings in a text; {} where it is no YAML, or holds no `name: value`."""
    try:
        content = yaml.safe_load(text)
        _check_node(text, yaml.compose(text, Loader=yaml.SafeLoader))
    except RecursionError:
        raise UserError(
            "a text on the command line has an anchor that holds itself, or is nested too deeply."
        ) from None
    except (yaml.YAMLError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def without_empty_groups(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a file without the groups that it leaves empty, which count as not given."""
    kept = {name: value for name, value in settings.items() if value is not None or name not in (*GROUPS, *COMMANDS)}
    for section in COMMANDS:
        if isinstance(kept.get(section), dict):
            kept[section] = without_empty_groups(kept[section])
    for part in PARTS:
        if isinstance(kept.get(part), dict):
            kept[part] = {name: value for name, value in kept[part].items() if (name, value) != ("init_args", None)}
    return kept


def check_group(name: str, value: Any, example: str, folder: Path) -> None:
    """Refuse a value that stands for a whole group of settings, and is no settings by name.

    None counts as nothing, and a text may name a file of settings, whose path begins at `folder`.

    Raises:
        UserError: the line has the group's name and place, and the `example` of a setting.
    """
    if value is None or isinstance(value, dict) or (isinstance(value, str) and (folder / value).is_file()):
        return
    what = "a list" if isinstance(value, list) else "a single value"
    raise UserError(f"{name} is a group of settings, such as {example}, not {what}.")


def _check_groups(file: str, content: dict[Any, Any]) -> None:
    """Refuse names of settings that are no text, and values that stand for a whole group."""
    groups = {name: value for name, value in content.items() if name in (*GROUPS, *COMMANDS)}
    for names in (content, *(value for value in groups.values() if isinstance(value, dict))):
        if wrong := [name for name in names if not isinstance(name, str)]:
            raise UserError(
                f"{file} has {wrong[0]!r} in place of a setting's name, which is a text. Correct that line."
            )
    for name, value in groups.items():
        if name in COMMANDS:
            check_group(f"`{name}` in {file}", value, "model: VAE", Path(file).parent)
            _check_groups(file, value if isinstance(value, dict) else {})
        elif name not in PARTS:
            check_group(f"`{name}` in {file}", value, GROUPS[name], Path(file).parent)
        elif isinstance(value, dict):
            if not isinstance(value.get("class_path", ""), str):
                raise UserError(f"`class_path` of `{name}` in {file} is no name of a class, as in {GROUPS[name]}.")
            beside = [own for own in value if own not in ("class_path", "init_args", "dict_kwargs")]
            if "class_path" in value and beside:
                raise UserError(
                    f"`{beside[0]}` of `{name}` in {file} stands beside class_path: put it below init_args."
                )
            example = {"model": "learning_rate: 0.001", "data": "batch_size: 64"}[name]
            check_group(f"`init_args` of `{name}` in {file}", value.get("init_args"), example, Path(file).parent)
        elif value is not None and not (isinstance(value, str) and value):
            raise UserError(f"`{name}` in {file} is a class and its settings, such as {GROUPS[name]}, not {value!r}.")


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
