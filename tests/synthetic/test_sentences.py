import re
from collections import Counter
from functools import partial
from random import Random

import numpy as np
import pytest

from lit_gen.data.alphabet import ALPHABET, CAPTION_LENGTH, SHORTEST
from lit_gen.errors import UserError
from lit_gen.synthetic.faces.names import ATTRIBUTES
from lit_gen.synthetic.faces.scene import sample_scene, scene_attributes
from lit_gen.synthetic.sentences.digits import DIGITS, describe_digit
from lit_gen.synthetic.sentences.faces import check_sayable, describe_face
from lit_gen.synthetic.sentences.vocabulary import SAYINGS
from tests.synthetic.reader import complaints, meaning

WOMAN = {name: False for name in ATTRIBUTES} | dict.fromkeys(
    ("Young", "Smiling", "Blond_Hair", "Wavy_Hair", "No_Beard", "Wearing_Lipstick", "Eyeglasses", "High_Cheekbones"),
    True,
)

describe = partial(describe_face, length=CAPTION_LENGTH)


def rendered_faces(count: int) -> list[dict[str, bool]]:
    return [scene_attributes(sample_scene(np.random.default_rng([5, index]))) for index in range(count)]


def random_faces(count: int) -> list[dict[str, bool]]:
    """Annotations that contradict themselves in all ways."""
    rng = Random(1)
    return [{name: rng.random() < 0.5 for name in ATTRIBUTES} for _ in range(count)]


# --------------------------------------------------------------------------------------------------------- the faces


def test_sentences_say_what_is_stated_and_nothing_else():
    rng, lengths = Random(0), Counter()
    for attributes in rendered_faces(400) + random_faces(200):
        for _ in range(10):
            sentence, stated = describe(attributes, rng)
            assert meaning(sentence) == {name: attributes[name] for name in stated}, sentence
            assert len(stated) == len(set(stated)) > 0
            assert complaints(sentence) == [], sentence
            assert sentence[0].isupper() and set(sentence.lower()) <= set(ALPHABET)
            assert all(part[0].isupper() for part in sentence.split(". "))
            lengths[len(stated)] += 1
            assert len(sentence) <= CAPTION_LENGTH
    assert all(lengths[count] > 200 for count in range(1, 6))
    assert lengths[7] > 20


def test_pronouns_fit_the_person():
    pronouns = {True: "he|his", False: "she|her", None: "they|their"}
    rng, seen = Random(3), Counter()
    for attributes in rendered_faces(600):
        sentence, stated = describe(attributes, rng)
        male = attributes["Male"] if "Male" in stated else None
        found = re.findall(r"\b(he|his|she|her|they|their)\b", sentence.lower())
        assert all(re.fullmatch(pronouns[male], word) for word in found), sentence
        seen[male] += bool(found)
    assert min(seen[male] for male in pronouns) > 5


def test_contradictory_annotations_are_not_repeated():
    colours = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
    everything = dict.fromkeys(ATTRIBUTES, True)
    for seed in range(2_000):
        said = meaning(describe(everything, Random(seed))[0])
        assert sum(name in said for name in colours) <= 1
        assert not {"Straight_Hair", "Wavy_Hair"} <= said.keys()
        assert "Bald" not in said or not {*colours, "Straight_Hair", "Wavy_Hair", "Bangs"} & said.keys()


def test_a_mustache_alone_is_no_beard_and_not_clean_shaven():
    attributes = dict.fromkeys(ATTRIBUTES, False) | {"Male": True, "Mustache": True}
    for no_beard in (False, True):
        sentences = [describe(attributes | {"No_Beard": no_beard}, Random(seed))[0] for seed in range(2_000)]
        assert not any(
            re.search(r"\b(?:bearded|shaven)\b|(?:with|has|and) a beard\b", sentence) for sentence in sentences
        )
        assert any(("facial hair", "without a beard")[no_beard] in sentence for sentence in sentences)


@pytest.mark.parametrize("attributes", [WOMAN, *rendered_faces(3)])
def test_one_face_has_many_sentences(attributes):
    sentences = {describe(attributes, Random(seed))[0] for seed in range(1_000)}
    assert len(sentences) > 700
    assert len({tuple(sorted(describe(attributes, Random(seed))[1])) for seed in range(1_000)}) > 50
    assert len({" ".join(sentence.split()[:2]) for sentence in sentences}) > 20


def test_every_attribute_with_words_is_spoken_of_at_times():
    said = Counter()
    for seed, attributes in enumerate(rendered_faces(4_000)):
        said.update(describe(attributes, Random(seed))[1])
    assert set(ATTRIBUTES) - set(said) == {"Attractive", "Blurry"}
    assert 0.75 < said["Male"] / 4_000 < 0.95


def test_missing_things_are_named_where_that_is_natural():
    men, women = Counter(), Counter()
    for seed, attributes in enumerate(rendered_faces(4_000)):
        said = meaning(describe(attributes, Random(seed))[0])
        absent = [name for name, value in said.items() if value == (name == "No_Beard") and name != "Male"]
        (men if attributes["Male"] else women).update(absent)
    assert min(men["No_Beard"], men["Eyeglasses"], men["Smiling"], women["Wearing_Lipstick"], women["Eyeglasses"]) > 20
    assert not women.keys() & {"No_Beard", "Mustache", "Goatee", "Wearing_Necktie"}
    assert not men.keys() & {"Wearing_Lipstick", "Heavy_Makeup", "Wearing_Necklace"}


def test_the_same_seed_gives_the_same_sentence():
    for seed in range(50):
        assert describe(WOMAN, Random(seed)) == describe(dict(WOMAN), Random(seed))


def test_only_given_attributes_are_spoken_of():
    chosen = ("Smiling", "Eyeglasses", "Black_Hair")
    for seed, attributes in enumerate(rendered_faces(500)):
        sentence, stated = describe({name: attributes[name] for name in chosen}, Random(seed))
        assert meaning(sentence) == {name: attributes[name] for name in stated}
        assert set(stated) <= set(chosen)
        assert "person" in sentence or "face" in sentence


def test_a_face_of_which_nothing_can_be_said():
    for seed in range(50):
        sentence, stated = describe({"Pale_Skin": False}, Random(seed))
        assert (meaning(sentence), stated, complaints(sentence)) == ({}, [], [])


def test_what_must_be_said_is_said():
    always = ("Eyeglasses", "Male", "Blond_Hair", "Smiling", "Wavy_Hair", "No_Beard", "Bald")
    attributes = WOMAN | {"No_Beard": False}
    for seed in range(500):
        sentence, stated = describe(attributes, Random(seed), always=always)
        assert {*always} <= {*stated}
        assert meaning(sentence) == {name: attributes[name] for name in stated}, sentence
        assert complaints(sentence) == [], sentence


def test_a_sentence_fits_the_length():
    for seed, attributes in enumerate(rendered_faces(300) + random_faces(300)):
        sentence, stated = describe(attributes, Random(seed), length=SHORTEST)
        assert len(sentence) <= SHORTEST
        assert meaning(sentence) == {name: attributes[name] for name in stated}
        sentence, stated = describe(attributes, Random(seed), always=["Male", "Young"], length=50)
        assert len(sentence) <= 50 and {"Male", "Young"} <= set(stated)


def test_a_sentence_cannot_fit_the_length():
    with pytest.raises(UserError, match="12 characters are too few to speak of Eyeglasses, Smiling") as caught:
        describe(WOMAN, Random(0), always=["Eyeglasses", "Smiling"], length=12)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("value", [False, True])
def test_what_counts_as_sayable_can_be_said(name, value):
    try:
        check_sayable({name: value})
    except UserError:
        assert (name, value) not in SAYINGS
        return
    for seed in range(40):
        for attributes in random_faces(3):
            sentence, stated = describe(attributes | {name: value}, Random(seed), always=[name])
            assert meaning(sentence)[name] == value
            assert complaints(sentence) == [], sentence


@pytest.mark.parametrize(
    ("combination", "complaint"),
    [
        ({"Attractive": True}, "no words for Attractive"),
        ({"Male": True, "Blond_Hair": False}, "no words for not Blond_Hair"),
        ({"Black_Hair": True, "Gray_Hair": True}, "cannot say Black_Hair and Gray_Hair of one face"),
        ({"Male": True, "Bald": True, "Wavy_Hair": True}, "cannot say Bald and Wavy_Hair"),
    ],
)
def test_what_cannot_be_said(combination, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        check_sayable(combination)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- the digits


def test_a_digit_is_named_once_and_no_other():
    names = {name: label for label, word in enumerate(DIGITS) for name in (word, str(label))}
    for label in range(10):
        seen = Counter()
        for seed in range(400):
            sentence = describe_digit(label, Random(seed), ("thick", "", "thin")[seed % 3])
            words = re.findall(r"[\w-]+", sentence.lower())
            assert [names[word] for word in words if word in names] == [label]
            assert complaints(sentence) == [], sentence
            assert sentence[0].isupper() and len(sentence) <= SHORTEST
            assert set(words) & {"thick", "thin"} <= {("thick", "", "thin")[seed % 3]}
            assert set(words) - names.keys() <= set(
                "a an the this is here of picture image scan shows handwritten hand-drawn written drawn by hand digit "
                "number thick thin strokes lines in with".split()
            )
            seen.update(words)
        assert min(seen[word] for word in (DIGITS[label], str(label), "thick", "thin", "handwritten")) > 30
        assert len({describe_digit(label, Random(seed)) for seed in range(400)}) > 60


def test_articles_go_by_the_sound():
    sentences = " ".join(describe_digit(label, Random(seed)).lower() for label in (1, 8) for seed in range(300))
    assert re.search(r"\ban (?:eight|8)\b", sentences) and re.search(r"\ba (?:one|1)\b", sentences)
    assert not re.search(r"\ba (?:eight|8)\b|\ban (?:one|1)\b", sentences)
