"""The images that a sentence contradicts, by hand and by brute force, and the choice among them."""

from collections import Counter

import pytest
import torch

from lit_gen.data.batches import CaptionedImages
from lit_gen.data.mismatches import choose_wrong, contradictions
from tests.models import tiny


def test_contradictions_by_hand():
    """Sentence 0 says that the first attribute is there, sentence 1 that neither is, sentence 2 nothing."""
    attributes, stated = torch.tensor([[[1, 1], [0, 0], [0, 1]], [[1, 0], [1, 1], [0, 0]]])
    data = CaptionedImages(tiny.images(3), None, attributes, stated)
    assert contradictions(data).tolist() == [[0, 1, 1], [2, 0, 1], [0, 0, 0]]


def test_contradictions_by_brute_force():
    for seed in range(5):
        data = tiny.batch(12, seed=seed, kind=CaptionedImages)
        found = contradictions(data)
        for i in range(12):
            for j in range(12):
                wrong = [data.stated[i, a] == 1 and data.attributes[i, a] != data.attributes[j, a] for a in range(6)]
                assert found[i, j] == sum(wrong)


def test_wrong_images_contradict_the_fewest_attributes_and_each_is_as_likely():
    torch.manual_seed(0)
    contradicted = torch.tensor([[0, 1, 1, 1], [3, 0, 0, 0], [0, 0, 0, 0], [0, 2, 3, 2]])
    draws = [Counter() for _ in contradicted]
    for _ in range(3000):
        wrong, found = choose_wrong(contradicted)
        assert found.tolist() == [True, True, False, True]
        for row, image in enumerate(wrong.tolist()):
            draws[row][image] += 1
    assert set(draws[1]) == {0} and set(draws[3]) == {1, 3} and set(draws[0]) == {1, 2, 3}
    for row, share in ((0, 1000), (3, 1500)):
        assert all(times == pytest.approx(share, abs=5 * share**0.5) for times in draws[row].values())
