"""Limits of settings: what is beyond them ends in one line, what is not arrives as a plain number."""

import pytest
from jsonargparse import ArgumentParser

from lit_gen.limits import BelowOne, ClosedUnitInterval, NonNegativeFloat, NonNegativeInt, PositiveInt
from tests.test_cli import mistake

GOOD = [
    (PositiveInt, "1", 1), (PositiveInt, "12", 12), (NonNegativeInt, "0", 0), (NonNegativeFloat, "0", 0.0),
    (NonNegativeFloat, "1e-4", 1e-4), (NonNegativeFloat, "2", 2.0), (BelowOne, "0", 0.0), (BelowOne, "0.999", 0.999),
    (ClosedUnitInterval, "1", 1.0), (PositiveInt | None, "null", None), (list[PositiveInt], "[8, 4]", [8, 4]),
    (tuple[BelowOne, BelowOne], "[0, 0.9]", (0.0, 0.9)), (dict[int, PositiveInt], "{4: 8}", {4: 8}),
]  # fmt: skip
BAD = [
    (PositiveInt, "0"), (PositiveInt, "-3"), (PositiveInt, "0.5"), (PositiveInt, "true"), (PositiveInt, "x"),
    (NonNegativeInt, "-1"), (NonNegativeFloat, "-1e-9"), (NonNegativeFloat, "inf"), (NonNegativeFloat, "nan"),
    (NonNegativeFloat, ".inf"), (BelowOne, "1.0"), (BelowOne, "-0.1"), (ClosedUnitInterval, "1.01"),
    (PositiveInt | None, "0"), (list[PositiveInt], "[8, 0]"), (dict[int, PositiveInt], "{4: 0}"), (BelowOne, "nan"),
]  # fmt: skip


def parse(kind: type, word: str) -> tuple[object, str]:
    """The value of an option of this type, and how it is written to a config."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--option", type=kind)
    settings = parser.parse_args([f"--option={word}"])
    return settings.option, parser.dump(settings)


def numbers(value: object) -> list[object]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [item for item in items if item is not None]


@pytest.mark.parametrize(("kind", "word", "expected"), GOOD)
def test_a_value_within_the_limits_is_a_plain_number(kind, word, expected):
    """Optimizers keep their settings in checkpoints, which are to hold plain types only."""
    value, written = parse(kind, word)
    assert value == expected and [type(one) for one in numbers(value)] == [type(one) for one in numbers(expected)]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--option", type=kind)
    assert parser.parse_string(written).option == expected


@pytest.mark.parametrize(("kind", "word"), BAD)
def test_a_value_beyond_the_limits_is_refused(kind, word):
    with pytest.raises(Exception, match="option"):
        parse(kind, word)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--checkpoints.keep=0", "--checkpoints.keep must be of type int of at least 1, not 0."),
        (
            "--checkpoints.every_n_batches=-1",
            "--checkpoints.every_n_batches must be of type int of at least 0, not -1.",
        ),
        ("--health.every_n_batches=0.5", "--health.every_n_batches must be of type int of at least 0, not 0.5."),
        ("--trainer.accumulate_grad_batches=0", "--trainer.accumulate_grad_batches must be of type int of at least 1"),
    ],
)
def test_the_command_line_says_the_limit(word, expected, capsys):
    assert mistake(["fit", "--model=VAE", "--data=MNIST", word], capsys).startswith(f"error: {expected}")
