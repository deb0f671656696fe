"""Measuring a finished run, from its folder alone."""

import json
import sys

import pytest

from benchmarks import measure
from lit_gen.cli import main

# What makes each system small, and figures that must be there.
RUNS = {
    "aae": (["--model.hidden_sizes=[8]", "--model.discriminator_sizes=[8]", "--data.val_size=20"], {"mmd_ratio"}),
}


@pytest.mark.parametrize("system", RUNS)
def test_measure(system, tmp_path, monkeypatch, capsys):
    settings, expected = RUNS[system]
    words = [
        "fit", "--config", f"configs/{system}.yaml", *settings, "--data.batch_size=8", "--data.synthetic=true",
        "--data.synthetic_count=120", f"--data.root={tmp_path}", f"--trainer.default_root_dir={tmp_path / 'runs'}",
        "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.logger=false",
        "--trainer.enable_progress_bar=false", "--samples.count=4",
    ]  # fmt: skip
    main(words)
    (run,) = (tmp_path / "runs").glob("*/*")
    monkeypatch.setattr(sys, "argv", ["measure", str(run), "--command", "python main.py fit", "--judge_epochs", "1"])
    measure.main()
    record = json.loads((run / "measures.json").read_text())
    assert expected <= set(record["figures"])
    assert record["command"] == "python main.py fit" and record["seed"] == 0
