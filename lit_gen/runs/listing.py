"""What run folders hold: how far each run came, its best value, its settings and its last metrics."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lit_gen.errors import UserError, nearest
from lit_gen.files.rows import whole_rows
from lit_gen.runs.checkpoint_files import read_checkpoint
from lit_gen.runs.folders import states_in
from lit_gen.runs.locks import RECORD, is_at_work, read_record
from lit_gen.runs.settings import SETTINGS, is_of_run, is_of_training, read_settings


class Run(NamedTuple):
    """A run folder, and what can be said of it; None where nothing says it."""

    folder: Path
    state: str
    """running, killed, stopped or finished for a training; `no checkpoint`; `use` for test, validate and predict."""
    epoch: int | None
    """The one that it is in, or ended in; the first is 1."""
    images: int | None
    best: tuple[str, float] | None
    """Name and value of the metric that `best.ckpt` has the lowest value of."""
    seconds: float | None
    size: int
    """Bytes of all files."""


def runs_below(root: Path) -> list[Run]:
    """Return the runs below a folder, of one system or of a folder for each, in the order of their settings' age."""
    return [look_at(folder) for folder in sorted(sorted(_folders(root)), key=_begun)]


def _folders(root: Path) -> set[Path]:
    of_one = {path.parent for path in root.glob(f"*/{RECORD}")}
    of_one |= {path.parent for path in root.glob(f"*/{SETTINGS}") if is_of_run(path)}
    return of_one | {path.parent for name in (SETTINGS, RECORD) for path in root.glob(f"*/*/{name}")}


def name_of(folder: Path) -> str:
    """Return the name of a run, `<system>/<name>`, by its folder."""
    return f"{folder.parent.name}/{folder.name}"


def _begun(folder: Path) -> float:
    path = folder / SETTINGS
    return (path if path.exists() else folder).stat().st_mtime


def look_at(folder: Path) -> Run:
    """Return what a run folder holds. Its checkpoints run no code, and of those that cannot be read nothing is said."""
    size = size_of(folder)
    config = folder / SETTINGS
    if config.is_file() and not is_of_training(config):
        return Run(folder, "use", None, None, None, None, size)
    last: Mapping[str, Any] = next(filter(None, map(_read, states_in(folder / "checkpoints"))), {})
    best = _read(folder / "checkpoints" / "best.ckpt")
    record = read_record(folder)
    state = str(record.get("state", "ended"))
    if state == "running" and not is_at_work(folder):
        state = "killed"
    if not last and state != "running":
        state = "no checkpoint"
    images = last.get("state_dict", {}).get("_extra_state", {}).get("images_seen")
    epoch = last.get("epoch", -1) + 1 if last else None
    return Run(folder, state, epoch, images, _best_of(best), seconds_of(folder), size)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder and below; one that goes away meanwhile is left out."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.stat().st_size if path.is_file() and not path.is_symlink() else 0
        except OSError:
            continue
    return size


def seconds_of(folder: Path) -> float | None:
    """Return how long a run has trained, as far as its last checkpoint says."""
    return _json(folder / "time.json").get("seconds")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return read_checkpoint(path, mmap=True)
    except UserError:
        return {}


def _best_of(checkpoint: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return name and value of the metric that a `best.ckpt` was kept for."""
    for name, state in checkpoint.get("callbacks", {}).items():
        if name.startswith("BestCheckpoint") and state.get("best_model_score") is not None:
            return str(state["monitor"]), float(state["best_model_score"])
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def find_run(named: str, root: Path) -> Path:
    """Return the folder of a run that is named by its path, by `<system>/<name>`, or by its name alone.

    Raises:
        UserError: there is no such run, or there are several.
    """
    if any((Path(named) / file).is_file() for file in (SETTINGS, RECORD)):
        return Path(named)
    folders = sorted(_folders(root))
    found = [folder for folder in folders if named in (folder.name, name_of(folder))]
    if len(found) > 1:
        raise UserError(f"there are {len(found)} runs {named!r}: {', '.join(map(str, found))}. Name one by its path.")
    if not found:
        known = [name_of(folder) for folder in folders]
        raise UserError(f"there is no run {named!r} below {root}.{nearest(named, known, 0.55)} `runs` lists them.")
    return found[0]


def settings_of(folder: Path) -> dict[str, Any]:
    """Return the settings of a run by their names on the command line, such as `model.latent_dim`."""
    return dict(flat(read_settings(folder)))


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield resolved settings by their names on the command line."""
    if not isinstance(value, Mapping) or not value:
        yield name, value
        return
    for part, inner in value.items():
        if part == "class_path":
            yield name, str(inner).rpartition(".")[2]
        else:
            yield from flat(inner, name if part == "init_args" else f"{name}.{part}" if name else str(part))


def last_metrics(folder: Path) -> dict[str, float]:
    """Return the last value of each column of a run's log, or the metrics of its `test.json`."""
    figures = _json(folder / "test.json").get("figures", {})
    found = {
        name: figure["value"] for name, figure in figures.items() if isinstance(figure, dict) and "value" in figure
    }
    return found | last_values(log_of(folder))


def last_values(log: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """Return the last value of each logged name."""
    return {name: points[-1][1] for name, points in log.items()}


def log_of(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return step and value of all that a run's log holds, by name, without a last row that was only half written."""
    try:
        rows = whole_rows(folder / "metrics.csv")
    except (OSError, ValueError, csv.Error):
        rows = []
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            try:
                point = float(row["step"]), float(value)
            except (TypeError, ValueError, KeyError):  # empty, or no number
                continue
            if name and name not in ("step", "epoch"):
                found.setdefault(name, []).append(point)
    return found


class Test(NamedTuple):
    """What a `test` measured of a checkpoint."""

    checkpoint: str
    figures: dict[str, dict[str, Any]]
    system: str


def tests_of(folder: Path) -> list[Test]:
    """Return the test that a folder holds, and those beside it of this run's checkpoints, the newest of each."""
    found: dict[str, Test] = {}
    for path in sorted(folder.parent.glob("*/test.json"), key=lambda path: path.stat().st_mtime):
        record = _json(path)
        checkpoint = str(record.get("checkpoint", ""))
        of_run = folder.resolve() in Path(checkpoint).resolve().parents
        if path.parent.name == folder.name or of_run:
            figures = {name: one for name, one in record.get("figures", {}).items() if isinstance(one, dict)}
            found.pop(checkpoint, None)
            found[checkpoint] = Test(checkpoint, figures, str(record.get("system", "")))
    return list(found.values())


def size_in_words(count: int) -> str:
    """Return a number of bytes in MiB, or in GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
