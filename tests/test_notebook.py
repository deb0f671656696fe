"""The notebook of docs/ runs from its first cell to its last."""

import ast
import json
import math
import re
from pathlib import Path

import pytest
from PIL import Image

PATH = Path(__file__).parents[1] / "docs" / "from-autoencoder-to-gan.ipynb"
BOOK = json.loads(PATH.read_text())
CODE = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_all_cells_run_in_order(tmp_path, monkeypatch):
    """Small, by the notebook's own switch; cells that end in a figure have one."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    names, figures = {}, []
    for source in CODE:
        tree = ast.parse(source.replace("QUICK = False", "QUICK = True"))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, PATH.name, "exec"), names)
        value = eval(compile(ast.Expression(last.value), PATH.name, "eval"), names) if last else None
        figures += [value] if isinstance(value, Image.Image) else []
    assert len(figures) == 9
    assert len(names["scores"]) == 5 and all(math.isfinite(score) for score in names["scores"].values())
    assert names["moments"].images and (tmp_path / "data").is_dir()


def test_the_notebook_is_small_and_its_links_lead_somewhere():
    """Without outputs, so that a change can be read."""
    assert CODE[0].count("QUICK = False") == 1
    assert not any(cell["outputs"] for cell in BOOK["cells"] if cell["cell_type"] == "code")
    text = "".join("".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "markdown")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (PATH.parent / link).is_file(), link
