"""The settings of an evaluation, every model's evaluators, and the published protocol on small data."""

import json
import math

import pytest
import torch

from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.data import MNIST, CelebA, Horse2Zebra
from lit_gen.errors import UserError
from lit_gen.models import GAN, VAE, CycleGAN, PuzzleGAN
from tests.models import tiny


def test_settings():
    options = Evaluation().options
    assert not options.published and options.samples == 10_000
    options = Evaluation(protocol="published", samples=70, split="test").options
    assert options.published and options.generated == options.samples == 70 and options.split == "test"
    options = Evaluation(protocol="published").options
    assert options.generated == 50_000 and options.samples == 10_000  # Parzen windows have 10,000 in all papers
    with pytest.raises(UserError, match="protocol=published"):
        Evaluation(split="train")


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
    """Also on data that no classifier can learn from."""
    model = tiny.build(model_class)
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(tmp_path, features="none")])
    torch.manual_seed(0)
    trainer.test(model, datamodule=tiny.NoiseData(3, kind=tiny.kind_for(model_class)), verbose=False)
    figures = json.loads((tmp_path / "test.json").read_text())["figures"]
    assert {f"test/{name}" for name in OWN.get(model_class.__name__, ())} <= set(figures)
    for name, figure in figures.items():
        assert math.isfinite(figure["value"]) and 0 < figure["samples"] <= 24, name
        assert figure["words"] or name in TERMS_OF_GAMES or model_class.__name__ not in tiny.SMALL, name
    assert not any("judge" in name for name in figures)


def measured(model, data, tmp_path, **settings):
    evaluation = Evaluation(protocol="published", **{"features": "none", "samples": 12} | settings)
    tiny.trainer(tmp_path, callbacks=[evaluation]).test(model, datamodule=data, verbose=False)
    assert all(math.isfinite(figure.value) for figure in evaluation.figures.values())
    return {name.removeprefix("test/"): figure for name, figure in evaluation.figures.items()}


@pytest.mark.parametrize("model_class", [GAN, VAE])
def test_digits(model_class, mnist_root, tmp_path, caplog):
    """Without a network Inception and VGG-16 are missing, and a line for each says so."""
    data = MNIST(mnist_root, val_size=100, batch_size=30, cache_folder=tmp_path / "cache")
    model = tiny.build(model_class, size=28)
    with caplog.at_level("INFO"):
        figures = measured(model, data, tmp_path, samples=40, features="auto")
    assert sum(line.startswith("warning: ") for line in caplog.messages) == 2
    assert figures["digit_fid40_train"][1:] == (40, figures["least_digit"].features)
    assert figures["least_digit"].features.endswith(", against 400 training images")
    assert (
        figures["digit_fid_real"].samples == 200
        and figures["digit_fid_real"].value < figures["digit_fid40_train"].value
    )
    names = "digit_fid40_train_infinity digit_kid40_train digit_kid40_train_deviation digit_precision40_train"
    names += " digit_recall40_train swd40_mean swd40_real_mean ms_ssim ms_ssim_real"
    assert set(names.split()) <= set(figures)
    data = MNIST(mnist_root, val_size=100, batch_size=7, cache_folder=tmp_path / "cache")
    again = measured(model, data, tmp_path, samples=40, features="auto")
    for name in figures:
        if "40" in name or "_real" in name or "ssim" in name or "digit" in name:
            assert again[name] == figures[name], name  # the batch size changes nothing


def test_models_that_are_given_real_images(roots, tmp_path):
    faces = CelebA(roots["CelebA"], image_size=32, batch_size=8, cache_folder=tmp_path / "cache")
    figures = measured(tiny.build(PuzzleGAN, 3, 32), faces, tmp_path)
    assert figures["swd12_mean"][1:] == (12, "against 12 training images")
    animals = Horse2Zebra(roots["Horse2Zebra"], image_size=32, batch_size=2, cache_folder=tmp_path / "cache")
    figures = measured(tiny.build(CycleGAN, 3, 32), animals, tmp_path)
    assert figures["a_to_b_swd4_mean"].features == "against 4 test images"
    with pytest.raises(UserError, match="compared with test images"):
        measured(tiny.build(CycleGAN, 3, 32), animals, tmp_path, split="train")


def test_data_of_ones_own_without_rows(tmp_path):
    with pytest.raises(UserError, match="NoiseData.*--evaluation.protocol=quick"):
        measured(tiny.build(GAN), tiny.NoiseData(2), tmp_path)


def test_the_table_says_what_is_better_in_which_unit_and_what_the_paper_has(mnist_root, tmp_path, caplog):
    data = MNIST(mnist_root, val_size=100, batch_size=50, cache_folder=tmp_path / "cache")
    evaluation = Evaluation(tmp_path, features="none", samples=8)
    with caplog.at_level("INFO"):
        trainer = tiny.trainer(tmp_path, callbacks=[evaluation])
        trainer.test(tiny.build(VAE, size=28, num_eval_samples=2), datamodule=data, verbose=False)
    (text,) = [message for message in caplog.messages if message.startswith("metric")]
    head, _, *lines = text.splitlines()
    assert head.split() == ["metric", "value", "unit", "paper", "samples", "features"]
    rows = {line.split()[0]: line for line in lines}
    value = f"{evaluation.figures['test/nll'].value:.5g}"
    assert rows["nll"].split() == f"nll ↓ {value} nats per image 86.76 100 2 samples per image".split()
    assert rows["elbo"].split()[1] == "↑" and "86.76" not in rows["elbo"]
    assert rows["kl"].split()[1] not in ("↑", "↓")
    (source,) = [line for line in lines if line.startswith("paper's ")]
    assert source.startswith("paper's nll, active_units: on real MNIST") and "arXiv:1509.00519, table 1" in source
    figures = json.loads((tmp_path / "test.json").read_text())["figures"]
    assert figures["test/nll"]["value"] == evaluation.figures["test/nll"].value
    assert (figures["test/nll"]["direction"], figures["test/nll"]["unit"]) == ("↓", "nats per image")
    assert figures["test/nll"]["paper"]["value"] == "86.76" and "1509.00519" in figures["test/nll"]["paper"]["source"]
    assert figures["test/elbo"]["paper"] is None


@pytest.mark.parametrize("settings", [{"likelihood": "gaussian"}, {"binarize": False}])
def test_pixels_that_are_not_binary_stand_beside_no_paper(settings, mnist_root, tmp_path):
    data = MNIST(mnist_root, val_size=100, batch_size=50, cache_folder=tmp_path / "cache")
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(tmp_path, features="none", samples=8)])
    model = tiny.build(VAE, size=28, num_eval_samples=2, **settings)
    trainer.test(model, datamodule=data, verbose=False)
    figures = json.loads((tmp_path / "test.json").read_text())["figures"]
    assert figures["test/nll"]["paper"] is None
