"""What a command that failed would leave behind: a run folder with nothing of use in it."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from lit_gen.files.atomic import missing_folders, remove_if_empty

WITHOUT_USE = re.compile(
    r"config\.yaml|run\.json|commands\.json|report\.html|hparams\.yaml|wandb-id|wandb-page\.json|"
    r"(wandb|lightning_logs)/.*|(.*/)?\.[^/]*\.partial"
)
"""What any command writes before it has done something: settings, its record, its report, and the log's own files."""

_made: list[Path] = []  # the command's run folder, once it is there
_missing: list[Path] = []  # folders above it that the command makes, the deepest first


def remember(parent: Path) -> None:
    """Note which folders are there before a command makes its own below `parent`."""
    parent = Path(os.path.abspath(parent))
    _made.clear()
    _missing[:] = missing_folders(parent / "a run")


def made(folder: Path) -> None:
    """Note that the command has made its run folder."""
    _made.append(Path(os.path.abspath(folder)))


def clear() -> None:
    """Remove the folder that was made, if nothing in it is of use, and those above that were made for it."""
    for folder in _made:
        if folder.is_dir() and not any(_of_use(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            remove_if_empty(*_missing)
    _made.clear()


def _of_use(folder: Path) -> Iterator[Path]:
    """Yield the files that somebody may want: checkpoints, images, metrics, rows of a log, and all unknown ones."""
    for path in folder.rglob("*"):
        if path.is_dir() or WITHOUT_USE.fullmatch(path.relative_to(folder).as_posix()):
            continue
        if path.name == "metrics.csv" and path.read_text(encoding="utf-8").count("\n") < 2:
            continue  # a header at most
        yield path
