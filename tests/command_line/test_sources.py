"""Reading the package's source files."""

import ast
from types import SimpleNamespace

import pytest

from lit_gen.command_line import sources
from lit_gen.command_line.sources import PACKAGE, check_no_base, parsed
from lit_gen.errors import UserError


class Parses:
    """Something that refers to itself, so that only the garbage collector ends it, and that parses when it ends."""

    ended = 0

    def __init__(self):
        self.itself = self

    def __del__(self):
        def deep(levels):
            return deep(levels - 1) if levels else ast.parse("x = 1")

        deep(9)
        Parses.ended += 1


def test_a_finalizer_that_parses_does_no_harm():
    """Python 3.11.7 alone: SystemError, AST constructor recursion depth mismatch."""
    source = (PACKAGE / "cli.py").read_text()
    expected = ast.dump(ast.parse(source))
    before = Parses.ended
    for _ in range(20):
        Parses()
        assert ast.dump(parsed(source)) == expected
    assert Parses.ended > before + 10


def test_what_is_wrong_with_the_source_itself_is_said():
    with pytest.raises(SyntaxError, match="never closed"):
        parsed("f(")


def test_an_error_that_stays_is_passed_on(monkeypatch):
    asked = []

    def broken(source):
        asked.append(source)
        raise SystemError("broken")

    monkeypatch.setattr(sources, "ast", SimpleNamespace(parse=broken))
    with pytest.raises(SystemError, match="broken"):
        parsed("x = 1")
    assert 1 < len(asked) < 10


def test_bases_are_refused_and_files_of_ones_own_beside_the_models_are_not():
    """A file may be tried by its path before `__init__.py` names it."""
    for path in ("lit_gen.models.lsgan.LSGAN", "lit_gen.models.gan.GAN", "mine.AdversarialModule"):
        assert check_no_base("model", path) == path
    with pytest.raises(UserError, match="there is no model 'AdversarialModule'"):
        check_no_base("model", "lit_gen.models.adversarial.AdversarialModule")
