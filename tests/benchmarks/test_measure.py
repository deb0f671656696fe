"""Measuring a finished run, from its folder alone."""

import json
import sys

import pytest

from benchmarks import measure
from lit_gen.cli import main

# What makes each system small, and figures that must be there.
RUNS = {
    "aae": (["--model.hidden_sizes=[8]", "--model.discriminator_sizes=[8]", "--data.val_size=20"], {"mmd_ratio"}),
    "cyclegan": (
        ["--model.channels=4", "--model.discriminator_channels=4"],
        {"a_to_b_taken_for_target", "b_to_a_change_outside", "a_to_b_error_ratio", "judge_accuracy"},
    ),
    "stargan": (
        ["--model.channels=4", "--model.discriminator_channels=4"],
        {"changed_Male", "kept_with_Blond_Hair", "changed", "kept", "judge_accuracy"},
    ),
    "text2image": (
        ["--model.generator_channels=4", "--model.discriminator_channels=4", "--model.text_channels=[8,8,8]"],
        {"test_stated", "held_out_stated", "held_out_all_stated", "judge_accuracy"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("system", RUNS)
def test_measure(system, tmp_path, monkeypatch):
    settings, expected = RUNS[system]
    words = [
        "fit", "--config", f"configs/{system}.yaml", "--config", f"configs/quick/{system}.yaml", *settings,
        "--data.batch_size=8", "--data.synthetic_count=120", f"--data.root={tmp_path}",
        f"--trainer.default_root_dir={tmp_path / 'runs'}", "--trainer.max_epochs=1",
        "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.logger=false",
        "--trainer.enable_progress_bar=false", "--samples.count=4",
    ]  # fmt: skip
    main(words)
    (run,) = (tmp_path / "runs").glob("*/*")
    monkeypatch.setattr(sys, "argv", ["measure", str(run), "--command", "python main.py fit", "--judge_epochs", "1"])
    measure.main()
    record = json.loads((run / "measures.json").read_text())
    assert expected <= set(record["figures"])
    assert all(0 <= record["figures"][name] <= 1 for name in expected if not name.endswith("ratio"))
    assert record["command"] == "python main.py fit" and record["seed"] == 0
