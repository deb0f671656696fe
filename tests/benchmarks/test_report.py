"""The page of results says what the records say."""

import json

from benchmarks import report


def test_every_run_has_its_figures(tmp_path, monkeypatch):
    record = {
        "system": "CycleGAN", "data": "rendered Horse2Zebra", "size": 64, "command": "python main.py fit", "seed": 3,
        "commit": "abc", "hardware": "a processor", "minutes": 9.5,
        "figures": {"a_to_b_error_ratio": 0.41234, "b_to_a_error_ratio": 0.39, "test/cycle_a": 0.1},
    }  # fmt: skip
    (tmp_path / "first.json").write_text(json.dumps(record))
    (tmp_path / "second.json").write_text(json.dumps(record | {"system": "VAE", "figures": {"test/nll": 91.25}}))
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    monkeypatch.setattr(report, "TARGET", tmp_path / "RESULTS.md")
    report.main()
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| error to the true counterpart, over the identity's | 0.412, 0.39 | at most 0.5 |" in page
    assert "| test/nll | 91.2 |  |" in page
    assert page.index("## first: CycleGAN") < page.index("## second: VAE")
    assert "Seed 3, 9.5 minutes on a processor, commit abc." in page


def test_the_page_is_up_to_date():
    """RESULTS.md is what the script makes of the records: nobody wrote into it by hand."""
    records = sorted(report.FOLDER.glob("*.json"))
    expected = report.HEAD + "".join(report.section(path.stem, json.loads(path.read_text())) for path in records)
    assert report.TARGET.read_text() == expected
