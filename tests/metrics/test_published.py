"""The published protocol on data of noise, with features that are pixels, beside what it is by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lit_gen.data.batches import AttributedImages
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.pixel_values import as_bytes
from lit_gen.errors import UserError
from lit_gen.metrics import published, real_images
from lit_gen.metrics import sliced_wasserstein as sliced
from lit_gen.metrics.comparison import Names, feature_figures
from lit_gen.metrics.evaluator import Options
from lit_gen.metrics.frechet import FrechetDistance, gaussian
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.ms_ssim import pair_similarities
from lit_gen.metrics.published import PublishedQuality, PublishedTargetDomains, pieces
from lit_gen.metrics.sliced_wasserstein import sliced_wasserstein
from tests.metrics.pictures import NAMES, Tinted, in_two_processes
from tests.metrics.test_target_domains import Corners

CPU = torch.device("cpu")
MODEL = SimpleNamespace(device=CPU, image_shape=(3, 16, 16), labels=lambda batch: batch.attributes)


@pytest.fixture(autouse=True)
def fewer_directions(monkeypatch):
    monkeypatch.setattr(sliced, "DIRECTIONS", 128)


class Counted(Corners):
    """Counts the images that it looks at."""

    looked = 0

    def forward(self, image):
        self.looked += len(image)
        return super().forward(image)


def data_in(folder):
    data = Tinted(folder)
    data.setup("test")
    return data


def noisy(batch):
    """A generator that draws, and that the batch says nothing to but how many."""
    return torch.rand(len(batch.image), 3, 16, 16) * 0.8 - 0.6


def evaluator(make=noisy, network=None, generated=130, split=None, **settings):
    features = SimpleNamespace(load=lambda device: [network or Corners()])
    options = Options(published=True, generated=generated, split=split)
    return PublishedQuality(options, (3, 16, 16), make, features, **settings)


def run(metric, data):
    metric.prepare(MODEL, data)
    metric.update(MODEL, None)
    return metric.compute()


def real_bytes(data, split="train"):
    images = data.datasets[split].arrays[0]
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def drawn(count):
    """What `noisy` draws: each piece of 100 images from the seed of its number."""
    made = []
    for piece, start in enumerate(range(0, count, 100)):
        with own_noise(piece, CPU):
            made.append(noisy(SimpleNamespace(image=range(min(100, count - start)))))
    return as_bytes(torch.cat(made))


def test_figures_by_hand(tmp_path):
    data = data_in(tmp_path)
    figures = run(evaluator(), data)
    made, real = drawn(130), real_bytes(data)
    network = Corners()
    expected = feature_figures(network, network(made), network(real), Names("training images", "130_train"))
    assert {"fid130_train_corners", "kid130_train_deviation_corners", "fid130_train_infinity_corners"} <= set(expected)
    for name, figure in expected.items():
        assert figures[name].value == pytest.approx(figure.value, rel=1e-4) and figures[name][1:] == figure[1:]
    assert figures["fid130_train_corners"].features == "corners, against 512 training images"
    order = torch.randperm(512, generator=torch.Generator().manual_seed(0))
    for name, pair in (("swd130_16", (made, real[order[:130]])),
                       ("swd130_real_16", (real[order[130:260]], real[order[:130]]))):  # fmt: skip
        assert figures[name].value == pytest.approx(sliced_wasserstein(*pair)[16], rel=1e-4)
    assert figures["swd130_real_mean"].value < 0.2 * figures["swd130_mean"].value
    for name, images in (("ms_ssim", made), ("ms_ssim_real", real[order])):
        pairs = float(pair_similarities(images[::2], images[1::2]).mean())
        assert figures[name].value == pytest.approx(pairs, rel=1e-4) and figures[name].samples == len(images) // 2
    assert set(figures) == set(expected) | {
        "swd130_16", "swd130_mean", "swd130_real_16", "swd130_real_mean", "ms_ssim", "ms_ssim_real",
    }  # fmt: skip


def test_the_protocols_numbers():
    options = Options(published=True)
    assert (options.generated, options.samples) == (50_000, 10_000)
    assert (published.FULL, published.FOR_SWD, published.FOR_PAIRS) == (50_000, 16_384, 10_000)
    assert published.MOST_BYTES >= 16_384 * 3 * 256 * 256
    assert {side: pieces(side * side) for side in (28, 64, 128, 256, 1024)} == {
        28: 100,
        64: 100,
        128: 64,
        256: 16,
        1024: 2,
    }


def test_only_50_000_against_all_training_images_are_called_full(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "FULL", 60)
    data = data_in(tmp_path)

    def name(**settings):
        return next(name for name in run(evaluator(**settings), data) if name.startswith("fid"))

    assert name(generated=60) == "fid50k_full_corners"
    assert name(generated=62) == "fid62_train_corners"
    assert name(generated=60, split="test") == "fid60_test_corners"
    data.all_training = None
    assert name(generated=60) == "fid60_train_corners"


def test_features_of_real_images_are_computed_once_per_content(tmp_path):
    def looked(data):
        network = Counted()
        figures = run(evaluator(network=network, generated=20), data)
        return network.looked - 20, figures["fid20_train_corners"].value

    data = data_in(tmp_path)
    assert looked(data)[0] == 512
    (kept,) = tmp_path.glob("**/features-corners-*.npy")
    value = looked(data)[1]
    assert looked(data) == (8, value)  # eight are compared with what is kept
    whole = np.load(kept)
    for damaged in (whole + 9, np.full((512, 12), np.nan), np.zeros((3, 12)), None):
        if damaged is None:
            kept.write_bytes(kept.read_bytes()[:-100])
        else:
            np.save(kept, damaged)
        again, repaired = looked(data)
        assert again >= 512 and repaired == value and looked(data) == (8, value)
    images, answers = data.datasets["train"].arrays
    changed = images.copy()
    changed[77, 3, 3, 0] ^= 1  # one bit of one pixel
    data.datasets["train"] = ArrayDataset(AttributedImages, (changed, answers))
    assert looked(data)[0] == 512 and len(list(tmp_path.glob("**/features-*.npy"))) == 2
    assert not list(tmp_path.glob("**/.*.partial"))


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch, caplog):
    def refuse(*_, **__):
        raise UserError("no room")

    data = data_in(tmp_path)
    expected = run(evaluator(generated=20), data)
    for path in tmp_path.glob("**/features-*.npy"):
        path.unlink()
    monkeypatch.setattr(real_images, "save_array", refuse)
    with caplog.at_level("INFO"):
        assert run(evaluator(generated=20), data) == expected
    assert "cannot be kept for the next test: no room" in caplog.text


def test_images_made_of_test_images_are_compared_with_others(tmp_path):
    """Against the test split: those of even rows, unchanged, with those of odd rows; each once."""
    data = data_in(tmp_path)
    figures = run(evaluator(lambda batch: batch.image, split="test", from_real=True, once=True), data)
    images, network = real_bytes(data, "test"), Corners()
    expected = FrechetDistance(network(images[1::2])).to(gaussian(network(images[::2])))
    assert figures["fid30_test_corners"].value == pytest.approx(expected, rel=1e-3) and expected > 100
    against_training = run(evaluator(lambda batch: batch.image, from_real=True, once=True), data)
    assert against_training["fid60_train_corners"].samples == 60


def test_conditions_come_again_with_other_noise(tmp_path):
    seen = []

    def make(batch):
        seen.append(batch.image)
        return noisy(batch)

    run(evaluator(make, generated=130), data_in(tmp_path))
    rows = torch.cat(seen)
    assert rows.shape[0] == 130 and torch.equal(rows[:60], rows[60:120]) and torch.equal(rows[:10], rows[120:])


def target_domains(data, translate, split=None):
    features = SimpleNamespace(load=lambda device: [Corners()])
    options = Options(published=True, generated=1_000, split=split)
    metric = PublishedTargetDomains(options, NAMES, features)
    model = SimpleNamespace(**vars(MODEL), translate=translate)
    metric.prepare(model, data)
    metric.update(model, None)
    return metric.compute()


def test_translations_per_attribute(tmp_path):
    """Test images that lack it, unchanged, against training images that have it."""
    data = data_in(tmp_path)
    figures = target_domains(data, lambda image, target: image)
    (train, has), (test, lacks) = (
        (real_bytes(data, split), data.datasets[split].arrays[1]) for split in ("train", "test")
    )
    for index, name in enumerate(NAMES):
        real, made = Corners()(train[has[:, index] > 0]), Corners()(test[lacks[:, index] == 0])
        figure = figures[f"{name}_fid{len(made)}_train_corners"]
        assert (
            figure.value == pytest.approx(FrechetDistance(real).to(gaussian(made)), rel=1e-3) and figure.value > 1_000
        )
        assert figure.features == f"corners, against {len(real)} training images that have it"
    halves = target_domains(data, lambda image, target: image, "test")
    assert all("_test_" in name and figure.samples < 30 for name, figure in halves.items())


def test_data_that_cannot_be_read_by_rows_are_refused(tmp_path):
    with pytest.raises(UserError, match="reads the test images of SimpleNamespace by rows.*protocol=quick"):
        run(evaluator(), SimpleNamespace(datasets={}, cache_folder=tmp_path))


def shared(rank, folder):
    sliced.DIRECTIONS, published.FOR_SWD = 128, 120
    return run(evaluator(generated=330), data_in(folder))


def test_two_processes_give_what_one_gives(tmp_path, monkeypatch):
    """Also with noise; 330 images are four pieces."""
    monkeypatch.setattr(published, "FOR_SWD", 120)
    first, second = in_two_processes(shared, tmp_path / "two")
    alone = run(evaluator(generated=330), data_in(tmp_path / "one"))
    assert first == second == alone and {"fid330_train_corners", "swd120_mean", "ms_ssim"} <= set(first)
