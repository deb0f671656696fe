"""Checkpoint files: written complete or not at all; read as plain values, with a line for what is no checkpoint."""

import os
import pickle
import pickletools
import re
import shlex
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file

UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
PLACE = " A run's checkpoints are in <run>/checkpoints, and the run's folder stands for its last.ckpt."


class WholeCheckpointIO(TorchCheckpointIO):
    """Write checkpoints that appear complete or not at all, and read them by `read_checkpoint`.

    Lightning's own writer moves a file from the folder for temporary files. Where that is on another disk, the move is
    a copy: a run killed meanwhile would leave half a file in the place of the last good one.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with complete_file(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(path, map_location)


def read_checkpoint(path: str | os.PathLike, map_location: Any = "cpu", mmap: bool = False) -> dict[str, Any]:
    """Return what a checkpoint holds: tensors and plain values. Nothing in the file can run code.

    Args:
        path: file on this machine, also where it begins with "http", which Lightning takes for an address.
        map_location: as for `torch.load`.
        mmap: whether tensors are read from the file when they are used.

    Raises:
        UserError: the file holds other objects, cannot be read, is cut short, or is no checkpoint of a run.
    """
    file = os.path.abspath(path)
    try:
        open(file, "rb").close()
    except OSError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror}.") from error
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is then refused
            checkpoint = torch.load(file, map_location, weights_only=True, mmap=mmap)
    except Exception as error:  # torch raises RuntimeError, OSError, EOFError, UnpicklingError, KeyError and others
        if (name := _object_in(file, error)) is not None:
            raise UserError(
                f"{path} holds objects that could run code{name}, so it was not loaded. A run's checkpoint has tensors "
                f"and plain values only.{_another(Path(path))}"
            ) from error
        raise UserError(f"{path} is truncated or no checkpoint.{_another(Path(path)) or PLACE}") from error
    needed = {"state_dict": dict, "pytorch-lightning_version": str}
    if (
        not isinstance(checkpoint, dict)
        or not all(isinstance(checkpoint.get(name), kind) for name, kind in needed.items())
        or not isinstance(checkpoint.get("hyper_parameters", {}), Mapping)
    ):
        raise UserError(f"{path} is no checkpoint of a run.{_another(Path(path)) or PLACE}")
    return checkpoint


def check_weights_only(value: bool | None) -> None:
    """Refuse Lightning's setting of that name where it is false."""
    if value is False:
        raise UserError(
            "weights_only is false, which would let a checkpoint run code: leave it out. The checkpoints of a run have "
            "tensors and plain values only."
        )


def heed_no_unsafe_loading() -> None:
    """Take away the variable that has torch load objects wherever it is not told otherwise, and say so."""
    if os.environ.pop(UNSAFE, "0") not in ("", "0"):
        rank_zero_info(f"{UNSAFE} has no effect: checkpoints are loaded as tensors and plain values only")


def _object_in(file: str, error: Exception) -> str | None:
    """Return the name of an object that torch refused with this error, in brackets; '' for one without a name.

    None where the file holds no such object: it is damaged, or something else.
    """
    if found := re.search(r"GLOBAL ([\w.]+) (?:whose|was) ", str(error)):
        return f" ({found[1]})"
    if "TorchScript" in str(error) or ".tar format" in str(error):
        return ""
    if not isinstance(error, pickle.UnpicklingError):
        return None
    if zipfile.is_zipfile(file):
        return ""
    try:
        with open(file, "rb") as opened:  # reads what the instructions are, and follows none
            codes = {code.name for code, _, _ in pickletools.genops(opened)}
    except Exception:  # no pickle
        return None
    return "" if codes & {"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "NEWOBJ"} else None


def _another(path: Path) -> str:
    """Say what to use instead of `path`: the newest other checkpoint beside it, or of the run that it is a file of."""
    found = [*path.parent.glob("[!.]*.ckpt"), *path.parent.glob("checkpoints/[!.]*.ckpt")]
    others = [other for other in found if other != path and other.name != "non-finite.ckpt"]
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
