"""Translations per attribute beside the real images that have it, with features that are pixels."""

from types import SimpleNamespace

import pytest
import torch

from lit_gen.data.batches import AttributedImages
from lit_gen.metrics.evaluator import Options
from lit_gen.metrics.features import Network
from lit_gen.metrics.frechet import FrechetDistance, gaussian
from lit_gen.metrics.target_domains import TargetDomains
from tests.metrics.pictures import NAMES, in_two_processes, noise, tint


class Corners(Network):
    """Twelve pixels: those of two corners of each channel."""

    title, num_features = "corners", 12

    def forward(self, image):
        assert image.dtype == torch.uint8
        return image[..., [0, -1], :2].flatten(1).float()


def looked_at(count=90, seed=3):
    image, answers = noise(count, seed)
    return AttributedImages(tint(image, answers), answers)


def model(translate):
    return SimpleNamespace(device=torch.device("cpu"), labels=lambda batch: batch.attributes, translate=translate)


def perfect(image, target):
    """A translator that knows what it starts from: the tint of before does not show in a new image of noise."""
    return tint(noise(len(image), 77)[0], target)


def evaluator(samples=1_000):
    features = SimpleNamespace(load=lambda device: [Corners()])
    return TargetDomains(Options(samples=samples), NAMES, features)


def run(metric, translator, batch, size=25):
    metric.prepare(translator, None)
    for piece in zip(*(field.split(size) for field in batch), strict=True):
        metric.update(translator, AttributedImages(*piece))
    return metric.compute()


def by_hand(batch, index):
    """FID of unchanged images without the attribute, of an even sum of bytes, and those with it, of an odd one."""
    image = ((batch.image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    odd = torch.tensor([int(one.long().sum()) % 2 == 1 for one in image])
    has = batch.attributes[:, index] > 0
    made, real = (Corners()(image[rows]) for rows in (~odd & ~has, odd & has))
    return len(made), len(real), FrechetDistance(real).to(gaussian(made))


def test_a_translator_that_changes_nothing_is_far_off():
    batch = looked_at()
    figures = run(evaluator(), model(lambda image, target: image), batch)
    assert list(figures) == [f"{name}_{metric}_corners" for name in NAMES for metric in ("fid", "kid")]
    for index, name in enumerate(NAMES):
        made, real, expected = by_hand(batch, index)
        figure = figures[f"{name}_fid_corners"]
        assert figure.value == pytest.approx(expected, rel=1e-3) and figure.value > 1_000 and figure.samples == made
        assert figure.features.startswith(f"corners, against {real} test images that have it")
    better = run(evaluator(), model(perfect), batch)
    assert all(better[name].value < 0.7 * figures[name].value for name in figures if "fid" in name)


def test_the_first_rows_and_any_size_of_batches():
    batch = looked_at()
    translator = model(lambda image, target: image * 0.9)
    some = run(evaluator(20), translator, batch)
    first = AttributedImages(*(field[:40] for field in batch))
    for other in (run(evaluator(), translator, first, 40), run(evaluator(20), translator, batch, 7)):
        assert {name: figure[1] for name, figure in some.items()} == {name: figure[1] for name, figure in other.items()}
        for name, figure in some.items():
            assert other[name].value == pytest.approx(figure.value, rel=1e-6)


def test_an_attribute_that_nobody_has_is_left_out():
    batch = looked_at()
    batch.attributes[:, 1] = 0
    assert {name[:4] for name in run(evaluator(), model(lambda image, target: image), batch)} == {"Left"}


def shared(rank):
    metric, translator = evaluator(20), model(lambda image, target: image * 0.9)
    metric.prepare(translator, None)
    batch = looked_at()
    pieces = [
        AttributedImages(*fields)
        for start in range(0, 90, 26)
        for fields in zip(*(field[start : start + 26].tensor_split(2) for field in batch), strict=True)
    ]
    for piece in pieces[rank::2]:
        metric.update(translator, piece)
    return metric.compute()


def test_two_processes_agree_with_one():
    first, second = in_two_processes(shared)
    alone = run(evaluator(20), model(lambda image, target: image * 0.9), looked_at())
    assert first == second and first.keys() == alone.keys()
    for name, figure in alone.items():
        assert first[name].value == pytest.approx(figure.value, rel=1e-6) and first[name][1:] == figure[1:]
