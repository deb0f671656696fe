"""What metrics mean, against the papers and the definitions of the metrics."""

import json
from pathlib import Path

import pytest
import torch

from lit_gen.data import MNIST, CelebA, Horse2Zebra, MNISTCaptions
from lit_gen.metrics.meanings import PAPERS, meaning, names, paper_value
from lit_gen.models import AAE, VAE, AutoEncoder, SemiSupervisedAAE
from tests.models import tiny

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("name", "system", "direction", "unit"),
    [
        ("test/nll", "VAE", "↓", "nats per image"),
        ("test/elbo", "VAE", "↑", "nats per image"),
        ("val/reconstruction", "VAE", "↓", "nats per image"),
        ("val/reconstruction", "AutoEncoder", "↓", "per image, pixels in [0, 1]"),
        ("val/reconstruction", "StarGAN", "↓", "pixels in [-1, 1]"),
        ("val/loss", "AAE", "", ""),  # of a game
        ("test/parzen_log_likelihood", "GAN", "↑", "nats per image"),
        ("test/digit_fid", "DCGAN", "↓", ""),
        ("test/digit_fid_real", "DCGAN", "", ""),
        ("test/fid50k_full_inception-6726825d", "ProGAN", "↓", ""),
        ("test/digit_kid40_train_deviation", "GAN", "", ""),
        ("test/precision50k_full_vgg16-1a2b3c4d", "ProGAN", "↑", "fraction"),
        ("test/swd16384_mean", "ProGAN", "↓", "× 1,000, mean over levels"),
        ("test/swd16384_real_mean", "ProGAN", "", "× 1,000"),
        ("test/ms_ssim", "ProGAN", "", "ideal: that of real images"),
        ("test/a_to_b_swd4_16", "CycleGAN", "↓", "× 1,000"),
        ("test/a_to_b_identity_error", "CycleGAN", "", "mean absolute, pixels in [-1, 1]"),
        ("test/kept_with_Male", "StarGAN", "↑", "fraction"),
        ("test/test_judge_stated", "Text2Image", "", "fraction"),
        ("val/classification_error", "SemiSupervisedAAE", "↓", "fraction"),
        ("val/penalized_reconstruction", "AAE", "↓", "per image, pixels in [0, 1]"),
        ("test/of_ones_own", "VAE", "", ""),
    ],
)
def test_direction_and_unit(name, system, direction, unit):
    assert meaning(name, [system])[1:] == (direction, unit)


@pytest.mark.parametrize("beginning", ["", "mixture_"])
@pytest.mark.parametrize("ending", ["", "_infinity", "_real"])
def test_fid_of_digits_is_called_so(beginning, ending):
    assert meaning(f"test/{beginning}digit_fid{ending}").words.startswith("digit-FID")


@pytest.mark.parametrize(("model", "weight"), [(AutoEncoder, 1), (AAE, 1), (SemiSupervisedAAE, 0.5)])
def test_the_reconstruction_is_what_its_words_say(model, weight):
    system, model, batch = model.__name__, tiny.build(model).eval(), tiny.batch()
    with torch.no_grad():
        error = ((model.reconstruct(batch.image) - batch.image) / 2).square().sum() / len(batch.image)
        reconstruction = model.losses(batch)["reconstruction"]
    assert float(reconstruction) == pytest.approx(weight * float(error), rel=1e-4)
    words = "squared error" if weight == 1 else "half the squared error"
    assert meaning("val/reconstruction", [system]).words == words


def test_every_metric_of_the_records_has_words():
    """But for the terms of a game's losses."""
    terms = {"loss", "encoder_adversarial", "d_real", "d_fake", "score_a_real", "score_a_fake", "score_b_real",
             "score_b_fake"}  # fmt: skip
    paths = list(RESULTS.glob("*.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        for name in record["figures"]:
            assert meaning(name, [record["system"]]).words or name.removeprefix("test/") in terms, (path.name, name)


def test_papers_values_are_for_their_system_and_data():
    paper = paper_value("test/nll", ["VAE"], ["MNIST"])
    assert paper.value == "86.76" and "MNIST" in paper.of and "K = 1" in paper.of and "1509.00519" in paper.source
    assert paper_value("test/reconstruction", ["AutoEncoder"], ["MNIST"]).value == "3.00"
    assert paper_value("test/parzen_log_likelihood", ["GAN"], ["MNIST"]).value == "225 ± 2"
    assert paper_value("test/parzen_log_likelihood", ["AAE"], ["MNIST"]).value == "340 ± 2"
    assert paper_value("test/parzen_log_likelihood", ["VAE"], ["MNIST"]) is None
    assert paper_value("test/nll", ["VAE"], ["CelebA"]) is None
    assert paper_value("test/swd16384_mean", ["ProGAN"], ["CelebA"]).value == "2.96"
    assert paper_value("test/ms_ssim_real", ["ProGAN"], ["CelebA"]) is None
    assert paper_value("test/a_to_b_fid_inception-6726825d", ["CycleGAN"], ["Horse2Zebra"]).value == "62.1"


@pytest.mark.parametrize(
    "name",
    ["swd16384_real_mean", "swd4096_mean", "a_to_b_fid_real_inception-672", "a_to_b_fid_infinity_inception-672"],
)
def test_no_papers_value_stands_beside_another_measurement(name):
    """As of real images among themselves, of fewer images, or of infinitely many."""
    assert paper_value(f"test/{name}", ["ProGAN", "CycleGAN"], ["CelebA", "Horse2Zebra"]) is None


def test_a_class_of_ones_own_has_what_its_base_has():
    class MyVAE(VAE):
        pass

    assert {"MyVAE", "VAE"} <= set(names(tiny.build(MyVAE)))
    assert meaning("kl", names(tiny.build(MyVAE))).unit == "nats per image"


def test_each_published_value_is_of_a_metric_with_words_and_data_that_there_are():
    known = {kind.__name__ for kind in (MNIST, CelebA, Horse2Zebra, MNISTCaptions)}
    for system, pattern, data, *_ in PAPERS:
        assert data in known and meaning(pattern.replace("*", ""), [system]).words, (system, pattern)
