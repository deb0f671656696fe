"""Rows of failures: each is a training that the command line takes, and its rows come to one picture."""

import subprocess
import sys

import pytest
import yaml
from PIL import Image

from benchmarks import failures
from lit_gen.cli import main

EACH = [(system, failure) for system, found in failures.FAILURES.items() for failure in found]


@pytest.mark.slow
@pytest.mark.parametrize(("system", "failure"), EACH, ids=[f"{system}-{failure.name}" for system, failure in EACH])
def test_the_command_line_takes_what_breaks_a_training(system, failure, capsys):
    words = [word for word in failures.command(system, failure)[2:] if not word.startswith("--ckpt_path")]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--print_config"])
    settings = yaml.safe_load(capsys.readouterr().out)
    for word in failure.words:
        name, value = word.removeprefix("--").split("=")
        part, setting = name.split(".")
        found = settings[part] if part == "trainer" else settings[part]["init_args"]
        assert found[setting] == yaml.safe_load(value)


def test_rows_of_each_failure_come_to_one_picture(tmp_path, monkeypatch):
    def train(command, cwd):
        name = next(word for word in command if word.startswith("--name=")).removeprefix("--name=")
        folder = tmp_path / "runs" / "autoencoder" / name / "samples"
        folder.mkdir(parents=True)
        for failure in failures.FAILURES["autoencoder"]:
            for batches, colour in ((10, "green"), (20, "red")):
                picture = Image.new("RGB", (800, 400), "white")
                picture.paste("gray", (0, 5, 300, 20))  # a title
                for top in (30, 150, 270):
                    picture.paste(colour, (0, top, 800, top + 100))
                picture.save(folder / f"{failure.grid}-{batches:07d}.png")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(failures, "ROOT", tmp_path)
    monkeypatch.setattr(failures, "FOLDER", tmp_path / "pages")
    monkeypatch.setattr(failures.subprocess, "run", train)
    monkeypatch.setattr(sys, "argv", ["failures", "autoencoder"])
    failures.main()
    made = Image.open(tmp_path / "pages" / "autoencoder.jpg")
    line = made.height // 2 - 8 - 130  # above the upper 130 pixels of a grid
    assert made.width == 800 and 20 < line < 60
    red, below = made.getpixel((400, line + 80)), made.getpixel((400, made.height - 5))
    assert red[0] > 200 > 50 > red[1] and below[0] > 200 > 50 > below[1], "the last grid's"


def test_a_training_that_cannot_be_done_makes_no_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "FOLDER", tmp_path / "pages")
    monkeypatch.setattr(failures.subprocess, "run", lambda command, cwd: subprocess.CompletedProcess(command, 1))
    monkeypatch.setattr(sys, "argv", ["failures", "gan"])
    with pytest.raises(SystemExit, match="has not come to its end"):
        failures.main()
    assert not (tmp_path / "pages").exists()
