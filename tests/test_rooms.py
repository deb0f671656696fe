"""What a room of the package must not import: the rooms above it."""

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
