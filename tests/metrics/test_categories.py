"""Categories as classes: the best matching by trying all, and what is counted."""

import itertools

import pytest
import torch

from lit_gen.data.batches import LabelledImages
from lit_gen.metrics.categories import CategoryAccuracy, matched
from lit_gen.metrics.evaluator import Figure
from lit_gen.models import InfoGAN
from tests.models import tiny


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (1, 4)])
def test_matched_is_the_best_of_all_assignments(shape):
    for seed in range(5):
        counts = torch.randint(20, shape, generator=torch.Generator().manual_seed(seed))
        wide = counts if shape[0] <= shape[1] else counts.T
        ways = itertools.permutations(range(wide.shape[1]), len(wide))
        best = max(sum(int(wide[row, column]) for row, column in enumerate(way)) for way in ways)
        assert matched(counts) == best


def test_two_categories_cannot_stand_for_one_class():
    """A majority vote would count 19 of 20."""
    assert matched(torch.tensor([[10, 0], [9, 1]])) == 11


def test_accuracy_over_batches(monkeypatch):
    """Labels are the row's number; categories that are these plus one, but for one row, are 7 of 8 right."""
    model = tiny.build(InfoGAN, categorical_codes=[10])
    answer = (torch.arange(8) + 1) % 10
    answer[5] = 1
    monkeypatch.setattr(model, "categories", lambda images: answer[: len(images)])
    accuracy = CategoryAccuracy(10, 10)
    images = tiny.images(8)
    for end in (8, 2):  # a ragged last batch
        accuracy.update(model, LabelledImages(images[:end], torch.arange(end)))
    assert accuracy.compute() == {"category_accuracy": Figure(9 / 10, 10)}
    accuracy.update(model, LabelledImages(images, torch.full((8,), -1)))  # unlabelled: of no class
    assert accuracy.compute() == {"category_accuracy": Figure(9 / 10, 10)}
    accuracy.reset()
    accuracy.update(model, LabelledImages(images, torch.arange(8)))
    assert accuracy.compute() == {"category_accuracy": Figure(7 / 8, 8)}
