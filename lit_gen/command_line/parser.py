"""The parser of the command line, whose errors are one line and exit code 2."""

import argparse
from copy import deepcopy
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import Namespace, get_loader
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.command_line.config_files import without_empty_groups
from lit_gen.errors import UserError
from lit_gen.loggers.of_user import add_missing_folders
from lit_gen.old_versions.configs import translate


class CommandParser(argparse.ArgumentParser):
    """A parser for the words of a command that has no settings of models, data or Trainer.

    A `hint` stands behind the line of a mistake.
    """

    def __init__(self, command: str, hint: str, **settings: Any) -> None:
        super().__init__(prog=f"main.py {command}", add_help=False, **settings)
        self.command, self.hint = command, hint

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.command}: {message}. {self.hint}")


class OneLineParser(LightningArgumentParser):
    """A parser that raises `UserError`, and that reads the configs of older versions."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(str(message)) from ex

    def validate(self, namespace: Namespace, *arguments: Any, **options: Any) -> None:
        subcommand = namespace.get("subcommand")  # none when the settings are those of one
        add_missing_folders(namespace[subcommand] if subcommand else namespace)
        super().validate(namespace, *arguments, **options)

    def parse_string(self, content: str, path: Any = "", *arguments: Any, **options: Any) -> Namespace:
        settings = get_loader("yaml")(content)
        is_text = isinstance(settings, str)  # which jsonargparse takes `trainer:` for
        if is_text:
            settings = yaml.safe_load(content)
        if isinstance(settings, dict):
            before = deepcopy(settings)
            settings = without_empty_groups(settings)
            for line in translate(settings, content):
                rank_zero_info(f"{Path(path).absolute()} {line}")
            if is_text or settings != before:  # not only where something is said of it
                content = yaml.safe_dump(settings, sort_keys=False)
        return super().parse_string(content, path, *arguments, **options)
