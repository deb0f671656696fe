"""The one exception for mistakes that a user can mend: the command line prints it as one line and exits with code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A file, a setting or a machine is not as it must be; the message says what is wrong, and what to do next."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: ' Did you mean ...?' or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f" Did you mean {close[0]}?" if close else ""
