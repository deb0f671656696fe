"""Run folders: their names, the run of a checkpoint, `--ckpt_path=last`, the run that a training goes on with."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.utilities import rank_zero_info

from lit_gen.errors import UserError
from lit_gen.files.atomic import make_folder, remove_partial
from lit_gen.runs import leftovers, slurm
from lit_gen.runs.locks import RECORD, HeldError, RunLock, read_record
from lit_gen.runs.processes import is_first_process
from lit_gen.runs.settings import SETTINGS, is_of_run, is_of_training, read_settings

OWN_CHECKPOINTS = "own_checkpoints"
"""Where a user's ModelCheckpoint writes in a run's folder: `checkpoints` holds the states that the run goes on from."""


class Found(NamedTuple):
    """A run that goes on, and the checkpoint that it goes on from, if any."""

    folder: Path
    checkpoint: str | None


class FinishedError(Exception):
    """The run that a requeued job would go on with is finished."""


# ---------------------------------------------------------------------------------------------------------- new runs


def parent_of_runs(root: str | None, class_path: str) -> Path:
    """Return the folder that holds the runs of a model.

    Args:
        root: `trainer.default_root_dir`.
        class_path: of the model.
    """
    return Path(root or ".").expanduser() / class_path.rsplit(".", 1)[-1].lower()


def new_folder(parent: Path, training: bool, start: str | None = None) -> Path:
    """Create a folder with a free name below `parent`: the time, or the job for a training in a batch job of SLURM.

    Args:
        parent: the folder that holds the model's runs.
        training: whether a training will write to the new folder, which it then locks.
        start: the checkpoint that the command names.
    """
    job = slurm.job() if training else None
    first = parent / (job or time.strftime("%Y%m%d-%H%M%S"))
    if not is_first_process():
        return first  # it writes nothing, and may not yet see the folder
    leftovers.remember(parent)
    make_folder(parent)
    for number in range(1, 10_000):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            if job is None or not _was_never_begun(folder, job):
                continue
        except OSError as error:
            raise UserError(
                f"cannot create the run folder {folder}: {error.strerror}. Set --trainer.default_root_dir."
            ) from error
        try:
            if training:
                RunLock(folder, start)
        except HeldError:
            continue
        leftovers.made(folder)
        return folder
    raise UserError(f"too many runs called {first}.")


def _was_never_begun(folder: Path, job: str) -> bool:
    """Return whether an earlier start of this job left the folder behind before its training began."""
    record = read_record(folder)
    return record.get("job") == job and record["restarts"] < slurm.restarts() and not (folder / SETTINGS).exists()


# -------------------------------------------------------------------------------------------------------- checkpoints


def run_of(checkpoint: str | os.PathLike) -> Path | None:
    """Return the folder of the run that a checkpoint belongs to; None for one that lies elsewhere, such as a copy.

    It is <run> for <run>/checkpoints/last.ckpt, also through links, or after the run was moved.
    """
    for path in (Path(os.path.abspath(checkpoint)), Path(os.path.realpath(checkpoint))):
        folder = path.parent
        if folder.name in ("checkpoints", OWN_CHECKPOINTS):
            folder = folder.parent
        elif not path.name.startswith("hpc_ckpt_"):  # which Lightning writes for SLURM, beside `checkpoints`
            continue
        # Not just any config.yaml: a user may keep checkpoints in a project that has one.
        if any((folder / name).is_file() for name in (RECORD, "time.json")) or is_of_run(folder / SETTINGS):
            return folder
    return None


def find_checkpoint(named: str | None, parent: Path, command: str) -> str | None:
    """Return the absolute path of the checkpoint that a command names; None for a training that names none.

    Args:
        named: a path, or `last` or `best` of the newest run.
        parent: the folder that holds the model's runs.
        command: fit, validate, test or predict.

    Raises:
        UserError: there is no such checkpoint, or the command needs one.
    """
    if named is None:
        if command == "fit":
            return None
        raise UserError(
            f"{command} needs a trained model: give --ckpt_path, for example runs/<system>/<run>/checkpoints/last.ckpt."
        )
    if named in ("last", "best"):
        named = str(newest_checkpoint(parent, named))
    elif not Path(named).is_file():
        raise UserError(f"there is no checkpoint {named}. Look below runs/<system>/<run>/checkpoints.")
    return os.path.abspath(named)  # Lightning takes a name that begins with "http" for an address


def newest_checkpoint(parent: Path, name: str = "last") -> Path:
    """Return `checkpoints/<name>.ckpt` of the run below `parent` that was trained last, of those that have one."""
    found = {path.parent.parent: path for path in parent.glob(f"*/checkpoints/{name}.ckpt")}
    what = "checkpoint" if name == "last" else f"{name}.ckpt"
    if not found and any(parent.glob("*/checkpoints/last.ckpt")):
        raise UserError(f"no run below {parent} has a {what}: none was validated yet. Use --ckpt_path=last.")
    if not found:
        raise UserError(
            f"there is no run with a checkpoint below {parent}. Train one with fit first, without --ckpt_path."
        )

    def trained_last(run: Path) -> float:
        return max(path.stat().st_mtime for path in (found[run], run / "checkpoints" / "last.ckpt") if path.is_file())

    newest = max(found, key=trained_last)
    for config in filter(is_of_training, sorted(parent.glob(f"*/{SETTINGS}"))):
        if config.parent not in found and config.stat().st_mtime > trained_last(newest):
            rank_zero_info(f"{config.parent} is newer, but has no {what}: --ckpt_path={name} is {found[newest]}")
    return found[newest]


# ---------------------------------------------------------------------------------------------------- runs that go on


def going_on(
    parent: Path, settings: Callable[[], dict[str, Any]], checkpoint: str | None, start: str | None
) -> Found | None:
    """Return the run that a training goes on with, and lock it; None when the training begins a new run.

    That is the run of the checkpoint. In a job that SLURM has started again it is what the job had begun with the same
    settings and from the same checkpoint, and goes on from its own last one.

    Args:
        parent: the folder that holds the model's runs.
        settings: gives the command's, as its `config.yaml` will hold them.
        checkpoint: the path of the one that the command names.
        start: that checkpoint in the command's words, such as "last".

    Raises:
        FinishedError: what the job had begun is finished.
        HeldError: another process is training there.
    """
    folder = run_of(checkpoint) if checkpoint else None
    if slurm.job() is not None and slurm.restarts():
        begun = list(_begun_by_this_job(parent, folder, start, settings()))
        for run in (run for run, state in begun if state != "finished"):
            try:
                _take(run, start)
            except HeldError:  # the same command, beside this one
                continue
            last = run / "checkpoints" / "last.ckpt"
            return Found(run, str(last) if last.is_file() else checkpoint)
        finished = [run for run, state in begun if state == "finished"]
        if finished:
            raise FinishedError(f"{finished[0]} is finished: job {slurm.job()} has nothing left to do for this command")
    if folder is None:
        return None
    _take(folder, start)
    return Found(folder, checkpoint)


def _take(folder: Path, start: str | None) -> None:
    """Lock a run that is there, and clear up what a killed process has left half written."""
    if is_first_process():
        RunLock(folder, start)
        remove_partial(folder)


def _begun_by_this_job(
    parent: Path, resumed: Path | None, start: str | None, settings: dict[str, Any]
) -> Iterator[tuple[Path, str]]:
    """Yield the runs that this command began or resumed before SLURM started its job again, each with its state."""
    folders = {path.parent for path in parent.glob(f"*/{RECORD}")} | ({resumed} if resumed else set())
    for folder in sorted(folders, key=lambda path: (len(path.name), path.name)):
        record = read_record(folder)
        if record.get("job") != slurm.job() or record["start"] != start:
            continue
        # The first process of this command may have taken the folder already; nobody else of this start has.
        earlier = record["restarts"] < slurm.restarts()
        if not earlier and (is_first_process() or record["state"] != "running"):
            continue
        if read_settings(folder) | {"ckpt_path": None} == settings | {"ckpt_path": None}:
            yield folder, record["state"]
