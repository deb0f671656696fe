"""RESULTS.md says what the records say: targets met and missed, papers' values."""

import json
import re

import pytest

from benchmarks import records, report
from tests.benchmarks.record import record_of

RECORD = record_of("CycleGAN", "rendered Horse2Zebra", 64, {
    "test/a_to_b_error_ratio": (0.51234, 100, ""),
    "test/b_to_a_error_ratio": (0.39, 100, ""),
    "test/a_to_b_taken_for_target": (0.9, 100, "judge (99.0 % on real)"),
}, command="python main.py fit --config configs/cyclegan.yaml --trainer.max_epochs=6")  # fmt: skip


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Writes records, and gives the rows of the page that is made of them by heading."""

    def make(found):
        (tmp_path / "results").mkdir()
        for name, record in found.items():
            (tmp_path / "results" / f"{name}.json").write_text(json.dumps(record))
        monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
        monkeypatch.setattr(report, "TARGET", tmp_path / "RESULTS.md")
        report.main()
        parts = re.split(r"^## (.*)$", (tmp_path / "RESULTS.md").read_text(), flags=re.MULTILINE)
        rows = [[line for line in part.splitlines() if line.startswith("| ")][2:] for part in parts[2::2]]
        return {name: [cells(row) for row in rows_] for name, rows_ in zip(parts[1::2], rows, strict=True)}

    return make


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def gan(likelihood, fid):
    figures = {
        "test/parzen_log_likelihood": {"value": likelihood, "samples": 10_000, "features": ""},
        "test/digit_fid": {"value": fid, "samples": 10_000, "features": "digits-ab"},
    }
    return RECORD | {"system": "GAN", "figures": figures}


def test_targets_are_met_or_missed(tables):
    """The bound itself is met; each direction of a translation counts by itself."""
    found, link = tables({"cyclegan-quick": RECORD}), "[cyclegan-quick](docs/systems/cyclegan.md#measured)"
    ratio = "relative error to the true counterpart, {} ↓ (1 = unchanged input)"
    assert found["Targets met"] == [
        ["CycleGAN", "assigned to the target domain, A to B ↑ (fraction)", "≥ 0.9", "0.9", link],
        ["CycleGAN", ratio.format("B to A"), "≤ 0.45", "0.39", link],
    ]
    assert found["Targets missed"] == [["CycleGAN", ratio.format("A to B"), "≤ 0.45", "0.5123", "0.062", link]]
    without = [row[0] for row in found["Targets without a run"]]
    assert "CycleGAN" in without and "VAE" in without, "what lies outside was not measured"


def test_several_seeds_are_met_by_each(tables):
    """They count before a single run, however good that one is."""
    found = tables(
        {"gan-mnist": gan(300, 0.1)}
        | {f"gan-mnist-seed{n}": gan(239 + n, fid) for n, fid in enumerate([1.2, 1.3, 1.4])}
    )
    (met,), (missed,) = found["Targets met"], found["Targets missed"]
    assert met[1:4] == ["digit-FID ↓", "≤ 1.5", "1.30 ± 0.10 (3 seeds)"]
    assert missed[1:5] == [
        "Parzen log-likelihood ↑ (nats per image), rewards blur",
        "≥ 240",
        "240.0 ± 1.0 (3 seeds)",
        "0, in 1 of 3 seeds",
    ]
    beside = [row[2:4] for row in found["Beside the papers"] if row[0] == "GAN"]
    assert beside == [["225 ± 2", "300"], ["225 ± 2", "240.0 ± 1.0 (3 seeds)"]]


def test_of_single_runs_the_best_counts(tables):
    found = tables({"gan-mnist": gan(230, 2.6), "gan-mnist-wide": gan(250, 2.0)})
    assert found["Targets met"][0][3:] == ["250", "[gan-mnist-wide](docs/systems/gan.md#measured)"]
    assert found["Targets missed"][0][3:5] == ["2", "0.5"]


def test_of_runs_with_several_seeds_the_best_counts(tables):
    """However many seeds another has."""
    found = tables(
        {f"gan-mnist-long-seed{n}": gan(250, 1.0 + n / 10) for n in range(2)}
        | {f"gan-mnist-seed{n}": gan(245, 1.4) for n in range(3)}
    )
    assert [row[3] for row in found["Targets met"]] == ["250 ± 0 (2 seeds)", "1.050 ± 0.071 (2 seeds)"]


def test_the_page_is_read_in_three_minutes():
    """At 300 words a minute, most of them in tables; and nobody wrote into it by hand."""
    text = report.TARGET.read_text()
    assert text == report.page()
    assert len(text.splitlines()) < 100
    assert len(re.sub(r"\]\([^)]*\)|[|*`\[\]-]", " ", text).split()) < 900


def test_every_target_and_papers_value_has_a_page_and_a_direction():
    for one in (*report.AIMS, *report.PAPERS):
        assert one.system in report.PAGES
    assert all(records.metric_of(aim.metric.split()[0], aim.system).direction for aim in report.AIMS)
