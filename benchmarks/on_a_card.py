"""Run what needs a GPU, in four parts, each within ten minutes: see `on_a_card.sh`.

`tests` are the tests marked gpu; `checks` those in `tests/gpu`, which train by the command line with and without CUDA
graphs; `table` is the speed of each system; `images` trains four systems for two minutes each and keeps their grids.
Words that follow go to pytest, or name the systems. What is found is written after each item, so that a machine that
is taken away leaves all that was done; `table` and `images` go on with what is missing for the same commit.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import speed
from benchmarks.measure import commit, hardware
from lit_gen.files.atomic import write_text
from lit_gen.runs.checkpoint_files import read_checkpoint

TINY = os.environ.get("LIT_GEN_CARD") == "cpu"
REPOSITORY = Path(__file__).parents[1]
SECONDS = 570.0
"""Of a part: nothing more is begun after them."""
SETTINGS = [("32-true", "never"), ("bf16-mixed", "never"), ("bf16-mixed", "always")]
"""Precisions and `--speed.graphs` of the table, the most wanted first."""
IMAGES: dict[str, list[str]] = {
    "dcgan": [],
    "stargan": [],
    "progan": ["--data.image_size=64", "--model.stable_kimg=4", "--model.fade_kimg=4"],
    "cyclegan": [],
}
"""What is trained for its grids, and in how far it differs from its config."""
TRAINED = 3 if TINY else 110
"""Seconds of each training, which takes some more to start."""


class Record:
    """What was found so far, in a JSON file.

    Args:
        path: the file.
        work: folder for rendered data and runs.
        goes_on: whether to begin with what the file has of the same commit and device.
    """

    def __init__(self, path: Path, work: Path, goes_on: bool) -> None:
        self.path, self.work, self.begun = path, work.absolute(), time.monotonic()
        self.about: dict[str, Any] = {"device": hardware(), "torch": torch.__version__, "commit": commit()}
        self.items: dict[str, dict[str, Any]] = {}
        if goes_on and path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if all(before[name] == value for name, value in self.about.items()):
                self.items = {name: item for name, item in before["items"].items() if "error" not in item}
        self.write()

    def add(self, name: str, item: dict[str, Any]) -> None:
        """Add what was found, and say it in a line."""
        self.items[name] = item
        print(name, json.dumps(item), flush=True)
        self.write()

    def write(self, **more: Any) -> None:
        """Write the file."""
        seconds = round(time.monotonic() - self.begun, 1)
        write_text(self.path, json.dumps(self.about | {"seconds": seconds} | more | {"items": self.items}, indent=1))

    def due(self, names: list[str]) -> Iterator[str]:
        """Yield the names that have no item yet, as long as there is time; the others get a line that says so."""
        for name in names:
            if name in self.items:
                print(f"{name}: was done before")
            elif self.is_over:
                self.add(name, {"error": "no time was left: begin again, and it is done then"})
            else:
                yield name

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.begun > SECONDS

    # As a plugin of pytest

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            item: dict[str, Any] = {"outcome": report.outcome, "seconds": round(report.duration, 2)}
            if report.skipped and isinstance(report.longrepr, tuple):
                item["why"] = report.longrepr[2]
            elif report.failed:
                item["error"] = str(report.longrepr)[-2000:]
            self.add(report.nodeid, item)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if self.is_over:
            self.session.shouldstop = "no time was left"
            self.add("the rest", {"error": "no time was left"})

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session


def tests(record: Record, words: list[str], where: str = "tests") -> None:
    """Run the tests that are marked gpu, but for the checks."""
    paths = [] if any(word.startswith("tests/") for word in words) else [where]
    leave_out = ["--ignore=tests/gpu"] if where == "tests" else []
    code = pytest.main(["-m", "gpu", "-p", "no:cacheprovider", *paths, *leave_out, *words], plugins=[record])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not record.items:
        record.add("pytest", {"error": f"exit code {int(code)}"})


def checks(record: Record, words: list[str]) -> None:
    """Run the checks of training on the GPU, with and without graphs."""
    tests(record, words, "tests/gpu")


def table(record: Record, systems: list[str]) -> None:
    """Measure the speed of each system in each precision, with and without graphs."""
    settings = SETTINGS[:1] if TINY else SETTINGS
    known = {f"{system} {' '.join(one)}": (system, *one) for one in settings for system in systems or speed.SYSTEMS}
    for name in record.due(list(known)):
        system, precision, graphs = known[name]
        override = [*rendered(system, record.work), f"--speed.graphs={graphs}"]
        if TINY:
            override += ["--data.val_size=100", "--data.batch_size=10"]
        options = argparse.Namespace(precision=precision, quick=TINY, seconds=0.2 if TINY else 2.0, override=override)
        options.root = str(record.work / "data")
        found: dict[str, Any] = speed.measured(REPOSITORY, system, options) or {"error": "see what was printed above"}
        if graphs == "always" and not found.get("graphs") and "error" not in found:
            found["error"] = "no graph was recorded"
        record.add(name, found)


def rendered(system: str, work: Path) -> list[str]:
    """Return the words for rendered data, in one folder for all parts."""
    count = ["--data.synthetic_count=400"] if TINY else [] if system == "cyclegan" else ["--data.synthetic_count=8000"]
    return ["--data.synthetic=true", f"--data.root={work}/data", *count]


def images(record: Record, systems: list[str]) -> None:
    """Train each system for two minutes, and keep its last grids."""
    limit = f"--trainer.max_time=00:00:{TRAINED // 60:02}:{TRAINED % 60:02}"
    for system in record.due(systems or list(IMAGES)):
        folder = record.path.parent.absolute() / "images" / system
        words = [f"--config=configs/{system}.yaml"]
        words += [f"--config=configs/quick/{system}.yaml", "--data.batch_size=4"] if TINY else IMAGES[system]
        words += [*rendered(system, record.work), limit, "--trainer.limit_val_batches=1", "--wandb.mode=disabled"]
        words += ["--trainer.enable_progress_bar=false"] + ([] if TINY else ["--trainer.precision=bf16-mixed"])
        runs = Path(tempfile.mkdtemp(dir=record.work))
        words.append(f"--trainer.default_root_dir={runs}")
        command = [sys.executable, "main.py", "fit", *words]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        if done.returncode:
            record.add(system, {"error": (done.stderr or done.stdout).strip()[-2000:]})
        else:
            (run,) = runs.glob("*/*")
            record.add(system, trained(run, folder))
        shutil.rmtree(runs)


def trained(run: Path, folder: Path) -> dict[str, Any]:
    """Return what a run has trained, and copy its last grids."""
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]["_extra_state"]
    grids = sorted((run / "samples").glob("*.png"), key=lambda path: path.stem.rsplit("-", 1)[1])
    last = [path for path in grids if path.stem.rsplit("-", 1)[1] == grids[-1].stem.rsplit("-", 1)[1]]
    folder.mkdir(parents=True, exist_ok=True)
    for path in last:
        shutil.copyfile(path, folder / f"{path.stem.rsplit('-', 1)[0]}.png")
    seconds = json.loads((run / "time.json").read_text(encoding="utf-8"))["seconds"]
    terms = {name: round(value, 4) for name, value in state["log"].items()}
    return {"images_seen": state["images_seen"], "seconds": seconds, "grids": len(last), "terms": terms}


PARTS = {"tests": tests, "checks": checks, "table": table, "images": images}


def main() -> int:
    """Run one part, and return the exit code: 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "benchmarks" / "speed_results", help="for JSON")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "data" / "speed", help="for rendered data and runs")
    options, words = parser.parse_known_args()
    known = {"table": speed.SYSTEMS, "images": list(IMAGES)}.get(options.part)
    if known and (unknown := set(words) - set(known)):
        parser.error(f"{' '.join(unknown)}: {options.part} knows {', '.join(known)}")
    if not TINY and not torch.cuda.is_available():
        parser.error("there is no GPU. LIT_GEN_CARD=cpu tries a tiny form of each part without one")
    options.work.mkdir(parents=True, exist_ok=True)
    goes_on = options.part in ("table", "images")
    record = Record(options.output / f"{options.part}.json", options.work, goes_on)
    PARTS[options.part](record, words)
    failed = [name for name, item in record.items.items() if "error" in item]
    record.write(done=True, failed=failed)
    print(f"{len(record.items) - len(failed)} of {len(record.items)} done; {record.path}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
