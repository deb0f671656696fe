"""Pages that repeat what stands in the code: departures from the papers, and the messages of docs/trouble.md."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The section of a page in docs/systems, and the modules that it has the departures of.
DEPARTURES = {
    **{(name, "Departures"): [f"models/{name}"] for name in (
        "aae", "autoencoder", "cyclegan", "dcgan", "gan", "infogan", "progan", "puzzle_gan", "stargan", "vae",
    )},
    ("aae", "Departures of section 5"): ["models/aae_semi_supervised"],
    ("text2image", "Departures"): ["models/text2image", "layers/text"],
}  # fmt: skip


def bullets(text):
    """The items of a list, each as a list of words without marks of Markdown."""
    found = re.findall(r"^ *- (.*(?:\n(?! *-)[^\n]+)*)", re.sub(r"\n\n", "\n-\n", text), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", item).replace("×", "x").replace("−", "-") for item in found)
    return [re.findall(r"[\w.^]*\w", item.lower()) for item in plain]


def numbers(words):
    return {number for word in words for number in re.findall(r"\d+", word)}


@pytest.mark.parametrize(("page", "section"), DEPARTURES)
def test_departures_are_those_of_the_code(page, section):
    """As many on both sides, in one order, each with the same beginning and the same numbers."""
    text = (ROOT / "docs" / "systems" / f"{page}.md").read_text()
    (of_page,) = re.findall(rf"^## {section}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    files = [ROOT / "lit_gen" / f"{name}.py" for name in DEPARTURES[page, section]]
    written = bullets(of_page)
    coded = [words for file in files for words in bullets(ast.get_docstring(ast.parse(file.read_text())))]
    assert written and [words[:3] for words in written] == [words[:3] for words in coded]
    for one, other in zip(written, coded, strict=True):
        assert numbers(one) == numbers(other), " ".join(one)


def test_every_module_with_departures_has_a_page():
    files = (ROOT / "lit_gen" / "models").glob("*.py")
    modules = {f"models/{path.stem}" for path in files if "Departures" in path.read_text()}
    assert modules == {name for names in DEPARTURES.values() for name in names} - {"layers/text"}


@cache
def messages():
    """All texts in the code, "…" in the place of what is put in."""
    found = set()
    for path in [ROOT / "main.py", *(ROOT / "lit_gen").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if node in docstrings:
                continue
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    found.add("no model and no data are named. Give")  # joined from parts, as tests of the command line see
    return "\n".join(" ".join(text.replace("`", "").split()) for text in found)


ROWS = re.findall(r"^\| (`.*?) \| .*? \| .*? \|$", (ROOT / "docs" / "trouble.md").read_text(), re.MULTILINE)
QUOTES = [quote for row in ROWS for quote in re.findall(r"`([^`]+)`", row)]


def windows(quote):
    """Three words each that follow one another in a quote, without names, paths and numbers, which are put in."""
    for piece in re.split(r"…|[.:;,)](?=\s|$)|\s\(|--\S+|\S*[/'\d<>=]\S*|\b[A-Z]\w*[A-Z]\w*\b", quote):
        words = piece.split()
        yield from (words[start : start + 3] for start in range(max(1, len(words) - 2)) if words)


def is_said(words, text):
    """Whether a text has these words, the first or last of which may be what it puts in."""
    cuts = [words] if len(words) < 3 else [words, ["…", *words[1:]], [*words[:-1], "…"]]
    return any(" ".join(cut) in text for cut in cuts)


def unsaid(quote, text):
    return [" ".join(words) for words in windows(quote) if not is_said(words, text)]


@pytest.mark.parametrize("quote", QUOTES)
def test_messages_of_the_trouble_page_are_said(quote):
    assert not unsaid(quote, messages())


def test_a_message_that_nothing_says_is_found():
    assert len(QUOTES) > 40
    assert unsaid("there is no checkpoint on the kitchen table", messages())
    assert not unsaid("there are only … training images. Do that.", "but there are only … training images.\nDo that")
    assert not unsaid("there is no model 'Vae'", "there is no … …") and unsaid(
        "there is one model 'Vae'", "there is no … …"
    )
