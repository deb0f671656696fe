"""The commands of runs: as lines for a shell, and in `commands.json`, with what differs from the base config."""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lit_gen.files.atomic import write_text
from lit_gen.runs.changes import Change

COMMANDS = "commands.json"
MOST = 20
"""Commands that stay in the file: the first, and the last ones of a run that was often begun again."""


def program() -> list[str]:
    """Return the words that start this program, as this process was started."""
    started = Path(sys.argv[0])
    if started.stem == "lit-gen":
        return ["lit-gen"]
    if started.name == "__main__.py" and started.parent.name == "lit_gen":
        return ["python", "-m", "lit_gen"]
    return ["python", str(started) if started.name == "main.py" else "main.py"]


def line_of(words: Sequence[str]) -> str:
    """Return a command, by what stands behind the program's name, as a line for a shell."""
    return shlex.join([*program(), *words])


def command(subcommand: str, **options: str | Path) -> str:
    """Return `python main.py <subcommand> --name=value ...`, quoted for a shell, whatever a path has in it."""
    return line_of([subcommand, *(f"--{name}={value}" for name, value in options.items())])


def resume_command(checkpoint: Path) -> str:
    """Return the command that goes on from `<run>/checkpoints/...`, with the run's settings and in its folder."""
    return command("fit", config=checkpoint.parent.parent / "config.yaml", ckpt_path=checkpoint)


class RunCommand(NamedTuple):
    """One command of a run.

    base: the base config, or what stands for it; '' where it is not known.
    changes: the settings that differ from the base; None where that is not known.
    """

    line: str
    begun: str
    hardware: str
    base: str
    changes: list[Change] | None


def this_command(words: Sequence[str], base: str = "", changes: list[Change] | None = None) -> RunCommand:
    """Return the command that this process runs, by what stands behind the program's name."""
    return RunCommand(line_of(words), time.strftime("%Y-%m-%d %H:%M:%S"), hardware(), base, changes)


def note_command(folder: Path, command: RunCommand) -> None:
    """Add a command to those of a run."""
    noted = commands_of(folder)
    kept = [*noted[:1], *noted[1:][-(MOST - 2) :], command]
    write_text(folder / COMMANDS, json.dumps([one._asdict() for one in kept], indent=1) + "\n", lasting=False)


def commands_of(folder: Path) -> list[RunCommand]:
    """Return the commands of a run, the first one first; none where nothing says them."""
    try:
        noted = json.loads((folder / COMMANDS).read_text(encoding="utf-8"))
        commands = [RunCommand(**one) for one in noted]
        return [one._replace(changes=one.changes and list(map(_change, one.changes))) for one in commands]
    except (OSError, ValueError, TypeError):
        return []


def _change(noted: Sequence[str]) -> Change:
    """Return a change as the file has it: name and both values, or one text, as older versions wrote it."""
    if not isinstance(noted, str):
        return Change(*noted)
    name, _, values = noted.partition(" ")
    old, _, new = values.partition(" -> ")
    return Change(name, old, new)


def hardware() -> str:
    """Return the GPUs and the processor of this machine, and the versions of Python and torch."""
    import torch  # here, for the help reads `program`, and must not wait for it

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    found = [f"{names.count(name)} x {name}" for name in dict.fromkeys(names)]
    found.append(f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    return "; ".join([*found, f"{platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"])


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
