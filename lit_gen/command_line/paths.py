"""Paths on the command line: an empty one, as of a variable of the shell that is not set, is refused."""

from argparse import ArgumentTypeError
from pathlib import Path

from jsonargparse.typing import register_type

from lit_gen.errors import UserError

EMPTY = "is empty, which would mean the current folder: give a path, or '.' for that folder"


def check_path(option: str, value: str | None) -> None:
    """Refuse an empty path as the value of an option; None is not given."""
    if value is not None and not str(value).strip():
        raise UserError(f"--{option} {EMPTY}.")


def path_of(text: str) -> Path:
    """Return a text as a path, as parsers ask for it.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not str(text).strip():
        raise ArgumentTypeError(EMPTY)
    return Path(text)


register_type(
    Path,
    str,
    path_of,
    deserializer_exceptions=(ArgumentTypeError, ValueError, TypeError, AttributeError),
    type_check=isinstance,
    fail_already_registered=False,
)
