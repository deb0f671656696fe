"""Run folders: their names, the run of a checkpoint, `--ckpt_path=last`, the run that a training goes on with."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from lit_gen.errors import UserError
from lit_gen.files.atomic import make_folder, remove_partial
from lit_gen.runs import leftovers, slurm
from lit_gen.runs.checkpoint_files import read_checkpoint
from lit_gen.runs.locks import RECORD, HeldError, RunLock, check_free, read_record
from lit_gen.runs.names import system_of
from lit_gen.runs.processes import is_first_process
from lit_gen.runs.settings import SETTINGS, class_in, is_of_run, is_of_training, read_settings

AUTO = "auto"
"""What `--ckpt_path` says for: begin the run of this name, or go on with it."""
HOW_TO_NAME = "give --ckpt_path: last, or a run folder, or runs/<system>/<run>/checkpoints/last.ckpt for example."
OWN_CHECKPOINTS = "own_checkpoints"
"""Where a user's ModelCheckpoint writes in a run's folder: `checkpoints` holds the states that the run goes on from."""


class FinishedError(Exception):
    """The run that a requeued job would go on with is finished."""


# ---------------------------------------------------------------------------------------------------------- new runs


def parent_of_runs(root: str | None, system: str) -> Path:
    """Return the folder that holds the runs of a system, below `trainer.default_root_dir`."""
    return Path(root or ".").expanduser() / system


def parent_of_class(root: Path, class_path: str) -> Path:
    """Return the folder of the system, below the folder of all runs, that has the newest training of a class.

    A config of any name may have named the class. Where there is no such run, it is the folder named by the class.
    """
    name = class_path.rpartition(".")[2]
    configs = sorted(root.glob(f"*/*/{SETTINGS}"), key=lambda path: path.stat().st_mtime, reverse=True)
    trained = (config for config in configs if is_of_training(config))
    newest = next((config for config in trained if class_in(read_settings(config.parent), "model") == name), None)
    return root / system_of(None, None, class_path) if newest is None else newest.parent.parent


def new_folder(parent: Path, training: bool, start: str | None = None, name: str | None = None) -> Path:
    """Create a folder below `parent` that is called `name`.

    Without one it has a free name: the time, or the job for a training in a batch job of SLURM.

    Args:
        parent: the folder that holds the system's runs.
        training: whether a training will write to the new folder, which it then locks.
        start: the checkpoint that the command names.
        name: the run's name, where the user gives one.

    Raises:
        UserError: there is something of that name, or the folder cannot be made.
    """
    job = slurm.job() if training and name is None else None
    first = parent / (name or job or time.strftime("%Y%m%d-%H%M%S"))
    if not is_first_process():
        return first  # it writes nothing, and may not yet see the folder
    leftovers.remember(parent)
    make_folder(parent)
    for number in range(1, 10_000):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            if name is not None:
                if start == AUTO:  # another process has begun it while this one prepared the data
                    check_free(folder)
                or_go_on = ", or go on with that run by --ckpt_path=auto" if training else ""
                raise UserError(f"there is {folder} already: choose another --name{or_go_on}.") from None
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
        except UserError:
            leftovers.made(folder)
            raise
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


def find_checkpoint(
    named: str | None,
    parent: Path,
    command: str,
    of_then: Callable[[str], list[Path]] = lambda name: [],
    class_path: str | None = None,
) -> str | None:
    """Return the absolute path of the checkpoint that a command names; None for a training that names none.

    Args:
        named: a file, a run folder; `last` or `best` of the newest run; or `auto`, which a training looks for later.
        parent: the folder that holds the system's runs, or those of all systems.
        command: fit, validate, test or predict.
        of_then: gives the runs of older versions that have a checkpoint of this name, which lie elsewhere.
        class_path: the model's, where it says of which of the systems below `parent` the newest run is meant.

    Raises:
        UserError: there is no such checkpoint, or the command needs one.
    """
    if named is None:
        if command == "fit":
            return None
        raise UserError(f"{command} needs a trained model: {HOW_TO_NAME}")
    if named == AUTO:
        if command != "fit":
            raise UserError(f"--ckpt_path={AUTO} is for fit. {command} takes --ckpt_path=last, best or a file.")
        return None
    named = os.path.expanduser(named)
    if named in ("last", "best"):
        parent = parent if class_path is None else parent_of_class(parent, class_path)
        named = str(newest_checkpoint(parent, named, of_then))
    elif Path(named).is_dir():
        named = str(checkpoint_in(Path(named)))
    elif not Path(named).is_file():
        raise UserError(f"there is no checkpoint {named}. Look below runs/<system>/<run>/checkpoints.")
    return os.path.abspath(named)  # Lightning takes a name that begins with "http" for an address


def checkpoint_in(folder: Path) -> Path:
    """Return the last checkpoint of a run folder; of a folder that holds runs, that of the newest."""
    found = [path for place in (folder / "checkpoints", folder) for path in states_in(place)]
    return found[0] if found else newest_checkpoint(folder)


def newest_checkpoint(parent: Path, name: str = "last", of_then: Callable[[str], list[Path]] = lambda name: []) -> Path:
    """Return `checkpoints/<name>.ckpt` of the run below `parent` that was trained last, of those that have one.

    Args:
        parent: the folder that holds the system's runs, or those of all systems.
        name: last or best.
        of_then: gives runs that lie elsewhere, for the case that there is none.
    """

    def checkpoints(name: str) -> list[Path]:
        return [path for depth in ("*", "*/*") for path in parent.glob(f"{depth}/checkpoints/{name}.ckpt")]

    found = {path.parent.parent: path for path in checkpoints(name)}
    if not checkpoints("last"):
        found = found or {run: run / "checkpoints" / f"{name}.ckpt" for run in of_then(name)}
    what = "checkpoint" if name == "last" else f"{name}.ckpt"
    if not found and checkpoints("last"):
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


def check_epochs(checkpoint: str | None, trainer: Mapping[str, Any]) -> None:
    """Check that a checkpoint has trained for no more epochs than the trainer's settings ask for.

    Raises:
        UserError: it has.
    """
    epoch = read_checkpoint(checkpoint, mmap=True).get("epoch") if checkpoint and Path(checkpoint).is_file() else None
    most = trainer.get("max_epochs")
    if not isinstance(epoch, int):
        return
    if trainer.get("fast_dev_run") and epoch:
        raise UserError(
            f"fast_dev_run ends within the first epoch, and {checkpoint} is of epoch {epoch + 1}: leave --ckpt_path "
            "out, or try the resume with --dry_run."
        )
    if isinstance(most, int) and 0 <= most < epoch:
        raise UserError(
            f"{checkpoint} is of epoch {epoch + 1}, and --trainer.max_epochs is {most}: set it higher to go on."
        )


def going_on(
    parent: Path,
    settings: Callable[[], dict[str, Any]],
    checkpoint: str | None,
    start: str | None,
    name: str | None = None,
) -> tuple[Path, str | None] | None:
    """Return the run that a training goes on with, locked, and the checkpoint from which; None for a new run.

    That is the run of the checkpoint. In a job that SLURM has started again it is what the job had begun with the same
    settings and from the same checkpoint, and goes on from its own last one. With `auto` it is the run of this name, or
    what this job has begun with the same settings.

    Args:
        parent: the folder that holds the system's runs.
        settings: gives the command's, as its `config.yaml` will hold them.
        checkpoint: the path of the one that the command names.
        start: that checkpoint in the command's words, such as "last".
        name: the run's name, where the command gives one.

    Raises:
        FinishedError: the run that would go on is finished.
        HeldError: another process is training there.
        UserError: `auto` is given without a name; or the run of the checkpoint has another name.
    """
    if start == AUTO:
        return _of_name(parent, settings, name)
    folder = run_of(checkpoint) if checkpoint else None
    if name is not None and folder is not None and folder.name != name:
        raise UserError(
            f"--ckpt_path goes on with {folder}, whose name is not {name}: leave --name out, or begin a new run from "
            "a copy of the checkpoint elsewhere."
        )
    if slurm.job() is not None and slurm.restarts():
        begun = list(_begun_by_this_job(parent, folder, start, settings()))
        for run in (run for run, state in begun if state != "finished"):
            try:
                _take(run, start)
            except HeldError:  # the same command, beside this one
                continue
            return run, _last_of(run) or checkpoint
        finished = [run for run, state in begun if state == "finished"]
        if finished:
            raise FinishedError(f"{finished[0]} is finished: job {slurm.job()} has nothing left to do for this command")
    check_epochs(checkpoint, settings()["trainer"])
    if folder is None:
        return None
    _take(folder, start)
    return folder, checkpoint


def _of_name(parent: Path, settings: Callable[[], dict[str, Any]], name: str | None) -> tuple[Path, str | None] | None:
    """Return what `--ckpt_path=auto` goes on with, as `going_on` does; None when the run is to be begun.

    A run that was stopped before its first checkpoint begins again in its folder.
    """
    if name is None and slurm.job() is None:
        raise UserError(f"--ckpt_path={AUTO} needs --name=<name of the run>, to begin it or to go on with it.")
    if name is not None:
        runs = [parent / name] if (parent / name).is_dir() else []
    else:
        runs = [
            path.parent for path in parent.glob(f"*/{RECORD}") if read_record(path.parent).get("job") == slurm.job()
        ]
    for run in sorted(runs, key=lambda path: (len(path.name), path.name)):
        now = settings()
        same = _same_settings(read_settings(run), now)
        if name is None and not same:
            continue  # of another command in this job
        if same and read_record(run).get("state") == "finished":
            raise FinishedError(f"{run} is finished: there is nothing left to do")
        check_epochs(next(map(str, states_in(run / "checkpoints")), None), now["trainer"])
        _take(run, AUTO)
        # Only now: the former process, which `_take` may have waited for, writes it as it ends.
        return run, _last_of(run)
    return None


def _last_of(run: Path) -> str | None:
    """Return the checkpoint that a run goes on from, and say so if it is not last.ckpt; None before the first."""
    for path in states_in(run / "checkpoints"):
        if path.name != "last.ckpt":
            rank_zero_info(f"{run} has no last.ckpt: it goes on from {path.name}")
        return str(path)
    return None


def states_in(checkpoints: Path) -> list[Path]:
    """Return what a run can go on from, of its folder of checkpoints: its last.ckpt, then the others, newest first."""
    last = checkpoints / "last.ckpt"
    others = [path for name in ("best", "previous-*") for path in checkpoints.glob(f"{name}.ckpt")]
    return [last] * last.is_file() + sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)


def _same_settings(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Return whether two commands have the same settings, but for the run that they begin or go on with."""
    apart: dict[str, Any] = {"ckpt_path": None, "name": None}
    return old | apart == new | apart


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
        if _same_settings(read_settings(folder), settings):
            yield folder, record["state"]
