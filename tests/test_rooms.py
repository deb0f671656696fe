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


ROOT = Path(__file__).parents[1]
ROOMS = (
    "command_line", "callbacks", "report", "models", "tasks", "metrics", "layers", "old_versions", "data", "loggers",
    "runs", "training", "losses", "synthetic", "files",
)  # fmt: skip
"""The folders of the package, from the highest to the lowest: each imports only those after it."""
KNOWN = {
    ("models", "data"): {"alphabet", "batches", "contract", "mismatches"},
    ("models", "metrics"): set(),
    ("layers", "data"): {"alphabet"},
}
"""What a folder may know of one below: a model what a batch is, and what may be asked of data, but no data module."""


def imports(code):
    """Return what the code imports of lit_gen, as `lit_gen.<room>.<file>.<name>` or a part of it."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "by its whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("lit_gen.")}


@pytest.mark.parametrize(
    "line",
    ["from lit_gen import metrics", "import lit_gen.metrics.x", "from lit_gen.metrics import x",
     "def late():\n    from lit_gen.metrics.x import y"],
)  # fmt: skip
def test_every_form_of_import_is_seen(line):
    assert [name.split(".")[1] for name in imports(line)] == ["metrics"]


def test_the_order_names_every_folder_and_is_told():
    assert sorted(ROOMS) == sorted(path.parent.name for path in (ROOT / "lit_gen").glob("*/__init__.py"))
    told = " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    assert ", ".join(f"`{room}`" for room in ("cli", *ROOMS)) in told


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_of_a_room_imports_a_room_above(room):
    above = {"cli", *ROOMS[: ROOMS.index(room)]}
    paths = list((ROOT / "lit_gen" / room).rglob("*.py"))
    assert paths
    for path in paths:
        names = [name.split(".")[1:] for name in imports(path.read_text())]
        assert not {name[0] for name in names} & above, path
        for below in ROOMS:
            if (room, below) in KNOWN:
                assert not {name[1] for name in names if name[0] == below} - KNOWN[room, below], path


def test_files_that_are_read_from_top_to_bottom_are_short():
    papers = [path for path in (ROOT / "lit_gen" / "models").glob("*.py") if "arXiv" in path.read_text()]
    drawn = (ROOT / "lit_gen" / "synthetic").rglob("*.py")
    assert len(papers) > 10
    for paths, most in ((papers, 289), ([ROOT / "lit_gen" / "cli.py"], 250), (drawn, 399)):
        assert not {path.name: lines for path in paths if (lines := path.read_text().count("\n")) > most}
