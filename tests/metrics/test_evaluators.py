"""Every model's evaluators, on data that no judge can learn from."""

import json
import math

import pytest
import torch

from lit_gen.callbacks.evaluation import Evaluation
from tests.models import tiny

# What each system is tested for, besides its own terms.
OWN = {
    "VAE": {"nll", "active_units"},
    "AAE": {"mmd_codes", "mmd_prior", "mmd_ratio"},
    "InfoGAN": {"information_categorical", "information_continuous", "category_accuracy"},
    "Text2Image": {"own_matching", "own_matching_real", "retrieval"},
    "PuzzleGAN": {"mask_iou", "patch_l1"},
    "CycleGAN": {"cycle_a", "cycle_b"},
    "StarGAN": {"reconstruction"},
    "AutoEncoder": {"reconstruction"},
}
# Less of them is not better, nor is more.
GAMES = "loss d_real d_fake encoder_adversarial classification encoder_label encoder_style d_real_label d_fake_label"
TERMS_OF_GAMES = {f"test/{name}" for name in [*GAMES.split(), "d_real_style", "d_fake_style"]}


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_every_model_has_figures(model_class, tmp_path):
    model = tiny.build(model_class)
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(tmp_path, features="none")])
    torch.manual_seed(0)
    trainer.test(model, datamodule=tiny.NoiseData(3, kind=tiny.kind_for(model_class)), verbose=False)
    figures = json.loads((tmp_path / "test.json").read_text())["figures"]
    assert {f"test/{name}" for name in OWN.get(model_class.__name__, ())} <= set(figures)
    for name, figure in figures.items():
        assert math.isfinite(figure["value"]) and 0 < figure["samples"] <= 24, name
        assert figure["words"] or name in TERMS_OF_GAMES, name
    assert not any("judge" in name for name in figures)
