"""The notebook of docs/ runs from its first cell to its last."""

import ast
import inspect
import json
import math
import re
from pathlib import Path

import pytest
from PIL import Image

from lit_gen.models import GAN, VAE, AutoEncoder

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


def test_each_cell_has_what_it_made():
    """All cells were run in order, and the losses that they show are those of the present code."""
    cells = [cell for cell in BOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    made = [output for cell in cells for output in cell["outputs"]]
    figures = [output["data"] for output in made if output["output_type"] == "execute_result"]
    assert len(figures) == 9 and all(name.startswith("image/") for data in figures for name in data)
    said = "".join("".join(output["text"]) for output in made if output["output_type"] == "stream")
    shown = [AutoEncoder.losses, VAE.losses, GAN.discriminator_loss, GAN.generator_loss]
    assert all(inspect.getsource(loss) in said for loss in shown), "run it again, or mend what it says of a loss"
    assert "two halves of the real images" in said


def test_the_notebook_is_small_and_its_links_lead_somewhere():
    assert CODE[0].count("QUICK = False") == 1 and PATH.stat().st_size < 300_000
    text = "".join("".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "markdown")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (PATH.parent / link).is_file(), link
