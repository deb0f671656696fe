"""The last lines of each config's header: what to expect of it, by its record, and how to see every other setting."""

import re
import shlex
from pathlib import Path
from statistics import mean
from textwrap import wrap

from benchmarks.records import Run, with_deviation

WIDTH = 120
OF_ONE_RUN = ("seed_everything", "train_seeds", "name")  # settings that change nothing of what is trained
MOST_CHANGES = 3  # with more settings on the command line, a run says little of the config


def configs(root: Path) -> list[Path]:
    return [*sorted((root / "configs").glob("*.yaml")), *sorted((root / "configs" / "quick").glob("*.yaml"))]


def renewed(path: Path, root: Path, found: list[Run]) -> str:
    """A config with these lines at the end of the comment that it begins with."""
    text = path.read_text(encoding="utf-8")
    comment = re.match(r"(#.*\n)*", text)[0]  # type: ignore[index]
    own = re.sub(r"^# (Expect|Every setting).*", "", comment, flags=re.MULTILINE | re.DOTALL)
    return own + "".join(f"{line}\n" for line in closing_lines(path, root, found)) + text[len(comment) :]


def closing_lines(path: Path, root: Path, found: list[Run]) -> list[str]:
    name = path.relative_to(root).as_posix()
    base = [f"configs/{path.name}"] if path.parent.name == "quick" else []
    words = " ".join(f"--config {config}" for config in (*base, name))
    lines = wrap(expectation([*base, name], found), WIDTH - len("# "), break_on_hyphens=False)
    expected = [f"# {line}" for line in lines]
    return [*expected, f"# Every setting: python main.py fit {words} --print_config"]


def expectation(config: list[str], found: list[Run]) -> str:
    """What the run with these configs reached that changed fewest other settings, several seeds before one."""
    runs = [(run, changes(run)) for run in found if configs_of(run) == config]
    runs = [(run, changed) for run, changed in runs if len(changed) <= MOST_CHANGES]
    if not runs:
        return "Expect of `test`: not measured yet."
    run, changed = min(runs, key=lambda pair: (len(pair[1]), -len(pair[0].records)))
    values = [(run.words(key), with_deviation(run.values(key))) for key in run.main[:2]]
    metrics = ", ".join(re.sub(r"(?= [↑↓]| \(|$)", f" {value}", words, count=1) for words, value in values)
    minutes = mean(record["minutes"] for record in run.records.values())
    seeds = f", {len(run.records)} seeds" * (len(run.records) > 1)
    after = f", with {' '.join(changed)}" * bool(changed)
    time = f"{minutes:.3g} minutes on {run.hardware}"
    return f"Expect of `test`{after}: {metrics}, after {time}{seeds} ({run.title})."


def configs_of(run: Run) -> list[str]:
    return re.findall(r"--config[ =](\S+)", run.first["command"])


def changes(run: Run) -> list[str]:
    """The settings of a run's command beside its configs, which take one word each."""
    words = [word for word in shlex.split(run.first["command"]) if word.startswith("--") and "=" in word]
    return [word for word in words if re.split(r"[=.]", word[2:])[0] not in ("config", *OF_ONE_RUN)]
