"""Tests that need a package of an extra (`pip install ".[export]"`)."""

import os
from importlib.util import find_spec

import pytest


def needs_extra(*packages: str) -> None:
    """Skip a test where one of these packages is missing; fail it where the extras are said to be installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing and os.environ.get("LIT_GEN_EXTRAS") == "1":
        pytest.fail(f"LIT_GEN_EXTRAS is set, and there is no {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
