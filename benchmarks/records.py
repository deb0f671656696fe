"""The records of finished runs, `benchmarks/results/*.json`; several that differ in their seed only are one run."""

import json
import math
import re
from collections import defaultdict
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lit_gen.metrics.meanings import Meaning, meaning

FOLDER = Path(__file__).parent / "results"
PICTURES = ["*fid*", "*swd*_mean", "ms_ssim*"]
# The main metrics of a system, in the order of their columns; a record's other metrics stand in a fold.
MAIN = {
    "AutoEncoder": ["reconstruction", "*fid*"],
    "VAE": ["nll", "active_units", "mig", "elbo", "*fid*"],
    "AAE": ["mmd_training_ratio", "mmd_ratio", "reconstruction", "parzen_log_likelihood", "*fid*"],
    "SemiSupervisedAAE": ["classification_error"],
    "GAN": ["parzen_log_likelihood", *PICTURES],
    "DCGAN": [*PICTURES, "least_digit*", "most_digit*"],
    "InfoGAN": ["category_accuracy", "mig", "information_categorical", *PICTURES],
    "Text2Image": ["held_out_stated", "held_out_all_stated", "test_stated", "effect_error_ratio", *PICTURES],
    "PuzzleGAN": ["mask_iou", "patch_l1", *PICTURES],
    "CycleGAN": ["*_error_ratio", "*_taken_for_target", "*_change_outside", "*fid_inception*"],
    "StarGAN": ["changed", "kept", "changed_Young", "inside_error_ratio", "outside_error", "identity_kept", "*fid*"],
    "ProGAN": ["*swd*_mean", "ms_ssim*", "*fid*"],
}
DIRECTIONS = {"a_to_b": "A to B", "b_to_a": "B to A"}


class Run:
    """One training, or several with the same command except the seed.

    Args:
        name: that of its record; "<name>-seed*" where there are several seeds.
        records: by seed, or by the record's name where there is but one.
    """

    def __init__(self, name: str, records: dict[str, dict[str, Any]]) -> None:
        self.name, self.records = name, records
        self.first: dict[str, Any] = next(iter(records.values()))
        self.title = name.removesuffix("-seed*")
        self.system: str = self.first["system"]
        self.figures = [
            {key.removeprefix("test/"): figure for key, figure in record["figures"].items()}
            for record in records.values()
        ]

    @property
    def hardware(self) -> str:
        """The machines it was trained on, each once, as in "AMD EPYC, 1 or 2 threads"."""
        threads: dict[str, set[str]] = {}
        for record in self.records.values():
            found = re.fullmatch(r"(.*), (\d+) threads?", record["hardware"])
            machine, count = found.groups() if found else (record["hardware"], "")
            threads.setdefault(machine, set()).add(count)
        words = {
            machine: f", {' or '.join(sorted(counts))} thread{'s' * (counts != {'1'})}" if any(counts) else ""
            for machine, counts in threads.items()
        }
        return " and ".join(machine + text for machine, text in words.items())

    @property
    def main(self) -> list[str]:
        """The names of its main metrics, in the order of their columns; what goes with a FID stands in the fold."""
        found = (key for pattern in MAIN.get(self.system, ["*"]) for key in matching(self.figures[0], pattern))
        return [key for key in dict.fromkeys(found) if not matching([key], "*fid*_infinity* *fid_real*")]

    def values(self, key: str) -> list[float]:
        """The values of a metric, one per seed that has it."""
        return [figures[key]["value"] for figures in self.figures if key in figures]

    def words(self, key: str) -> str:
        """A metric in words: what it is, its direction, and its unit or ideal value."""
        metric = metric_of(key, self.system)
        name = metric.words + f", {self.figures[0][key]['samples']:,} images" * ("swd" in key)
        name += "".join(f", {direction}" for start, direction in DIRECTIONS.items() if key.startswith(start))
        return name + (f" {metric.direction}" * bool(metric.direction) + f" ({metric.unit})" * bool(metric.unit))

    def text(self, key: str) -> str:
        """A metric's value, or mean ± deviation over the seeds, with what it was measured by."""
        by = re.sub(r"^judge \((.*)\)$", r"classifier: \1", self.figures[0][key]["features"])
        by = "" if by.startswith("digits-") else by.replace(" an image", " per image")
        return with_deviation(self.values(key)) + f" ({by})" * bool(by)


def runs() -> list[Run]:
    """All runs, by name."""
    found: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for path in sorted(FOLDER.glob("*.json")):
        found[re.sub(r"-seed\d+$", "-seed*", path.stem)][path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return [Run(name if len(records) > 1 else next(iter(records)), records) for name, records in sorted(found.items())]


def matching(names: Any, patterns: str) -> list[str]:
    """The names that fit one of the patterns, which stand with spaces between them."""
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns.split())]


def metric_of(key: str, system: str) -> Meaning:
    """What is known of a metric; the name alone where nothing is."""
    found = meaning(key, [system])
    return found if found.words else Meaning(f"`{key}`")


def with_deviation(values: list[float]) -> str:
    """A value in four digits; of several the mean ± sample standard deviation, of which two digits."""
    if len(values) == 1:
        return f"{values[0]:.4g}"
    deviation = stdev(values)
    if deviation <= 1e-9 * abs(mean(values)):
        return f"{mean(values):.4g} ± 0"
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean(values):.{digits}f} ± {deviation:.{digits}f}"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
