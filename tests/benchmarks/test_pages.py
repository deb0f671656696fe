"""The pages of docs/ say what the code and the records say."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks import pages, records, report
from tests.benchmarks.record import record_of

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


RECORD = record_of("CycleGAN", "rendered Horse2Zebra", 64, {
    "test/a_to_b_error_ratio": (0.41234, 100, ""),
    "test/a_to_b_taken_for_target": (1.0, 100, "judge (99.0 % on real)"),
    "test/cycle_a": (0.1, 120, ""),
})  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Makes a page beside a file of code and a record, and gives its path."""
    (tmp_path / "docs" / "systems").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cyclegan-quick.json").write_text(json.dumps(RECORD))
    (tmp_path / "README.md").write_text("Nothing.\n")
    (tmp_path / "code.py").write_text('one = 1\ntwice = 2\n\ntwice = 2\nlast = {"kl": a | b}\n')
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(report, "TARGET", tmp_path / "RESULTS.md")
    report.main()

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
    """A row per run, with the targets below; all that is no main metric in the fold."""
    page = write("before\n\n<!-- values cyclegan-quick -->\nold\n<!-- end of values -->\n\nafter\n")
    pages.main([])
    lines = page.read_text().splitlines()
    assert lines[0] == "before" and lines[-1] == "after" and "old" not in lines
    head, _, row, target = [line for line in lines if line.startswith("| ")]
    assert head.startswith(
        "| run | data | training images | minutes | relative error to the true counterpart, A to B ↓ "
    )
    assert row.startswith(
        "| [cyclegan-quick](../../results/cyclegan-quick.json) | rendered Horse2Zebra, 64 px | 5,700 |"
    )
    assert row.endswith("| 9.5 | 0.4123 | 1 (classifier: 99.0 % on real) |")
    assert target == "| **target** |  |  |  | ≤ 0.45 | ≥ 0.9 |"
    assert "  Seed 3, a processor, measured at commit abc." in lines and "  Other metrics: `cycle_a` 0.1." in lines
    pages.main(["--check"])


def test_seeds_are_one_row_with_the_commit_of_the_training(write, tmp_path):
    for seed, value in ((0, 0.4), (1, 0.5)):
        record = json.loads(json.dumps(RECORD | {"seed": seed, "measured_at": "def", "minutes": 9 + seed}))
        record["figures"]["test/a_to_b_error_ratio"]["value"] = value
        (tmp_path / "results" / f"more-seed{seed}.json").write_text(json.dumps(record))
    page = write("<!-- values more-*; no targets -->\n<!-- end of values -->\n")
    pages.main([])
    (row,) = [line for line in page.read_text().splitlines() if line.startswith("| more")]
    assert row.startswith("| more, seeds [0](../../results/more-seed0.json), [1](../../results/more-seed1.json) | ")
    assert "| 9.5 | " in row and "| 0.450 ± 0.071 |" in row
    assert "Seeds 0, 1, a processor, trained at commit abc." in page.read_text()


def test_a_system_is_what_no_other_block_names(write, tmp_path):
    (tmp_path / "results" / "other.json").write_text(json.dumps(RECORD))
    page = write("\n".join(f"<!-- values {name} -->\n<!-- end of values -->\n" for name in ("CycleGAN", "other")))
    pages.main([])
    first, second = page.read_text().split("<!-- values other")
    assert "| [cyclegan-quick](" in first and "| [other](" not in first
    assert "| [other](" in second and "| [cyclegan-quick](" not in second


def test_runs_without_targets(write):
    page = write("<!-- values cyclegan-quick; no targets -->\n<!-- end of values -->\n")
    pages.main([])
    assert "| [cyclegan-quick](../../results/cyclegan-quick.json) |" in page.read_text()
    assert "target**" not in page.read_text()
    pages.main(["--check"])


def test_a_page_without_records_says_so(write):
    page = write("<!-- values GAN -->\n<!-- end of values -->\n")
    pages.main([])
    assert page.read_text() == f"<!-- values GAN -->\n\n{pages.NOT_MEASURED}\n<!-- end of values -->\n"


def test_results_are_kept_up_to_date_too(write, tmp_path):
    write("")
    pages.main([])
    (tmp_path / "RESULTS.md").write_text("By hand.\n")
    with pytest.raises(SystemExit, match=r"RESULTS.md is not up to date"):
        pages.main(["--check"])


def test_every_system_has_its_records_on_its_page():
    for system, path in report.PAGES.items():
        assert system in pages.record_names(ROOT / path).split()


@pytest.mark.parametrize("page", sorted(SYSTEMS.glob("*.md")), ids=lambda page: page.stem)
def test_a_value_that_several_runs_have_stands_once(page):
    for row in re.findall(r"^\| \*\*(?:target|paper)\*\* .*", page.read_text(), re.MULTILINE):
        for cell in row.split(" | "):
            values = cell.strip(" |").split("; ")
            assert len(set(values)) == len(values), cell


def test_the_table_of_metrics(write):
    page = write("# Names\n<!-- metrics -->\n<!-- end of metrics -->\n")
    pages.main([])
    text = page.read_text()
    assert "| `nll` |  | NLL ↓ | nats per image |" in text and "| `kl` | VAE | KL of posterior and prior |" in text
    cells = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert cells == {6}  # "p(x|z)" makes no cell more
