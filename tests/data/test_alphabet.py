"""The alphabet in which models read sentences."""

import pytest
import torch

from lit_gen.data.alphabet import ALPHABET, decode, encode, spell
from lit_gen.errors import UserError


def test_the_alphabet_of_the_papers():
    assert len(ALPHABET) == 70
    assert ALPHABET[:3] + ALPHABET[25:27] + ALPHABET[35] + ALPHABET[-1] == "abcz09 "
    assert set(map(chr, range(32, 127))) - set(ALPHABET) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_a_sentence_as_numbers():
    numbers = encode("Ab 0.z", 9)
    assert numbers.dtype == torch.int64
    assert numbers.tolist() == [1, 2, 70, 27, ALPHABET.index(".") + 1, 26, 0, 0, 0]


@pytest.mark.parametrize("text", ["a smiling man", "Two\n\t lines  ", "A HAT & TIE - (old)!", "x" * 300, "7", "--"])
def test_what_is_read_can_be_shown(text):
    assert decode(encode(text, 201)) == " ".join(text.lower().split())[:201]


def test_a_text_too_long_is_cut():
    assert decode(encode("a man with a hat", 5)) == "a man"
    assert encode("a" * 10_000, 12).tolist() == [1] * 12


def test_characters_unknown_are_passed_over():
    assert encode("é—b", 5).tolist() == [0, 0, 2, 0, 0]
    assert decode([0, 0, 2, 0, 0]) == "\ufffd\ufffdb"
    assert decode(torch.tensor([0])) == ""


@pytest.mark.parametrize("text", ["", "  \n\t ", "日本", "日 本", "\u200b"])
def test_nothing_to_read(text):
    with pytest.raises(UserError, match="empty|no character that can be read") as caught:
        encode(text, 20)
    assert "\n" not in str(caught.value)


def test_nothing_to_read_before_the_cut():
    with pytest.raises(UserError, match="no character that can be read"):
        encode("日日日日 a man", 4)


def test_spell():
    numbers = spell(["a cat", "A  DOG barks"])
    assert numbers.dtype == torch.int64 and numbers.shape == (2, 12)
    assert [ALPHABET[n - 1] for n in numbers[0] if n] == list("a cat")
    assert [ALPHABET[n - 1] for n in numbers[1] if n] == list("a dog barks")
    long = "a woman with very, very long hair " * 50
    assert spell([long, "a man"]).shape == (2, len(long))


@pytest.mark.parametrize("sentences", [[], [""], ["a man", " \n "], ["\N{SNOWMAN}"]])
def test_nothing_to_spell(sentences):
    with pytest.raises(UserError, match="sentence.* for example|sentence.* English"):
        spell(sentences)
