import itertools
from operator import attrgetter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lit_gen.data.batches import Images
from lit_gen.metrics import samples as module
from lit_gen.metrics.digits import load_digits
from lit_gen.metrics.evaluator import Options
from lit_gen.metrics.features import DigitFeatures
from lit_gen.metrics.samples import (
    SSIM_BETAS,
    SampleQuality,
    as_bytes,
    feature_distances,
    own_noise,
    similarity,
    some,
    ssim_scales,
)
from tests.metrics.pictures import in_two_processes
from tests.models import tiny

MODEL = SimpleNamespace(device=torch.device("cpu"))


def test_bytes_are_what_the_data_were_made_of():
    stored = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_bytes(stored.float() / 127.5 - 1), stored)
    assert as_bytes(torch.tensor([-3.0, -1, -0.9999, 0.9999, 1, 7])).tolist() == [0, 0, 0, 255, 255, 255]


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
        evaluator.network = ByBrightness().eval()
        evaluator.update(MODEL, Images(real))
        found = {name.split("_digits-")[0]: figure.value for name, figure in evaluator.compute().items()}
        return found["least_digit"], found["most_digit"]

    assert figures(made) == pytest.approx((0, 2.5))
    assert figures(real) == pytest.approx((1, 1))


def crossed(scales: list[float], shift: float) -> torch.Tensor:
    """Points along the axes: mean `shift` in all, and a diagonal covariance that is known."""
    axes = torch.diag(torch.tensor(scales, dtype=torch.float64))
    return torch.cat([axes, -axes]) + shift


def test_fid_in_closed_form():
    """|difference of means|^2 + sum of (difference of standard deviations)^2 for diagonal covariances."""
    real, made = crossed([1, 2, 3, 4], 0), crossed([2, 2, 5, 1], 0.5)
    unit = (2 / 7) ** 0.5  # standard deviation of a coordinate, of 8 points
    expected = 4 * 0.5**2 + unit**2 * (1 + 0 + 4 + 9)
    assert feature_distances(made, real)["fid"] == pytest.approx(expected, rel=1e-6)
    assert feature_distances(real + 3, real)["fid"] == pytest.approx(4 * 9, rel=1e-6)
    assert feature_distances(real, real)["fid"] == pytest.approx(0, abs=1e-6)


def kid_by_loops(made, real):
    """The unbiased estimate of the squared discrepancy under (x.y / F + 1)^3."""

    def kernel(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    within = sum(
        sum(kernel(a, b) for a, b in itertools.permutations(points, 2)) / (len(points) * (len(points) - 1))
        for points in (made, real)
    )
    return within - 2 * sum(kernel(a, b) for a in made for b in real) / (len(made) * len(real))


def test_kid_by_loops():
    torch.manual_seed(0)
    made, real = torch.randn(12, 5).double(), torch.randn(12, 5).double() + 0.3
    assert feature_distances(made, real)["kid"] == pytest.approx(kid_by_loops(made.numpy(), real.numpy()), rel=1e-6)


def test_kid_of_many_pictures_is_a_mean_over_subsets(monkeypatch):
    monkeypatch.setattr(module, "KID_SUBSET_SIZE", 20)
    torch.manual_seed(0)
    made, real = torch.randn(100, 5).double(), torch.randn(60, 5).double() + 0.5
    torch.manual_seed(1)
    first = feature_distances(made, real)
    assert first["kid"] == pytest.approx(kid_by_loops(made.numpy(), real.numpy()), rel=0.2)
    assert first == feature_distances(made, real)
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(1)))


# By the pictures themselves


def test_scales():
    sides = {8: 0, 10: 0, 16: 1, 21: 1, 28: 2, 32: 2, 64: 3, 128: 4, 256: 5}
    assert {side: ssim_scales(side) for side in sides} == sides


@pytest.mark.parametrize("side", range(11, 260, 3))
def test_all_sides_can_be_compared(side):
    images = torch.randint(256, (2, 1, side, side), dtype=torch.uint8)
    value = similarity(images, ssim_scales(side))
    assert 0 <= value < 0.9 and np.isfinite(value)


def ssim_maps(a, b):
    """SSIM and its contrast part at each place of the 11x11 window inside the images (Wang et al. 2004)."""
    window = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2
    rows, columns = (side - 10 for side in a.shape)
    ssim, contrast = np.zeros((rows, columns)), np.zeros((rows, columns))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    for r, c in itertools.product(range(rows), range(columns)):
        x, y = (image[r : r + 11, c : c + 11] for image in (a, b))
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
        covariance = (window * (x - mx) * (y - my)).sum()
        contrast[r, c] = (2 * covariance + c2) / (vx + vy + c2)
        ssim[r, c] = contrast[r, c] * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return ssim.mean(), contrast.mean()


def test_similarity_by_loops():
    torch.manual_seed(0)
    base = tiny.images(1, 1, 28)
    images = as_bytes(torch.cat([base, 0.6 * base + 0.2 * torch.randn(1, 1, 28, 28)]))
    a, b = images[:, 0].double().numpy()
    expected = 1.0
    weights = np.array(SSIM_BETAS[:2]) / sum(SSIM_BETAS[:2])
    for level, weight in enumerate(weights):
        if level == 0:
            expected *= ssim_maps(a, b)[1] ** weight
            a, b = (image.reshape(14, 2, 14, 2).mean((1, 3)) for image in (a, b))
        else:  # torchmetrics mirrors the border here
            expected *= ssim_maps(*(np.pad(image, 5, mode="reflect") for image in (a, b)))[0] ** weight
    assert 0.3 < expected < 0.95
    assert similarity(images, 2) == pytest.approx(expected, abs=1e-4)


def test_similarity_is_a_mean_over_pairs():
    image = as_bytes(tiny.images(1, 1, 28))
    assert similarity(image.repeat(7, 1, 1, 1), 2) == pytest.approx(1, abs=1e-5)  # a generator of one picture
    torch.manual_seed(0)
    images = torch.randint(256, (6, 1, 28, 28), dtype=torch.uint8)
    every = [similarity(images[list(pair)], 2) for pair in itertools.combinations(range(6), 2)]
    assert min(every) < similarity(images, 2) < max(every)


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
    counts = {name.removeprefix("a_to_b_"): (figure.samples, figure.features) for name, figure in figures.items()}
    by_features = "fid", "kid", "precision", "recall", "least_digit", "most_digit"
    assert counts == {f"{name}_{title}": (21, title) for name in by_features} | {
        "swd_28": (21, ""), "swd_mean": (21, ""), "ms_ssim_2_scales": (10, ""), "ms_ssim_2_scales_real": (10, ""),
    }  # fmt: skip


def test_each_figure_is_of_made_and_real_pictures():
    images = tiny.images(24, 1, 28)
    figures = run(evaluator(), images)
    network, title = load_digits()
    made, real = ((as_bytes(side).float() / 127.5 - 1) for side in (paint(Images(images)), images))
    with torch.no_grad():
        expected = feature_distances(network.features(made), network.features(real))
    for name, value in expected.items():
        assert figures[f"{name}_{title}"].value == pytest.approx(value, rel=1e-3)
    assert figures["ms_ssim_2_scales_real"].value == pytest.approx(similarity(as_bytes(images), 2))
    assert figures["ms_ssim_2_scales"].value != figures["ms_ssim_2_scales_real"].value
    same = run(evaluator(make=attrgetter("image")), images)
    assert same[f"fid_{title}"].value == pytest.approx(0, abs=1e-4)
    assert same[f"precision_{title}"].value == same[f"recall_{title}"].value == 1


@pytest.mark.parametrize("size, names", [(16, ["swd_16", "swd_mean", "ms_ssim_1_scale", "ms_ssim_1_scale_real"]),
                                         (8, ["swd_8", "swd_mean"]), (4, [])])  # fmt: skip
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
    assert seen == [8, 8] and figures["swd_28"].samples == 12
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
    (fid,) = [name for name in there if name.startswith("fid")]
    assert there[fid].value == pytest.approx(back[fid].value) and there[fid].samples == 12
    assert there["ms_ssim_2_scales"].samples == back["ms_ssim_2_scales_real"].samples == 6
    assert there["ms_ssim_2_scales_real"].samples == 10
    assert there[fid].value != pytest.approx(figures(0, 1)[fid].value)


def test_noise_is_its_own(monkeypatch):
    """Each process and batch has other noise, each test the same, and nobody else's is touched."""

    def drawn(process, processes):
        monkeypatch.setattr(module, "place", lambda: (process, processes))
        metric = evaluator(features="none", make=lambda batch: torch.rand_like(batch.image))
        for batch in tiny.images(16, 1, 28).split(8):
            metric.update(MODEL, Images(batch))
        return torch.cat(metric.made).flatten(1)

    torch.manual_seed(3)
    together = torch.cat([drawn(0, 2), drawn(1, 2)])
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))
    assert len(together.unique(dim=0)) == 32
    assert torch.equal(together, torch.cat([drawn(0, 2), drawn(1, 2)]))


def test_own_noise_is_put_back_after_an_error():
    torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError), own_noise(0, torch.device("cpu")):
        torch.rand(9)
        _ = 1 / 0
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(3)))


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
    assert alone["swd_28"].samples == min(samples, 27)
    assert first.keys() == alone.keys()
    for name, figure in alone.items():
        assert first[name].value == pytest.approx(figure.value, rel=1e-4, abs=1e-7), name
        assert first[name][1:] == figure[1:]
