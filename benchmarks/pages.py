"""Keeps RESULTS.md, README.md, docs/**/*.md and configs/**/*.yaml up to date: `python -m benchmarks.pages`.

`--check` changes nothing and says what is not up to date.

A link to code, `[text](path#L1 "snippet")`, gets the number of the one line of that file that holds the snippet. In the
snippet, a backslash stands before a quote or a bar.

The block `<!-- values run-a pair-* VAE -->` to `<!-- end of values -->` gets a table of these records of
`benchmarks/results`: by name, by pattern, or all of a system that no other block of the page names. Several seeds are
one row; commands, notes and other metrics stand in a fold. With `<!-- values run-a; no targets -->`, targets and
papers' values are left out. The block `<!-- metrics -->` to `<!-- end of metrics -->` gets what names of metrics mean.

A config gets the last lines of its header (`benchmarks.headers`).
"""

import argparse
import os
import re
import sys
from pathlib import Path
from statistics import mean

from benchmarks import headers, records, report
from benchmarks.records import Run, matching, table, with_deviation
from lit_gen.files.atomic import write_text
from lit_gen.metrics.meanings import MEANINGS

ROOT = Path(__file__).parents[1]
LINK = re.compile(r'(\]\()([^)\s#]+)#L\d+( "((?:\\.|[^"\\])+)"\))')
METRICS = re.compile(r"(<!-- metrics -->\n).*?(<!-- end of metrics -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- values(.*?)-->\n).*?(<!-- end of values -->)", re.DOTALL)
NOT_MEASURED = "No record yet: not measured.\n"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a page is not up to date")
    check = parser.parse_args(arguments).check
    complaints: list[str] = []
    texts = {report.TARGET: report.page()}
    texts |= {path: headers.renewed(path, ROOT, records.runs()) for path in headers.configs(ROOT)}
    for page in pages():
        texts[page], of_page = renewed(page)
        complaints += of_page
    for page, text in texts.items():
        if page.is_file() and text == page.read_text(encoding="utf-8"):
            continue
        if check:
            complaints.append(f"{page.relative_to(ROOT)} is not up to date: run python -m benchmarks.pages.")
        else:
            write_text(page, text)
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
            shown = chosen(names, record_names(page))
        except LookupError as error:
            complaints.append(f"{page.relative_to(ROOT)}: {error}")
            return match[0]
        text = values(shown, page, note.strip() != "no targets") if shown else NOT_MEASURED
        return f"{match[1]}\n{text}\n{match[3]}"

    text = METRICS.sub(lambda match: f"{match[1]}\n{metrics()}\n{match[2]}", page.read_text(encoding="utf-8"))
    return BLOCK.sub(block, LINK.sub(link, text)), complaints


def metrics() -> str:
    """A table of the names of metrics: whose they are, what each means, which direction is better, the unit."""
    rows = [
        (f"`{pattern}`", ", ".join(systems.split()), f"{words} {direction}".strip().replace("|", "\\|"), unit)
        for systems, pattern, words, direction, unit in MEANINGS
    ]
    return table(("name", "only of", "what it is", "unit"), rows)


def line_number(path: Path, snippet: str) -> int:
    if not path.is_file():
        raise LookupError("no such file for the snippet")
    lines = path.read_text(encoding="utf-8").splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if snippet in line]
    if len(numbers) != 1:
        raise LookupError("no line has the snippet" if not numbers else f"lines {numbers} have the snippet")
    return numbers[0]


def record_names(page: Path) -> str:
    """All names in a page's blocks of values."""
    return " ".join(match[2].partition(";")[0] for match in BLOCK.finditer(page.read_text(encoding="utf-8")))


def chosen(names: str, of_page: str) -> list[Run]:
    """The runs that a block names: by patterns, or all of a system that no block of the page names otherwise.

    Raises:
        LookupError: there is no such run.
    """
    found, wanted = records.runs(), []
    named = matching([run.name for run in found], of_page)
    for name in names.split():
        if name in report.PAGES:
            of_name = [run for run in found if run.system == name and run.name not in named]
        else:
            of_name = [run for run in found if matching([run.name], name)]
            if not of_name:
                raise LookupError(f"no record {name} in benchmarks/results")
        wanted += of_name
    return wanted


def values(shown: list[Run], page: Path, targets: bool = True) -> str:
    """A table with a row per run and a column per main metric; the commands and all other metrics in a fold."""
    heads = list(dict.fromkeys(run.words(key) for run in shown for key in run.main))
    rows = [row(run, heads, page) for run in shown]
    if targets:
        rows += closing_rows(shown, heads)
    fold = ["", "<details><summary>Commands, machines, all other metrics</summary>", ""]
    for run in shown:
        fold.append(f"- {run.title}: `{run.first['command']}`")
        fold += [f"  {line}" for line in details(run)]
    return table(("run", "data", "training images", "minutes", *heads), rows) + "\n".join([*fold, "", "</details>", ""])


def row(run: Run, heads: list[str], page: Path) -> tuple[str, ...]:
    folder = Path(os.path.relpath(records.FOLDER, page.parent))
    links = {name: (folder / f"{name}.json").as_posix() for name in run.records}
    seeds = [f"[{record['seed']}]({links[name]})" for name, record in run.records.items()]
    name = f"[{run.title}]({links[run.name]})" if len(links) == 1 else f"{run.title}, seeds {', '.join(seeds)}"
    of_head = {run.words(key): run.text(key) for key in run.main}
    first, minutes = run.first, mean(record["minutes"] for record in run.records.values())
    return (
        name, f"{first['data']}, {first['size']} px", f"{first['images_seen']:,}", f"{minutes:.1f}".removesuffix(".0"),
        *(of_head.get(head, "") for head in heads),
    )  # fmt: skip


def closing_rows(shown: list[Run], heads: list[str]) -> list[tuple[str, ...]]:
    """This project's targets and the papers' values, as far as there are any for these runs."""
    targets: dict[str, list[str]] = {head: [] for head in heads}
    papers: dict[str, list[str]] = {head: [] for head in heads}
    for aim in report.AIMS:
        for head in {run.words(key) for run, key in report.measured_by(shown, aim)}:
            targets[head].append(report.bound(aim) + f" ({aim.remark})" * bool(aim.remark))
    for paper in report.PAPERS:
        for head in {run.words(key) for run, key in report.measured_by(shown, paper)}:
            if paper.value not in papers[head]:  # of several runs of a system
                papers[head].append(paper.value)
    rows = []
    for name, found in (("target", targets), ("paper", papers)):
        if any(found.values()):
            rows.append((f"**{name}**", "", "", "", *("; ".join(found[head]) for head in heads)))
    return rows


def details(run: Run) -> list[str]:
    """Where and from what a run was made, what is to be said of it, and the metrics that have no column."""
    seeds = ", ".join(str(record["seed"]) for record in run.records.values())
    lines = [f"Seed{'s' * (len(run.records) > 1)} {seeds}, {run.hardware}, {commits(run)}."]
    lines += dict.fromkeys(record["note"] for record in run.records.values() if record["note"])
    rest = [f"`{key}` {with_deviation(run.values(key))}" for key in run.figures[0] if key not in run.main]
    return [*lines, *[f"Other metrics: {', '.join(rest)}."] * bool(rest)]


def commits(run: Run) -> str:
    """The commit of the training; that of the measuring in records that have no other."""
    known = {record["commit"] for record in run.records.values() if "measured_at" in record}
    return f"trained at commit {', '.join(sorted(known))}" if known else f"measured at commit {run.first['commit']}"


if __name__ == "__main__":
    main()
