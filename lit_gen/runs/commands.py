"""Commands that are printed for people to copy into a shell."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path


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
