"""StarGAN's figures, of models whose translations are known."""

from types import SimpleNamespace

import pytest
import torch

from lit_gen.data.batches import AttributedImages
from lit_gen.metrics import attributes
from lit_gen.metrics.attributes import AttributeChanges
from tests.metrics.pictures import NAMES, PixelJudge, Tinted, in_two_processes, mark, noise, tint

FACES = ["Black_Hair", "Blond_Hair", "Male"]


def fake(translate):
    """A model whose labels are those of the batch."""
    return SimpleNamespace(device=torch.device("cpu"), labels=lambda batch: batch.attributes, translate=translate)


def evaluate(names, model, batches, data=None, samples=1_000):
    evaluator = AttributeChanges(names, samples)
    evaluator.prepare(model, data)
    for batch in batches:
        evaluator.update(model, batch)
    return evaluator.compute()


@pytest.fixture
def by_pixel(monkeypatch):
    monkeypatch.setattr(attributes, "attribute_question", lambda data, names: names)
    monkeypatch.setattr(attributes, "classifier_for", lambda names, data, device: PixelJudge(len(names)))


def faces(*rows):
    """A batch whose pictures show these answers, which the labels are too."""
    labels = torch.tensor(rows).float()
    return AttributedImages(mark(torch.zeros(len(rows), 3, 16, 16), labels), labels)


def test_perfect_and_idle_models(by_pixel):
    batches = [faces([1, 0, 1], [0, 1, 0]), faces([1, 0, 0])]
    perfect = evaluate(FACES, fake(mark), batches)
    idle = evaluate(FACES, fake(lambda image, target: image), batches)
    for name in FACES:
        assert perfect[f"changed_{name}"].value == perfect[f"kept_with_{name}"].value == 1
        assert idle[f"changed_{name}"].value == 0 and idle[f"kept_with_{name}"].value == 1
    assert (perfect["changed"].value, idle["changed"].value) == (1, 0)
    assert perfect["kept"].value == perfect["judge_accuracy"].value == 1


def test_only_those_count_of_whom_a_change_is_asked(by_pixel):
    """Two of three have black hair already, one has blond; all change sex."""
    figures = evaluate(FACES, fake(mark), [faces([1, 0, 1], [0, 1, 0]), faces([1, 0, 0])])
    samples = [figures[f"changed_{name}"].samples for name in FACES]
    assert samples == [1, 2, 3]
    assert figures["changed"].samples == 6 and figures["judge_accuracy"].samples == 3


def test_an_attribute_nobody_can_be_given(by_pixel):
    figures = evaluate(["Black_Hair"], fake(mark), [faces([1], [1])])
    assert set(figures) == {"judge_Black_Hair", "judge_accuracy"}


def test_shares_by_hand(by_pixel):
    """A model that makes black hair as asked, blond hair never, and every second face male whatever is asked."""

    def translate(image, target):
        shown = target.clone()
        shown[:, 1] = 0
        shown[::2, 2] = 1
        return mark(image, shown)

    # Black hair is asked of the second face and the fourth, blond of the others, the other sex of all.
    batch = faces([1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1])
    figures = evaluate(FACES, fake(translate), [batch])
    assert figures["changed_Black_Hair"].value == 1
    assert figures["changed_Blond_Hair"].value == 0
    # Asked for 1, 1, 0, 0: faces 0 and 2 are made male, 1 and 3 get what is asked.
    assert figures["changed_Male"].value == pytest.approx(3 / 4)
    # The sex stays with black hair (faces 1 and 3), and with blond hair for face 2 but not for face 0.
    assert figures["kept_with_Black_Hair"].value == 1
    assert figures["kept_with_Blond_Hair"].value == pytest.approx(1 / 2)
    # Of the two hair colours, faces 1 and 3 lose their blond, and faces 0 and 2 keep both answers.
    assert figures["kept_with_Male"].value == pytest.approx((2 + 1 + 2 + 1) / 8)
    assert figures["changed"].value == pytest.approx((1 + 0 + 3 / 4) / 3)
    assert figures["kept"].value == pytest.approx((1 + 1 / 2 + 3 / 4) / 3)


def test_the_judge_s_errors_stand_beside(by_pixel):
    """Labels say male of all four, pictures of three."""
    batch = faces([1, 0, 1], [1, 0, 1], [1, 0, 1], [1, 0, 0])
    batch.attributes[3, 2] = 1
    figures = evaluate(FACES, fake(mark), [batch])
    assert figures["judge_Male"].value == 0.75 and figures["judge_Black_Hair"].value == 1
    assert figures["changed_Male"].features == "judge (75.0 % on real)"
    assert figures["judge_accuracy"].value == pytest.approx(11 / 12)
    assert figures["kept"].features == "judge (91.7 % on real)"


def test_a_limit_to_the_number_of_pictures(by_pixel):
    batches = [faces([1, 0, 1], [0, 1, 0]), faces([1, 0, 0], [1, 0, 1]), faces([1, 0, 0])]
    assert evaluate(FACES, fake(mark), batches, samples=3)["judge_accuracy"].samples == 3


def true_translation(image, target):
    """The test pictures' noise with the tints asked for."""
    return tint(noise(60, 1)[0][: len(image)], target)


def test_true_translations_before_a_trained_judge(tmp_path):
    data = Tinted(tmp_path)
    data.setup("test")
    (batch,) = data.batches(size=60)
    figures = evaluate(NAMES, fake(true_translation), [batch], data)
    assert figures["changed"].value > 0.95 and figures["kept"].value > 0.95
    assert evaluate(NAMES, fake(lambda image, target: image), [batch], data)["changed"].value < 0.05


def half(rank, root):
    """What one of two processes computes from the batches that are its own; the last is smaller."""
    data = Tinted(root)
    data.setup("test")
    model = fake(lambda image, target: tint(image, target / 2))
    return evaluate(NAMES, model, data.batches(size=16)[rank::2], data)


def test_two_processes_agree_with_one(tmp_path):
    data = Tinted(tmp_path)
    data.setup("test")
    alone = evaluate(NAMES, fake(lambda image, target: tint(image, target / 2)), data.batches(size=60), data)
    assert in_two_processes(half, tmp_path) == [alone, alone]
    assert 0 < alone["changed_Red"].value < 1, "else it would prove little"
