"""The short help, and words that name no command: answered from the source files before anything large is imported.

Models, data and the project's own settings are read from the code (their names, their docstrings), so that the help has
whatever the command line knows. `--help=all` is left to the command line itself.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import NoReturn

from lit_gen.errors import UserError, nearest

PACKAGE = Path(__file__).parents[1]
COLUMNS = 100
PARTS = {"model": "models", "data": "data"}  # their packages
COMMANDS = {
    "fit": "train a model, or go on with a run",
    "validate": "compute a trained model's validation figures",
    "test": "measure a trained model by what its kind is judged by, and write test.json",
    "predict": "write pictures: new ones, reconstructions, translations",
}
OTHER_WORDS = {"train": "fit", "eval": "test", "evaluate": "test", "sample": "predict", "generate": "predict"}
EXAMPLES = {
    "fit": (
        "--config configs/vae.yaml --model.beta=4 --trainer.max_epochs=20",
        "--config configs/progan.yaml --config configs/quick/progan.yaml",
        "--config configs/vae.yaml --ckpt_path=last --trainer.max_epochs=400",
    ),
    "validate": (
        "--config configs/vae.yaml --ckpt_path=last",
        "--config configs/vae.yaml --ckpt_path=runs/vae/<run>/checkpoints/best.ckpt",
        "--config runs/vae/<run>/config.yaml --ckpt_path=last",
    ),
    "test": (
        "--config configs/vae.yaml --ckpt_path=last",
        "--config configs/gan.yaml --ckpt_path=last --evaluation.samples=1000",
        "--config runs/vae/<run>/config.yaml --ckpt_path=last",
    ),
    "predict": (
        "--config configs/gan.yaml --ckpt_path=last",
        "--config runs/vae/<run>/config.yaml --ckpt_path=last",
        '--config configs/text2image.yaml --ckpt_path=last --data.prompts="a man"',
    ),
}
FIRST = (
    ("--config FILE", "configs/<system>.yaml; again: configs/quick/<system>.yaml"),
    ("--ckpt_path FILE|last|best", "go on with a checkpoint, or use it; last, best: of the newest run"),
    ("--seed_everything 0", "the seed of all that is random"),
)
LAST = (
    ("--trainer.max_epochs 100", "and .devices, .precision and more of Lightning's Trainer"),
    ("--trainer.limit_val_batches", "1 is one batch, 1.0 all; so for train, test and predict"),
    ("--print_config", "print the settings as the other words make them, and end"),
    ("--help=all", "every setting there is"),
)


@cache
def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):  # the command line says so; the help has the rest
        return ast.Module([], [])


@cache
def _imported(path: Path) -> dict[str, Path]:
    """The file of each name that a file of this package imports from this package."""
    found = {}
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
    """The names of all models or data modules, in alphabetical order.

    Args:
        part: model or data.
    """
    package = PACKAGE / PARTS[part] / "__init__.py"
    names = (name for name, path in _imported(package).items() if _class(name, path))
    return sorted(names, key=str.lower)


def _summary(node: ast.AST | None) -> str:
    """The first paragraph of a docstring."""
    text = ast.get_docstring(node) if node else None
    return " ".join((text or "").partition("\n\n")[0].split())


def _classes(part: str) -> Iterator[tuple[str, str]]:
    files = _imported(PACKAGE / PARTS[part] / "__init__.py")
    for name in known(part):
        yield name, _summary(_class(name, files[name])) or _summary(_tree(files[name]))


def _taken(kind: ast.ClassDef) -> tuple[dict[str, ast.expr | None], bool]:
    """The names that a class takes, with their defaults, and whether it hands others on to what it is derived from."""
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            plain, only = node.args.args[1:], node.args.kwonlyargs
            defaults = [*[None] * (len(plain) - len(node.args.defaults)), *node.args.defaults, *node.args.kw_defaults]
            names = [name.arg for name in (*plain, *only)]
            return dict(zip(names, defaults, strict=True)), node.args.kwarg is not None
    fields = (node for node in kind.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    if any("dataclass" in ast.unparse(decorator) for decorator in kind.decorator_list):
        return {node.target.id: node.value for node in fields}, True
    return {}, True


def settings_of(part: str, kind: str) -> set[str] | None:
    """The names of a model's or data module's settings; None for a class that is not of this package.

    Args:
        part: model or data.
        kind: the class, by its name or its import path.
    """
    own, _, name = kind.rpartition(".")
    path = _imported(PACKAGE / PARTS[part] / "__init__.py").get(name)
    if path is None or (own and own.partition(".")[0] != PACKAGE.name):
        return None
    return _all_taken(name, path) - {"spec"}


def _all_taken(name: str, path: Path) -> set[str]:
    kind = _class(name, path)
    if kind is None:  # of another package
        return set()
    names, hands_on = _taken(kind)
    found = set(names)
    for base in kind.bases if hands_on else []:
        file = _imported(path).get(ast.unparse(base), path)
        if ast.unparse(base) != name:
            found |= _all_taken(ast.unparse(base), file)
    return found


def _settings(kind: ast.ClassDef, skip: set[str]) -> Iterator[tuple[str, str, str]]:
    """Name, default and explanation of what a class takes."""
    explained = _arguments(ast.get_docstring(kind) or "")
    for name, default in _taken(kind)[0].items():
        if name not in skip:
            value = default.value if isinstance(default, ast.Constant) else None
            shown = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            yield name, shown, explained.get(name, "")


def _arguments(docstring: str) -> dict[str, str]:
    """What a docstring says below `Args:`."""
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


def _own_settings() -> Iterator[tuple[str, str]]:
    """The settings that this project adds to Lightning's, as cli.py adds them: by classes, or one by one."""
    path = PACKAGE / "cli.py"
    for call in ast.walk(_tree(path)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        options = {option.arg: option.value for option in call.keywords}
        if call.func.attr == "add_argument" and call.args and isinstance(call.args[0], ast.Constant):
            explained = options.get("help")
            yield str(call.args[0].value), str(explained.value) if isinstance(explained, ast.Constant) else ""
        if call.func.attr != "add_class_arguments" or not isinstance(call.args[0], ast.Name):
            continue
        name, group = call.args[0].id, ast.literal_eval(call.args[1])
        kind = _class(name, _imported(path).get(name, path))
        skip = ast.literal_eval(options["skip"]) if "skip" in options else set()
        found = list(_settings(kind, skip)) if kind else []
        if len(found) > 3:
            first, *others = (name for name, _, _ in found)  # in one line
            yield f"--{group}.{first}", f"and .{', .'.join(others)}: {_summary(kind)}"
        else:
            yield from ((f"--{group}.{name} {default}".strip(), text) for name, default, text in found)


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max([10, *(len(name) for name, _ in rows)])
    return [f"  {name:{width}}  {_cut(text, COLUMNS - width - 4)}".rstrip() for name, text in rows]


def _cut(text: str, room: int) -> str:
    """A text that is too long, up to the end of a sentence or clause where that leaves enough."""
    if len(text) > room:
        ends = [end.start() for end in re.finditer(r"[.:;](?= )|(?<=\))(?= )", text) if room / 2 < end.start() <= room]
        text = text[: ends[-1]] if ends else shorten(text, room, placeholder=" ...")
    return text.removesuffix(".") if not text.endswith("...") else text


def _examples(command: str) -> list[str]:
    return ["examples", *(f"  python main.py {command} {words}" for words in EXAMPLES[command])]


def _lists(command: str) -> list[str]:
    lines = []
    for part, title in PARTS.items():
        example = known(part)[0]
        lines += [f"{title} (--{part}=<name>; `{command} --{part}.help {example}` has the settings of {example})"]
        lines += [*_rows(_classes(part)), ""]
    return lines


def main_help() -> str:
    """The answer to `main.py --help`."""
    lines = [
        "usage: python main.py <command> --config FILE [--config OVERLAY] [--<setting>=<value> ...]",
        "",
        "commands (`fit --help` has the settings, `fit --help=all` each of them)",
        *_rows(COMMANDS.items()),
        "",
        *_lists("fit"),
        *_examples("fit"),
    ]
    return "\n".join(lines)


def command_help(command: str) -> str:
    """The answer to `main.py <command> --help`."""
    lines = [
        f"usage: python main.py {command} --config FILE [--config OVERLAY] [--<setting>=<value> ...]",
        f"  {COMMANDS[command]}",
        "",
        *_lists(command),
        "settings",
        *_rows([*FIRST, *_own_settings(), *LAST]),
        "",
        *_examples(command),
    ]
    return "\n".join(lines)


def _versions() -> str:
    project = re.search(r'^version = "(.+)"', (PACKAGE.parent / "pyproject.toml").read_text(), re.MULTILINE)
    found = [f"lit_gen {project[1] if project else 'of unknown version'}"]
    for package in ("torch", "lightning", "jsonargparse"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join([*found, f"Python {sys.version.split()[0]}"])


def no_such(part: str, name: str) -> UserError:
    """What to say of a model or a data module that is not known."""
    names = known(part)
    return UserError(f"there is no {part} {name!r}.{nearest(name, names)} Known: {', '.join(names)}.")


def answer(words: Sequence[str]) -> list[str]:
    """Answers what needs no model: help, the version, and words that name no command.

    Args:
        words: what stands behind the program's name.

    Returns:
        The words for the command line, which answers the rest.

    Raises:
        SystemExit: with code 0 when this was all that was asked for, with 2 after one line on standard error.
    """
    try:
        return _answer(list(words))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _answer(words: list[str]) -> list[str]:
    if not words:
        raise UserError(f"which command? {_choice()}")
    if words[0] == "help" or words[1:] == ["help"]:
        words = [*(word for word in words if word != "help"), "--help"]
    first = words[0]
    if "--version" in words[:1]:
        _end(_versions())
    if not first.startswith("-") and first not in COMMANDS:
        meant = f" Did you mean {OTHER_WORDS[first]}?" if first in OTHER_WORDS else nearest(first, COMMANDS)
        raise UserError(f"there is no command {first!r}.{meant} {_choice()}")
    command = next((word for word in words if word in COMMANDS), None)
    if command is None and first.startswith(("--model", "--data", "--trainer", "--ckpt")):
        raise UserError(f"which command? It stands before {first}. {_choice()}")
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if word in ("-h", "--help"):
            _end(command_help(command) if command else main_help())
        if name == "--help":
            if value != "all":
                raise UserError("--help takes nothing for one screen, or `all` for every setting: --help=all.")
            return [*words[:number], "--help", *words[number + 1 :]]
        if name in ("--model.help", "--data.help"):
            return _class_help(words, number)
    return words


def _class_help(words: list[str], number: int) -> list[str]:
    """`--model.help <class>`, in which the class may be the one that stands before it, or none."""
    name, equals, value = words[number].partition("=")
    part = name.removeprefix("--").removesuffix(".help")
    before, after = words[:number], words[number + 1 :]
    if not equals and after and not after[0].startswith("-"):
        value, *after = after
    if not value:
        given = [word.partition("=")[2] for word in before if word.startswith(f"--{part}=")]
        given += [word for option, word in zip(before, before[1:], strict=False) if option == f"--{part}"]
        if not given:
            _end("\n".join([f"{name} <class> lists the settings of one of these:", *_rows(_classes(part))]))
        value = given[-1]
    return [*before, f"{name}={value}", *after]


def _choice() -> str:
    return f"Commands: {', '.join(COMMANDS)}. `python main.py --help` explains them."


def _end(text: str) -> NoReturn:
    print(text)
    raise SystemExit(0)
