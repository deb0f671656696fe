"""The page of results says what the records say."""

import json

import pytest

from benchmarks import report

RECORD = {
    "system": "CycleGAN", "data": "rendered Horse2Zebra", "size": 64, "seed": 3, "minutes": 9.5, "images_seen": 5_700,
    "images_per_second": 10.0, "command": "python main.py fit --config configs/cyclegan.yaml --trainer.max_epochs=6",
    "note": "", "commit": "abc", "hardware": "a processor", "torch": "2.9",
    "figures": {
        "test/a_to_b_error_ratio": {"value": 0.41234, "samples": 100, "features": ""},
        "test/b_to_a_error_ratio": {"value": 0.39, "samples": 100, "features": ""},
        "test/a_to_b_taken_for_target": {"value": 1.0, "samples": 100, "features": "judge (99.0 % on real)"},
        "test/cycle_a": {"value": 0.1, "samples": 120, "features": ""},
    },
}  # fmt: skip


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Writes records and gives the lines of the page that is made of them."""

    def make(**records):
        (tmp_path / "results").mkdir()
        for name, record in records.items():
            (tmp_path / "results" / f"{name}.json").write_text(json.dumps(record))
        monkeypatch.setattr(report, "FOLDER", tmp_path / "results")
        monkeypatch.setattr(report, "TARGET", tmp_path / "RESULTS.md")
        report.main()
        return (tmp_path / "RESULTS.md").read_text().splitlines()

    return make


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_one_table_has_the_main_figures(page):
    lines = page(first=RECORD)
    start = next(number for number, line in enumerate(lines) if line.startswith("| run |"))
    columns, _, *rows = [cells(line) for line in lines[start : lines.index("## first") - 1]]
    assert len(rows) == 2
    first, second = (dict(zip(columns, row, strict=True)) for row in rows)
    assert first["run"] == "[first](#first)" and first["system"] == "CycleGAN"
    assert first["settings"] == "`cyclegan.yaml`, 1 setting"
    assert [first[name] for name in ("seed", "commit", "hardware", "minutes", "images/s")] == [
        "3", "abc", "a processor", "9.5", "10",
    ]  # fmt: skip
    assert first["measured"] == "1; judge (99.0 % on real)" and first["to reach"] == "at least 0.90"
    assert second["metric"] == "error to the true counterpart, over the identity's"
    assert second["measured"] == "0.4123, 0.39" and second["to reach"] == "at most 0.5"
    assert second["run"] == second["seed"] == first["sheet"] == ""


def test_a_sheet_is_linked_where_there_is_one(page, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "second.png").touch()
    lines = page(first=RECORD, second=RECORD)
    assert sum("[sheet](docs/second.png)" in line for line in lines) == 1
    assert not any("docs/first.png" in line for line in lines)


def test_every_run_has_all_its_figures(page):
    vae = {"test/nll": {"value": 91.256, "samples": 10_000, "features": "5,000 samples an image"}}
    lines = page(first=RECORD, second=RECORD | {"system": "VAE", "figures": vae, "note": "Why it is short."})
    first, second = lines.index("## first"), lines.index("## second")
    assert first < lines.index("| cycle_a | 0.1 | 120 |  |") < second
    assert lines.index("| nll | 91.26 | 10,000 | 5,000 samples an image |") > second
    assert "Seed 3, 5,700 images in 9.5 minutes on a processor, commit abc, torch 2.9." in lines
    assert f"`{RECORD['command']}`" in lines
    assert lines[second:].index("Why it is short.") < lines[second:].index("| figure | measured | of | by |")
    assert "" not in [lines[number + 1] for number, line in enumerate(lines[:-1]) if line == ""], "no two empty lines"


@pytest.mark.parametrize(
    "command, words",
    [
        ("python main.py fit --config configs/a.yaml", "`a.yaml`"),
        ("fit --config=configs/a.yaml --config configs/b/a.yaml --x.y=1 --z 2", "`a.yaml` + `b/a.yaml`, 2 settings"),
        ("", ""),
    ],
)  # fmt: skip
def test_settings_in_short(command, words):
    assert report.settings(command) == words


def test_the_page_is_up_to_date():
    """RESULTS.md is what the script makes of the records: nobody wrote into it by hand."""
    assert report.TARGET.read_text() == report.page()
