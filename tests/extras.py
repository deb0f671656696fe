"""Tests that need an extra: skipped without it, unless LIT_GEN_EXTRAS=1 says that it is there, as .ci/run does."""

import os
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def extras() -> dict[str, list[Requirement]]:
    """The packages of each extra, as pyproject.toml has them."""
    found = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    return {name: [Requirement(text) for text in packages] for name, packages in found.items()}


def needs_extra(name: str) -> pytest.MarkDecorator:
    """Mark a test, or a module's `pytestmark`, as one that needs an extra's packages."""
    absent = [package.name for package in extras()[name] if not is_installed(package.name)]
    skip = bool(absent) and os.environ.get("LIT_GEN_EXTRAS") != "1"
    return pytest.mark.skipif(skip, reason=f'no {", ".join(absent)}: pip install "lit-gen[{name}]"')


def is_installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False
