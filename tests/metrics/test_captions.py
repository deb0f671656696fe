"""Text2Image's figures, of models whose pictures are known."""

from types import SimpleNamespace

import pytest
import torch

from lit_gen.data import CelebACaptions
from lit_gen.data.batches import CaptionedImages
from lit_gen.metrics import captions
from lit_gen.metrics.captions import CaptionMatching, StatedAttributes, opposed_pairs
from tests.metrics.pictures import PixelJudge, mark

CPU = torch.device("cpu")


def table(attributes, stated):
    """A batch whose pictures show their attributes, and whose captions are their rows' numbers."""
    attributes, stated = torch.tensor(attributes).float(), torch.tensor(stated).float()
    caption = torch.arange(len(attributes))[:, None]
    return CaptionedImages(mark(torch.zeros(len(attributes), 3, 16, 16), attributes), caption, attributes, stated)


def painter(shown):
    """A model that draws pictures of these attributes, by the captions' numbers."""
    shown = torch.tensor(shown).float()
    return SimpleNamespace(
        device=CPU, draw=lambda caption: mark(torch.zeros(len(caption), 3, 16, 16), shown[caption[:, 0]])
    )


ATTRIBUTES = [[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]]
STATED = [[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1]]


@pytest.fixture
def by_pixel(monkeypatch):
    monkeypatch.setattr(captions, "attribute_question", lambda data, names: names)
    monkeypatch.setattr(captions, "classifier_for", lambda names, data, device: PixelJudge(len(names)))


def evaluate(model, batches, samples=1_000):
    data = SimpleNamespace(datasets={}, spec={"attributes": ["a", "b", "c"]})
    evaluator = StatedAttributes(samples)
    evaluator.prepare(model, data)
    for batch in batches:
        evaluator.update(model, batch)
    return evaluator.compute()


def pieces(batch, *sizes):
    return [CaptionedImages(*fields) for fields in zip(*(field.split(sizes) for field in batch), strict=True)]


@pytest.mark.parametrize("sizes", [(4,), (3, 1)])
def test_shares_by_hand(by_pixel, sizes):
    """The first picture lacks what is said first, the second shows what is said, the third lacks two of three things,
    the fourth differs in what is not said."""
    model = painter([[0, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]])
    figures = evaluate(model, pieces(table(ATTRIBUTES, STATED), *sizes))
    assert figures["test_stated"].value == pytest.approx((1 + 1 + 1 + 1) / 7)
    assert figures["test_all_stated"].value == pytest.approx(2 / 4)
    assert figures["judge_accuracy"].value == figures["test_judge_stated"].value == 1
    assert figures["test_stated"].features == "judge (100.0 % on real)"
    assert {figure.samples for figure in figures.values()} == {4}
    assert not any(name.startswith("held_out") for name in figures)


def test_perfect_pictures(by_pixel):
    figures = evaluate(painter(ATTRIBUTES), [table(ATTRIBUTES, STATED)])
    assert figures["test_stated"].value == figures["test_all_stated"].value == 1


def test_the_judge_s_errors_stand_beside(by_pixel):
    """Of twelve labels two are not what the pictures show, one of them stated."""
    batch = table(ATTRIBUTES, STATED)
    batch.attributes[0, 0] = batch.attributes[1, 0] = 1 - batch.attributes[0, 0]
    batch.attributes[1, 0] = 1
    figures = evaluate(painter(ATTRIBUTES), [batch])
    assert figures["judge_accuracy"].value == pytest.approx(10 / 12)
    assert figures["test_judge_stated"].value == pytest.approx(6 / 7)
    assert figures["test_stated"].features == "judge (85.7 % on real)"


def test_a_limit_to_the_number_of_captions(by_pixel):
    figures = evaluate(painter(ATTRIBUTES), pieces(table(ATTRIBUTES, STATED), 2, 2), samples=3)
    assert figures["test_stated"].samples == figures["judge_accuracy"].samples == 3


class NeverJudge:
    """Sees nothing of anything."""

    def decide(self, image):
        return torch.zeros(len(image), 3)


def test_combinations_that_were_held_out(celeba_root, monkeypatch):
    """Of a judge that says no to everything, the share of stated attributes that are false is right."""
    monkeypatch.setattr(captions, "classifier_for", lambda *words: NeverJudge())
    names = ["Male", "Smiling", "Young"]
    data = CelebACaptions(root=celeba_root, image_size=16, attributes=names, held_out=[["Male", "Smiling"]])
    data.prepare_data()
    data.setup("test")
    held_out = data.datasets["held_out"]
    _, _, attributes, stated = held_out.__getitems__(range(len(held_out)))
    stated = stated > 0
    assert attributes[:, :2].all() and stated[:, :2].all() and len(held_out) > 3
    evaluator = StatedAttributes(1_000)
    model = SimpleNamespace(device=CPU, draw=lambda caption: torch.zeros(len(caption), 3, 16, 16))
    evaluator.prepare(model, data)
    (batch,) = (data.to_floats(batch, flip=False) for batch in [data.datasets["test"].__getitems__(range(12))])
    evaluator.update(model, batch)
    figures = evaluator.compute()
    assert figures["held_out_stated"].value == pytest.approx((attributes[stated] == 0).double().mean().item())
    assert figures["held_out_stated"].samples == len(held_out)
    assert figures["held_out_all_stated"].value == 0
    assert figures["test_stated"].samples == 12


def test_opposed_captions():
    """Both must speak of an attribute, and say the opposite."""
    batch = table(ATTRIBUTES, STATED)
    expected = torch.zeros(4, 4, dtype=torch.bool)
    for one, other in ((0, 1), (0, 2), (2, 3)):  # b: no, yes; b: no, yes; c: no, yes
        expected[one, other] = expected[other, one] = True
    assert torch.equal(opposed_pairs(batch), expected)


def test_matching_by_hand():
    """Sentences 0 and 1 contradict 2. The score of sentence i and picture j is table[i][j]."""
    tables = {"made": [[5, 0, 7], [0, 5, 1], [4, 6, 5]], "real": [[5, 9, 1], [9, 5, 1], [1, 1, 5]]}
    batch = table([[1], [1], [0]], [[1], [1], [1]])
    made = batch.image + 1

    def scores(shown):
        assert torch.equal(shown.caption, batch.caption)
        return torch.tensor(tables["made" if torch.equal(shown.image, made) else "real"]).float()

    evaluator, model = CaptionMatching(1_000), SimpleNamespace(device=CPU, scores=scores, draw=lambda caption: made)
    evaluator.prepare(model, None)
    evaluator.update(model, batch)
    figures = evaluator.compute()
    # Made: of picture 2 sentence 0 scores 7, above its own 5, and sentence 1 not; of picture 1 sentence 2 scores 6,
    # above its own 5; of picture 0 sentence 2 does not.
    assert figures["own_matching"].value == pytest.approx(2 / 4)
    assert figures["own_matching_real"].value == 1
    assert figures["own_matching"].features == "the model's own encoders" and figures["own_matching"].samples == 3


def test_captions_that_never_contradict():
    evaluator, batch = CaptionMatching(10), table([[1], [1]], [[1], [1]])
    model = SimpleNamespace(device=CPU, scores=lambda shown: torch.eye(2), draw=lambda caption: batch.image)
    evaluator.prepare(model, None)
    evaluator.update(model, batch)
    assert evaluator.compute() == {}
