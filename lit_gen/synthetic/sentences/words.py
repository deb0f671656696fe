"""How words become sentences, whatever they are about."""

from collections.abc import Sequence
from random import Random

PICTURES = ("photo", "picture", "portrait", "image")


def present(phrase: str, rng: Random, pictures: Sequence[str] = PICTURES) -> str:
    """A noun phrase as a caption: by itself, then often without a full stop, or in a sentence."""
    form = rng.random()
    if form < 0.5:
        return finish(phrase, "." if form < 0.25 else "")
    picture = pick(pictures, rng)
    if form < 0.65:
        return finish(f"{article(picture)} {picture} of {phrase}", "." if form < 0.6 else "")
    return finish(pick(("this is", "here is", f"the {picture} shows", f"this {picture} shows"), rng) + f" {phrase}")


def join(items: Sequence[str], word: str = "and") -> str:
    """a; a and b; a, b and c; with one comma more where an item has an "and" or "or" of its own."""
    if len(items) == 1:
        return items[0]
    nested = any(" and " in item or " or " in item for item in items)
    return f"{', '.join(items[:-1])}{',' if nested else ''} {word} {items[-1]}"


def article(words: str) -> str:
    return "an" if words[0] in "aeiou8" and not words.startswith("one") else "a"


def finish(text: str, stop: str = ".") -> str:
    return text[0].upper() + text[1:] + stop


def pick(options: Sequence, rng: Random):
    return options[int(rng.random() * len(options))]


def shuffled(items: Sequence, rng: Random) -> list:
    return sorted(items, key=lambda _: rng.random())
