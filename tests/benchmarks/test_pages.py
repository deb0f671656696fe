"""The pages of docs/ say what the code and the records say."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks import pages, report

ROOT = Path(__file__).parents[2]
SYSTEMS = ROOT / "docs" / "systems"
MODELS = ROOT / "lit_gen" / "models"
PAGE_OF = {"aae_semi_supervised": "aae"}  # a page may be of more than one file of lit_gen/models
LOSSES = ("losses", "discriminator_loss", "generator_loss")


def test_the_pages_are_up_to_date():
    """No line of the code has moved away from its link, and nobody wrote into a table by hand."""
    pages.main(["--check"])


@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.stem)
def test_links_point_to_files_that_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if not re.match(r"https?:|mailto:|#", link):
            assert (page.parent / link.partition("#")[0]).exists(), link


def formulas(path):
    """The keys that stand before a formula in the docstrings of a model's losses."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    docstrings = [ast.get_docstring(node) or "" for node in functions if node.name in LOSSES]
    return [key for text in docstrings for key in re.findall(r"(?:^|\s\s)([a-z]\w+) += ", text, re.MULTILINE)]


def page_of(module):
    return (SYSTEMS / f"{PAGE_OF.get(module, module)}.md").read_text()


FILES = [path for path in sorted(MODELS.glob("*.py")) if formulas(path)]


def test_losses_are_found():
    keys = {path.stem: formulas(path) for path in FILES}
    assert keys["vae"] == ["reconstruction", "kl", "bound"]
    assert len(keys["aae_semi_supervised"]) == 8, "two may stand in one line"
    assert len(FILES) == 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_term_of_a_loss_has_a_row(path):
    rows = [line for line in page_of(path.stem).splitlines() if line.startswith("|")]
    for key in formulas(path):
        assert any(f"`train/loss_{key}`" in row for row in rows), key


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_is_named_on_a_page(config):
    model = yaml.safe_load(config.read_text())["model"]
    model = model if isinstance(model, str) else model["class_path"]
    (module,) = [path.stem for path in FILES if f"class {model.rpartition('.')[2]}(" in path.read_text()]
    assert f"configs/{config.name}" in page_of(module)


RECORD = {
    "system": "CycleGAN", "data": "rendered Horse2Zebra", "size": 64, "seed": 3, "minutes": 9.5, "images_seen": 5_700,
    "images_per_second": 10.0, "command": "python main.py fit --config configs/cyclegan.yaml", "note": "",
    "commit": "abc", "hardware": "a processor", "torch": "2.9",
    "figures": {
        "test/a_to_b_error_ratio": {"value": 0.41234, "samples": 100, "features": ""},
        "test/a_to_b_taken_for_target": {"value": 1.0, "samples": 100, "features": "judge (99.0 % on real)"},
        "test/cycle_a": {"value": 0.1, "samples": 120, "features": ""},
    },
}  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Makes a page beside a file of code and a record, and gives its path."""
    (tmp_path / "docs" / "systems").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "first.json").write_text(json.dumps(RECORD))
    (tmp_path / "README.md").write_text("Nothing.\n")
    (tmp_path / "code.py").write_text('one = 1\ntwice = 2\n\ntwice = 2\nlast = {"kl": a | b}\n')
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(report, "FOLDER", tmp_path / "results")

    def make(text):
        (tmp_path / "docs" / "systems" / "page.md").write_text(text)
        return tmp_path / "docs" / "systems" / "page.md"

    return make


def test_links_get_their_lines(write):
    page = write(r'a [x](../../code.py#L7 "one = ") b | [y](../../code.py#L1 "{\"kl\": a \| b}") | c' + "\n")
    with pytest.raises(SystemExit, match=r"docs/systems/page.md is not up to date"):
        pages.main(["--check"])
    assert "#L7" in page.read_text()
    pages.main([])
    assert page.read_text() == (
        r'a [x](../../code.py#L1 "one = ") b | [y](../../code.py#L5 "{\"kl\": a \| b}") | c' + "\n"
    )
    pages.main(["--check"])


@pytest.mark.parametrize(
    "link, words",
    [
        ('[x](../../code.py#L1 "three")', r"page\.md: \.\./\.\./code\.py: no line has the snippet: three$"),
        ('[x](../../code.py#L2 "twice = 2")', r"page\.md: .*: lines \[2, 4\] have the snippet: twice = 2$"),
        ('[x](../../gone.py#L1 "one")', r"page\.md: .*: no such file for the snippet: one$"),
        ("<!-- values second -->\n<!-- end of values -->", r"page\.md: no record second in benchmarks/results$"),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_what_cannot_be_found_fails_in_one_line(link, words, arguments, write):
    write(link + "\n")
    with pytest.raises(SystemExit) as end:
        pages.main(arguments)
    assert re.search(words, str(end.value)) and "\n" not in str(end.value)


def test_values_come_from_the_records(write):
    page = write("before\n\n<!-- values first -->\nold\n<!-- end of values -->\n\nafter\n")
    pages.main([])
    lines = page.read_text().splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
    assert "| metric | [first](../../results/first.json) | target or paper's value |" in lines
    assert "| relative error to the true counterpart, A to B ↓ (1 = unchanged input) | 0.4123 | at most 0.5 |" in lines
    assert any(line.endswith("| 1 (classifier: 99.0 % on real) | at least 0.90 |") for line in lines)
    assert not any("cycle_a" in line for line in lines)
    pages.main(["--check"])


def test_runs_without_targets(write):
    page = write("<!-- values first; no targets -->\n<!-- end of values -->\n")
    pages.main([])
    assert "| metric | [first](../../results/first.json) |" in page.read_text().splitlines()
    assert "at most" not in page.read_text()
    pages.main(["--check"])


def test_a_page_without_records_says_so(write):
    page = write("<!-- values -->\n<!-- end of values -->\n")
    pages.main([])
    assert page.read_text() == f"<!-- values -->\n\n{pages.NOT_MEASURED}\n<!-- end of values -->\n"


def test_every_main_metric_has_words():
    """In all records, whatever page they will stand on."""
    for path in report.FOLDER.glob("*.json"):
        for row in pages.metric_rows([json.loads(path.read_text())]):
            assert "`" not in row[0], row[0]
