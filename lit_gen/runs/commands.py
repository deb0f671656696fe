"""Commands that are printed for people to copy into a shell."""

import shlex
import sys
from pathlib import Path


def command(subcommand: str, **options: str | Path) -> str:
    """Return `python main.py <subcommand> --name=value ...`, quoted for a shell, whatever a path has in it.

    `main.py` is named as it was when this process was started.

    Args:
        subcommand: fit, validate, test or predict.
        options: values by name, in their order.
    """
    started = sys.argv[0] if Path(sys.argv[0]).name == "main.py" else "main.py"
    return shlex.join(["python", started, subcommand, *(f"--{name}={value}" for name, value in options.items())])


def resume_command(checkpoint: Path) -> str:
    """Return the command that goes on from `<run>/checkpoints/...`, with the run's settings and in its folder."""
    return command("fit", config=checkpoint.parent.parent / "config.yaml", ckpt_path=checkpoint)
