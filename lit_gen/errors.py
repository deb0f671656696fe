"""The one exception for mistakes that a user can mend: the command line prints it as one line and exits with code 2."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A file, a setting or a machine is not as it must be; the message says what is wrong, and what to do next."""


def nearest(name: str, known: Iterable[str], likeness: float = 0.4) -> str:
    """Return a hint for a misspelt name, whatever its case: ' Did you mean ...?' or nothing.

    Args:
        name: what was given.
        known: the names that there are.
        likeness: from 0 to 1, what a name must have at least to be proposed.
    """
    by_lower = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=likeness)
    return f" Did you mean {by_lower[close[0]]}?" if close else ""
