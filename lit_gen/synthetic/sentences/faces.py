"""Sentences about faces, written from attributes: what to speak of, and the grammar that says it."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from lit_gen.errors import UserError
from lit_gen.synthetic.faces.names import BEARDS, HAIR_COLOURS
from lit_gen.synthetic.sentences.vocabulary import (
    CHANCES,
    CONTRADICTORY,
    DESCRIBED,
    EXCLUDES,
    MALE_CHANCE,
    MISSED_BY,
    NOUN_OF,
    SAYINGS,
    Saying,
    sayings_of,
)
from lit_gen.synthetic.sentences.words import IMAGE_NOUNS, article, finish, join, pick, present, shuffled

MOST_STATEMENTS = 6  # in one sentence, besides man or woman
MOST_ADJECTIVES = 3  # before one noun
IN_CLAUSES = ("has", "wears", "lacks", "bares", "state")


class Person(NamedTuple):
    """The words for a person: nouns, nouns for the face, pronouns, and verbs by their singular."""

    nouns: tuple[str, ...]
    faces: tuple[str, ...]
    he: str
    his: str
    verbs: dict[str, str]


SINGULAR = {"has": "has", "wears": "wears", "is": "is", "does": "does"}
MAN = Person(("man", "man", "man", "guy", "gentleman"), ("male face", "man's face"), "he", "his", SINGULAR)
WOMAN = Person(("woman", "woman", "woman", "lady"), ("female face", "woman's face"), "she", "her", SINGULAR)
SOMEBODY = Person(("person",), ("face",), "they", "their", {"has": "have", "wears": "wear", "is": "are", "does": "do"})

ADJECTIVE_ORDER = {"Smiling": 0, "Pale_Skin": 1, "Chubby": 2, "Young": 3}  # all others stand next to the noun


def describe_face(
    attributes: Mapping[str, bool], rng: Random, length: int, always: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Write a sentence about a face.

    Args:
        attributes: attributes of the face, by CelebA's names. Of a name that is missing the sentence says nothing.
        rng: source of randomness: what is said, and in which words.
        length: largest number of characters.
        always: names of which the sentence must speak.

    Returns:
        The sentence, and the names that it speaks of. It says of those that are false that they are ("without
        glasses").

    Raises:
        UserError: `always` cannot be said in `length` characters.
    """
    names = _choose(attributes, rng, always)
    for _ in range(1000):
        sentence = _write(names, attributes, rng)
        if len(sentence) <= length:
            # One word speaks of several names.
            implied = BEARDS if "clean-shaven" in sentence else ()
            return sentence, [*names, *(name for name in implied if name in attributes and name not in names)]
        if len(names) > max(1, len(always)):
            names.pop()
    raise UserError(f"{length} characters are too few to speak of {', '.join(names)}. Set caption_length higher.")


def check_sayable(combination: Mapping[str, bool]) -> None:
    """Check that one sentence can say all of a combination of attributes.

    Raises:
        UserError: it cannot.
    """
    for name, value in combination.items():
        described = name in NOUN_OF and value
        if not (described or name in ("Male", "No_Beard") or (name, value) in SAYINGS):
            raise UserError(f"captions have no words for {'' if value else 'not '}{name}. Leave it out of held_out.")
    true = {name for name, value in combination.items() if value}
    for names in CONTRADICTORY:
        if len(names & true) > 1:
            raise UserError(f"captions cannot say {' and '.join(sorted(names & true))} of one face. Leave one out.")


def _choose(attributes: Mapping[str, bool], rng: Random, always: Sequence[str]) -> list[str]:
    """Return the names of which a sentence will speak, those of `always` first."""
    names = list(always)
    if "Male" in attributes and "Male" not in names and rng.random() < MALE_CHANCE:
        names.append("Male")
    most = len(names) + 1 + int(rng.random() * MOST_STATEMENTS)
    said = set(names)
    left = [name for name in CHANCES if name in attributes and name not in said]
    for name in shuffled(left, rng):
        if len(names) == most:
            break
        if rng.random() < _chance(name, attributes) and said.isdisjoint(EXCLUDES.get(name, ())):
            names.append(name)
            said.add(name)
    if not names:  # better the first thing that comes to mind than nothing
        possible = [name for name in left if _chance(name, attributes)]
        names = ["Male"] if "Male" in attributes else [pick(possible, rng)] if possible else []
    return names


def _chance(name: str, attributes: Mapping[str, bool]) -> float:
    """Return the probability that an attribute is spoken of."""
    value, whose = attributes[name], MISSED_BY.get(name)
    missing = value if name == "No_Beard" else not value
    if missing and whose is not None and attributes.get("Male", whose) != whose:
        return 0
    return CHANCES[name][0 if value else 1]


class Topic(NamedTuple):
    """One thing that a sentence speaks of: an attribute, or several of one noun, and the ways to say it."""

    name: str
    sayings: Sequence[Saying]


def _write(names: Sequence[str], attributes: Mapping[str, bool], rng: Random) -> str:
    """Write a sentence (now and then two) that speaks of `names` and of nothing else."""
    person = (MAN if attributes["Male"] else WOMAN) if "Male" in names else SOMEBODY
    noun = pick(person.nouns, rng)
    names = [name for name in names if name != "Male"]
    form = rng.random()
    if form < 0.1:
        topics = [Topic(name, _of_a_face(name, sayings)) for name, sayings in _topics(names, attributes, rng)]
        if all(topic.sayings for topic in topics):
            said = _say(topics, ("adjective", "has", "lacks"), person, rng)
            return present(_noun_phrase(pick(person.faces, rng), said, rng), rng)
    if person is WOMAN and "Young" in names and attributes["Young"] and rng.random() < 0.25:
        noun = "girl"
        names.remove("Young")
    topics = _topics(names, attributes, rng)
    if form > 0.6 and len(topics) > 1:
        return _two_sentences(noun, topics, person, rng)
    if form > 0.4 and topics:
        return _clause(noun, topics, person, rng)
    return present(_noun_phrase(noun, _say(topics, ("adjective", *IN_CLAUSES, "whose"), person, rng), rng), rng)


def _topics(names: Sequence[str], attributes: Mapping[str, bool], rng: Random) -> list[Topic]:
    """Return what a sentence speaks of, in random order."""
    topics = []
    for noun, words in DESCRIBED.items():
        found = [name for name in words if name in names]
        if found:
            topics.append(Topic(found[0], _described(noun, found, rng)))
    for name in names:
        if name == "No_Beard":
            topics.append(Topic(name, _beard(attributes)))
        elif name not in NOUN_OF:
            topics.append(Topic(name, SAYINGS[name, attributes[name]]))
    return shuffled(topics, rng)


def _described(noun: str, names: Sequence[str], rng: Random) -> list[Saying]:
    """Return the ways to say several attributes of one noun, such as "wavy blond hair"."""
    adjectives = [pick(DESCRIBED[noun][name], rng) for name in names]
    phrase = f"{'a ' if noun == 'nose' else ''}{' '.join(adjectives)} {noun}"
    sayings = [Saying("has", phrase)] * 3
    sayings.append(Saying("whose", f"{noun} {'are' if noun == 'eyebrows' else 'is'} {join(adjectives)}"))
    if len(names) == 1 and names[0] in HAIR_COLOURS:
        sayings.append(Saying("adjective", "blond" if names[0] == "Blond_Hair" else f"{adjectives[0]}-haired"))
    return sayings


def _beard(attributes: Mapping[str, bool]) -> tuple[Saying, ...]:
    """Return the ways to speak of `No_Beard`.

    CelebA counts a mustache alone and stubble as a beard, which English does not: what is unknown is left vague.
    """
    stubble, goatee, mustache = (attributes.get(name) for name in BEARDS)
    if attributes["No_Beard"]:
        shaven = attributes.get("Male", True) and stubble is goatee is mustache is False
        words = {"adjective": ["clean-shaven"], "state": ["clean-shaven"]} if shaven else {}
        return sayings_of(lacks=["a beard"], **words)
    if stubble is False and (goatee or mustache is False):
        return sayings_of(adjective=["bearded"], has=["a beard", "a beard"])
    return sayings_of(has=["facial hair", "some facial hair"])


def _of_a_face(name: str, sayings: Sequence[Saying]) -> list[Saying]:
    """Return the sayings that fit a face as they fit a person: a face has no hat on, and no face."""
    if name == "Bald":
        return []
    return [
        saying
        for saying in sayings
        if (saying.kind in ("has", "lacks") or (saying.kind == "adjective" and name in ADJECTIVE_ORDER))
        and not any(part in saying.text for part in ("{his}", "face", " on", "necklace"))
    ]


def _say(
    topics: Sequence[Topic], kinds: Sequence[str], person: Person, rng: Random, most_adjectives: int = MOST_ADJECTIVES
) -> dict[str, list[str]]:
    """Choose a saying of the given kinds for each topic; return texts by kind, adjectives in the order of English."""
    said: dict[str, list[str]] = {kind: [] for kind in (*IN_CLAUSES, "whose")}
    adjectives: list[tuple[int, str]] = []
    for name, sayings in topics:
        full = len(adjectives) >= most_adjectives
        usable = [saying for saying in sayings if saying.kind in kinds and not (full and saying.kind == "adjective")]
        kind, text = pick(usable or sayings, rng)
        text = text.replace("{his}", person.his)
        if kind == "adjective":
            adjectives.append((ADJECTIVE_ORDER.get(name, len(ADJECTIVE_ORDER)), text))
        else:
            said[kind].append(text)
    said["adjective"] = [text for _, text in sorted(adjectives)]
    for kind in ("has", "state"):  # "is bald and not smiling": the other way round, "not" might go for both
        said[kind].sort(key=lambda text: text.startswith("no"))
    return said


def _noun_phrase(noun: str, said: Mapping[str, list[str]], rng: Random) -> str:
    """Write a noun phrase, such as "a smiling young man with black hair, wearing a hat"."""
    whose, without = [f"whose {text}" for text in said["whose"]], said["lacks"] + said["bares"]
    texts = {"with ": said["has"], "wearing ": said["wears"], "without ": without, "who is ": said["state"], "": whose}
    groups = [word + join(own, "or" if word == "without " else "and") for word, own in texts.items() if own]
    words = " ".join([*said["adjective"], noun])
    return " ".join([article(words), words, ", ".join(shuffled(groups, rng))]).strip()


def _clause(noun: str, topics: Sequence[Topic], person: Person, rng: Random) -> str:
    """Write a whole sentence: "The young man has black hair and is smiling.", "Wearing a hat, this man is smiling."."""
    kinds = ("adjective", *IN_CLAUSES)
    said = _say(topics, kinds, person, rng, most_adjectives=min(len(topics) - 1, MOST_ADJECTIVES))
    subject = " ".join([pick(("the", "this"), rng), *said["adjective"], noun])
    opening = ""
    if said["wears"] and any(said[kind] for kind in IN_CLAUSES if kind != "wears") and rng.random() < 0.4:
        opening = f"wearing {join(said['wears'])}, "
        said["wears"] = []
    elif rng.random() < 0.25:
        subject = f"{subject.replace('this', 'the', 1)} in {pick(('the', 'this'), rng)} {pick(IMAGE_NOUNS, rng)}"
    return finish(f"{opening}{subject} {_predicates(said, SINGULAR, rng)}")


def _two_sentences(noun: str, topics: Sequence[Topic], person: Person, rng: Random) -> str:
    """Write two sentences, such as "This is a young man. His hair is black, and he is smiling."."""
    cut = 1 + int(rng.random() * (len(topics) - 1))
    first = _noun_phrase(noun, _say(topics[:cut], ("adjective", *IN_CLAUSES, "whose"), person, rng), rng)
    said = _say(topics[cut:], (*IN_CLAUSES, "whose"), person, rng)
    clauses = []
    if said["whose"]:
        clauses.append(join([f"{person.his} {text}" for text in said["whose"]]))
    if any(said[kind] for kind in IN_CLAUSES):
        clauses.append(f"{person.he} {_predicates(said, person.verbs, rng)}")
    return f"{present(first, rng).rstrip('.')}. {finish(', and '.join(shuffled(clauses, rng)))}"


def _predicates(said: Mapping[str, list[str]], verbs: Mapping[str, str], rng: Random) -> str:
    """Write predicates, such as "has black hair, is smiling and does not wear a hat"."""
    parts = []
    if said["has"]:
        parts.append(f"{verbs['has']} {join(said['has'])}")
    if said["wears"]:
        parts.append(f"{pick((verbs['wears'], verbs['is'] + ' wearing'), rng)} {join(said['wears'])}")
    if said["lacks"]:
        parts.append(f"{verbs['does']} not have {join(said['lacks'], 'or')}")
    if said["bares"]:
        parts.append(f"{pick((verbs['does'] + ' not wear', verbs['is'] + ' not wearing'), rng)} ")
        parts[-1] += join(said["bares"], "or")
    if said["state"]:
        parts.append(f"{verbs['is']} {join(said['state'])}")
    return join(shuffled(parts, rng))
