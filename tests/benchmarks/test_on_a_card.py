"""What is to be run on a GPU, run without one, so that a mistake in the script is not first found there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import on_a_card

REPOSITORY = Path(__file__).parents[2]
SCRIPT = str(REPOSITORY / "benchmarks" / "on_a_card.sh")


def run(folder, part, *words, **environment):
    """The exit code, what was said, and the JSON."""
    given = os.environ | {"PYTHON": sys.executable, "LIT_GEN_CARD": "cpu", "CUDA_VISIBLE_DEVICES": ""} | environment
    done = subprocess.run(
        [SCRIPT, part, f"--output={folder}", f"--work={folder}", *words],
        env=given,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    path = folder / f"{part}.json"
    return done.returncode, done.stdout + done.stderr, json.loads(path.read_text()) if path.is_file() else None


@pytest.mark.slow
def test_the_gpu_tests(tmp_path):
    code, said, found = run(tmp_path, "tests", "tests/models/test_precision.py", "-k", "float16 and near")
    assert code == 0 and found["done"] and not found["failed"], said
    assert {item["outcome"] for item in found["items"].values()} == {"skipped"}
    assert all("needs CUDA" in item["why"] for item in found["items"].values())
    assert len(found["items"]) >= 11 and not any("tests/gpu" in name for name in found["items"])
    assert found["torch"] == torch.__version__ and found["seconds"] > 0


@pytest.mark.slow
def test_that_nothing_was_run_is_no_success(tmp_path):
    code, said, found = run(tmp_path, "checks", "-k", "no_such_check")
    assert code == 1 and found["failed"] == ["pytest"], said


@pytest.mark.slow
def test_the_checks(tmp_path):
    code, said, found = run(tmp_path, "checks", "-k", "vae and not in_one_go or gan-32 or recorded or seed")
    assert code == 0 and found["done"], said
    outcomes = {name.split("::")[1]: item["outcome"] for name, item in found["items"].items()}
    assert outcomes.pop("test_a_seed_before_a_replay_gives_what_it_gives_without_a_graph[randn]") == "skipped"
    passed = {name.partition("[")[0] for name, outcome in outcomes.items() if outcome == "passed"}
    assert len(passed) == 4, outcomes


@pytest.mark.slow
def test_the_table(tmp_path):
    code, said, found = run(tmp_path, "table", "vae")
    assert code == 0 and found["done"], said
    (item,) = found["items"].values()
    assert item["fit"] > 0 and item["bare"] > 0
    code, said, again = run(tmp_path, "table", "vae")
    assert code == 0 and "was done before" in said and again["items"] == found["items"]


@pytest.mark.slow
@pytest.mark.parametrize("system", on_a_card.IMAGES)
def test_the_images(system, tmp_path):
    code, said, found = run(tmp_path, "images", system)
    assert code == 0, said
    item = found["items"][system]
    grids = sorted((tmp_path / "images" / system).glob("*.png"))
    assert item["images_seen"] > 0 and 3 <= item["seconds"] < 60 and item["grids"] == len(grids) > 0
    with Image.open(grids[0]) as picture:
        assert min(picture.size) >= 32
    assert any(name.startswith("train/loss_") for name in item["terms"])


@pytest.mark.slow
def test_a_system_that_fails_says_why(tmp_path, monkeypatch, capsys):
    folders = [f"--output={tmp_path}", f"--work={tmp_path}"]
    monkeypatch.setattr(on_a_card, "TINY", True)
    monkeypatch.setattr(on_a_card, "rendered", lambda *_: ["--model.latent_dim=0"])
    monkeypatch.setattr(sys, "argv", ["on_a_card", "images", "dcgan", *folders])
    assert on_a_card.main() == 1
    found = json.loads((tmp_path / "images.json").read_text())
    assert found["failed"] == ["dcgan"] and "--model.latent_dim must be" in found["items"]["dcgan"]["error"]
    monkeypatch.setattr(sys, "argv", ["on_a_card", "images", "dcgna", *folders])
    with pytest.raises(SystemExit, match="2"):
        on_a_card.main()
    assert "dcgna: images knows dcgan, stargan, progan, cyclegan" in capsys.readouterr().err


def test_without_a_gpu_the_script_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["on_a_card", "tests", f"--output={tmp_path}"])
    with pytest.raises(SystemExit, match="2"):
        on_a_card.main()
    assert "there is no GPU" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_row_of_graphs_without_a_graph_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(on_a_card, "SETTINGS", [("bf16-mixed", "always")])
    monkeypatch.setattr(on_a_card, "TINY", False)
    record = on_a_card.Record(tmp_path / "table.json", tmp_path, goes_on=False)
    for graphs, failed in ((0, True), (2, False)):
        monkeypatch.setattr(on_a_card.speed, "measured", lambda *_: {"fit": 1.0, "graphs": graphs})  # noqa: B023
        record.items.clear()
        on_a_card.table(record, ["vae"])
        assert ("error" in record.items["vae bf16-mixed always"]) == failed


def test_what_there_is_no_time_for_is_said_and_done_the_next_time(tmp_path, monkeypatch):
    monkeypatch.setattr(on_a_card, "commit", lambda: "abc")
    record = on_a_card.Record(tmp_path / "table.json", tmp_path, goes_on=True)
    for name in record.due(["one", "two", "three"]):
        record.add(name, {"value": 1} if name == "one" else {"error": "broken"})
        monkeypatch.setattr(on_a_card, "SECONDS", 0 if name == "two" else 600)
    assert json.loads(record.path.read_text())["items"].keys() == {"one", "two", "three"}
    monkeypatch.setattr(on_a_card, "SECONDS", 600)
    again = on_a_card.Record(record.path, tmp_path, goes_on=True)
    assert list(again.due(["one", "two", "three"])) == ["two", "three"]
    monkeypatch.setattr(on_a_card, "commit", lambda: "def")
    assert list(on_a_card.Record(record.path, tmp_path, goes_on=True).due(["one"])) == ["one"]
