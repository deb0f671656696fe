"""Limits of settings as types: the command line refuses a value beyond them before anything is built.

They are jsonargparse's restricted types. In Python they stand for plain numbers: nothing is checked there, and what the
command line hands on are plain numbers too, so that checkpoints hold no class of jsonargparse.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from jsonargparse import typing

TYPES = {
    "PositiveInt": typing.PositiveInt,
    "NonNegativeInt": typing.NonNegativeInt,
    "NonNegativeFloat": typing.restricted_number_type("FiniteNonNegativeFloat", float, [(">=", 0), ("<", math.inf)]),
    "PositiveFloat": typing.restricted_number_type("FinitePositiveFloat", float, [(">", 0), ("<", math.inf)]),
    "ClosedUnitInterval": typing.ClosedUnitInterval,
    "BelowOne": typing.restricted_number_type("BelowOne", float, [(">=", 0), ("<", 1)]),
}
"""The limits by the names that the code has for them; `command_line.class_help` has their words."""

if TYPE_CHECKING:
    PositiveInt = int
    NonNegativeInt = int
    NonNegativeFloat = float
    PositiveFloat = float
    ClosedUnitInterval = float
    BelowOne = float
else:
    PositiveInt, NonNegativeInt, NonNegativeFloat, PositiveFloat, ClosedUnitInterval, BelowOne = TYPES.values()


def _plain(limited: type, base: type, value: Any) -> Any:
    """Return a value as a plain number.

    Raises:
        ValueError: with the value, when it is beyond the limits.
    """
    try:
        return base(limited(value))
    except (ValueError, TypeError, OverflowError):
        raise ValueError(str(value)) from None


for _limited in TYPES.values():
    _base = int if issubclass(_limited, int) else float
    # No value counts as being of the type already, so that each is checked and made plain.
    typing.register_type(_limited, _base, partial(_plain, _limited, _base), type_check=lambda value, kind: False)
