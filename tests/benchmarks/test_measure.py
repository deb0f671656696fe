"""Measuring a finished run, from its folder alone."""

import json
import os
import subprocess
import sys
from functools import partial

import pytest
import torch

from benchmarks import measure
from lit_gen.cli import main
from lit_gen.metrics import translation
from lit_gen.metrics.classifiers import domain_question

# What makes each system small, and figures that must be there.
RUNS = {
    "vae": (["--model.encoder.hidden_sizes=[8]", "--data.val_size=20"], {"nll", "active_units", "elbo"}),
    "aae": (
        ["--model.encoder.hidden_sizes=[8]", "--model.discriminator_sizes=[8]", "--data.val_size=20"],
        {"mmd_ratio"},
    ),
    "infogan": (
        ["--model.generator_channels=[8,4]", "--model.discriminator_channels=[4,8]", "--data.val_size=20"],
        {"information_categorical", "information_continuous", "category_accuracy"},
    ),
    "cyclegan": (
        ["--model.channels=4", "--model.discriminator_channels=4"],
        {"a_to_b_taken_for_target", "b_to_a_change_outside", "a_to_b_error_ratio", "judge_accuracy", "cycle_a"},
    ),
    "stargan": (
        ["--model.channels=4", "--model.discriminator_channels=4"],
        {"changed_Male", "kept_with_Blond_Hair", "changed", "kept", "judge_accuracy", "reconstruction"},
    ),
    "text2image": (
        ["--model.generator_channels=4", "--model.discriminator_channels=4", "--model.text_channels=[8,8,8]"],
        {"test_stated", "held_out_stated", "held_out_all_stated", "judge_accuracy", "retrieval", "own_matching"},
    ),
}  # fmt: skip


SLOW = ("cyclegan", "stargan", "text2image")


@pytest.mark.parametrize(
    "system", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else []) for name in RUNS]
)
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
    (run / "time.json").write_text(json.dumps({"seconds": 90, "batches": 2}))
    monkeypatch.setattr(translation, "domain_question", partial(domain_question, epochs=1))
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    arguments = ["--command", "python main.py fit", "--save", "name", "--features", "none", "--samples", "10"]
    arguments += ["--note", "too short"]
    monkeypatch.setattr(sys, "argv", ["measure", str(run), *arguments])
    measure.main()
    record = json.loads((run / "measures.json").read_text())
    assert json.loads((tmp_path / "results" / "name.json").read_text()) == record
    assert {f"test/{name}" for name in expected} <= set(record["figures"])
    for figure in record["figures"].values():
        assert figure["value"] is not None and figure["samples"] > 0 and isinstance(figure["features"], str)
    judged = [name for name, figure in record["figures"].items() if figure["features"].startswith("judge (")]
    assert bool(judged) == (system in ("cyclegan", "stargan", "text2image"))
    assert (record["command"], record["note"], record["seed"]) == ("python main.py fit", "too short", 0)
    assert record["data"].startswith("rendered ") and record["torch"] == torch.__version__
    assert (record["minutes"], record["images_seen"]) == (1.5, 16)
    assert record["images_per_second"] == pytest.approx(16 / 90, abs=0.05)
    assert [path.name for path in (tmp_path / "runs").glob("*/*")] == [run.name], "no further run is left behind"


def test_a_run_without_a_record_of_time(tmp_path, monkeypatch):
    """Its settings were written first, and its checkpoint 30 seconds later."""
    (tmp_path / "checkpoints").mkdir()
    checkpoint = {
        "state_dict": {}, "random_states": [1, 2], "hyper_parameters": {"spec": {"image_shape": [1, 28, 28]}},
        "loops": {"fit_loop": {"epoch_loop.batch_progress": {"total": {"processed": 7}}}},
        "pytorch-lightning_version": "2.5",
    }  # fmt: skip
    torch.save(checkpoint, measure.last(tmp_path))
    settings = tmp_path / "config.yaml"
    settings.write_text(
        "seed_everything: 5\ndata:\n  class_path: lit_gen.data.MNIST\n  init_args: {batch_size: 60, synthetic: false}\n"
    )
    written = measure.last(tmp_path).stat().st_mtime_ns
    os.utime(settings, ns=(written - 30 * 10**9,) * 2)
    assert measure.describe(tmp_path) == {
        "data": "real MNIST", "size": 28, "seed": 5, "minutes": 0.5, "images_seen": 7 * 60 * 2,
        "images_per_second": 28.0,
    }  # fmt: skip


def test_the_commit_is_that_of_the_training(tmp_path, monkeypatch):
    """The newest from before the run's settings were written, and not the one at hand."""
    for name, date in (("first", 1_000_000_000), ("second", 1_000_000_500)):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        dated = os.environ | {"GIT_COMMITTER_DATE": f"{date} +0000", "GIT_AUTHOR_DATE": f"{date} +0000"}
        for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", name]):
            subprocess.run(["git", *words], cwd=tmp_path, env=dated, check=True)
    log = subprocess.run(["git", "log", "--format=%h"], cwd=tmp_path, capture_output=True, text=True).stdout.split()
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    settings = tmp_path / "config.yaml"
    settings.touch()
    os.utime(settings, (1_000_000_400, 1_000_000_400))
    assert (measure.commit(before=settings), measure.commit()) == (log[1], log[0])
