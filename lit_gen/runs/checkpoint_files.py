"""Checkpoint files: written complete or not at all, read with a line for those that are not."""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file


class WholeCheckpointIO(TorchCheckpointIO):
    """Write checkpoints that appear complete or not at all, and name another where one cannot be read.

    Lightning's own writer moves a file from the folder for temporary files. Where that is on another disk, the move is
    a copy: a run killed meanwhile would leave half a file in the place of the last good one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with complete_file(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        try:
            checkpoint = super().load_checkpoint(path, *arguments, **options)
        except Exception as error:  # torch raises RuntimeError, EOFError, UnpicklingError, KeyError and others
            raise UserError(f"{path} is truncated or no checkpoint.{_another(Path(path))}") from error
        if not isinstance(checkpoint, dict) or not {"state_dict", "pytorch-lightning_version"} <= checkpoint.keys():
            raise UserError(f"{path} is no checkpoint of a run.{_another(Path(path))}")
        return checkpoint


def _another(path: Path) -> str:
    """Say what to use instead of `path`: the newest other checkpoint beside it."""
    others = [other for other in path.parent.glob("[!.]*.ckpt") if other.name not in (path.name, "non-finite.ckpt")]
    if not others:
        return ""
    # best.ckpt only where nothing else is left: it may be much older than what was lost.
    newest = max(others, key=lambda other: (other.name != "best.ckpt", other.stat().st_mtime))
    return f" Instead of it: --ckpt_path={shlex.quote(str(newest))}"


def take_place(path: Path, place: Path) -> None:
    """Put the file at `path` also at `place`; at no moment is there none at either."""
    if not path.exists():
        return
    second = place.with_name(f".{place.name}.link.partial")
    second.unlink(missing_ok=True)
    try:
        os.link(path, second)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, second)
    os.replace(second, place)
