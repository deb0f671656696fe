"""What is installed, and its lowest versions: no known hole in what reads files of somebody else."""

from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.extras import extras, needs_extra

ROOT = Path(__file__).parents[1]
SAFE_FROM = {
    "torch": "2.10.0",  # loading of weights only: CVE-2025-32434, CVE-2026-24747
    "lightning": "2.6.6",  # load_from_checkpoint: CVE-2026-31221, CVE-2026-58659
    "pillow": "13.0.0",  # JPEG and TIFF decoders: GHSA-5x8w-8jj5-q52h, GHSA-8g5g-8vmr-9782, GHSA-462x-pgg6-55fp
    "tqdm": "4.66.3",  # CVE-2024-34062
}


def needed() -> dict[str, Requirement]:
    """The packages that the project itself needs, as requirements.txt has them."""
    lines = (ROOT / "requirements.txt").read_text().partition("# Tests")[0].splitlines()
    requirements = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]
    return {requirement.name: requirement for requirement in requirements}


def test_no_version_with_a_known_hole_is_allowed():
    for name, safe in SAFE_FROM.items():
        major, minor, patch = map(int, safe.split("."))
        before = f"{major}.{minor}.{patch - 1}" if patch else f"{major}.{minor - 1}.99" if minor else f"{major - 1}.99"
        assert safe in needed()[name].specifier and before not in needed()[name].specifier


def test_what_is_installed_is_what_is_asked_for():
    for name, requirement in needed().items():
        assert requirement.specifier.contains(version(name), prereleases=True)


def test_the_readme_says_the_lowest_versions():
    text = (ROOT / "README.md").read_text()
    assert "Python 3.11 to 3.13" in text and "torch 2.10" in text and "Pillow 13" in text


def test_the_tests_are_installed_for_as_a_newcomer_is_told_to():
    """With every extra; and a test that lacks one fails there."""
    words = f'pip install {{}}-r requirements.txt -e ".[{",".join(sorted(extras()))}]"'
    script = (ROOT / ".ci" / "run").read_text()
    assert words.format("--quiet ") in script and "export LIT_GEN_EXTRAS=1" in script
    assert f"`{words.format('')}`" in (ROOT / "CONTRIBUTING.md").read_text()
    assert words.format("") in (ROOT / "README.md").read_text()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "tests.yml").read_text()


@pytest.mark.parametrize(("present", "required", "skipped"), [(1, "", False), (0, "", True), (0, "1", False)])
def test_a_test_that_lacks_an_extra_is_skipped_unless_it_must_not_be(present, required, skipped, monkeypatch):
    monkeypatch.setenv("LIT_GEN_EXTRAS", required)
    monkeypatch.setattr("tests.extras.is_installed", lambda package: present)
    mark = needs_extra("tensorboard").mark
    assert mark.args == (skipped,) and 'pip install "lit-gen[tensorboard]"' in mark.kwargs["reason"]
