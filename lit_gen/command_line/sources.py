"""What the package's source files say of its classes, read without importing them: names, docstrings, settings.

The short help must not wait for torch, and has whatever the command line knows.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lit_gen.errors import UserError, nearest

PACKAGE = Path(__file__).parents[1]
PARTS = {"model": "models", "data": "data"}  # their packages
GENERAL_OPTIONS = {
    "output": "folder for the images, new or empty; by default predictions/ in a new folder below runs/",
    "overwrite": "replace what an earlier predict has written to --output",
    "seed": "seed of all that is drawn, 0 by default",
}
"""The options of `predict` that each task has."""


def parsed(source: str) -> ast.Module:
    """Parse Python source as `ast.parse` does, and again where CPython itself fails at it.

    Up to Python 3.11.7 one counter serves all parsing of a process (CPython's issue 106905). If another thread parses,
    or the garbage collector runs a finalizer that does (formatting a traceback is enough), `ast.parse` of correct
    source ends with a SystemError.
    """
    for _ in range(3):
        with suppress(SystemError):
            return ast.parse(source)
    return ast.parse(source)


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):  # the command line says so; the help has the rest
        return ast.Module([], [])


@cache
def _imported(path: Path) -> dict[str, Path]:
    """Return the file of each name that a file of this package imports from this package."""
    found: dict[str, Path] = {}
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else PACKAGE.parent
            file = folder.joinpath(*(node.module or "").split("."))
            if file.is_relative_to(PACKAGE):
                found |= {name.asname or name.name: file.with_suffix(".py") for name in node.names}
    return found


def _class(name: str, path: Path) -> ast.ClassDef | None:
    return next((node for node in _tree(path).body if isinstance(node, ast.ClassDef) and node.name == name), None)


def known(part: str) -> list[str]:
    """Return the names of all models or data modules (`part`: model or data), in alphabetical order."""
    package = PACKAGE / PARTS[part] / "__init__.py"
    names = (name for name, path in _imported(package).items() if _class(name, path))
    return sorted(names, key=str.lower)


def _summary(node: ast.ClassDef | ast.Module | None) -> str:
    """Return the first paragraph of a docstring."""
    text = ast.get_docstring(node) if node else None
    return " ".join((text or "").partition("\n\n")[0].split())


def classes(part: str) -> Iterator[tuple[str, str]]:
    """Yield the names of all models or data modules, each with a sentence about it."""
    files = _imported(PACKAGE / PARTS[part] / "__init__.py")
    for name in known(part):
        yield name, _summary(_class(name, files[name])) or _summary(_tree(files[name]))


def _taken(kind: ast.ClassDef) -> tuple[dict[str, tuple[ast.expr | None, ast.expr | None]], bool]:
    """Return a class's arguments with annotation and default, and whether it hands others on to its bases."""
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            plain, only = node.args.args[1:], node.args.kwonlyargs
            defaults = [*[None] * (len(plain) - len(node.args.defaults)), *node.args.defaults, *node.args.kw_defaults]
            pairs = zip((*plain, *only), defaults, strict=True)
            return {name.arg: (name.annotation, default) for name, default in pairs}, node.args.kwarg is not None
    fields = (node for node in kind.body if isinstance(node, ast.AnnAssign))
    if any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list):
        return {one.target.id: (one.annotation, one.value) for one in fields if isinstance(one.target, ast.Name)}, True
    return {}, True


class Setting(NamedTuple):
    """An argument of a class, its annotation and default in the source (None: it has none), and its explanation."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    text: str


def settings_of_class(part: str, kind: str) -> list[Setting] | None:
    """Return a model's or data module's settings, those of its bases after its own; None for another package's class.

    The class is given by its name or its import path.
    """
    own, _, name = kind.rpartition(".")
    path = _imported(PACKAGE / PARTS[part] / "__init__.py").get(name)
    if path is None or (own and own.partition(".")[0] != PACKAGE.name):
        return None
    lineage = list(_lineage(name, path))
    texts: dict[str, str] = {}
    for node, _ in lineage:
        texts = _arguments(ast.get_docstring(node) or "") | texts
    found: dict[str, Setting] = {}
    for node, file in lineage:
        taken, hands_on = _taken(node)
        for name, (annotation, default) in taken.items():
            found.setdefault(name, Setting(name, annotation, _value(default, file), texts.get(name, "")))
        if not hands_on:
            break
    return [setting for setting in found.values() if setting.name != "spec"]  # which the command line links


def _lineage(name: str, path: Path) -> Iterator[tuple[ast.ClassDef, Path]]:
    """Yield a class of this package and its bases, a base after all that are derived from it."""
    found: list[tuple[str, Path]] = [(name, path)]
    for name, path in found:  # grows on the way
        node = _class(name, path)
        found += (
            [(ast.unparse(base), _imported(path).get(ast.unparse(base), path)) for base in node.bases] if node else []
        )
    for number, (name, path) in enumerate(found):
        node = _class(name, path)
        if node and (name, path) not in found[number + 1 :]:
            yield node, path


def _value(default: ast.expr | None, path: Path) -> ast.expr | None:
    """Return a default; for a name, such as MAX_MEGAPIXELS, what is assigned to it."""
    if not isinstance(default, ast.Name):
        return default
    for node in _tree(_imported(path).get(default.id, path)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == default.id:
            return node.value
    return default


def settings_of(part: str, kind: str) -> set[str] | None:
    """Return the names of a model's or data module's settings; None for a class of another package."""
    settings = settings_of_class(part, kind)
    return None if settings is None else {setting.name for setting in settings}


def _settings(kind: ast.ClassDef, skip: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and explanation of each argument of a class."""
    explained = _arguments(ast.get_docstring(kind) or "")
    for name, (_, default) in _taken(kind)[0].items():
        if name not in skip:
            value = default.value if isinstance(default, ast.Constant) else None
            shown = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            yield name, shown, explained.get(name, "")


def _arguments(docstring: str) -> dict[str, str]:
    """Return what a docstring says below `Args:`."""
    found: dict[str, str] = {}
    name = None
    for line in docstring.partition("Args:\n")[2].splitlines():
        begins = re.match(r" {4}(\w+): (.*)", line)
        if begins:
            name, found[begins[1]] = begins[1], begins[2]
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        else:
            name = None
    return found


def own_settings() -> Iterator[tuple[str, str]]:
    """Yield the settings that this project adds to Lightning's, as groups.py adds them: by classes."""
    path = PACKAGE / "command_line" / "groups.py"
    for call in ast.walk(_tree(path)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr != "add_class_arguments" or not isinstance(call.args[0], ast.Name):
            continue
        options = {option.arg: option.value for option in call.keywords}
        name, group = call.args[0].id, ast.literal_eval(call.args[1])
        prefix, between = (f"--{group}.", ".") if group else ("--", "--")
        kind = _class(name, _imported(path).get(name, path))
        skip = ast.literal_eval(options["skip"]) if "skip" in options else set()
        found = list(_settings(kind, skip)) if kind else []
        if len(found) > 1:  # in one line
            first, *others = (name for name, _, _ in found)
            yield f"{prefix}{first}", f"and {', '.join(between + other for other in others)}: {_summary(kind)}"
        else:
            yield from ((f"{prefix}{name} {default}".strip(), text) for name, default, text in found)


@cache
def options_of_predict() -> dict[str, str]:
    """Return the options of `predict` that a task reads, each with its help, or that of the first task that has it."""
    found: dict[str, str] = {}
    for path in sorted((PACKAGE / "tasks").glob("*.py")):
        for kind in (node for node in _tree(path).body if isinstance(node, ast.ClassDef)):
            for node in kind.body:
                if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "options" and node.value:
                    found = ast.literal_eval(node.value) | found
    return found | GENERAL_OPTIONS


def check_no_base(part: str, class_path: str) -> str:
    """Return the path of a class; raise a `UserError` for one that is only a base of this package's classes."""
    package, _, name = class_path.rpartition(".")
    if package.startswith(f"{PACKAGE.name}.{PARTS[part]}.") and name not in known(part):
        files = _imported(PACKAGE / PARTS[part] / "__init__.py")
        if any(name == base.name for one in known(part) for base, _ in _lineage(one, files[one])):
            raise no_such(part, name)
    return class_path


def no_such(part: str, name: str) -> UserError:
    """Return the error for a model or a data module that is not known."""
    names = known(part)
    return UserError(f"there is no {part} {name!r}.{nearest(name, names)} Known: {', '.join(names)}.")
