"""The plots of docs/theory.md show numbers that are as the page says, and the page's links hold."""

import json
import math
import re
from xml.etree import ElementTree

import pytest

from benchmarks import pages, plots

PAGE = plots.FOLDER.parent / "theory.md"
NUMBERS = json.loads((plots.FOLDER / "numbers.json").read_text())
SVG = "{http://www.w3.org/2000/svg}"


def test_the_bounds_rise_to_the_evidence():
    evidence, bounds = NUMBERS["bound"]["evidence"], NUMBERS["bound"]["bounds"]
    assert bounds == sorted(bounds) and NUMBERS["bound"]["samples"] == [1, 2, 4, 16, 64, 1024]
    assert evidence - bounds[0] > 0.1 and abs(evidence - bounds[-1]) < 0.02 * (evidence - bounds[0])


def test_the_trained_discriminator_is_the_best_one():
    best = [p / (p + q) for p, q in zip([1, 2, 3, 4, 5, 6, 7, 8, 0], [8, 0, 6, 5, 4, 3, 2, 1, 7], strict=True)]
    assert NUMBERS["discriminator"]["best"] == pytest.approx(best, abs=1e-4)
    assert NUMBERS["discriminator"]["trained"] == pytest.approx(best, abs=0.01)


def test_the_value_falls_towards_minus_log_4():
    game, floor = NUMBERS["game"], -math.log(4)
    assert game["new"][0] > -0.1 and floor - 0.01 < game["new"][-1] < -0.9
    assert all(value > floor - 0.01 for value in game["new"])
    assert game["own"][-1] == pytest.approx(floor, abs=0.06)
    assert game["own"][0] == pytest.approx(floor, abs=0.06), "an opponent that knows nothing yet has this value too"
    assert game["steps"][0] == 0 and game["steps"][-1] == 1500
    lowest = min(game["new"])
    text = " ".join(PAGE.read_text().split())
    assert f"to {lowest:.2f} after {game['steps'][game['new'].index(lowest)]} steps" in text
    assert f"rises again, to {game['new'][-1]:.2f}" in text


def test_all_modes_are_found():
    shares = NUMBERS["game"]["shares"]
    assert len(shares) == 8 and min(shares) > 0.5 / 8 and max(shares) < 1.5 / 8 and 0.85 < sum(shares) <= 1


@pytest.mark.parametrize("part", ["bound", "discriminator"])
def test_the_numbers_are_those_of_the_tests_today(part):
    """The two that take no time; those of the game are tested where it is played."""
    computed = {"bound": plots.bound_numbers, "discriminator": plots.discriminator_numbers}[part]()
    for name, value in computed.items():
        assert NUMBERS[part][name] == pytest.approx(value, abs=0.005), name


@pytest.mark.parametrize("name", plots.PLOTS)
def test_a_plot_shows_the_numbers_of_the_file(name):
    assert (plots.FOLDER / f"{name}.svg").read_text() == plots.draw(NUMBERS)[name]


@pytest.mark.parametrize("name", plots.PLOTS)
def test_all_that_is_drawn_is_within_the_picture(name):
    tree = ElementTree.parse(plots.FOLDER / f"{name}.svg").getroot()
    places = [(float(one.get("cx")), float(one.get("cy"))) for one in tree.iter(f"{SVG}circle")]
    for line in tree.iter(f"{SVG}polyline"):
        places += [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    assert len(places) > 8
    assert all(plots.LEFT <= x <= plots.RIGHT and plots.TOP <= y <= plots.BOTTOM for x, y in places)
    for word in tree.iter(f"{SVG}text"):
        if word.get("transform") is None:
            size = 6.5 * len(word.text)  # about
            left = float(word.get("x")) - {"start": 0, "middle": size / 2, "end": size}[word.get("text-anchor")]
            assert 0 <= left and left + size <= plots.WIDTH, word.text


def test_the_page_shows_all_plots():
    assert re.findall(r"!\[[^\]]+\]\(theory/(\w+)\.svg\)", PAGE.read_text()) == list(plots.PLOTS)


def test_each_section_names_its_tests_and_where_they_are():
    """A link to a test has the name that the test has, and so its line."""
    text, complaints = pages.renewed(PAGE)
    assert text == PAGE.read_text() and complaints == []
    sections = re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]
    assert len(sections) == 13
    for section in sections:
        links = re.findall(r"\]\(\.\./tests/[^)\s]+#L\d+ \"def test_\w+", section)
        assert links or section.startswith("8. "), section  # whose three parts have them
    assert len(re.findall(r"\]\(\.\./tests/", text)) == len(re.findall(r"\]\(\.\./tests/\S+#L\d+ \"def test_", text))
