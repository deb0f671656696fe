"""Checkpoints and configs that e45cbfd wrote, one tiny run per model in `tests/fixtures/e45cbfd`, go on loading.

Each run was trained for an epoch and a part of the second. `answers.pt` holds what its networks gave for some inputs.
"""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from lit_gen.cli import main
from tests.models import tiny

RUNS = sorted((Path(__file__).parent / "fixtures" / "e45cbfd").iterdir())
MODELS = {model.__name__.lower(): model for model in tiny.ALL}


def test_there_is_a_run_of_each_model_of_then():
    assert len(RUNS) == 11 and {run.name for run in RUNS} <= MODELS.keys()


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_networks_answer_as_they_did(run):
    model_class = MODELS[run.name]
    model = model_class.load_from_checkpoint(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
    model.eval()
    answers = torch.load(run / "answers.pt", weights_only=True)
    batch = tiny.kind_for(model_class)(**answers["given"]["batch"])
    if hasattr(model, "data_attributes"):
        model.data_attributes = list(model.spec["attributes"])
    found = {}
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        found["predict"] = model.predict_step(batch, 0)
        if "generate" in answers["found"]:
            found["generate"] = model.generate(4, torch.Generator().manual_seed(3))
        if "discriminate" in answers["found"]:
            torch.manual_seed(2)
            found["discriminate"] = list(model.discriminate(batch, model.make_fakes(batch)))
            if run.name == "cyclegan":  # whose critics' scores were one after the other, and now are side by side
                found["discriminate"] = [scores.flatten() for scores in found["discriminate"]]
    # Another processor adds in another order: the last bits may differ.
    torch.testing.assert_close(found, answers["found"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_run_goes_on_to_its_end(run, roots, tmp_path, caplog, recwarn):
    """In its own folder, with the config that it left, from the middle of its second epoch to the end of that."""
    resumed = tmp_path / "runs" / run.name / run.name
    shutil.copytree(run, resumed)
    data = yaml.safe_load((run / "config.yaml").read_text())["data"]
    root = roots[data["class_path"].rsplit(".")[-1]]
    before = torch.load(resumed / "checkpoints" / "last.ckpt", weights_only=True)
    with caplog.at_level("INFO"):
        main(
            ["fit", f"--config={resumed / 'config.yaml'}", f"--ckpt_path={resumed / 'checkpoints' / 'last.ckpt'}"]
            + [f"--data.root={root}", "--trainer.max_steps=-1", "--trainer.max_epochs=2", "--trainer.logger=false"]
        )
    after = torch.load(resumed / "checkpoints" / "last.ckpt", weights_only=True)
    assert after["epoch"] == 1 and after["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == 2
    # Not by global_step: ProGAN's counted the pieces of batches.
    done = [state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] for state in (before, after)]
    assert done[1] > done[0] and after["global_step"] == done[1]
    assert after["state_dict"].keys() >= before["state_dict"].keys()
    best = [key for key in after["callbacks"] if key.startswith("BestCheckpoint")]
    anew = "best.ckpt is now chosen by val/penalized_reconstruction" in caplog.text
    assert len(best) == 1 and anew == (run.name == "aae") == ("val/penalized_reconstruction" in best[0])
    assert not any("callbacks used to create the checkpoint" in str(warning.message) for warning in recwarn)
    if run.name == "cyclegan":  # no training image of then is held out now
        assert after["Horse2Zebra"]["split"]["rule"] == "test images for validation"
        assert "split" not in before["Horse2Zebra"]
    weights = [state["state_dict"] for state in (before, after)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0] if name.endswith("weight"))
