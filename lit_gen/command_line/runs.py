"""The command `runs`: a list of the runs, what differs between some of them, and their reports."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from lit_gen.columns import columns
from lit_gen.command_line.parser import CommandParser
from lit_gen.command_line.paths import path_of
from lit_gen.errors import UserError
from lit_gen.report.page import write_report
from lit_gen.runs.listing import Run, find_run, last_metrics, look_at, name_of, runs_below, settings_of, size_in_words
from lit_gen.runs.names import ROOT

NONE = "-"


def runs(words: Sequence[str]) -> None:
    """Print the runs below a folder, or what differs between the runs that are named; or write their reports.

    Raises:
        UserError: there is no such folder or run.
    """
    verb = "".join(words[1:2])
    hint = "`runs [FOLDER]` lists, `runs compare A B` compares, `runs report A` writes."
    parser, root = CommandParser("runs", hint), Path(ROOT)
    if verb in ("compare", "report"):
        parser.add_argument("run", nargs="*")
        parser.add_argument("--root", type=path_of, default=root)
        given = parser.parse_args(words[2:])
        if len(given.run) < (2 if verb == "compare" else 1):
            raise UserError(
                f"runs {verb} takes {'two runs' if verb == 'compare' else 'a run'} or more, such as vae/first."
            )
        folders = [find_run(name, given.root) for name in given.run]
        if verb == "compare":
            print(comparison(folders))
        else:
            for folder in folders:
                print(f"written: {write_report(look_at(folder))}")
    else:
        parser.add_argument("root", nargs="?", type=path_of, default=root)
        root = parser.parse_args(words[1:]).root
        if not root.is_dir():
            raise UserError(f"there is no folder {root}: nothing was trained here yet. `runs FOLDER` looks elsewhere.")
        found = runs_below(root)
        if not found:
            raise UserError(f"there is no run below {root}. `runs FOLDER` looks elsewhere.")
        print(listing(found, root))


def listing(found: Sequence[Run], root: Path) -> str:
    """Return a table of the runs that have a checkpoint, and below it the names of the others."""
    trained = [run for run in found if run.state not in ("no checkpoint", "use")]
    rows = [("run", "state", "epoch", "images", "best", "time", "size")]
    rows += [
        (
            name_of(run.folder),
            run.state,
            NONE if run.epoch is None else str(run.epoch),
            NONE if run.images is None else f"{run.images:,}",
            NONE if run.best is None else f"{run.best[0]} {run.best[1]:.5g}",
            NONE if run.seconds is None else str(timedelta(seconds=round(run.seconds))),
            size_in_words(run.size),
        )
        for run in trained
    ]
    lines = columns(rows) if trained else [f"no run below {root} has a checkpoint"]
    for title, state in (("without a checkpoint", "no checkpoint"), ("tests and predictions", "use")):
        others = [run for run in found if run.state == state]
        if others:
            names = ", ".join(name_of(run.folder) for run in others)
            lines += ["", f"{title} ({size_in_words(sum(run.size for run in others))}): {names}"]
    return "\n".join(lines)


def comparison(folders: Sequence[Path]) -> str:
    """Return the settings and the last metrics that differ between runs, a column for each run."""
    heads = [name_of(folder.resolve()) for folder in folders]
    parts: list[str] = []
    for title, values in (("setting", [settings_of(folder) for folder in folders]),
                          ("metric", [last_metrics(folder) for folder in folders])):  # fmt: skip
        names = list(dict.fromkeys(name for one in values for name in one))
        differing = [name for name in names if any(one.get(name, NONE) != values[0].get(name, NONE) for one in values)]
        rows = [(title, *heads), *((name, *(_short(one.get(name, NONE)) for one in values)) for name in differing)]
        parts.append("\n".join(columns(rows)) if differing else f"no {title} differs")
    return "\n\n".join(parts)


def _short(value: Any) -> str:
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
