"""The words for faces: what can be said of each attribute, how often it is said, and what cannot be said together."""

from collections.abc import Sequence
from typing import NamedTuple

from lit_gen.synthetic.faces.names import BEARDS, HAIR_COLOURS


class Saying(NamedTuple):
    """One way to say that an attribute is true, or false.

    Attributes:
        kind: place of `text` in a sentence: "adjective" (before the noun), "has", "wears", "lacks" (after "without",
            "does not have"), "bares" (after "without", "is not wearing"), "state" (after "is"), or "whose" (after
            "whose" or "her").
        text: words; {his} becomes his, her or their.
    """

    kind: str
    text: str


def sayings_of(**texts: Sequence[str]) -> tuple[Saying, ...]:
    """Return the sayings of several kinds, given as texts by kind."""
    return tuple(Saying(kind, text) for kind, several in texts.items() for text in several)


# What can be said when an attribute is true, and when it is false. Sex, beards, and adjectives of one noun (hair,
# eyebrows, nose) follow below. Nothing is said of Attractive and Blurry: the one is a matter of taste, the other of the
# photograph.
SAYINGS: dict[tuple[str, bool], tuple[Saying, ...]] = {
    ("Young", True): sayings_of(adjective=["young"] * 4, state=["young"]),
    ("Young", False): sayings_of(adjective=["older"] * 3 + ["mature"], state=["no longer young"]),
    ("Smiling", True): sayings_of(
        adjective=["smiling"], has=["a smile", "a smile on {his} face"], state=["smiling", "smiling"]
    ),
    ("Smiling", False): sayings_of(adjective=["unsmiling"], has=["no smile"], state=["not smiling", "not smiling"]),
    ("Mouth_Slightly_Open", True): sayings_of(has=["{his} mouth slightly open", "a slightly open mouth"]),
    ("Mouth_Slightly_Open", False): sayings_of(has=["{his} mouth closed", "a closed mouth"]),
    ("Eyeglasses", True): sayings_of(
        adjective=["bespectacled"], has=["glasses"], wears=["glasses", "eyeglasses", "spectacles", "a pair of glasses"]
    ),
    ("Eyeglasses", False): sayings_of(bares=["glasses", "eyeglasses"]),
    ("Wearing_Hat", True): sayings_of(has=["a hat on"], wears=["a hat", "a hat", "some kind of hat"]),
    ("Wearing_Hat", False): sayings_of(bares=["a hat"], state=["bareheaded"]),
    ("Wearing_Earrings", True): sayings_of(has=["earrings"], wears=["earrings", "earrings", "a pair of earrings"]),
    ("Wearing_Earrings", False): sayings_of(bares=["earrings"]),
    ("Wearing_Necklace", True): sayings_of(has=["a necklace"], wears=["a necklace", "a necklace"]),
    ("Wearing_Necklace", False): sayings_of(bares=["a necklace"]),
    ("Wearing_Necktie", True): sayings_of(wears=["a tie", "a necktie"]),
    ("Wearing_Necktie", False): sayings_of(bares=["a tie", "a necktie"]),
    ("Wearing_Lipstick", True): sayings_of(has=["lipstick on"], wears=["lipstick", "lipstick"]),
    ("Wearing_Lipstick", False): sayings_of(bares=["lipstick"]),
    ("Heavy_Makeup", True): sayings_of(
        has=["heavy makeup on"], wears=["heavy makeup", "a lot of makeup"], state=["heavily made up"]
    ),
    ("Heavy_Makeup", False): sayings_of(bares=["heavy makeup", "a lot of makeup"]),
    ("Bald", True): sayings_of(adjective=["bald"], has=["a bald head"], state=["bald"]),
    ("Bald", False): sayings_of(state=["not bald"]),
    ("5_o_Clock_Shadow", True): sayings_of(has=["stubble", "a five o'clock shadow"]),
    ("5_o_Clock_Shadow", False): sayings_of(lacks=["stubble"]),
    ("Pale_Skin", True): sayings_of(adjective=["pale", "pale-skinned"], has=["pale skin", "a pale complexion"]),
    ("Rosy_Cheeks", True): sayings_of(has=["rosy cheeks", "pink cheeks"]),
    ("High_Cheekbones", True): sayings_of(has=["high cheekbones"]),
    ("Chubby", True): sayings_of(adjective=["chubby", "plump"], state=["chubby"]),
    ("Chubby", False): sayings_of(state=["not chubby"]),
    ("Oval_Face", True): sayings_of(has=["an oval face"]),
    ("Big_Lips", True): sayings_of(has=["big lips", "full lips"]),
    ("Narrow_Eyes", True): sayings_of(has=["narrow eyes"]),
}
# What a face has or lacks, in the same words.
for _name, _texts in {
    "Bangs": ["bangs"], "Receding_Hairline": ["a receding hairline"], "Sideburns": ["sideburns"],
    "Goatee": ["a goatee"], "Mustache": ["a mustache", "a moustache"], "Double_Chin": ["a double chin"],
    "Bags_Under_Eyes": ["bags under {his} eyes"],
}.items():  # fmt: skip
    SAYINGS |= {(_name, True): sayings_of(has=_texts), (_name, False): sayings_of(lacks=_texts)}
OTHER_SPELLINGS = {"blond": ("blonde",), "gray": ("grey",)}

# Adjectives of one noun, in the order in which they stand before it: "wavy blond hair".
DESCRIBED: dict[str, dict[str, tuple[str, ...]]] = {
    "hair": {"Straight_Hair": ("straight",), "Wavy_Hair": ("wavy",)}
    | {name: (colour, *OTHER_SPELLINGS.get(colour, ())) for name, colour in HAIR_COLOURS.items()},
    "eyebrows": {"Bushy_Eyebrows": ("bushy", "thick"), "Arched_Eyebrows": ("arched",)},
    "nose": {"Big_Nose": ("big", "large"), "Pointy_Nose": ("pointy", "pointed")},
}
NOUN_OF = {name: noun for noun, words in DESCRIBED.items() for name in words}

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

# The probability that an attribute is spoken of when it is true, and when it is false. What is rare is worth saying.
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
# Of whom (male or not) it is natural to say that this is missing; of anybody, where it is not listed.
MISSED_BY = dict.fromkeys(("Mustache", "Goatee", "No_Beard", "Wearing_Necktie", "Bald"), True) | dict.fromkeys(
    ("Wearing_Earrings", "Wearing_Necklace", "Wearing_Lipstick", "Heavy_Makeup", "Bangs"), False
)
