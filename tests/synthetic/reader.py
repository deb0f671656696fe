"""Reads captions as a stranger would: by keywords and negations, without knowing how they are written."""

import re
from functools import lru_cache

MEANING: dict[str, dict[str, bool]] = {
    r"man's|man|guy|gentleman|male": {"Male": True},
    r"woman's|woman|lady|female": {"Male": False},
    r"girl": {"Male": False, "Young": True},
    r"no longer young|older|mature": {"Young": False},
    r"young": {"Young": True},
    r"not smiling|unsmiling|no smile": {"Smiling": False},
    r"a smile on (?:his|her|their) face|smiling|smile": {"Smiling": True},
    r"mouth slightly open|slightly open mouth": {"Mouth_Slightly_Open": True},
    r"mouth closed|closed mouth": {"Mouth_Slightly_Open": False},
    r"a pair of glasses|glasses|eyeglasses|spectacles|bespectacled": {"Eyeglasses": True},
    r"some kind of hat|hat on|hat": {"Wearing_Hat": True},
    r"bareheaded": {"Wearing_Hat": False},
    r"a pair of earrings|earrings": {"Wearing_Earrings": True},
    r"necklace": {"Wearing_Necklace": True},
    r"tie|necktie": {"Wearing_Necktie": True},
    r"lipstick on|lipstick": {"Wearing_Lipstick": True},
    r"heavy makeup on|heavy makeup|a lot of makeup|heavily made up": {"Heavy_Makeup": True},
    r"not bald": {"Bald": False},
    r"bald head|bald": {"Bald": True},
    r"bangs": {"Bangs": True},
    r"receding hairline": {"Receding_Hairline": True},
    r"sideburns": {"Sideburns": True},
    r"goatee": {"Goatee": True},
    r"mustache|moustache": {"Mustache": True},
    r"stubble|five o'clock shadow": {"5_o_Clock_Shadow": True},
    r"clean-shaven": {"No_Beard": True, "Goatee": False, "Mustache": False, "5_o_Clock_Shadow": False},
    r"beard|bearded|some facial hair|facial hair": {"No_Beard": False},
    r"pale-skinned|pale skin|pale complexion|pale": {"Pale_Skin": True},
    r"rosy cheeks|pink cheeks": {"Rosy_Cheeks": True},
    r"high cheekbones": {"High_Cheekbones": True},
    r"not chubby": {"Chubby": False},
    r"chubby|plump": {"Chubby": True},
    r"double chin": {"Double_Chin": True},
    r"oval face": {"Oval_Face": True},
    r"big lips|full lips": {"Big_Lips": True},
    r"narrow eyes": {"Narrow_Eyes": True},
    r"bags under (?:his|her|their) eyes": {"Bags_Under_Eyes": True},
    r"black|black-haired": {"Black_Hair": True},
    r"blond|blonde|blond-haired": {"Blond_Hair": True},
    r"brown|brown-haired": {"Brown_Hair": True},
    r"gray|grey|gray-haired|grey-haired": {"Gray_Hair": True},
    r"straight": {"Straight_Hair": True},
    r"wavy": {"Wavy_Hair": True},
    r"bushy|thick": {"Bushy_Eyebrows": True},
    r"arched": {"Arched_Eyebrows": True},
    r"big|large": {"Big_Nose": True},
    r"pointy|pointed": {"Pointy_Nose": True},
}
# Words that say nothing of a face; the second kind begins a statement of its own, which no "not" before it reaches.
PLAIN = {"a", "an", "the", "this", "here", "or", "of", "in", "photo", "picture", "portrait", "image", "face", "person"}
PLAIN |= {"hair", "nose", "eyebrows", "his", "her", "their", "do", "does"}
OPENING = {"with", "has", "have", "wears", "wear", "wearing", "is", "are", "who", "whose", "he", "she", "they", "shows"}
OPENING |= {"and", "."}
_TOKEN = re.compile("|".join(f"(?<![\\w-])(?:{words})(?![\\w-])" for words in MEANING) + r"|[\w'-]+|[.,]")


def meaning(sentence: str) -> dict[str, bool]:
    """What a sentence says of a face, by attribute; fails on an unknown word, and where it contradicts itself."""
    found: dict[str, bool] = {}
    negative, before = False, ""
    for token in _TOKEN.findall(sentence.lower()):
        said = _meaning_of(token)
        if said is not None:
            assert not (negative and len(said) > 1), sentence
            for name, value in said.items():
                value = value != negative
                assert found.setdefault(name, value) == value, f"both ways: {sentence}"
        elif token in ("without", "not"):
            negative = True
        elif token in OPENING:
            negative = negative and before == "not"  # "is not wearing"
        else:
            assert token in PLAIN or token == ",", f"{token!r} in {sentence!r}"
        before = token
    return found


@lru_cache
def _meaning_of(token: str) -> dict[str, bool] | None:
    return next((said for words, said in MEANING.items() if re.fullmatch(words, token)), None)


def complaints(sentence: str) -> list[str]:
    """What is wrong with the English of a sentence, as far as patterns show it; letters may be small."""
    rules = {
        "no full stop after a whole sentence": r"(?i)^(?:this|here|the .* (?:shows|is|has|wears)\b)(?!.*\.$)",
        "a before a vowel": r"(?i)\ba (?!one\b)[aeio8]",
        "an before a consonant": r"(?i)\ban [^aeiou8]",
        "a before one": r"(?i)\ban one\b",
        "a word twice": r"(?i)\b([\w'-]+) \1\b",
        "two spaces": r"\s\s|^\s|\s$|[^\S ]",
        "a gap left open": r"[{}\[\]_]",
        "punctuation": r" [.,]|[.,][^ ]|,,|\.\.|,\.|,$",
        "punctuation followed by itself": r"[.,] [.,]",
        "a list without end": r"(?i)\b(?:and|or|with|without|wearing|has|have|wears|is|are|whose|who|a|an|the|,)\.?$",
        "no verb fits he, she or it": r"(?i)\b(?:he|she|man|woman|person|lady) (?:have|are|wear|do)\b",
        "no verb fits they": r"(?i)\bthey (?:has|is|wears|does)\b",
        "article before a plural": r"(?i)\ban? (?:[\w-]+ )?(?:glasses|bangs|eyebrows|cheeks|lips|earrings|sideburns)\b",
        "a no that may reach further": r"(?i)\b(?:not (?:smiling|bald|chubby)|no smile|no longer young),? and "
        r"(?!(?:is|are|has|have|wears?|do|does|not|no|his|her|their|he|she|they|whose)\b)",
        "no article": r"(?i)\b(?:with|without|wearing|and|or) (?:goatee|mustache|hat|tie|necklace|beard|smile)\b",
    }
    return [rule for rule, pattern in rules.items() if re.search(pattern, sentence)]
