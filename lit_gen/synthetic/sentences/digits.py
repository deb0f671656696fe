"""Sentences about handwritten digits."""

from random import Random

from lit_gen.synthetic.sentences.words import article, pick, present

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def describe_digit(label: int, rng: Random, stroke: str = "") -> str:
    """Write a sentence about a handwritten digit, 0 to 9, whose `stroke` is "thick", "thin", or nothing.

    `rng` decides the words, and whether they speak of the stroke.
    """
    name = pick((DIGITS[label], DIGITS[label], str(label)), rng)
    stroke = stroke if rng.random() < 0.5 else ""
    behind = stroke != "" and rng.random() < 0.3
    adjectives = [stroke] if stroke and not behind else []
    hand = rng.random()
    if hand < 0.5:
        adjectives.append(pick(("handwritten", "handwritten", "hand-drawn"), rng))
    kind = pick(("", "", "digit ", "number "), rng)
    words = " ".join([*adjectives, kind + name])
    phrase = f"{'the' if kind else article(words)} {words}"
    if behind:
        phrase += pick((f" in {stroke} strokes", f" in {stroke} lines", f" with {stroke} strokes"), rng)
    elif hand > 0.8:
        phrase += pick((" written by hand", ", written by hand", " drawn by hand"), rng)
    return present(phrase, rng, ("picture", "image", "scan"))
