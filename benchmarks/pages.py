"""Keeps README.md and docs/**/*.md up to date: `python -m benchmarks.pages`; with `--check` it only says what is not.

A link to code, `[text](path#L1 "snippet")`, gets the number of the one line of that file that holds the snippet. In the
snippet, a backslash stands before a quote or a bar. The block `<!-- values run-a run-b -->` to `<!-- end of values -->`
gets a table of these records of `benchmarks/results`, with their commands and notes in a fold; with
`<!-- values run-a run-b; no targets -->`, for runs that did not try to reach the system's targets, without these.
"""

import argparse
import json
import os
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from benchmarks import report
from lit_gen.files.atomic import complete_file

ROOT = Path(__file__).parents[1]
LINK = re.compile(r'(\]\()([^)\s#]+)#L\d+( "((?:\\.|[^"\\])+)"\))')
BLOCK = re.compile(r"(<!-- values(.*?)-->\n).*?(<!-- end of values -->)", re.DOTALL)

# (pattern of a metric, what it is, direction, unit or ideal value); the first that fits counts.
METRICS = [
    ("nll", "NLL", "↓", "nats per image"),
    ("active_units", "active units", "↑", ""),
    ("elbo", "ELBO", "↑", "nats per image"),
    ("mig", "MIG of latents and scene factors", "↑", ""),
    ("mmd_training_ratio", "mismatch ratio of training images' latents", "↓", "1 = ideal"),
    ("mmd_ratio", "mismatch ratio of test images' latents", "↓", "1 = ideal"),
    ("reconstruction", "squared error", "↓", "per image, pixels in [0, 1]"),
    ("parzen_log_likelihood", "Parzen log-likelihood", "↑", "nats per image"),
    ("*fid_real*", "FID of two halves of the real images", "", ""),
    ("*fid_infinity*", "FID, extrapolated to infinitely many images", "↓", ""),
    ("*fid_digits*", "digit-FID", "↓", ""),
    ("digit_fid*", "digit-FID", "↓", ""),
    ("*fid*", "FID", "↓", ""),
    ("*swd*_mean", "sliced Wasserstein distance", "↓", "× 1,000, mean over levels"),
    ("*ms_ssim*real*", "MS-SSIM of real images", "", ""),
    ("*ms_ssim*", "MS-SSIM of samples", "", "ideal: that of real images"),
    ("least_digit*", "frequency of the rarest digit", "↑", "of its real frequency; 1 = ideal"),
    ("most_digit*", "frequency of the most frequent digit", "↓", "of its real frequency; 1 = ideal"),
    ("category_accuracy", "category accuracy after matching", "↑", ""),
    ("information_categorical", "MI bound of the categorical codes", "↑", "nats"),
    ("held_out_stated", "stated attributes present, held-out combinations", "↑", ""),
    ("held_out_all_stated", "all stated attributes present, held-out combinations", "↑", ""),
    ("test_stated", "stated attributes present, test captions", "↑", ""),
    ("effect_error_ratio", "relative error of an attribute's effect", "↓", "1 = no effect"),
    ("mask_iou", "mask IoU", "↑", ""),
    ("patch_l1", "L1 inside the patches", "↓", "pixels in [-1, 1]"),
    ("*_taken_for_target", "translations that the classifier assigns to the target domain", "↑", ""),
    ("*_change_outside", "mean absolute change outside the animal", "↓", "pixels in [-1, 1]"),
    ("inside_error_ratio", "relative error inside the region of the change", "↓", "1 = unchanged input"),
    ("*_error_ratio", "relative error to the true counterpart", "↓", "1 = unchanged input"),
    ("changed", "changed attribute recognized", "↑", ""),
    ("kept", "the model's other attributes unchanged", "↑", ""),
    ("outside_error", "mean absolute error outside the region of the change", "↓", "pixels in [-1, 1]"),
    ("identity_kept", "nearest to the true image of the same face", "↑", ""),
]
DIRECTIONS = {"a_to_b": "A to B", "b_to_a": "B to A"}
NOT_MEASURED = "No record yet: not measured.\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page is not up to date")
    check = parser.parse_args(arguments).check
    complaints: list[str] = []
    for page in pages():
        text, of_page = renewed(page)
        complaints += of_page
        if text == page.read_text():
            continue
        if check:
            complaints.append(f"{page.relative_to(ROOT)} is not up to date: run python -m benchmarks.pages.")
        else:
            with complete_file(page) as partial:
                partial.write_text(text)
    if complaints:
        sys.exit("\n".join(complaints))


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def renewed(page: Path) -> tuple[str, list[str]]:
    """A page as it should be, and a line for each link or record that cannot be found."""
    complaints: list[str] = []

    def link(match: re.Match[str]) -> str:
        start, path, end, title = match.groups()
        snippet = re.sub(r"\\(.)", r"\1", title)
        try:
            return f"{start}{path}#L{line_number(page.parent / path, snippet)}{end}"
        except LookupError as error:
            complaints.append(f"{page.relative_to(ROOT)}: {path}: {error}: {snippet}")
            return match[0]

    def block(match: re.Match[str]) -> str:
        names, _, note = match[2].partition(";")
        try:
            records = [(name, record(name)) for name in names.split()]
        except LookupError as error:
            complaints.append(f"{page.relative_to(ROOT)}: {error}")
            return match[0]
        table = values(records, page, note.strip() != "no targets") if records else NOT_MEASURED
        return f"{match[1]}\n{table}\n{match[3]}"

    return BLOCK.sub(block, LINK.sub(link, page.read_text())), complaints


def line_number(path: Path, snippet: str) -> int:
    if not path.is_file():
        raise LookupError("no such file for the snippet")
    numbers = [number for number, line in enumerate(path.read_text().splitlines(), 1) if snippet in line]
    if len(numbers) != 1:
        raise LookupError("no line has the snippet" if not numbers else f"lines {numbers} have the snippet")
    return numbers[0]


def record(name: str) -> dict[str, Any]:
    path = report.FOLDER / f"{name}.json"
    if not path.is_file():
        raise LookupError(f"no record {name} in benchmarks/results")
    return json.loads(path.read_text())


def values(records: list[tuple[str, dict[str, Any]]], page: Path, targets: bool = True) -> str:
    """A table with a column per run and a row per main metric, then the commands in a fold."""
    folder = Path(os.path.relpath(report.FOLDER, page.parent))
    names = [f"[{name}]({(folder / f'{name}.json').as_posix()})" for name, _ in records]
    rows = [
        ("data", *(f"{one['data']}, {one['size']} px" for _, one in records), ""),
        ("training images", *(f"{one['images_seen']:,}" for _, one in records), ""),
        ("minutes", *(f"{one['minutes']:g}" for _, one in records), ""),
        *metric_rows([one for _, one in records]),
    ]
    fold = ["", "<details><summary>Commands, machines and notes</summary>", ""]
    for name, one in records:
        machine = one["hardware"].replace(" 1 threads", " 1 thread")
        fold.append(f"- {name}: `{one['command']}`")
        fold.append(f"  Seed {one['seed']}, {machine}, measured at commit {one['commit']}. {one['note']}".rstrip())
    columns = ("metric", *names, "target or paper's value")
    if not targets:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return report.table(columns, rows) + "\n".join([*fold, "", "</details>", ""])


def metric_rows(records: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A row per main metric; a record has a value there if it is one of its own system's."""
    main: dict[str, str] = {}  # keys, and what is to be reached
    cells: list[dict[str, str]] = []
    for one in records:
        figures = {key.removeprefix("test/"): figure for key, figure in one["figures"].items()}
        own = {
            key: aim for pattern, _, aim in report.SHOWN[one["system"]] for key in figures if fnmatchcase(key, pattern)
        }
        cells.append({key: cell(figures[key]) for key in own})
        main |= {key: aim for key, aim in own.items() if key not in main}
    rows = []
    for key, aim in main.items():
        aim = aim.replace("+-", "±").replace("k = 50", "K = 50")
        rows.append((words(key), *(of_one.get(key, "") for of_one in cells), aim))
    return rows


def words(key: str) -> str:
    """A metric in words: what it is, its direction, and its unit or ideal value."""
    name, arrow, unit = next((row[1:] for row in METRICS if fnmatchcase(key, row[0])), (f"`{key}`", "", ""))
    of = "".join(f", {direction}" for start, direction in DIRECTIONS.items() if key.startswith(start))
    return name + of + f" {arrow}" * bool(arrow) + f" ({unit})" * bool(unit)


def cell(figure: dict[str, Any]) -> str:
    """A value, with what it was measured by, where the metric's name does not say that."""
    by = re.sub(r"^judge \((.*)\)$", r"classifier: \1", figure["features"]).replace(" an image", " per image")
    return f"{figure['value']:.4g}" + f" ({by})" * bool(by and not by.startswith("digits-"))


if __name__ == "__main__":
    main()
