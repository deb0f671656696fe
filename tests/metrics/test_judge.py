"""Judges on questions whose answer is known."""

import pytest
import torch

from lit_gen.metrics.judge import Judge, train_judge


def pictures(count, seed):
    """Noise; a bright left half (question 0) and a red tint (question 1) by chance."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, 16, 16, generator=generator) - 0.5
    answers = torch.randint(2, (count, 2), generator=generator).float()
    image[..., :8] += answers[:, 0, None, None, None] * 0.3
    image[:, 0] += answers[:, 1, None, None] * 0.3
    return image.clamp(-1, 1), answers


def test_attributes_and_classes_are_learnt():
    torch.manual_seed(0)
    train, test = pictures(512, 0), pictures(200, 1)
    judge = train_judge(*train, epochs=3)
    assert (judge.decide(test[0]) == test[1]).float().mean() > 0.97
    classes = [(answers @ torch.tensor([1.0, 2.0])).long() for _, answers in (train, test)]
    judge = train_judge(train[0], classes[0], epochs=3)
    verdicts = judge.decide(test[0])
    assert verdicts.shape == (200,) and (verdicts == classes[1]).float().mean() > 0.95


def test_unlearnable_answers_stay_at_chance():
    """Otherwise its accuracy on held-out images would be no evidence."""
    torch.manual_seed(0)
    image, answers = pictures(512, 0)
    judge = train_judge(image, answers[torch.randperm(512)], epochs=2)
    test, truth = pictures(400, 1)
    assert (judge.decide(test) == truth).float().mean() == pytest.approx(0.5, abs=0.1)


def test_decisions_do_not_depend_on_the_batch():
    judge = Judge((3, 16, 16), 4, exclusive=False)
    image, _ = pictures(510, 0)
    together = judge.decide(image)
    assert together.shape == (510, 4)
    assert torch.equal(together[505:], judge.decide(image[505:]))
