from operator import attrgetter
from types import SimpleNamespace

import pytest
import torch

from lit_gen.data.batches import Images
from lit_gen.data.pixel_values import as_bytes
from lit_gen.metrics import processes
from lit_gen.metrics.comparison import Names, feature_figures, some
from lit_gen.metrics.digits import load_digits
from lit_gen.metrics.evaluator import Options
from lit_gen.metrics.features import DigitFeatures
from lit_gen.metrics.ms_ssim import similarity
from lit_gen.metrics.samples import SampleQuality
from tests.metrics.pictures import in_two_processes
from tests.models import tiny

MODEL = SimpleNamespace(device=torch.device("cpu"))


def test_some_are_not_the_first():
    chosen = some(torch.arange(1_000), 100)
    assert len(chosen.unique()) == 100 and 350 < chosen.float().mean() < 650
    assert torch.equal(chosen, some(torch.arange(1_000), 100))


# By features


class ByBrightness(DigitFeatures):
    """Takes an image for the digit that its first pixel says, by features that are this digit's one-hot vector."""

    def __init__(self):
        super().__init__()
        self.network.answer = torch.nn.Linear(128, 10, bias=False)
        torch.nn.init.eye_(self.network.answer.weight)

    def forward(self, image):
        return torch.nn.functional.one_hot(image[:, 0, 0, 0].long(), 128).float()


def test_shares_of_digits_by_hand():
    """Each digit 20 times in 200 real images; of 200 made ones 50 are ones, 10 are twos, none is a three."""
    real = torch.arange(10).repeat(20)
    made = torch.cat([torch.tensor([1] * 50 + [2] * 10), torch.tensor([0, 4, 5, 6, 7, 8, 9]).repeat(20)])
    made, real = (digits.float().view(-1, 1, 1, 1).expand(-1, 1, 28, 28) / 127.5 - 1 for digits in (made, real))

    def figures(made):
        evaluator = SampleQuality(Options("digits", 200), (1, 28, 28), lambda _: made, attrgetter("image"))
        evaluator.features.load = lambda device: [ByBrightness().eval()]
        evaluator.prepare(MODEL, None)
        evaluator.update(MODEL, Images(real))
        found = evaluator.compute()
        return found["least_digit"].value, found["most_digit"].value

    assert figures(made) == pytest.approx((0, 2.5))
    assert figures(real) == pytest.approx((1, 1))


# The evaluator


def paint(batch):
    """What the pictures of a fixed generator look like: each is made of its own row only."""
    return (batch.image * 0.7 + 0.2).clamp(-1, 1)


def evaluator(samples=1_000, features="digits", shape=(1, 28, 28), make=paint, **settings):
    metric = SampleQuality(Options(features, samples), shape, make, attrgetter("image"), **settings)
    metric.prepare(MODEL, None)
    return metric


def run(metric, images, size=8):
    for batch in images.split(size):
        metric.update(MODEL, Images(batch))
    return metric.compute()


def test_figures_and_their_names():
    figures = run(evaluator(prefix="a_to_b_"), tiny.images(21, 1, 28))
    _, title = load_digits()
    counts = {name.removeprefix("a_to_b_"): tuple(figure[1:]) for name, figure in figures.items()}
    by_features = "fid", "fid_infinity", "kid", "precision", "recall"
    assert counts == {f"digit_{name}": (21, f"{title}, against 21 test images") for name in by_features} | {
        "digit_fid_real": (10, f"{title}, against 11 test images"),  # between two halves
        "least_digit": (21, f"{title}, against 21 test images"), "most_digit": (21, f"{title}, against 21 test images"),
        "swd21_28": (21, "against 21 test images"), "swd21_mean": (21, "against 21 test images"),
        "ms_ssim": (10, ""), "ms_ssim_real": (10, ""),
    }  # fmt: skip


def test_each_figure_is_of_made_and_real_pictures():
    images = tiny.images(24, 1, 28)
    figures = run(evaluator(), images)
    network = DigitFeatures()
    made, real = (network(as_bytes(side)) for side in (paint(Images(images)), images))
    for name, value in feature_figures(network, made, real, Names("test images")).items():
        assert figures[name].value == pytest.approx(value.value, rel=1e-3)
    shuffled = some(as_bytes(images), 24)
    assert figures["ms_ssim_real"].value == pytest.approx(similarity(shuffled))
    assert figures["ms_ssim"].value != figures["ms_ssim_real"].value
    same = run(evaluator(make=attrgetter("image")), images)
    assert same["digit_fid"].value == pytest.approx(0, abs=1e-4)
    assert same["digit_precision"].value == same["digit_recall"].value == 1


def test_pictures_made_from_real_ones_are_compared_with_others():
    """A generator that changes nothing is no nearer to them than real images are, and of 40 rows 20 are made anew."""
    images = tiny.images(50, 1, 28)
    unchanged = run(evaluator(20, make=attrgetter("image"), from_real=True), images)
    even, odd = images[:40:2], images[1:40:2]
    network = DigitFeatures()
    parts = [network(as_bytes(part)) for part in (even, odd)]
    assert unchanged["digit_fid"].samples == 20
    for name, figure in feature_figures(network, *parts, Names("test images")).items():
        assert unchanged[name].value == pytest.approx(figure.value, rel=1e-3), name
    assert unchanged["digit_fid"].value > 0.1 and unchanged["swd20_28"].value > 1
    by_sixes = run(evaluator(20, make=attrgetter("image"), from_real=True), images, 6)
    assert {name: figure.value for name, figure in by_sixes.items()} == pytest.approx(
        {name: figure.value for name, figure in unchanged.items()}, rel=1e-4
    )


@pytest.mark.parametrize("size, names", [(16, ["swd6_16", "swd6_mean", "ms_ssim", "ms_ssim_real"]),
                                         (8, ["swd6_8", "swd6_mean"]), (4, [])])  # fmt: skip
def test_small_pictures(size, names):
    figures = run(evaluator(features="none", shape=(3, size, size)), tiny.images(6, 3, size))
    assert list(figures) == names


def test_it_stops_when_there_are_enough():
    seen = []

    def make(batch):
        seen.append(len(batch.image))
        return paint(batch)

    images = tiny.images(40, 1, 28)
    figures = run(evaluator(12, "none", make=make), images)
    assert seen == [8, 8] and figures["swd12_28"].samples == 12
    assert figures == run(evaluator(1_000, "none"), images[:12])


def test_repeated_pictures_count_once():
    """Of 20 pairs, A has 12 pictures: the last 8 come for the second time."""
    a, b = tiny.images(12, 1, 28), tiny.images(20, 1, 28, seed=1)
    both = list(zip(torch.cat([a, a[:8]]).split(8), b.split(8), strict=True))

    def figures(made, real, **settings):
        metric = SampleQuality(Options("digits", 100), (1, 28, 28), lambda p: p[made], lambda p: p[real], **settings)
        metric.prepare(MODEL, None)
        for pair in both:
            metric.update(MODEL, pair)
        return metric.compute()

    there, back = figures(0, 1, distinct=(12, 20)), figures(1, 0, distinct=(20, 12))
    assert there["digit_fid"].value == pytest.approx(back["digit_fid"].value)
    assert there["digit_fid"][1:] == (12, f"{load_digits()[1]}, against 20 test images")
    assert back["digit_fid"][1:] == (20, f"{load_digits()[1]}, against 12 test images")
    assert there["ms_ssim"].samples == back["ms_ssim_real"].samples == 6
    assert there["ms_ssim_real"].samples == 10
    assert there["digit_fid"].value != pytest.approx(figures(0, 1)["digit_fid"].value)


def test_noise_is_its_own(monkeypatch):
    """Each process and batch has other noise, each test the same, and nobody else's is touched."""

    def drawn(process, count):
        monkeypatch.setattr(processes, "place", lambda: (process, count))
        metric = evaluator(features="none", make=lambda batch: torch.rand_like(batch.image))
        for batch in tiny.images(16, 1, 28).split(8):
            metric.update(MODEL, Images(batch))
        return torch.cat(metric.made).flatten(1)

    torch.manual_seed(3)
    together = torch.cat([drawn(0, 2), drawn(1, 2)])
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))
    assert len(together.unique(dim=0)) == 32
    assert torch.equal(together, torch.cat([drawn(0, 2), drawn(1, 2)]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_gives_the_same_figures():
    images, device = tiny.images(24, 1, 28), torch.device("cuda")
    model = SimpleNamespace(device=device)
    metric = SampleQuality(Options("digits", 24), (1, 28, 28), paint, attrgetter("image")).to(device)
    metric.prepare(model, None)
    for batch in images.to(device).split(8):
        metric.update(model, Images(batch))
    expected = run(evaluator(24), images)
    for name, figure in metric.compute().items():
        assert figure.value == pytest.approx(expected[name].value, rel=1e-2, abs=1e-5)


def shared(rank, samples):
    """The figures of one of two processes, whose batches in turn are those of one process cut in half."""
    metric = evaluator(samples)
    pieces = [piece for batch in tiny.images(27, 1, 28).split(8) for piece in batch.tensor_split(2)]
    for piece in pieces[rank::2]:
        metric.update(MODEL, Images(piece))
    return metric.compute()


@pytest.mark.parametrize("samples", [13, 1_000])
def test_two_processes_give_what_one_gives(samples):
    """27 pictures: 8, 8, 8 and 3 in one process; 4, 4, 4 and 2 in the first of two, 4, 4, 4 and 1 in the other."""
    first, second = in_two_processes(shared, samples)
    assert first == second
    alone = run(evaluator(samples), tiny.images(27, 1, 28))
    assert alone[f"swd{min(samples, 27)}_28"].samples == min(samples, 27)
    assert first.keys() == alone.keys()
    for name, figure in alone.items():
        assert first[name].value == pytest.approx(figure.value, rel=1e-4, abs=1e-7), name
        assert first[name][1:] == figure[1:]
