"""Sentences about faces, written from attributes."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from lit_gen.errors import UserError
from lit_gen.synthetic.sentences.words import PICTURES, article, finish, join, pick, present, shuffled


class Saying(NamedTuple):
    """One way to say that an attribute is there, or is not.

    kind: where in a sentence `text` can stand: "adjective" (before the noun), "has", "wears", "lacks" (after "without",
        "does not have"), "bares" (after "without", "is not wearing"), "state" (after "is"), or "whose" (after "whose"
        or "her").
    text: the words; {his} becomes his, her or their.
    """

    kind: str
    text: str


def _sayings(**texts: Sequence[str]) -> tuple[Saying, ...]:
    return tuple(Saying(kind, text) for kind, several in texts.items() for text in several)


# What can be said when an attribute is true, and when it is false. Sex, beards, and what describes one thing in common
# (hair, eyebrows, nose) follow below. Nothing is said of Attractive and Blurry: the one is a matter of taste, the other
# of the photograph.
SAYINGS: dict[tuple[str, bool], tuple[Saying, ...]] = {
    ("Young", True): _sayings(adjective=["young"] * 4, state=["young"]),
    ("Young", False): _sayings(adjective=["older"] * 3 + ["mature"], state=["no longer young"]),
    ("Smiling", True): _sayings(
        adjective=["smiling"], has=["a smile", "a smile on {his} face"], state=["smiling", "smiling"]
    ),
    ("Smiling", False): _sayings(adjective=["unsmiling"], has=["no smile"], state=["not smiling", "not smiling"]),
    ("Mouth_Slightly_Open", True): _sayings(has=["{his} mouth slightly open", "a slightly open mouth"]),
    ("Mouth_Slightly_Open", False): _sayings(has=["{his} mouth closed", "a closed mouth"]),
    ("Eyeglasses", True): _sayings(
        adjective=["bespectacled"], has=["glasses"], wears=["glasses", "eyeglasses", "spectacles", "a pair of glasses"]
    ),
    ("Eyeglasses", False): _sayings(bares=["glasses", "eyeglasses"]),
    ("Wearing_Hat", True): _sayings(has=["a hat on"], wears=["a hat", "a hat", "some kind of hat"]),
    ("Wearing_Hat", False): _sayings(bares=["a hat"], state=["bareheaded"]),
    ("Wearing_Earrings", True): _sayings(has=["earrings"], wears=["earrings", "earrings", "a pair of earrings"]),
    ("Wearing_Earrings", False): _sayings(bares=["earrings"]),
    ("Wearing_Necklace", True): _sayings(has=["a necklace"], wears=["a necklace", "a necklace"]),
    ("Wearing_Necklace", False): _sayings(bares=["a necklace"]),
    ("Wearing_Necktie", True): _sayings(wears=["a tie", "a necktie"]),
    ("Wearing_Necktie", False): _sayings(bares=["a tie", "a necktie"]),
    ("Wearing_Lipstick", True): _sayings(has=["lipstick on"], wears=["lipstick", "lipstick"]),
    ("Wearing_Lipstick", False): _sayings(bares=["lipstick"]),
    ("Heavy_Makeup", True): _sayings(
        has=["heavy makeup on"], wears=["heavy makeup", "a lot of makeup"], state=["heavily made up"]
    ),
    ("Heavy_Makeup", False): _sayings(bares=["heavy makeup", "a lot of makeup"]),
    ("Bald", True): _sayings(adjective=["bald"], has=["a bald head"], state=["bald"]),
    ("Bald", False): _sayings(state=["not bald"]),
    ("Bangs", True): _sayings(has=["bangs"]),
    ("Bangs", False): _sayings(lacks=["bangs"]),
    ("Receding_Hairline", True): _sayings(has=["a receding hairline"]),
    ("Receding_Hairline", False): _sayings(lacks=["a receding hairline"]),
    ("Sideburns", True): _sayings(has=["sideburns"]),
    ("Sideburns", False): _sayings(lacks=["sideburns"]),
    ("Goatee", True): _sayings(has=["a goatee"]),
    ("Goatee", False): _sayings(lacks=["a goatee"]),
    ("Mustache", True): _sayings(has=["a mustache", "a moustache"]),
    ("Mustache", False): _sayings(lacks=["a mustache", "a moustache"]),
    ("5_o_Clock_Shadow", True): _sayings(has=["stubble", "a five o'clock shadow"]),
    ("5_o_Clock_Shadow", False): _sayings(lacks=["stubble"]),
    ("Pale_Skin", True): _sayings(adjective=["pale", "pale-skinned"], has=["pale skin", "a pale complexion"]),
    ("Rosy_Cheeks", True): _sayings(has=["rosy cheeks", "pink cheeks"]),
    ("High_Cheekbones", True): _sayings(has=["high cheekbones"]),
    ("Chubby", True): _sayings(adjective=["chubby", "plump"], state=["chubby"]),
    ("Chubby", False): _sayings(state=["not chubby"]),
    ("Double_Chin", True): _sayings(has=["a double chin"]),
    ("Double_Chin", False): _sayings(lacks=["a double chin"]),
    ("Oval_Face", True): _sayings(has=["an oval face"]),
    ("Big_Lips", True): _sayings(has=["big lips", "full lips"]),
    ("Narrow_Eyes", True): _sayings(has=["narrow eyes"]),
    ("Bags_Under_Eyes", True): _sayings(has=["bags under {his} eyes"]),
    ("Bags_Under_Eyes", False): _sayings(lacks=["bags under {his} eyes"]),
}
HAIR_COLOURS = {
    "Black_Hair": ("black",),
    "Blond_Hair": ("blond", "blonde"),
    "Brown_Hair": ("brown",),
    "Gray_Hair": ("gray", "grey"),
}
# Adjectives of one noun, in the order in which they stand before it: "wavy blond hair".
DESCRIBED: dict[str, dict[str, tuple[str, ...]]] = {
    "hair": {"Straight_Hair": ("straight",), "Wavy_Hair": ("wavy",)} | HAIR_COLOURS,
    "eyebrows": {"Bushy_Eyebrows": ("bushy", "thick"), "Arched_Eyebrows": ("arched",)},
    "nose": {"Big_Nose": ("big", "large"), "Pointy_Nose": ("pointy", "pointed")},
}
NOUN_OF = {name: noun for noun, words in DESCRIBED.items() for name in words}
BEARDS = ("5_o_Clock_Shadow", "Goatee", "Mustache")
# Of each set no two are true of one face, whatever CelebA's annotations say ...
CONTRADICTORY = (
    set(HAIR_COLOURS),
    {"Straight_Hair", "Wavy_Hair"},
    {"Bangs", "Receding_Hairline"},
    *({"Bald", name} for name in (*DESCRIBED["hair"], "Bangs", "Receding_Hairline")),
)
# ... and of each of these, the one makes the other superfluous.
REPETITIVE = tuple({"No_Beard", name} for name in BEARDS)
EXCLUDES = {
    name: frozenset().union(*(names for names in CONTRADICTORY + REPETITIVE if name in names)) - {name}
    for name in set().union(*CONTRADICTORY, *REPETITIVE)
}
# How likely something is said when it is true, and when it is false. What is seldom true is worth saying.
CHANCES: dict[str, tuple[float, float]] = {
    "Young": (0.4, 0.5), "Smiling": (0.6, 0.2), "Mouth_Slightly_Open": (0.2, 0.06), "Eyeglasses": (0.9, 0.08),
    "Wearing_Hat": (0.9, 0.04), "Wearing_Earrings": (0.5, 0.03), "Wearing_Necklace": (0.5, 0.03),
    "Wearing_Necktie": (0.7, 0.04), "Wearing_Lipstick": (0.3, 0.1), "Heavy_Makeup": (0.3, 0.06), "Bald": (0.9, 0.02),
    "Bangs": (0.6, 0.06), "Receding_Hairline": (0.5, 0.0), "Sideburns": (0.5, 0.0), "Goatee": (0.8, 0.02),
    "Mustache": (0.8, 0.04), "5_o_Clock_Shadow": (0.6, 0.0), "No_Beard": (0.25, 0.6), "Pale_Skin": (0.6, 0.0),
    "Rosy_Cheeks": (0.6, 0.0), "High_Cheekbones": (0.15, 0.0), "Chubby": (0.6, 0.0), "Double_Chin": (0.5, 0.0),
    "Oval_Face": (0.2, 0.0), "Big_Lips": (0.3, 0.0), "Narrow_Eyes": (0.4, 0.0), "Bags_Under_Eyes": (0.3, 0.0),
    "Black_Hair": (0.7, 0.0), "Blond_Hair": (0.7, 0.0), "Brown_Hair": (0.7, 0.0), "Gray_Hair": (0.8, 0.0),
    "Straight_Hair": (0.35, 0.0), "Wavy_Hair": (0.45, 0.0), "Bushy_Eyebrows": (0.4, 0.0),
    "Arched_Eyebrows": (0.25, 0.0), "Big_Nose": (0.4, 0.0), "Pointy_Nose": (0.25, 0.0),
}  # fmt: skip
MALE_CHANCE = 0.85
# Of whom (male or not) it is natural to say that something is missing; of the rest, of anybody.
MISSED_BY = dict.fromkeys(("Mustache", "Goatee", "Wearing_Necktie", "Bald"), True) | dict.fromkeys(
    ("Wearing_Earrings", "Wearing_Necklace", "Wearing_Lipstick", "Heavy_Makeup", "Bangs"), False
)
MOST_STATEMENTS = 6  # in one sentence, besides man or woman


class Person(NamedTuple):
    """How a sentence calls somebody."""

    nouns: tuple[str, ...]
    faces: tuple[str, ...]
    he: str
    his: str
    verbs: dict[str, str]


_VERBS = {"has": "has", "wears": "wears", "is": "is", "does": "does"}
MAN = Person(("man", "man", "man", "guy", "gentleman"), ("male face", "man's face"), "he", "his", _VERBS)
WOMAN = Person(("woman", "woman", "woman", "lady"), ("female face", "woman's face"), "she", "her", _VERBS)
SOMEBODY = Person(("person",), ("face",), "they", "their", {"has": "have", "wears": "wear", "is": "are", "does": "do"})
ADJECTIVE_ORDER = {"Smiling": 0, "Pale_Skin": 1, "Chubby": 2, "Young": 3}  # the rest stand next to the noun


def describe_face(
    attributes: Mapping[str, bool], rng: Random, always: Sequence[str] = (), length: int = 201
) -> tuple[str, list[str]]:
    """A sentence about a face, and which attributes it speaks of.

    Args:
        attributes: what is true of the face, by CelebA's names; the sentence keeps silent on names that are missing.
        rng: decides what is said, and in which words.
        always: names of which the sentence must speak.
        length: the most characters.

    Returns:
        The sentence, and the names that it speaks of: of those that are false, it says so ("without glasses").

    Raises:
        UserError: `always` cannot be said in `length` characters.
    """
    names = _choose(attributes, rng, always)
    for _ in range(1000):
        sentence = _write(names, attributes, rng)
        if len(sentence) <= length:
            return sentence, _stated(sentence, names, attributes)
        if len(names) > max(1, len(always)):
            names.pop()
    raise UserError(f"{length} characters are too few to speak of {', '.join(names)}. Set caption_length higher.")


def check_sayable(combination: Mapping[str, bool]) -> None:
    """Raises a `UserError` when one sentence cannot say all that `combination` holds."""
    for name, value in combination.items():
        described = name in NOUN_OF and value
        if not (described or name in ("Male", "No_Beard") or (name, value) in SAYINGS):
            raise UserError(f"captions have no words for {'' if value else 'not '}{name}. Leave it out of held_out.")
    true = {name for name, value in combination.items() if value}
    for names in CONTRADICTORY:
        if len(names & true) > 1:
            raise UserError(f"captions cannot say {' and '.join(sorted(names & true))} of one face. Leave one out.")


def _choose(attributes: Mapping[str, bool], rng: Random, always: Sequence[str]) -> list[str]:
    """The names of which a sentence will speak, those of `always` first."""
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
    value = attributes[name]
    missing = value if name == "No_Beard" else not value
    whose = True if name == "No_Beard" else MISSED_BY.get(name)
    if missing and whose is not None and attributes.get("Male", whose) != whose:
        return 0
    return CHANCES[name][0 if value else 1]


def _stated(sentence: str, names: Sequence[str], attributes: Mapping[str, bool]) -> list[str]:
    implied = BEARDS if "clean-shaven" in sentence else ()
    return [*names, *(name for name in implied if name in attributes and name not in names)]


IN_CLAUSES = ("has", "wears", "lacks", "bares", "state")
MOST_ADJECTIVES = 3


class Topic(NamedTuple):
    """What a sentence speaks of: an attribute, or all that is said of the hair, with the ways to say it."""

    name: str
    sayings: Sequence[Saying]


def _write(names: Sequence[str], attributes: Mapping[str, bool], rng: Random) -> str:
    """A sentence (now and then two) that speaks of `names` and of nothing else."""
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
    adjectives = [pick(DESCRIBED[noun][name], rng) for name in names]
    phrase = f"{'a ' if noun == 'nose' else ''}{' '.join(adjectives)} {noun}"
    sayings = [Saying("has", phrase)] * 3
    sayings.append(Saying("whose", f"{noun} {'are' if noun == 'eyebrows' else 'is'} {join(adjectives)}"))
    if len(names) == 1 and names[0] in HAIR_COLOURS:
        sayings.append(Saying("adjective", "blond" if names[0] == "Blond_Hair" else f"{adjectives[0]}-haired"))
    return sayings


def _beard(attributes: Mapping[str, bool]) -> tuple[Saying, ...]:
    """CelebA counts a mustache alone and stubble as a beard, which English does not: what is unknown is left vague."""
    stubble, goatee, mustache = (attributes.get(name) for name in BEARDS)
    if attributes["No_Beard"]:
        shaven = attributes.get("Male", True) and stubble is goatee is mustache is False
        words = {"adjective": ["clean-shaven"], "state": ["clean-shaven"]} if shaven else {}
        return _sayings(lacks=["a beard"], **words)
    if stubble is False and (goatee or mustache is False):
        return _sayings(adjective=["bearded"], has=["a beard", "a beard"])
    return _sayings(has=["facial hair", "some facial hair"])


def _of_a_face(name: str, sayings: Sequence[Saying]) -> list[Saying]:
    """Those that can be said of a face, as of a person: a face has no hat on, and no face."""
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
    """A saying for each topic, of the given kinds: texts by kind, adjectives in the order of English."""
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
    """Such as "a smiling young man with black hair, wearing a hat"."""
    groups = []
    if said["has"]:
        groups.append(f"with {join(said['has'])}")
    if said["wears"]:
        groups.append(f"wearing {join(said['wears'])}")
    if said["lacks"] or said["bares"]:
        groups.append(f"without {join(said['lacks'] + said['bares'], 'or')}")
    if said["state"]:
        groups.append(f"who is {join(said['state'])}")
    if said["whose"]:
        groups.append(join([f"whose {text}" for text in said["whose"]]))
    words = " ".join([*said["adjective"], noun])
    return " ".join([article(words), words, ", ".join(shuffled(groups, rng))]).strip()


def _clause(noun: str, topics: Sequence[Topic], person: Person, rng: Random) -> str:
    """Such as "The young man has black hair and is smiling." or "Wearing a hat, this man is smiling."."""
    kinds = ("adjective", *IN_CLAUSES)
    said = _say(topics, kinds, person, rng, most_adjectives=min(len(topics) - 1, MOST_ADJECTIVES))
    subject = " ".join([pick(("the", "this"), rng), *said["adjective"], noun])
    opening = ""
    if said["wears"] and any(said[kind] for kind in IN_CLAUSES if kind != "wears") and rng.random() < 0.4:
        opening = f"wearing {join(said['wears'])}, "
        said["wears"] = []
    elif rng.random() < 0.25:
        subject = f"{subject.replace('this', 'the', 1)} in {pick(('the', 'this'), rng)} {pick(PICTURES, rng)}"
    return finish(f"{opening}{subject} {_predicates(said, _VERBS, rng)}")


def _two_sentences(noun: str, topics: Sequence[Topic], person: Person, rng: Random) -> str:
    """Such as "This is a young man. His hair is black, and he is smiling."."""
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
    """Such as "has black hair, is smiling and does not wear a hat"."""
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
