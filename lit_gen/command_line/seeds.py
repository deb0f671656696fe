"""`fit --train_seeds=0-4`: the same training with several seeds, and the mean and deviation of what they reach."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from lightning.pytorch.plugins.environments import TorchElasticEnvironment

from lit_gen.columns import columns
from lit_gen.command_line.sources import PACKAGE
from lit_gen.command_line.words import as_yaml, options_of, root_of, trainer_settings
from lit_gen.errors import UserError
from lit_gen.runs.listing import find_run, last_metrics, look_at

SEEDS = "train_seeds"
LAST_SEED = 2**32 - 1
"""The largest that NumPy takes."""
MOST_SEEDS = 1_000


def check_seed(option: str, seed: bool | int | None) -> None:
    """Refuse a seed that the libraries cannot take; true and false mean that one is drawn, or none set."""
    if seed is not None and not 0 <= seed <= LAST_SEED:
        raise UserError(f"--{option} takes whole numbers from 0 to {LAST_SEED}, not {seed}. Give one of these.")


def train_seeds(words: Sequence[str]) -> None:
    """Train with one seed after the other, each in a run and a process of its own, and print what all reached.

    The runs are called `<name>-seed0` and so on. With `--ckpt_path=auto`, those that are finished are left as they are.

    Raises:
        UserError: the seeds cannot be read, or something else says which seed or run it is.
        SystemExit: a training failed or was stopped, with its exit code.
    """
    options = {option.name: option for option in options_of(words)}
    if words[0] != "fit":
        raise UserError(f"--{SEEDS} is for fit.")
    if TorchElasticEnvironment.detect():
        raise UserError(f"--{SEEDS} is not for torchrun, whose processes meet once: start main.py without it.")
    if "seed_everything" in options:
        raise UserError(f"--{SEEDS} and --seed_everything both say which seed: leave one out.")
    if "ckpt_path" in options and options["ckpt_path"].value != "auto":
        raise UserError(f"--{SEEDS} trains anew with each seed: leave --ckpt_path out, or set it to auto.")
    if trial := trial_in(words):
        raise UserError(f"--{SEEDS} compares runs, and --{trial} writes none: leave one out.")
    seeds = seeds_of(options[SEEDS].value)
    prints = any(name.partition(".")[0] == "print_config" for name in options)
    name = options["name"].value if "name" in options else None
    if name is None and "ckpt_path" in options:
        raise UserError("--ckpt_path=auto needs --name=<name of the runs>, to begin them or to go on with them.")
    name = name or time.strftime("%Y%m%d-%H%M%S")
    rest = list(words)
    for option in options_of(words):
        if option.name in (SEEDS, "name"):  # also those that are typed twice
            place = rest.index(option.typed)
            del rest[place : place + len(option.words)]
    # Not always `-m lit_gen`: in a clone that is not installed, the package is found beside main.py only.
    start = PACKAGE.parent / "main.py"
    program = [str(start)] if start.is_file() else ["-m", "lit_gen"]
    if prints:  # the settings of all, but for the seed and the name
        raise SystemExit(subprocess.call([sys.executable, *program, *rest]))
    for seed in seeds:
        print(f"seed {seed}: {name}-seed{seed}", flush=True)
        command = [sys.executable, *program, *rest, f"--seed_everything={seed}", f"--name={name}-seed{seed}"]
        if code := exit_code_of(command):
            begun = any(root_of(words).glob(f"*/{name}-seed{seed}"))
            again = f"; --name={name} --ckpt_path=auto goes on with it" if begun else ", before anything was written"
            print(f"the training with seed {seed} ended with exit code {code}{again}", file=sys.stderr)
            raise SystemExit(code if code > 0 else 128 - code)
    print(report([find_run(f"{name}-seed{seed}", root_of(words)) for seed in seeds], seeds))


def exit_code_of(command: Sequence[str]) -> int:
    """Run a training to its end: `subprocess.call` would kill it a quarter of a second after a Ctrl-C."""
    with subprocess.Popen(command) as training:
        signal.signal(signal.SIGINT, lambda *_: None)  # the terminal tells the training, too
        signal.signal(signal.SIGTERM, lambda *_: training.terminate())
        return training.wait()


def trial_in(words: Sequence[str]) -> str | None:
    """Return the setting of a command, or of its configs, by which a training writes no run; None without one."""
    if any(option.name == "dry_run" for option in options_of(words)):
        return "dry_run"
    told = trainer_settings(words)
    without_run = (name for name in ("fast_dev_run", "barebones") if as_yaml(str(told.get(name) or "")))
    return next((f"trainer.{name}" for name in without_run), None)


def seeds_of(text: str | None) -> list[int]:
    """Return the seeds in `0-4` or `1,5,7`.

    Raises:
        UserError: the text is neither, has a seed twice, or names too many, or one that is too large.
    """
    seeds: list[int] = []
    for part in (text or "").split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise UserError(f"--{SEEDS} takes seeds such as 0-4 or 1,5,7, not {text!r}.")
        first, last = int(found[1]), int(found[2] or found[1])
        check_seed(SEEDS, last)
        if len(seeds) + last - first >= MOST_SEEDS:
            raise UserError(f"--{SEEDS}={text} names more than {MOST_SEEDS:,} seeds. Name fewer.")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--{SEEDS}={text} has a seed twice.")
    return seeds


def report(runs: Sequence[Path], seeds: Sequence[int]) -> str:
    """Return a table of the runs' last validation metrics and best values: mean, standard deviation, each seed."""
    values = []
    for run in runs:
        best = look_at(run).best
        metrics = {name: value for name, value in last_metrics(run).items() if name.startswith("val/")}
        values.append(metrics | ({f"best {best[0]}": best[1]} if best else {}))
    rows = [("metric", "mean", "deviation", *(f"seed {seed}" for seed in seeds))]
    for name in dict.fromkeys(name for one in values for name in one):
        found = [one.get(name) for one in values]
        known = [value for value in found if value is not None]
        deviation = f"{stdev(known):.3g}" if len(known) > 1 else "-"
        each = ("-" if value is None else f"{value:.5g}" for value in found)
        rows.append((name, f"{fmean(known):.5g}", deviation, *each))
    return "\n".join(columns(rows))
