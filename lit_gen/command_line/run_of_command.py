"""The run of a command: the folder that it writes to, and the checkpoint that it uses or goes on from."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.old_versions.folders import runs_of_then
from lit_gen.runs import folders, processes
from lit_gen.runs.changes import Change, changes_of_run
from lit_gen.runs.names import check_name, system_of
from lit_gen.runs.settings import read_settings


class RunOfCommand:
    """The run of a command, by the command's settings.

    `folder` is what the command writes to, once that is known. The path of a checkpoint that was found stands in the
    settings.

    Args:
        command: fit, validate, test or predict.
        settings: those of the command, which get the name of the system.
        start: the checkpoint in the command's words, such as "last"; None without one.
        config: the first config of the command that is no run's own; None without one.

    Raises:
        UserError: the name of the run, or that of its system, is no name of a folder.
    """

    def __init__(self, command: str, settings: Namespace, start: str | None, config: str | None) -> None:
        settings.system = system_of(settings.system, config, settings.model.class_path)
        check_name("name", settings.name)
        check_name("system", settings.system)
        self.command, self.settings, self.start = command, settings, start
        self.folder: Path | None = None

    @property
    def parent(self) -> Path:
        """Return the folder that holds the system's runs."""
        return folders.parent_of_runs(self.settings.trainer.default_root_dir, self.settings.system)

    @property
    def training(self) -> Path | None:
        """Return the folder of the training that the command goes on with or uses."""
        checkpoint = self.settings.get("ckpt_path")
        return folders.run_of(checkpoint) if checkpoint else None

    def find_checkpoint(self) -> None:
        """Find the checkpoint that the command names, or take the one that the first process has found."""
        told, model = processes.told(), self.settings.model.as_dict()
        named = self.start if told is None else told[1]
        of_then = partial(runs_of_then, self.parent, model["class_path"], model.get("init_args", {}))
        if (found := folders.find_checkpoint(named, self.parent, self.command, of_then)) is not None:
            self.settings.ckpt_path = found

    def go_on(self, saved: Callable[[], dict[str, Any]]) -> None:
        """Take the run that a training goes on with, if there is one; `saved` gives the settings for `config.yaml`.

        Raises:
            SystemExit: with code 0, where that run is finished.
        """
        checkpoint = self.settings.get("ckpt_path")
        try:
            found = folders.going_on(self.parent, saved, checkpoint, self.start, self.settings.name)
        except folders.FinishedError as finished:
            rank_zero_info(str(finished))
            raise SystemExit(0) from None
        if found is not None:
            self.folder, self.settings.ckpt_path = found

    def make_folder(self) -> Path | None:
        """Return the folder of the run: that of the first process, of the run that goes on, or a new one."""
        if (told := processes.told()) is not None:
            self.folder = told[0]
        elif self.folder is None:
            self.folder = folders.new_folder(self.parent, self.command == "fit", self.start, self.settings.name)
        return self.folder

    def changes(self, settings: Mapping[str, Any], left_out: Collection[str]) -> list[Change] | None:
        """Return what differs from the settings of the training that goes on; None for a new one.

        `settings` are the command's as they are logged; of the Trainer's, those `left_out` are no choice of the user's.
        """
        folder = self.training if self.command == "fit" else None
        changes = None if folder is None else changes_of_run(read_settings(folder), settings)
        return changes and [one for one in changes if one.name not in {f"trainer.{name}" for name in left_out}]
