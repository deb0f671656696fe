"""Figures about codes, against closed forms and known codes."""

import math
from types import SimpleNamespace

import pytest
import torch

from lit_gen.data.base import ImageData
from lit_gen.data.batches import LabelledImages
from lit_gen.metrics.codes import ActiveUnits, CodeInformation, PenalizedReconstruction, PriorDistance
from lit_gen.models import AAE, InfoGAN
from tests.metrics.pictures import in_two_processes
from tests.models import tiny


def batches(rows, sizes):
    """`rows` as the images of several batches."""
    return [LabelledImages(piece, torch.zeros(len(piece))) for piece in rows.split(sizes)]


class Data(ImageData):
    """Training images that are the numbers themselves."""

    def __init__(self, rows):
        self.datasets = {"train": self}
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitems__(self, rows):
        return self.rows[rows]

    def to_floats(self, rows, flip):
        assert not flip
        return LabelledImages(rows, torch.zeros(len(rows)))


def evaluate(evaluator, model, several, data=None):
    evaluator.prepare(model, Data(normal(1_000)) if data is None else data)
    for batch in several:
        evaluator.update(model, batch)
    return evaluator.compute()


def test_active_units():
    """Of four units one is constant, one far from 0 but nearly constant, and two move by more than 0.1."""
    mean = torch.randn(101, 4, generator=torch.Generator().manual_seed(0))
    mean = (mean - mean.mean(0)) / mean.std(0, correction=0) * torch.tensor([0, 0.09, 0.11, 1]) + 50
    assert ((mean.double() - mean.double().mean(0)).square().mean(0) > 0.01).tolist() == [False, False, True, True]
    model = SimpleNamespace(target=lambda image: image, encode=lambda image: (image, torch.zeros_like(image)))
    figures = evaluate(ActiveUnits(4), model, batches(mean, [40, 60, 1]))
    assert figures == {"active_units": (2, 101, "of 4 units")}


class Codes:
    """Two standard normal numbers as the prior; images are their own codes."""

    device = torch.device("cpu")

    def sample_latent(self, count, generator):
        return torch.randn(count, 2, generator=generator)

    def encode(self, image, draw):
        assert draw, "the aggregated posterior is made of draws"
        return image


@pytest.fixture
def fewer(monkeypatch):
    """A quarter of the latents are compared at most, in a sixteenth of the time."""
    monkeypatch.setattr(PriorDistance, "most", 1_000)


def normal(count, seed=1):
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))


def test_codes_that_follow_the_prior(fewer):
    figures = evaluate(PriorDistance(), Codes(), batches(normal(800), 300))
    assert figures["mmd_ratio"].value == pytest.approx(1, abs=0.35)
    assert figures["mmd_ratio"].samples == 800


def test_the_order_of_the_images_does_not_count(fewer):
    """As in MNIST's test set, the first ones are unlike the rest; more than are compared."""
    codes = normal(1_500)
    figures = evaluate(PriorDistance(), Codes(), batches(codes[codes[:, 1].argsort()], 500))
    assert figures["mmd_ratio"].value == pytest.approx(1, abs=0.35)
    assert figures["mmd_ratio"].samples == 1_000


def test_4_000_latents_are_compared_at_most():
    assert PriorDistance.most == 4_000 and PenalizedReconstruction.most == 2_000


def test_codes_that_do_not(fewer):
    """Moved by m along one axis; E k(x, y) = h^2 / r^2 exp(-m^2 / 2 r^2) in the plane, r^2 = h^2 + 2."""
    shift, width = 1.0, math.sqrt(4 * math.log(2))  # |x - y|^2 / 4 is exponential: its median is log 2
    spread = width**2 + 2
    expected = math.sqrt(2 * width**2 / spread * (1 - math.exp(-(shift**2) / (2 * spread))))
    codes = normal(1_000) + torch.tensor([shift, 0.0])
    figures = evaluate(PriorDistance(), Codes(), batches(codes, 500))
    assert figures["mmd_codes"].value == pytest.approx(expected, rel=0.1)
    assert figures["mmd_ratio"].value == figures["mmd_codes"].value / figures["mmd_prior"].value > 5


def test_training_images_beside(fewer):
    """Theirs follow the prior, and more than are compared are there; the test images' codes are moved."""
    codes = normal(900) + torch.tensor([1.0, 0.0])
    figures = evaluate(PriorDistance(), Codes(), batches(codes, 400), Data(normal(1_500, seed=2)))
    assert figures["mmd_training_ratio"].value == pytest.approx(1, abs=0.5)
    assert figures["mmd_training_ratio"].samples == 1_000 and figures["mmd_ratio"].samples == 900
    assert figures["mmd_ratio"].value > 3
    swapped = evaluate(PriorDistance(), Codes(), batches(normal(1_500, seed=2), 400), Data(codes))
    assert swapped["mmd_training_ratio"].value == pytest.approx(figures["mmd_ratio"].value, rel=0.01)


class Reconstructing(Codes):
    """Wrong by 0.2 on [-1, 1] in both numbers: 2 x 0.1^2 on [0, 1]."""

    def reconstruct(self, image):
        return image + 0.2


def test_reconstruction_and_codes_are_judged_together():
    """Codes that follow the prior leave the error as it is, but for luck; others multiply it by their ratio."""
    good, bad = (
        evaluate(PenalizedReconstruction(), Reconstructing(), batches(normal(800) + shift, 300))
        for shift in (0, torch.tensor([1.0, 0.0]))
    )
    assert good["penalized_reconstruction"].value == pytest.approx(0.02 * max(1, good["mmd_ratio"].value))
    assert 0.02 <= good["penalized_reconstruction"].value < 0.02 * 1.35
    assert bad["mmd_ratio"].value > 5
    assert bad["penalized_reconstruction"].value == pytest.approx(0.02 * bad["mmd_ratio"].value)
    close = evaluate(PenalizedReconstruction(), Reconstructing(), batches(normal(2_000, seed=0), 300))
    assert close["mmd_ratio"].value < 1  # the very draws
    assert close["penalized_reconstruction"].value == pytest.approx(0.02)


def half_of_the_codes(rank):
    return evaluate(PriorDistance(), Codes(), batches(2 * normal(301), [90, 70, 90, 51])[rank::2])


def test_two_processes_agree_with_one():
    alone = evaluate(PriorDistance(), Codes(), batches(2 * normal(301), 301))
    for together in in_two_processes(half_of_the_codes):
        assert together.keys() == alone.keys()
        for name, figure in together.items():
            assert figure.value == pytest.approx(alone[name].value, rel=1e-6)
            assert figure.samples == (1_000 if "training" in name else 301)


def test_draws_from_a_gaussian_posterior():
    """Their mean is the code that reconstructions are made of, their deviation what the encoder says."""
    model = tiny.build(AAE, posterior="gaussian").eval()
    image = tiny.images(1).expand(20_000, -1, -1, -1)
    torch.manual_seed(0)
    with torch.no_grad():
        draws, mean = model.encode(image, draw=True), model.encode(image[:1])
        deviation = (0.5 * model.encoder(image[:1])[:, model.latent_dim :]).exp()
    torch.testing.assert_close(draws.mean(0, keepdim=True), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(draws.std(0, keepdim=True), deviation, rtol=0.05, atol=0)


def test_information_is_of_all_pictures_at_once():
    """Q errs by 0.1 on 30 pictures and by 0.5 on 10: the mean square is 0.07, as one Gaussian's variance."""
    model = tiny.build(InfoGAN, categorical_codes=[3], continuous_codes=1).eval()
    errors = iter([0.1, 0.5])

    def recognize(images):
        outputs = torch.cat([torch.zeros(len(images), 3), model.asked + next(errors)], dim=1)
        return None, outputs

    def sample_latent(count):
        model.asked = torch.zeros(count, 1)
        return torch.cat([torch.zeros(count, model.noise_dim), torch.eye(3)[torch.zeros(count).long()], model.asked], 1)

    model.sample_latent, model.recognize = sample_latent, recognize
    figures = evaluate(CodeInformation(), model, batches(tiny.images(40), [30, 10]))
    expected = math.log(2) - 0.5 * math.log(2 * math.pi * math.e * (30 * 0.01 + 10 * 0.25) / 40)
    assert figures["information_continuous"].value == pytest.approx(expected, abs=1e-5)
    assert figures["information_categorical"].value == pytest.approx(0, abs=1e-6)  # equal logits tell nothing
    assert figures["information_continuous"].samples == 40
