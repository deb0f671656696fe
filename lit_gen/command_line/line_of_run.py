"""The command of a run, for its report, with what differs from the base config."""

from collections.abc import Callable, Sequence
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from lit_gen.command_line.config_files import SHIPPED
from lit_gen.command_line.sources import PARTS
from lit_gen.runs.changes import changes_from_base
from lit_gen.runs.commands import RunCommand, this_command


def line_of_run(
    parser: ArgumentParser,
    words: Sequence[str],
    settings: Namespace,
    base_config: str | None,
    saved: Callable[[], dict[str, Any]],
) -> RunCommand:
    """Return the command for the run's report, with what differs from the base config alone.

    Args:
        parser: of all commands.
        words: the command's.
        settings: the command's, as they were read.
        base_config: the first config of the command; None without one.
        saved: gives the settings as config.yaml will hold them.
    """
    if words[0] != "fit":
        return this_command(words)
    shipped = SHIPPED / f"{settings.system}.yaml"
    base = base_config or (str(shipped) if shipped.is_file() else None)
    kinds = [f"--{part}={settings[part].class_path}" for part in PARTS]
    try:
        alone = parser.parse_args(["fit", *([f"--config={base}"] if base else kinds)])
        of_base = yaml.safe_load(parser.dump(alone, skip_none=False))["fit"]
    except Exception:  # whatever it is, the command itself was read: such a config needs others before it
        return this_command(words)
    name = base_config or (f"configs/{shipped.name}" if base else "the defaults")
    return this_command(words, name, changes_from_base(of_base, saved()))
