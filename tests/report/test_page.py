"""The report of a run: what is on the page, how large it becomes, and what a browser makes of it."""

import base64
import csv
import html
import io
import json
import re
import shutil
import subprocess
import warnings
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from lit_gen.report.curves import curve, thinned
from lit_gen.report.images import series_of
from lit_gen.report.page import page, write_report
from lit_gen.runs.changes import Change
from lit_gen.runs.commands import commands_of, note_command, this_command
from lit_gen.runs.listing import Run, log_of, look_at

EVIL = "<script>alert('a')</script>&\"<b>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def picture(path, shade, size=(60, 40)):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("L", size, shade).save(path)


@pytest.fixture
def folder(tmp_path):
    """A run by hand: 40 rows of a log, two kinds of sample grids, a collapse that comes and goes and comes again."""
    folder = tmp_path / "gan" / "first"
    for batches in (10, 20, 30):
        picture(folder / "samples" / f"samples-{batches:07d}.png", batches)
        picture(folder / "samples" / f"code_1-{batches:07d}.png", batches + 100)
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "health/collapsed", "step", "train/loss_g", EVIL])
        for step in range(40):
            collapsed = float(step in (4, 5, 6, 30)) if step % 2 == 0 else ""
            writer.writerow([step // 10, collapsed, step, 0.5 * step, "nan" if step == 3 else 2])
        file.write("4,0.0,40,0.")  # a run was killed here
    settings = {"model": {"class_path": "lit_gen.models.GAN", "init_args": {"note": EVIL}}, "data": None}
    (folder / "config.yaml").write_text(json.dumps(settings))
    return folder


def run(folder, **facts):
    return Run(folder, "finished", 2, 1234, ("val/sliced_wasserstein", 3.25), 61.4, 10**6)._replace(**facts)


class Reader(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(re.sub(r"(?s)<style>.*?</style>", "", text))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if not self.tags or self.tags[-1][0] != "script":
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def test_what_is_on_the_page(folder):
    change = Change("model.name", "a -> b", "c -> d")
    note_command(folder, this_command(["fit", "--config=a b.yaml"], "configs/gan.yaml", [change]))
    note_command(folder, this_command(["fit", "--ckpt_path=last"]))
    reader = Reader(page(run(folder)))
    text = reader.text
    assert "gan/first" in text and "finished" in text and "1,234" in text and "0:01:01" in text
    assert "val/sliced_wasserstein 3.25" in text
    assert "G had collapsed from step 4 to 6" in text and "G had collapsed from step 30 to 30" in text
    assert "'--config=a b.yaml'" in text and "--ckpt_path=last" in text and "torch" in text and "cores" in text
    assert "configs/gan.yaml here model.name a -> b c -> d" in text
    assert f"test --ckpt_path={folder}" in text, "how to test it"
    assert all(image["src"].startswith("data:image/") for image in reader.all("img"))
    assert not [tags for tags in reader.tags if {"href", "srcset"} & tags[1].keys()] and "://" not in page(run(folder))


def test_names_are_no_html(folder):
    evil = folder.parent / "a<img src=x onerror=alert(1)>"
    folder.rename(evil)
    picture(evil / "samples" / 'x" onload="alert(1)-1.png', 0)
    note_command(evil, this_command(["fit", EVIL], EVIL, [Change(f"model.{EVIL}", EVIL, EVIL)]))
    reader = Reader(page(run(evil, best=(EVIL, 1.0))))
    assert len(reader.all("script")) == 1
    assert not [tags for tags in reader.tags if any(name.startswith("on") for name in tags[1])]
    assert {tag for tag, _ in reader.tags} >= {"img"} and len(reader.all("img")) == 7
    assert EVIL in reader.text.replace(" ", " ") and not [tags for tags in reader.all("img") if tags["src"] == "x"]


def test_grids_over_time(folder):
    shown = {one.name: one for one in series_of(folder)}
    assert list(shown) == ["samples", "code_1"]
    assert [frame.batches for frame in shown["samples"].frames] == [10, 20, 30]
    reader = Reader(page(run(folder)))
    assert [tags["max"] for tags in reader.all("input")] == ["2", "2"]
    images = reader.all("img")
    assert [image["alt"] for image in images[:3]] == [f"after {batches} batches" for batches in (10, 20, 30)]
    assert ["hidden" in image for image in images] == [True, True, False] * 2, "the last one is shown without scripts"
    for image, shade in zip(images, (10, 20, 30, 110, 120, 130), strict=True):
        with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))) as opened:
            assert opened.getpixel((5, 5)) == shade


@pytest.mark.parametrize("most", [400_000, 120_000])
def test_images_have_a_bound(tmp_path, most):
    """Of many small grids some are left out; of large ones JPEGs are shown; the first and the last are always there."""
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8)
    for number in range(1, 41):
        picture(tmp_path / "samples" / f"small-{number}.png", number)
    for number in range(1, 16):
        Image.fromarray(noise).save(tmp_path / "samples" / f"large-{number}.png")
    shown = {one.name: one for one in series_of(tmp_path, most)}
    assert sum(len(frame.address) for one in shown.values() for frame in one.frames) <= most
    for one, last in ((shown["small"], 40), (shown["large"], 15)):
        places = [frame.batches for frame in one.frames]
        assert places[0] == 1 and places[-1] == last and places == sorted(set(places)) and len(places) >= 12
    assert shown["large"].smaller and not shown["small"].smaller and shown["large"].written == 15


def test_a_page_says_what_is_left_out(folder, monkeypatch):
    for number in range(31, 120):
        picture(folder / "samples" / f"samples-{number:07d}.png", number)
    assert "it shows 60 of the 92 grids samples" in Reader(page(run(folder))).text


def test_a_log(folder):
    log = log_of(folder)
    assert log["train/loss_g"] == [(step, 0.5 * step) for step in range(40)]
    assert len(log["health/collapsed"]) == 20
    reader = Reader(page(run(folder)))
    assert len(reader.all("svg")) == 3 and "(1 not finite)" in reader.text


def test_a_curve_by_hand():
    text = curve("loss", [(0, 1.0), (5, 3.0), (10, 2.0)])
    (line,) = ElementTree.fromstring(text).iter("polyline")
    places = [tuple(map(float, place.split(","))) for place in line.get("points").split()]
    (left, bottom), (middle, top), (right, half) = places
    assert middle == (left + right) / 2 and half == (top + bottom) / 2 and bottom > top
    assert "1 to 3" in text and "<b>2</b>" in text


@pytest.mark.parametrize(
    "points", [[], [(1, 2.0)], [(1, 2.0), (2, 2.0)], [(1, float("inf"))], [(1, -1e308), (2, 1e308)]]
)
def test_odd_curves_are_drawn(points):
    ElementTree.fromstring(curve("odd", points))
    assert "nan" not in curve("odd", points) and "inf" not in curve("odd", points).replace("infinite", "")


def test_a_long_log_keeps_its_spikes():
    points = [(step, 100.0 if step == 77_777 else -50.0 if step == 5 else step % 7) for step in range(100_000)]
    kept = thinned(points)
    assert len(kept) <= 400 and kept == sorted(kept)
    assert {points[0], points[-1], (77_777, 100.0), (5, -50.0)} <= set(kept)


def test_metrics_of_tests_of_this_run(folder):
    """Those of its checkpoints, which lie in folders of their own, and not those of others."""
    for name, run_name, value in (("t1", "first", 1.5), ("t2", "first", 2.5), ("t3", "second", 97.625)):
        (folder.parent / name).mkdir()
        record = {
            "system": "GAN", "checkpoint": str(folder.parent / run_name / "checkpoints" / "last.ckpt"),
            "figures": {"test/digit_fid": {"value": value, "samples": 500, "features": "digits"}},
        }  # fmt: skip
        (folder.parent / name / "test.json").write_text(json.dumps(record))
    text = Reader(page(run(folder))).text
    assert "2.5" in text and "97.625" not in text and "digit_fid" in text, "the newest test of a checkpoint"
    assert "1.5 500" not in text and "Not tested yet" not in text
    assert "97.625" in Reader(page(run(folder.parent / "t3"))).text, "a test's own folder"


def test_metrics_stand_beside_the_papers(folder):
    """Goodfellow et al.'s table has 225 ± 2 for MNIST; a test.json of before it said so counts as well."""
    settings = {part: {"class_path": f"lit_gen.{part}s.{name}"} for part, name in (("model", "GAN"), ("data", "MNIST"))}
    (folder / "config.yaml").write_text(json.dumps(settings))
    figures = {"test/parzen_log_likelihood": {"value": 201.25, "samples": 100, "features": ""}}
    paper = {"value": "226", "of": "other data", "source": "somebody"}
    for extra, shown in (({}, "225 ± 2"), ({"paper": paper}, "226")):
        figures["test/parzen_log_likelihood"] |= extra
        (folder / "test.json").write_text(json.dumps({"checkpoint": "x.ckpt", "system": "GAN", "figures": figures}))
        text = Reader(page(run(folder))).text
        assert f"test/parzen_log_likelihood Parzen log-likelihood 201.25 ↑ nats per image {shown} 100" in text
    assert "somebody" in text and "test of x.ckpt" in text


def test_an_empty_folder_has_a_report(tmp_path):
    assert "No sample grid" in write_report(look_at(tmp_path)).read_text()


def test_a_broken_file_of_commands_says_nothing(tmp_path):
    (tmp_path / "commands.json").write_text("[{")
    assert commands_of(tmp_path) == []
    for number in range(30):
        note_command(tmp_path, this_command(["fit", str(number)]))
    numbers = [int(one.line.rpartition(" ")[2]) for one in commands_of(tmp_path)]
    assert numbers == [0, *range(11, 30)]


def test_changes_that_older_versions_wrote_as_texts(tmp_path):
    note_command(tmp_path, this_command(["fit"], "base", ["model.beta 1 -> 4"]))
    [command] = commands_of(tmp_path)
    assert command.changes == [Change("model.beta", "1", "4")]


PROBE = """<script>addEventListener("load", () => {
  const seen = {width: innerWidth, page: document.documentElement.scrollWidth, frames: [], curves: []};
  for (const figure of document.querySelectorAll(".frames")) {
    const slider = figure.querySelector("input");
    const look = () => [...figure.querySelectorAll("img")].filter(image => image.getBoundingClientRect().width > 0)
      .map(image => [image.alt, image.naturalWidth, figure.querySelector("output").value]);
    const last = look();
    slider.value = 0;
    slider.dispatchEvent(new Event("input"));
    seen.frames.push([last, look()]);
  }
  for (const line of document.querySelectorAll(".curve polyline")) {
    const box = line.getBoundingClientRect();
    seen.curves.push([line.points.length, box.width]);
    const svg = line.ownerSVGElement, at = svg.getBoundingClientRect();
    svg.dispatchEvent(new PointerEvent("pointermove", {clientX: at.left + at.width / 2, clientY: at.top + 5}));
  }
  seen.pointed = [...document.querySelectorAll(".curve output")].map(output => output.value);
  document.body.dataset.seen = JSON.stringify(seen);
});</script>"""


def test_a_browser_shows_images_and_curves(folder, tmp_path):
    """Nothing is fetched: the page stands alone in a folder. The slider goes through the grids."""
    if CHROMIUM is None:
        line = "NO CHROMIUM: the report was not opened in a browser. apt-get install chromium"
        warnings.warn(line, stacklevel=1)  # which is printed; why a test is skipped is not
        pytest.skip(line)
    alone = tmp_path / "alone" / "report.html"
    alone.parent.mkdir()
    alone.write_text(write_report(run(folder)).read_text() + PROBE)
    words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,800", "--dump-dom"]
    words += [f"--user-data-dir={tmp_path / 'browser'}", alone.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    found = re.search(r'data-seen="(.*?)"', done.stdout)
    assert found, done.stderr
    seen = json.loads(html.unescape(found[1]))
    last, first = ("after 30 batches", 60, "after 30 batches"), ("after 10 batches", 60, "after 10 batches")
    assert [[tuple(image) for image in shown] for pair in seen["frames"] for shown in pair] == [[last], [first]] * 2
    assert sorted(points for points, _ in seen["curves"]) == [20, 39, 40]
    assert all(width > 100 for _, width in seen["curves"])
    assert "step 19: 9.50" in seen["pointed"], "what the pointer is at"
    assert seen["page"] <= seen["width"], "nothing stands out at a phone's width"
