"""MIG and DCI of codes whose relation to the factors is known, and the factors of rendered images."""

import math

import numpy as np
import pytest
import torch

from lit_gen.data import MNIST, CelebA
from lit_gen.data.batches import Images
from lit_gen.metrics.disentanglement import Disentanglement, dci_by_lasso, information_gaps, lasso, mutual_information
from lit_gen.metrics.evaluator import Options
from lit_gen.models import VAE, InfoGAN
from lit_gen.tasks.code_sweeps import codes_in
from tests.metrics.test_true_images import rendered_data
from tests.models import tiny

COUNT = 10_000
RANDOM = np.random.default_rng(0)
FACTORS = {
    "kind": RANDOM.integers(5, size=COUNT),
    "angle": RANDOM.uniform(-1, 1, COUNT),
    "size": RANDOM.normal(size=COUNT),
}
SAME = np.stack([factor.astype(float) for factor in FACTORS.values()], 1)
NOISE = RANDOM.normal(size=(COUNT, 4))
CATEGORICAL = [True, False, False]


def test_mutual_information_by_hand():
    """Of a fair coin with itself, with another, and with one that agrees in three of four cases."""
    coin = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert mutual_information(coin, coin) == pytest.approx(math.log(2))
    assert mutual_information(coin, np.array([0, 1] * 4)) == pytest.approx(0, abs=1e-12)
    expected = math.log(2) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert mutual_information(coin, np.array([0, 0, 0, 1, 1, 1, 1, 0])) == pytest.approx(expected)


def test_codes_that_are_the_factors():
    gaps = information_gaps(SAME, FACTORS)
    assert gaps["kind"] > 0.98 and gaps["angle"] > 0.94  # 10 levels within 20 bins
    assert gaps["size"] > 0.65  # bins of equal width cut a normal distribution coarsely
    scores = dci_by_lasso(SAME, FACTORS, CATEGORICAL)
    assert scores["disentanglement"] > 0.99 and scores["completeness"] > 0.99 and scores["informativeness"] > 0.99


def test_codes_that_are_noise():
    assert max(information_gaps(NOISE, FACTORS).values()) < 0.02
    assert abs(dci_by_lasso(NOISE, FACTORS)["informativeness"]) < 0.01


def test_two_codes_that_share_a_factor_have_no_gap():
    twice = np.concatenate([SAME, SAME], 1)
    assert list(information_gaps(twice, FACTORS).values()) == [0, 0, 0]
    assert information_gaps(SAME[:, :1], {"kind": FACTORS["kind"]})["kind"] == pytest.approx(1)  # there is no second


def test_codes_that_mix_two_factors():
    """Turned by 45 degrees, each code has half of both: D = C = 1 - log 2 / log 2 = 0, and nothing is lost."""
    two = {"a": RANDOM.normal(size=COUNT), "b": RANDOM.normal(size=COUNT)}
    turned = np.stack([two["a"] + two["b"], two["a"] - two["b"]], 1)
    assert max(information_gaps(turned, two).values()) < 0.02
    scores = dci_by_lasso(turned, two)
    assert scores["disentanglement"] < 0.01 and scores["completeness"] < 0.01 and scores["informativeness"] > 0.99


def test_a_code_of_two_factors_and_a_factor_of_two_codes():
    """One code has both factors: D = 0, C = 1. Two codes have a half of one factor each: D = 1, C = 0."""
    a, b = RANDOM.normal(size=(2, COUNT))
    scores = dci_by_lasso((a + b)[:, None], {"a": a, "b": b})
    assert scores["disentanglement"] < 0.01
    scores = dci_by_lasso(np.stack([a, b], 1), {"sum": a + b, "a third": RANDOM.normal(size=COUNT)})
    assert scores["completeness"] < 0.01 and scores["disentanglement"] > 0.95


def test_the_lasso_of_orthogonal_inputs_shrinks():
    """Its closed form: the least-squares weights, each nearer to 0 by alpha."""
    given = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1.0]])
    wanted = given @ np.array([[0.5], [-0.015]])
    np.testing.assert_allclose(lasso(given, wanted), [[0.48], [0]], atol=1e-6)


class Data:
    """Images that show the number of their row."""

    def __init__(self, factors):
        self.datasets, self.known, self.asked = {"train": self}, factors, []

    def __len__(self):
        return 700

    def __getitems__(self, rows):
        return Images(torch.tensor(rows)[:, None, None, None])

    def to_floats(self, batch, flip):
        assert not flip
        return batch

    def factors(self, split, places):
        self.asked.extend(places)
        return self.known and {name: values[places] for name, values in self.known.items()}


class Device:
    device = torch.device("cpu")


def test_codes_meet_the_factors_of_their_images():
    data = Data({name: values[:700] for name, values in FACTORS.items()})
    evaluator = Disentanglement(lambda image: torch.from_numpy(SAME)[image.flatten()], CATEGORICAL)
    evaluator.prepare(Device(), data)
    evaluator.update(None, None)  # the test batches make no difference
    figures = evaluator.compute()
    assert sorted(data.asked) == list(range(700)) and figures["mig"].samples == 700
    assert figures["mig_kind"].value > 0.95 and figures["dci_lasso_disentanglement"].value > 0.95
    gaps = [figures[f"mig_{name}"].value for name in FACTORS]
    assert figures["mig"].value == pytest.approx(np.mean(gaps))


def test_without_known_factors_there_is_nothing():
    evaluator = Disentanglement(lambda image: image)
    evaluator.prepare(Device(), Data(None))
    assert evaluator.compute() == {}


def test_codes_of_infogan_are_categories_and_means():
    model = tiny.build(InfoGAN, learnt_std=True).eval()
    images = tiny.images(5)
    with torch.no_grad():
        outputs, codes = model.recognize(images)[1], codes_in(model, images)
    assert codes.shape == (5, 3)
    assert torch.equal(codes[:, 0], model.categories(images).float())
    assert torch.equal(codes[:, 1:], outputs[:, [3, 5]])  # after three categories, each with mean and log-variance


@pytest.mark.parametrize("model_class", [VAE, InfoGAN])
def test_models_are_measured_where_factors_are_known(model_class):
    model, options = tiny.build(model_class), Options("none", 10)
    known = [
        any(isinstance(one, Disentanglement) for one in model.task.evaluators(model, data, options))
        for data in (MNIST(), tiny.NoiseData())
    ]
    assert known == [True, False]


def test_factors_of_digits_are_seen(mnist_root):
    """A thick pen leaves more ink, and a slanted digit's rows move to the side from the bottom to the top."""
    data = Renders(mnist_root, val_size=100)
    data.setup("fit")
    assert data.factors("train", range(10)) is None  # as far as anybody knows, these are real
    data.synthetic = True
    for split in ("train", "val", "test"):
        dataset = data.datasets[split]
        images = np.asarray(dataset.arrays[0][dataset.rows])[..., 0].astype(float)
        factors = data.factors(split, range(len(dataset)))
        np.testing.assert_array_equal(factors["digit"], dataset.arrays[1][dataset.rows])
        ink = images.sum((1, 2))
        assert np.corrcoef(factors["thickness"], ink)[0, 1] > 0.6
        ones = factors["digit"] == 1
        rows, columns = np.arange(28) - 13.5, np.arange(28) - 13.5
        lean = -np.einsum("nrc,r,c->n", images, rows, columns) / np.einsum("nrc,r->n", images, rows**2)
        assert np.corrcoef((factors["slant"] + factors["rotation"])[ones], lean[ones])[0, 1] > 0.8


class Renders(MNIST):
    """Reads the rendered digits where real ones would lie."""

    source = property(lambda self: self.root)


def test_factors_of_faces(celeba_root):
    data = rendered_data(CelebA, celeba_root)
    dataset, factors = data.datasets["train"], data.factors("train", range(20))
    smiling = dataset.arrays[1][dataset.rows[:20], data.attributes.index("Smiling")] > 0.5
    np.testing.assert_array_equal(factors["smile"] > 0.5, smiling)
    assert {len(values) for values in factors.values()} == {20} and factors["yaw"].dtype == float
    real = CelebA(celeba_root, 32, download=False)
    real.prepare_data()
    real.setup("test")
    assert real.factors("train", [0]) is None
