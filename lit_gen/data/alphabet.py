"""The alphabet of the sentences that models read, and the conversion of sentences to character numbers."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from lit_gen.errors import UserError

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
"""The 70 symbols of Zhang et al. (2015, arXiv:1509.01626) and Reed et al. (2016, arXiv:1605.05396), with a space for
Zhang et al.'s line break. Number n stands for `ALPHABET[n - 1]`. The hyphen is listed twice; only the first is used.
"""
CAPTION_LENGTH = 201  # characters, as in Reed et al.'s text encoder
SHORTEST = 80  # characters that are enough for any digit, and for one statement about a face

_NUMBERS = {symbol: ALPHABET.index(symbol) + 1 for symbol in ALPHABET}
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_READABLE = re.compile(f"[{re.escape(ALPHABET.strip())}]", re.IGNORECASE)


def readable(text: str) -> bool:
    """Return whether a text has a character of the alphabet except spaces."""
    return _READABLE.search(text) is not None


def check_length(caption_length: int) -> None:
    """Refuse a setting that leaves sentences too short."""
    if caption_length < SHORTEST:
        raise UserError(f"caption_length must be at least {SHORTEST} characters, not {caption_length}.")


def encode(text: str, length: int) -> Tensor:
    """Return a sentence as the numbers of its characters: (length,) int64 from 0 to 70.

    Capitals count as small letters, and any run of white space (line breaks too) as one space. The end of a text longer
    than `length` is cut off. 0 pads, and stands for characters outside the alphabet.

    Raises:
        UserError: the text has no character of the alphabet except spaces.
    """
    words = " ".join(text.lower().split())
    if not words:
        raise UserError("a sentence is empty. Write what the image is to show, for example 'a smiling woman'.")
    if not readable(words[:length]):
        raise UserError(
            f"the sentence {words[:40]!r} has no character that can be read. Write it in English letters and digits."
        )
    return torch.from_numpy(numbers_of(text, length))


def spell(sentences: Sequence[str]) -> Tensor:
    """Return the character numbers (B, L) of sentences, where L is the length of the longest.

    Raises:
        UserError: there is no sentence, or one has no character of the alphabet.
    """
    if not sentences:
        raise UserError("there is no sentence. Give at least one, for example 'a smiling woman'.")
    length = max(len(sentence) for sentence in sentences)
    return torch.stack([encode(sentence, length) for sentence in sentences])


def numbers_of(text: str, length: int) -> np.ndarray:
    """Return what `encode` does, of any text."""
    padded = np.zeros(length, np.int64)
    numbers = [_NUMBERS.get(symbol, 0) for symbol in " ".join(text.lower().split())[:length]]
    padded[: len(numbers)] = numbers
    return padded


def decode(numbers: Iterable[int] | Tensor) -> str:
    """Return the sentence that `encode` read, in small letters; a replacement character stands for an unknown one."""
    numbers = numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)
    return "".join(ALPHABET[number - 1] if number else "\0" for number in numbers).rstrip("\0").replace("\0", _UNKNOWN)
