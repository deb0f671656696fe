"""What a room of the package must not import: the rooms above it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT_ALL = """
import importlib, json, pkgutil, sys
room = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(("room", "below"), [("lit_gen.files", ["errors"]), ("lit_gen.synthetic", ["errors", "files"])])
def test_a_room_imports_only_rooms_below_it(room, below):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, room],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    modules = json.loads(done.stdout)
    assert {".".join(name.split(".")[:2]) for name in modules if name.startswith("lit_gen.")} == {
        room,
        *(f"lit_gen.{name}" for name in below),
    }
    assert not {"torch", "lightning", "torchvision"} & set(modules)


PACKAGE = Path(__file__).parents[1] / "lit_gen"
ABOVE = {
    "data": {"metrics", "tasks", "models", "callbacks", "command_line", "cli"},
    "metrics": {"tasks", "models", "callbacks", "command_line", "cli"},
    "tasks": {"models", "callbacks", "command_line", "cli"},
    "models": {"metrics", "callbacks", "command_line", "cli"},
}


@pytest.mark.parametrize("room", ABOVE)
def test_no_file_of_a_room_imports_a_room_above(room):
    """And a model knows of data what a batch is, and what it may ask of them, but no data module."""
    for path in (PACKAGE / room).rglob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        imported = {node.module for node in nodes if (node.module or "").startswith("lit_gen.")}
        assert not {name.split(".")[1] for name in imported} & ABOVE[room], path
        if room == "models":
            known = {"lit_gen.data.batches", "lit_gen.data.contract"}
            assert not {name for name in imported if name.startswith("lit_gen.data")} - known, path
