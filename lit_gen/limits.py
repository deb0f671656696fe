"""Limits of settings as types: the command line refuses a value beyond them before anything is built.

They are jsonargparse's restricted types. In Python they stand for plain numbers: nothing is checked there, and what the
command line hands on are plain numbers too, so that checkpoints hold no class of jsonargparse.
"""

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from jsonargparse import typing

if TYPE_CHECKING:
    PositiveInt = int
    NonNegativeInt = int
    NonNegativeFloat = float
    PositiveFloat = float
    ClosedUnitInterval = float
    BelowOne = float
else:
    PositiveInt, NonNegativeInt = typing.PositiveInt, typing.NonNegativeInt
    ClosedUnitInterval = typing.ClosedUnitInterval
    NonNegativeFloat = typing.restricted_number_type("FiniteNonNegativeFloat", float, [(">=", 0), ("<", math.inf)])
    PositiveFloat = typing.restricted_number_type("FinitePositiveFloat", float, [(">", 0), ("<", math.inf)])
    BelowOne = typing.restricted_number_type("BelowOne", float, [(">=", 0), ("<", 1)])

TYPES = {
    "PositiveInt": PositiveInt,
    "NonNegativeInt": NonNegativeInt,
    "NonNegativeFloat": NonNegativeFloat,
    "PositiveFloat": PositiveFloat,
    "ClosedUnitInterval": ClosedUnitInterval,
    "BelowOne": BelowOne,
}
"""The limits by the names that the code has for them; `command_line.class_help` has their words."""


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
