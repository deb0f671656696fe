"""The table of speeds, on few images and for a fraction of a second."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("system", ["vae", "gan"])
def test_a_system_is_measured(system, tmp_path):
    words = [system, "--seconds=0.2", "--quick", f"--root={tmp_path}", "--override=--data.synthetic_count=400"]
    words += ["--override=--data.val_size=100", "--override=--data.batch_size=10", f"--output={tmp_path}/speed.json"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *words], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert re.search(rf"^{system} +[\d,]+ +[\d,]+ +[\d,]+ +\d\.\d\d$", done.stdout, re.MULTILINE), done.stdout
    found = json.loads((tmp_path / "speed.json").read_text())["systems"][system]["this"]
    assert found.keys() == {"fit", "bare", "data"} and all(value > 0 for value in found.values())
    assert found["data"] > found["fit"], "a training that loads nothing cannot be slower than one that does"


@pytest.mark.slow
def test_a_system_that_fails_says_why(tmp_path):
    words = ["vae", f"--root={tmp_path}", "--override=--model.latent_dim=0"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *words], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stderr.startswith("vae: error: --model.latent_dim must be of type integer from 1")
