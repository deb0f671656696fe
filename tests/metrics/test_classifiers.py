"""Classifiers on questions whose answer is known, and where they are kept."""

import pytest
import torch

from lit_gen.data import MNIST, CelebACaptions, Horse2Zebra
from lit_gen.metrics import classifiers as module
from lit_gen.metrics.classifiers import (
    Classifier,
    attribute_question,
    classifier_for,
    domain_question,
    train_classifier,
)
from tests.metrics.pictures import NAMES, Tinted, in_two_processes
from tests.models import tiny

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path):
    data = Tinted(tmp_path)
    data.setup("test")
    return data


@pytest.fixture
def trainings(monkeypatch):
    """A list that grows by one with each classifier that is trained."""
    done = []
    monkeypatch.setattr(module, "train_classifier", lambda *words: (done.append(1), train_classifier(*words))[1])
    return done


def same(one, other):
    weights = one.state_dict(), other.state_dict()
    return all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def accuracy(classifier, data):
    return (
        torch.cat([classifier.decide(batch.image) == batch.attributes for batch in data.batches()])
        .float()
        .mean()
        .item()
    )


def test_attributes_are_learnt(data):
    classifier = train_classifier(attribute_question(data, NAMES), data)
    assert accuracy(classifier, data) > 0.97


def test_one_of_several_attributes(data):
    """It is the column of that name that is asked for."""
    classifier = train_classifier(attribute_question(data, ["Red"]), data)
    verdicts = torch.cat([classifier.decide(batch.image)[:, 0] == batch.attributes[:, 1] for batch in data.batches()])
    assert verdicts.float().mean() > 0.97


def test_combinations_that_models_never_see_are_learnt_too(celeba_root):
    """The classifier's images are those of training and those kept for classifiers, and no others."""
    data = CelebACaptions(
        root=celeba_root, image_size=16, attributes=["Male", "Smiling"], held_out=[["Male", "Smiling"]]
    )
    data.prepare_data()
    data.setup("test")
    learnt = attribute_question(data, ["Smiling"]).dataset
    expected = [*data.datasets["for_judges"].rows.tolist(), *data.datasets["train"].rows.tolist()]
    assert len(data.datasets["for_judges"]) > 2 and learnt.rows.tolist() == expected
    assert torch.equal(
        learnt.__getitems__([0]).attributes, data.datasets["for_judges"].__getitems__([0]).attributes[:, 1:]
    )


def test_unlearnable_answers_stay_at_chance(tmp_path):
    """Otherwise its accuracy on held-out images would be no evidence."""
    torch.manual_seed(0)
    data = Tinted(tmp_path, shuffled_labels=True)
    data.setup("test")
    classifier = train_classifier(attribute_question(data, NAMES, epochs=2), data)
    assert accuracy(classifier, data) == pytest.approx(0.5, abs=0.2)


def test_domains_are_learnt(horse2zebra_root):
    """Of 12 rendered animals a domain it learns at least these themselves."""
    data = Horse2Zebra(horse2zebra_root, image_size=32, load_size=32)
    data.setup("test")
    classifier = train_classifier(domain_question(data, epochs=40), data)
    for number, name in enumerate("AB"):
        images = torch.tensor(data.sets[f"train{name}"].images).permute(0, 3, 1, 2) / 127.5 - 1
        assert (classifier.decide(images) == number).float().mean() > 0.8


def test_decisions_do_not_depend_on_the_batch():
    classifier = Classifier(3, 4, exclusive=False)
    image = tiny.images(510, 3)
    together = classifier.decide(image)
    assert together.shape == (510, 4)
    assert torch.equal(together[505:], classifier.decide(image[505:]))


@pytest.mark.parametrize("size", [8, 64, 100, 128])
def test_pictures_of_any_size(size):
    assert Classifier(3, 4, exclusive=True).decide(torch.rand(2, 3, size, size)).shape == (2,)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_pictures_of_any_precision(kind):
    assert Classifier(3, 4, exclusive=True).decide(torch.rand(2, 3, 16, 16, dtype=kind)).shape == (2,)


def test_a_classifier_is_trained_once(data, trainings):
    question = attribute_question(data, NAMES, epochs=1)
    first = classifier_for(question, data, CPU)
    second = classifier_for(question, data, CPU)
    assert len(trainings) == 1 and same(first, second)
    assert not second.training
    assert [path.name[:6] for path in data.cache_folder.iterdir()] == ["judge-"]


def test_another_question_or_other_pictures_are_another_classifier(data, trainings):
    classifier_for(attribute_question(data, NAMES, epochs=1), data, CPU)
    classifier_for(attribute_question(data, NAMES, epochs=2), data, CPU)
    classifier_for(attribute_question(data, NAMES[::-1], epochs=1), data, CPU)
    data.datasets["train"].arrays[0][7, 3, 3] += 1
    classifier_for(attribute_question(data, NAMES, epochs=1), data, CPU)
    assert len(trainings) == len(list(data.cache_folder.iterdir())) == 4


@pytest.mark.parametrize("broken", ["truncated", "empty", "others"])
def test_a_broken_file_is_made_anew(data, trainings, broken):
    question = attribute_question(data, NAMES, epochs=1)
    first = classifier_for(question, data, CPU)
    (path,) = data.cache_folder.iterdir()
    whole = path.read_bytes()
    if broken == "others":
        torch.save(Classifier(3, 5, exclusive=False).state_dict(), path)
    else:
        path.write_bytes(whole[: len(whole) // 2] if broken == "truncated" else b"")
    assert same(first, classifier_for(question, data, CPU))
    assert len(trainings) == 2
    assert same(first, classifier_for(question, data, CPU))
    assert len(trainings) == 2, "the new file is whole"


def test_training_or_loading_makes_no_difference_to_what_is_drawn_afterwards(data, trainings):
    torch.manual_seed(5)
    expected = torch.rand(3)
    for _ in range(2):
        torch.manual_seed(5)
        with torch.inference_mode():  # as in a test
            classifier_for(attribute_question(data, NAMES, epochs=1), data, CPU)
        assert torch.equal(torch.rand(3), expected)
    assert len(trainings) == 1


def test_what_was_drawn_before_makes_no_difference_to_the_classifier(data):
    question, classifiers = attribute_question(data, NAMES, epochs=1), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        classifiers.append(train_classifier(question, data))
    assert same(*classifiers)


def test_a_training_seeds_no_other_gpu(data, monkeypatch):
    monkeypatch.setattr(torch, "manual_seed", None)  # it seeds all of them
    train_classifier(attribute_question(data, NAMES[:1], epochs=1), data)


def test_a_folder_that_cannot_be_written(data, monkeypatch):
    """The test goes on, and the classifier is trained again next time."""
    (data.root / "file").write_text("no folder")
    monkeypatch.setattr(Tinted, "cache_folder", data.root / "file" / "cache")
    assert isinstance(classifier_for(attribute_question(data, NAMES, epochs=1), data, CPU), Classifier)


def test_data_without_attributes(data):
    assert data.has_attributes and not MNIST().has_attributes


def ask(rank, root):
    data, trained = Tinted(root), []
    data.setup("test")
    original = module.train_classifier
    module.train_classifier = lambda *words: (trained.append(1), original(*words))[1]
    classifier = classifier_for(attribute_question(data, NAMES, epochs=1), data, CPU)
    return len(trained), classifier.state_dict()


def test_of_two_processes_the_first_trains(tmp_path):
    (first, weights), (second, received) = in_two_processes(ask, tmp_path)
    assert (first, second) == (1, 0)
    assert all(torch.equal(weights[name], received[name]) for name in weights)
