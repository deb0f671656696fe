from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lit_gen.metrics import held_out
from lit_gen.metrics.held_out import HeldOutDistance
from tests.models import tiny


class Numbered(NamedTuple):
    image: Tensor
    number: Tensor


class Data:
    def __init__(self, count: int, size: int) -> None:
        self.batch = Numbered(tiny.images(count, 3, size), torch.arange(count))

    def preview_batch(self, count: int) -> Numbered:
        return Numbered(*(field[:count] for field in self.batch))


class Model:
    """Makes noise, and pictures of the batch's numbers."""

    device = torch.device("cpu")

    def __init__(self, size: int = 16) -> None:
        self.image_shape = (3, size, size)
        self.sizes = []

    def held_out_pairs(self, batch, noise):
        self.sizes.append(len(batch.image))
        numbers = batch.number.view(-1, 1, 1, 1).expand_as(batch.image).float()
        return [(batch.image, torch.randn(batch.image.shape, generator=noise)), (2 * batch.image, numbers)]


def measured(model, data):
    metric = HeldOutDistance(model.held_out_pairs)
    metric.prepare(model, data)
    metric.update(model, None)
    return metric


def test_pieces_are_put_together_in_their_order(monkeypatch):
    monkeypatch.setattr(held_out, "AT_ONCE", 4 * 16 * 16 + 7)
    data, model = Data(10, 16), Model()
    (real, noise), (other, numbers) = measured(model, data).pairs
    assert model.sizes == [4, 4, 2]
    assert torch.equal(real, data.batch.image) and torch.equal(other, 2 * real)
    assert numbers[:, 0, 0, 0].tolist() == list(range(10))
    assert noise.flatten(1).unique(dim=0).shape[0] == 10  # each piece has noise of its own
    torch.rand(5)
    assert torch.equal(noise, measured(model, data).pairs[0][1])  # and all of it comes again


@pytest.mark.parametrize(("size", "samples", "count"), [(16, 7, 7), (16, 1_000, 20), (32, 1_000, 12), (64, 1_000, 3)])
def test_large_images_are_fewer(size, samples, count, monkeypatch):
    monkeypatch.setattr(held_out, "PIXELS", 3 * 64 * 64)
    monkeypatch.setattr(held_out, "SAMPLES", samples)
    assert len(measured(Model(size), Data(20, size)).pairs[0][0]) == count


def test_the_figure_is_the_mean_over_levels_and_pairs(monkeypatch):
    answers = [{32: 1.0, 16: 2.0}, {32: 10.0, 16: 20.0}]
    asked = []

    def answer(made, real, **settings):
        asked.append((made, real))
        return answers[len(asked) - 1]

    monkeypatch.setattr(held_out, "sliced_wasserstein", answer)
    data = Data(6, 16)
    figures = measured(Model(), data).compute()
    assert figures["sliced_wasserstein"].value == pytest.approx((1 + 2 + 10 + 20) / 4)
    assert figures["sliced_wasserstein"].samples == 6
    assert torch.equal(asked[0][1], data.batch.image) and not torch.equal(asked[0][0], data.batch.image)


def test_images_of_the_same_kind_are_nearer_than_others():
    class Painter(Model):
        def __init__(self, paint):
            super().__init__(32)
            self.paint = paint

        def held_out_pairs(self, batch, noise):
            return [(batch.image, self.paint(batch.image))]

    def distance(paint):
        return measured(Painter(paint), Data(60, 32)).compute()["sliced_wasserstein"].value

    same = distance(lambda image: tiny.images(len(image), 3, 32, seed=1))
    striped = distance(lambda image: tiny.images(len(image), 3, 32, seed=1) + torch.tensor([0.5, -0.5] * 16))
    one = distance(lambda image: tiny.images(1, 3, 32, seed=1).expand_as(image))
    assert 0 < 2 * same < min(striped, one)
