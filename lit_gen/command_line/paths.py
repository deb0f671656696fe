"""Paths on the command line: `~` is the home, and an empty one, as of an unset variable of the shell, is refused."""

import os
import re
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from jsonargparse.typing import register_type

from lit_gen.errors import UserError

EMPTY = "is empty, which would mean the current folder: give a path, or '.' for that folder"


def with_home(words: Sequence[str]) -> list[str]:
    """Return a command's words with the home in place of `~`, which a shell leaves alone behind `--option=`."""
    parts = (re.fullmatch(r"(--[\w.+]+=)?(~[\w.-]*(?:/.*)?)", word, re.DOTALL) for word in words)
    return [
        word if part is None else (part[1] or "") + os.path.expanduser(part[2])
        for word, part in zip(words, parts, strict=True)
    ]


def check_path(option: str, value: str | None) -> None:
    """Refuse an empty path as the value of an option; None is not given."""
    if value is not None and not str(value).strip():
        raise UserError(f"--{option} {EMPTY}.")


def path_of(text: str) -> Path:
    """Return a text as a path, as parsers ask for it; `~` is the home in a config too.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not str(text).strip():
        raise ArgumentTypeError(EMPTY)
    return Path(text).expanduser()


register_type(
    Path,
    str,
    path_of,
    deserializer_exceptions=(ArgumentTypeError, ValueError, TypeError, AttributeError),
    type_check=isinstance,
    fail_already_registered=False,
)
