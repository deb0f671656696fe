"""Excerpts of a model's source: its losses, how it builds its networks, and what they import."""

import ast
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from textwrap import dedent, fill

from torch.nn import Module

from lit_gen.command_line.sources import parsed

LOSSES = ("discriminator_loss", "generator_loss", "losses")
NETWORKS = ("generator", "discriminator", "encoder", "decoder")


def losses(model: type) -> str:
    """Return the methods of a model that are its losses, indented as in a class."""
    return "\n\n".join(inspect.getsource(vars(model)[name]).rstrip() for name in LOSSES if name in vars(model))


def networks(model: type) -> str:
    """Return the lines by which the constructors of a model build its networks, without indentation.

    Below each stands what the docstring of its class says first.
    """
    module = vars(import_module(model.__module__))
    found: dict[str, str] = {}
    for kind in model.__mro__:
        if "__init__" not in vars(kind) or not kind.__module__.startswith("lit_gen."):
            continue
        source = dedent(inspect.getsource(vars(kind)["__init__"]))
        for node in ast.walk(parsed(source)):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                name, text = node.targets[0].attr, ast.get_source_segment(source, node, padded=True)
                if name in NETWORKS and text and name not in found:
                    kinds = (module.get(part.id) for part in ast.walk(node.value) if isinstance(part, ast.Name))
                    notes = [
                        kind.__doc__ or "" for kind in kinds if isinstance(kind, type) and issubclass(kind, Module)
                    ]
                    shown = [
                        fill(note.partition("\n")[0], 106, initial_indent=" " * 4, subsequent_indent=" " * 4)
                        for note in notes
                    ]
                    found[name] = "\n".join([dedent(text), *shown])
    return "\n".join(found.values())


def imports(model: type) -> str:
    """Return the import statements of what a model's losses and a constructor use, and of the model."""
    module = import_module(model.__module__)
    used = {node.id for node in ast.walk(parsed(f"class _:\n{losses(model)}")) if isinstance(node, ast.Name)}
    plain: list[str] = []
    names = {"typing": {"Any"}, "lit_gen.data.batches": {"DataSpec"}, module.__name__: {model.__name__}}
    for node in parsed(inspect.getsource(module)).body:
        if isinstance(node, ast.Import):
            plain += [alias.name for alias in node.names if alias.name in used]
        elif isinstance(node, ast.ImportFrom):
            names.setdefault(str(node.module), set()).update({alias.name for alias in node.names} & used)
        else:
            names[module.__name__] |= set(_defined(node)) & used
    lines = []
    for standard in (True, False):
        of_kind = [name for name in {*plain, *names} if (name.partition(".")[0] in sys.stdlib_module_names) == standard]
        block = [f"import {name}" for name in sorted(of_kind) if name in plain]
        block += [
            f"from {name} import {', '.join(sorted(names[name], key=_order))}"
            for name in sorted(of_kind)
            if names.get(name)
        ]
        lines += ["\n".join(block)] if block else []
    return "\n\n".join(lines)


def _defined(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _order(name: str) -> tuple[int, str]:
    """Return what sorts names as linters do: constants, classes, functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name
