"""What a setting may be, by its name."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lit_gen.errors import UserError

Limit = tuple[str, Callable[[float], bool], str]
LIMITS: list[Limit] = [
    (r"betas|momentum|ema_decay|.*_dropout", lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (
        r"n_critic|recognition_features|.*(_dim|channels|_sizes|_base|_group|_interval)",
        lambda value: value >= 1,
        "at least 1",
    ),
    (
        r"beta|num_workers|pool_size|hidden_features|.*(_blocks|_pieces|_codes|_halvings|_kimg|_rate|_scale|_deviation|_weight)",
        lambda value: 0 <= value < math.inf,
        "finite and not negative",
    ),
]
"""Names, which values are allowed, and that in words. A model checks by itself what its other settings make impossible.

A setting of several numbers, such as the sizes of layers, has the limit for each."""


def check_settings(part: str, settings: Mapping[str, Any]) -> None:
    """Looks at numbers before anything is built from them.

    Args:
        part: model or data.
        settings: by name.

    Raises:
        UserError: a number is one that no setting of that name can be.
    """
    for name, value in settings.items():
        allowed, words = next((rest for names, *rest in LIMITS if re.fullmatch(names, name)), (None, None))
        if allowed and not all(allowed(number) for number in _numbers(value)):
            raise UserError(f"{name} must be {words}, not {value}. Set --{part}.{name}.")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, list | tuple) else [value]:
        if isinstance(item, int | float):
            yield item
