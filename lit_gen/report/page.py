"""The page of a run: its images over time, curves, alarms, metrics beside published ones, settings, commands."""

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from lit_gen.files.atomic import write_text
from lit_gen.metrics.meanings import Paper, meaning, paper_value
from lit_gen.report.curves import EDGE, Points, curve
from lit_gen.report.images import MOST_BYTES, Series, series_of
from lit_gen.runs.commands import RunCommand, command, commands_of, line_of
from lit_gen.runs.listing import Run, last_values, log_of, name_of, size_in_words, tests_of
from lit_gen.runs.settings import SETTINGS, class_in, read_settings

REPORT = "report.html"
TEMPLATE = Path(__file__).with_name("template.html")
ALARMS = {"health/collapsed": "G had collapsed", "health/dead_discriminator": "D was dead or saturated"}
GROUPS = {"val": "Validation", "test": "Test", "health": "Health", "train": "Training", "speed": "Speed"}


def write_report(run: Run) -> Path:
    """Write `report.html` into the folder of a run, and return its path."""
    path = run.folder / REPORT
    write_text(path, page(run), lasting=False)
    return path


def page(run: Run) -> str:
    """Return the page of a run, which needs no other file."""
    folder = run.folder
    log, settings, commands = log_of(folder), read_settings(folder), commands_of(folder)
    parts = {
        "title": escape(name_of(run.folder)),
        "edge": str(EDGE),
        "summary": _table(_summary(run, settings)),
        "alarms": _alarms(folder, log),
        "images": _images(series_of(folder)),
        "metrics": _metrics(run, log, settings),
        "curves": _curves(log),
        "settings": _settings(run, commands),
        "commands": _commands(commands),
        "written": f"Written {time.strftime('%Y-%m-%d %H:%M:%S')}. To write it again: "
        f"<code>{escape(line_of(['runs', 'report', str(folder)]))}</code>",
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts)


def _table(rows: Iterable[Sequence[str]], heads: Sequence[str] = (), right: Collection[int] = ()) -> str:
    """Return a table of cells that are HTML; those of the columns with the numbers in `right` stand at the right."""
    body = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in heads)}</tr>"] if heads else []
    kinds = {column: ' class="number"' for column in right}
    for row in rows:
        cells = (f"<td{kinds.get(column, '')}>{cell}</td>" for column, cell in enumerate(row))
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table>{"".join(body)}</table></div>'


def _summary(run: Run, settings: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    started = settings.get("ckpt_path")
    found = {
        "state": {"use": "test, validation or prediction"}.get(run.state, run.state),
        "model": class_in(settings, "model"),
        "data": class_in(settings, "data"),
        "checkpoint": str(started) if started else "",
        "epoch": "" if run.epoch is None else f"{run.epoch}",
        "images seen": "" if run.images is None else f"{run.images:,}",
        "training time": "" if run.seconds is None else str(timedelta(seconds=round(run.seconds))),
        "best": "" if run.best is None else f"{run.best[0]} {run.best[1]:.5g}",
        "size of the folder": size_in_words(run.size),
    }
    return [(name, escape(text)) for name, text in found.items() if text]


def _alarms(folder: Path, log: Mapping[str, Points]) -> str:
    lines = []
    for name, words in ALARMS.items():
        for first, last in _spans(log.get(name, [])):
            lines.append(f"{words} from step {first:,.0f} to {last:,.0f} ({name}).")
    if (folder / "checkpoints" / "non-finite.ckpt").exists():
        lines.append("A term of the loss was not finite, which ended a training (checkpoints/non-finite.ckpt).")
    if (folder / "checkpoints" / "exception.ckpt").exists():
        lines.append("An error ended a training (checkpoints/exception.ckpt).")
    if lines:
        return "<ul>" + "".join(f'<li class="alarm">{escape(line)}</li>' for line in lines) + "</ul>"
    checked = any(name in log for name in ALARMS)
    return f"<p>None.{'' if checked else ' The health of D and G is checked while a GAN trains.'}</p>"


def _spans(points: Points) -> list[tuple[float, float]]:
    """Return the first and the last step of each time in which a warning held."""
    spans: list[tuple[float, float]] = []
    held = False
    for step, value in points:
        if value == 1:
            spans[-1:] = [(spans[-1][0], step)] if held else [*spans[-1:], (step, step)]
        held = value == 1
    return spans


def _images(series: Sequence[Series]) -> str:
    if not series:
        return "<p>No sample grid has been written.</p>"
    figures = []
    for one in series:
        labels = [f"after {frame.batches:,} batches" if frame.batches else one.name for frame in one.frames]
        last = len(one.frames) - 1
        images = "".join(
            f'<img src="{frame.address}" alt="{escape(label)}"{"" if place == last else " hidden"}>'
            for place, (frame, label) in enumerate(zip(one.frames, labels, strict=True))
        )
        slider = f'<input type="range" min="0" max="{last}" value="{last}" aria-label="{escape(one.name)} over time">'
        figures.append(
            f'<figure class="frames"><h3>{escape(one.name)}</h3>'
            f"<p>{slider if last else ''} <output>{escape(labels[-1])}</output></p>{images}</figure>"
        )
    notes = [
        f"{len(one.frames)} of the {one.written} grids {one.name}" for one in series if len(one.frames) < one.written
    ]
    notes += [f"{one.name} as JPEG, at most 1,280 pixels wide" for one in series if one.smaller]
    if notes:
        note = f"To keep this page below {MOST_BYTES // 10**6} MB of images it shows {', '.join(notes)}."
        figures.append(f'<p class="note">{escape(note)} The folder <code>samples/</code> has all as they are.</p>')
    return "".join(figures)


def _metrics(run: Run, log: Mapping[str, Points], settings: Mapping[str, Any]) -> str:
    system, data = class_in(settings, "model"), class_in(settings, "data")
    parts = [
        f"<h3>test of {escape(test.checkpoint)}</h3>" + _measured(test.figures, test.system or system, data)
        for test in tests_of(run.folder)
    ]
    if not parts and run.state != "use":
        parts.append(
            f"<p>Not tested yet. The command for it:</p><pre>{escape(command('test', ckpt_path=run.folder))}</pre>"
        )
    last = {name: {"value": value} for name, value in last_values(log).items() if name.startswith("val/")}
    if last:
        parts.append("<h3>last validation</h3>" + _measured(last, system, data))
    return "".join(parts) or "<p>This command measured nothing.</p>"


def _measured(figures: Mapping[str, Mapping[str, Any]], system: str, data: str) -> str:
    """Return a table of metrics, with what they mean and a paper's value, and below what that was measured on."""
    rows, below = [], []
    for name, figure in figures.items():
        words, direction, unit = meaning(name, [system])
        paper = paper_value(name, [system], [data])
        if "paper" in figure:  # not of older versions
            paper = figure["paper"] and Paper(**figure["paper"])
        below += [f"{paper.value} for {name}: {paper.of}. {paper.source}."] if paper else []
        value, others = figure.get("value", math.nan), (figure.get("samples", ""), figure.get("features", ""))
        cells = (name, words, f"{value:.5g}", direction, unit, paper.value if paper else "", *map(str, others))
        rows.append([escape(cell) for cell in cells])
    notes = "".join(f'<p class="note">Paper: {escape(note)}</p>' for note in below)
    heads = ("metric", "what it is", "here", "better", "unit", "paper", "samples", "features")
    return _table(rows, heads, (2, 5, 6)) + notes


def _curves(log: Mapping[str, Points]) -> str:
    if not log:
        return "<p>Nothing has been logged.</p>"
    groups: dict[str, dict[str, Points]] = {group: {} for group in GROUPS}
    for name, points in log.items():
        group = name.partition("/")[0] if "/" in name else ""
        groups.setdefault(group, {})[name] = points
    parts = []
    for group, own in groups.items():
        if own:
            figures = "".join(curve(name, points) for name, points in sorted(own.items()))
            title = escape(GROUPS.get(group, group or "Others"))
            parts.append(f'<h3>{title}</h3><div class="curves">{figures}</div>')
    return "".join(parts)


def _settings(run: Run, commands: Sequence[RunCommand]) -> str:
    parts = []
    known = [one for one in commands if one.changes is not None]
    if known:
        base = escape(known[-1].base)
        rows = [[f"<code>{escape(text)}</code>" for text in change] for change in known[-1].changes or []]
        parts.append(_table(rows, ("setting", base, "here")) if rows else f"<p>Nothing differs from {base}.</p>")
    elif run.state == "use":
        parts.append("<p>Those that the checkpoint stored, but for what the command says.</p>")
    else:
        parts.append("<p>What differs from the base config was not noted by the version that made this run.</p>")
    try:
        text = (run.folder / SETTINGS).read_text(encoding="utf-8", errors="replace")
        parts.append(f"<details><summary>all settings ({SETTINGS})</summary><pre>{escape(text)}</pre></details>")
    except OSError:
        pass
    return "".join(parts)


def _commands(commands: Sequence[RunCommand]) -> str:
    if not commands:
        return "<p>They were not noted by the version that made this run.</p>"
    return "".join(
        f'<pre>{escape(one.line)}</pre><p class="note">{escape(one.begun)} on {escape(one.hardware)}</p>'
        for one in commands
    )
