"""English that knows no subject: lists, articles, captions."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

IMAGE_NOUNS = ("photo", "picture", "portrait", "image")

Item = TypeVar("Item")


def present(phrase: str, rng: Random, nouns: Sequence[str] = IMAGE_NOUNS) -> str:
    """Make a caption of a noun phrase with its article: by itself, then often without a full stop, or in a sentence.

    `nouns` are words for the image, as in "a photo of ...".
    """
    form = rng.random()
    if form < 0.5:
        return finish(phrase, "." if form < 0.25 else "")
    noun = pick(nouns, rng)
    if form < 0.65:
        return finish(f"{article(noun)} {noun} of {phrase}", "." if form < 0.6 else "")
    return finish(pick(("this is", "here is", f"the {noun} shows", f"this {noun} shows"), rng) + f" {phrase}")


def join(items: Sequence[str], word: str = "and") -> str:
    """Join items to a list: a; a and b; a, b and c.

    One more comma stands before `word` where an item has an "and" or "or" of its own.
    """
    if len(items) == 1:
        return items[0]
    nested = any(" and " in item or " or " in item for item in items)
    return f"{', '.join(items[:-1])}{',' if nested else ''} {word} {items[-1]}"


def article(words: str) -> str:
    """Return the article, "a" or "an", that fits before words."""
    return "an" if words[0] in "aeiou8" and not words.startswith("one") else "a"


def finish(text: str, stop: str = ".") -> str:
    """Return a text with a capital and a full stop."""
    return text[0].upper() + text[1:] + stop


def pick(options: Sequence[Item], rng: Random) -> Item:
    """Return one of the options at random."""
    return options[int(rng.random() * len(options))]


def shuffled(items: Sequence[Item], rng: Random) -> list[Item]:
    """Return the items in random order."""
    return sorted(items, key=lambda _: rng.random())
