"""The log-likelihood of test images, against known weights."""

import logging
import math
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision, Precision

from lit_gen.data.batches import LabelledImages
from lit_gen.metrics import likelihood
from lit_gen.metrics.likelihood import NegativeLogLikelihood


class Counting:
    """Weights of 1, 2, ... for each image, times its first pixel."""

    _trainer, device = None, torch.device("cpu")

    def __init__(self):
        self.pieces = []

    def target(self, image):
        return image

    def log_weights(self, target, samples):
        start = 1 + sum(self.pieces)
        self.pieces.append(samples)
        return torch.arange(start, start + samples).float().log()[:, None] + target[:, 0, 0, 0].log()


def batch(*firsts):
    image = torch.ones(len(firsts), 1, 64, 64)
    image[:, 0, 0, 0] = torch.tensor(firsts)
    return LabelledImages(image, torch.zeros(len(firsts)))


def test_all_samples_in_pieces():
    """Two images of 4,096 numbers leave room for 2^20 / 2^13 = 128 samples at once, and the last piece is smaller. The
    mean of 1, 2, ... 300 is 150.5 over all pieces, but not over any single one."""
    model, evaluator = Counting(), NegativeLogLikelihood(300)
    evaluator.update(model, batch(1.0, 4.0))
    assert model.pieces == [128, 128, 44]
    figure = evaluator.compute()["nll"]
    assert figure.value == pytest.approx(-math.log(150.5) - math.log(4) / 2, rel=1e-6)
    assert figure.samples == 2 and figure.features == "300 samples per image"


def test_images_of_a_smaller_last_batch_weigh_as_much():
    evaluator = NegativeLogLikelihood(1)
    for firsts in ((1.0, 2.0, 3.0), (4.0,)):
        evaluator.update(Counting(), batch(*firsts))
    assert evaluator.compute()["nll"].value == pytest.approx(-math.log(24) / 4, rel=1e-6)


@pytest.mark.parametrize("seconds, words", [(0.5, ["about 1 min."]), (0.001, [])])
def test_a_long_wait_is_announced_once(monkeypatch, caplog, seconds, words):
    """10 batches of 10 pieces of half a second make 50 seconds."""
    clock = iter(range(1_000))
    monkeypatch.setattr(likelihood.time, "monotonic", lambda: next(clock) * 3 * seconds)
    model, evaluator = Counting(), NegativeLogLikelihood(2_560)
    model._trainer = model.trainer = SimpleNamespace(num_test_batches=[10], precision_plugin=Precision())
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            evaluator.update(model, batch(1.0))
    said = [record.message for record in caplog.records if "NLL from" in record.message]
    assert len(said) == len(words) and all(word in said[0] for word in words)


@pytest.mark.parametrize(
    "plugin, kind", [(Precision(), torch.float32), (MixedPrecision("bf16-mixed", "cpu"), torch.bfloat16)]
)
def test_networks_run_in_the_trainer_s_precision(monkeypatch, plugin, kind):
    model, layer, seen = Counting(), torch.nn.Linear(2, 2), []
    model._trainer = model.trainer = SimpleNamespace(num_test_batches=[1], precision_plugin=plugin)
    weights = model.log_weights

    def log_weights(target, samples):
        seen.append(layer(torch.ones(1, 2)).dtype)
        return weights(target, samples)

    monkeypatch.setattr(model, "log_weights", log_weights)
    NegativeLogLikelihood(1).update(model, batch(1.0))
    assert seen == [kind]
