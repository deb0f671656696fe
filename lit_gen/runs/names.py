"""How a run is called, and the folder of its system."""

from dataclasses import dataclass
from pathlib import Path

from lit_gen.errors import UserError

ROOT = "runs"
"""The folder of all runs, unless `--trainer.default_root_dir` names another."""


@dataclass
class RunOptions:
    """The folder of a new run: `runs/<system>/<name>`.

    Args:
        name: the run's name; the time by default, or the job in a batch job of SLURM.
        system: the folder that holds it; by default the stem of the first --config, or the model where there is none.
    """

    name: str | None = None
    system: str | None = None


def check_name(what: str, name: str | None) -> None:
    """Refuse the value of a setting that is no name of a folder; None is not given."""
    if name is None:
        return
    if not name.strip() or name != name.strip() or name.startswith(".") or set(name) & set('/\\:*?"<>|\0\n'):
        raise UserError(f"--{what}={name!r} is no name of a folder. Use letters, digits, '-', '_' and '.' within it.")


def system_of(given: str | None, config: str | None, class_path: str) -> str:
    """Return the name of the folder that holds the runs of a command.

    Args:
        given: what the settings say; those of a run's own `config.yaml` hold its system.
        config: the first config of the command that is no run's own, if there is one.
        class_path: of the model, whose name serves where there is no config, and served all older versions.
    """
    return given or (Path(config).stem if config else class_path.rpartition(".")[2].lower())
