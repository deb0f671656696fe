"""The command `prepare`: download, decode and cache a dataset, without a model or a Trainer."""

import re
from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, Namespace, get_loader
from lightning import LightningDataModule

from lit_gen.command_line.help import COMMANDS
from lit_gen.command_line.parser import OneLineParser
from lit_gen.command_line.refusals import explain
from lit_gen.command_line.sources import check_no_base, own_settings
from lit_gen.command_line.words import check_words, options_of
from lit_gen.data.base import ImageData
from lit_gen.errors import UserError, nearest
from lit_gen.runs.settings import NOT_OF_FIT

READ = ("config", "data", "print_config", "help")
LIGHTNINGS = (
    "model", "trainer", "ckpt_path", "seed_everything", "weights_only", *NOT_OF_FIT, "system", "train_seeds", "dry_run",
)  # fmt: skip
"""First parts of Lightning's settings that other commands have, and of those that the list of this project's lacks."""


class DataParser(OneLineParser):
    """A parser of the data's settings, which leaves out a config's other sections."""

    def parse_string(self, content: str, path: Any = "", *arguments: Any, **options: Any) -> Namespace:
        settings = get_loader("yaml")(content)
        if isinstance(settings, dict) and "class_path" not in settings:
            content = yaml.safe_dump({name: value for name, value in settings.items() if name == "data"})
        return super().parse_string(content, path, *arguments, **options)


def prepare(words: Sequence[str]) -> None:
    """Download, render, decode and cache what the data's settings ask for, and compare each file with its cache.

    Raises:
        UserError: something is wrong that the user can mend.
    """
    data = data_of(words)
    if isinstance(data, ImageData):
        data.compare_every_file = True
    data.prepare_data()
    if not isinstance(data, ImageData):
        print(f"prepared {type(data).__name__}")
        return
    data.setup("fit")
    counts = [f"{len(rows):,} {split}" for split, rows in data.datasets.items()]
    print(f"prepared {type(data).__name__}: {', '.join(counts)} images; caches are in {data.cache_folder}")


def data_of(words: Sequence[str]) -> LightningDataModule:
    """Return the data module that the words of a command name; its other settings are passed over.

    Raises:
        UserError: something is wrong that the user can mend.
    """
    check_words(words)
    words_of_data = _of_data(words)
    parser = DataParser(prog=f"main.py {words[0]}", description=COMMANDS[words[0]])
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="config file; its other sections are left out")
    parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True)
    try:
        settings = parser.parse_args(words_of_data)
    except UserError as error:
        raise UserError(explain(str(error), words, ["config", "data"])) from error
    check_no_base("data", settings.data.class_path)
    return parser.instantiate(settings).data


def _of_data(words: Sequence[str]) -> list[str]:
    """Return the words of a command that are about the data or a config.

    Raises:
        UserError: a word is no setting of any command.
    """
    # Those of this project, too: the words of a `fit` need not be picked over.
    left_out = {*LIGHTNINGS, *(re.split("[. ]", name.removeprefix("--"))[0] for name, _ in own_settings())}
    kept: list[str] = []
    strange = list(words[1:])
    for option in options_of(words):
        strange = [word for word in strange if word not in option.words]
        if option.part in READ or option.typed == "-h":
            kept += option.words
        elif option.part not in left_out:
            hint = nearest(option.part, [*READ, *sorted(left_out)])
            raise UserError(f"{words[0]} has no setting --{option.name}.{hint}")
    if strange:
        config = f"A config is given as --config {strange[0]}."
        raise UserError(f"{words[0]} cannot do anything with {strange[0]!r}. {config}")
    return kept
