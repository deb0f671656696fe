"""Run folders: how they are called, which is whose, `--ckpt_path=last`, the run of a checkpoint, its config.yaml."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonargparse import Namespace
from lightning import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from lit_gen import leftovers, slurm
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file, make_folder, remove_partial
from lit_gen.locks import RECORD, Held, RunLock, held, read_record

# The processes that DDP starts run this same command: they are told the folder and the checkpoint.
FOLDER_VARIABLE = "LIT_GEN_RUN_FOLDER"
CHECKPOINT_VARIABLE = "LIT_GEN_CHECKPOINT"
OWN_CHECKPOINTS = "own_checkpoints"
"""Where in a run's folder a user's ModelCheckpoint writes: `checkpoints` holds the states that the run goes on from."""
SETTINGS = "config.yaml"


class Found(NamedTuple):
    """A run that goes on, and the checkpoint that it goes on from, if any."""

    folder: Path
    checkpoint: str | None


class Finished(Exception):
    """The run that a requeued job would go on with has come to its end."""


# ---------------------------------------------------------------------------------------------------------- processes


def is_first_process() -> bool:
    """Whether this is the one process of a command that owns the run folder, on all machines."""
    # Lightning's rank counts from 0 on each machine where it is not told more than LOCAL_RANK and NODE_RANK.
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return rank_zero_only.rank == 0 and node == "0"


def tell(folder: Path | None, checkpoint: str | None) -> None:
    """Tells the processes that this one is going to start which folder and checkpoint are the command's."""
    os.environ[FOLDER_VARIABLE], os.environ[CHECKPOINT_VARIABLE] = str(folder or ""), checkpoint or ""


def told() -> tuple[Path | None, str | None] | None:
    """The folder and the checkpoint that this process was told; None when it is to find them by itself."""
    # A first process is of a command of its own, even if a training has started it.
    if rank_zero_only.rank == 0 or FOLDER_VARIABLE not in os.environ:
        return None
    folder, checkpoint = os.environ[FOLDER_VARIABLE], os.environ.get(CHECKPOINT_VARIABLE)
    return Path(folder) if folder else None, checkpoint or None


def finish() -> None:
    """Notes that the training has come to its end."""
    for lock in held:
        lock.finished = True


def end(was_told: bool) -> None:
    """Gives back what the command holds, so that another one may follow in this process.

    The folder of a command that came to nothing goes.

    Args:
        was_told: whether `told` was something before the command began.
    """
    for lock in held.copy():
        lock.release()
    leftovers.clear()
    if not was_told:
        for name in (FOLDER_VARIABLE, CHECKPOINT_VARIABLE):
            os.environ.pop(name, None)


# ------------------------------------------------------------------------------------------------------------ folders


def new_folder(parent: Path, training: bool, start: str | None = None) -> Path:
    """Creates a folder of a free name below `parent`.

    It is called by the time, and for a training in a batch job of SLURM by the job.

    Args:
        parent: its parent.
        training: whether a training will write there, which then holds the folder.
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
        except Held:
            continue
        leftovers.made(folder)
        return folder
    raise UserError(f"too many runs called {first}.")


def _was_never_begun(folder: Path, job: str) -> bool:
    """Whether an earlier start of this job left the folder behind before its training began."""
    record = read_record(folder)
    return record.get("job") == job and record["restarts"] < slurm.restarts() and not (folder / SETTINGS).exists()


# ---------------------------------------------------------------------------------------------------- runs that go on


def run_of(checkpoint: str | os.PathLike) -> Path | None:
    """The folder of the run that a checkpoint belongs to; None for one that lies elsewhere, such as a copy.

    It is <run> for <run>/checkpoints/last.ckpt, also through links, or after the run was moved.
    """
    for path in (Path(os.path.abspath(checkpoint)), Path(os.path.realpath(checkpoint))):
        folder = path.parent
        if folder.name in ("checkpoints", OWN_CHECKPOINTS):
            folder = folder.parent
        elif not path.name.startswith("hpc_ckpt_"):  # which Lightning writes for SLURM, beside `checkpoints`
            continue
        # Not just any config.yaml: a user may keep checkpoints in a project that has one.
        if any((folder / name).is_file() for name in (RECORD, "time.json")) or _is_saved(folder / SETTINGS):
            return folder
    return None


def newest_checkpoint(folder: Path, name: str = "last") -> Path:
    """`checkpoints/<name>.ckpt` of the newest run below `folder` that has one; the newest trained last."""
    found = {path.parent.parent: path for path in folder.glob(f"*/checkpoints/{name}.ckpt")}
    what = "checkpoint" if name == "last" else f"{name}.ckpt"
    if not found and any(folder.glob("*/checkpoints/last.ckpt")):
        raise UserError(f"no run below {folder} has a {what}: none was validated yet. Use --ckpt_path=last.")
    if not found:
        raise UserError(
            f"there is no run with a checkpoint below {folder}. Train one with fit first, without --ckpt_path."
        )

    def trained_last(run: Path) -> float:
        return max(path.stat().st_mtime for path in (found[run], run / "checkpoints" / "last.ckpt") if path.is_file())

    newest = max(found, key=trained_last)
    for config in filter(leftovers.is_of_training, sorted(folder.glob(f"*/{SETTINGS}"))):
        if config.parent not in found and config.stat().st_mtime > trained_last(newest):
            rank_zero_info(f"{config.parent} is newer, but has no {what}: --ckpt_path={name} is {found[newest]}")
    return found[newest]


def going_on(parent: Path, settings: Namespace, parser: LightningArgumentParser, start: str | None) -> Found | None:
    """Takes the run that a training goes on with; None when it begins one of its own.

    That is the run of the checkpoint. In a job that SLURM has started again it is what the job had begun with the same
    settings and from the same checkpoint, and goes on from its own last one.

    Args:
        parent: where new runs are created.
        settings: the command's, with the path of the checkpoint.
        parser: where they come from.
        start: the checkpoint in the command's words, such as "last".

    Raises:
        Finished: what the job had begun has come to its end.
        Held: another process is training there.
    """
    checkpoint = settings.get("ckpt_path")
    folder = run_of(checkpoint) if checkpoint else None
    if slurm.job() is not None and slurm.restarts():
        mine = yaml.safe_load(parser.dump(settings, skip_none=False))
        begun = list(_begun_by_this_job(parent, folder, start, mine))
        for run in (run for run, state in begun if state != "finished"):
            try:
                _take(run, start)
            except Held:  # the same command, beside this one
                continue
            last = run / "checkpoints" / "last.ckpt"
            return Found(run, str(last) if last.is_file() else checkpoint)
        finished = [run for run, state in begun if state == "finished"]
        if finished:
            raise Finished(f"{finished[0]} is finished: job {slurm.job()} has nothing left to do for this command")
    if folder is None:
        return None
    _take(folder, start)
    return Found(folder, checkpoint)


def _take(folder: Path, start: str | None) -> None:
    """Locks a run that is there, and clears up what a killed process has left half written."""
    if is_first_process():
        RunLock(folder, start)
        remove_partial(folder)


def _begun_by_this_job(
    parent: Path, resumed: Path | None, start: str | None, settings: dict[str, Any]
) -> Iterator[tuple[Path, str]]:
    """The runs that this command began or resumed before SLURM started its job again, each with its state."""
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


# ----------------------------------------------------------------------------------------------------------- settings


class SaveSettings(SaveConfigCallback):
    """Writes config.yaml into the run's folder, whatever logs and wherever to.

    It does so when a training begins, so that a checkpoint that does not fit leaves the run's as it was. That of a
    training holds no ckpt_path: whoever trains with it begins a run of his own.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings, save_to_log_dir=False)

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        if stage != "fit":
            super().setup(trainer, model, stage)

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        super().setup(trainer, model, "fit")

    def save_config(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        settings = self.config.clone()
        if stage == "fit":
            settings.pop("ckpt_path", None)
        with complete_file(Path(trainer.default_root_dir) / self.config_filename) as partial:
            partial.write_text(self.parser.dump(settings, skip_none=False), encoding="utf-8")


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings in a run's config.yaml as plain types; none where that is not there or cannot be read."""
    try:
        settings = yaml.safe_load((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return settings if isinstance(settings, dict) else {}


def drop_checkpoint(settings: Namespace, path: str | os.PathLike) -> None:
    """Drops the ckpt_path that a training's config.yaml of an earlier version holds: it is where that run went on.

    Args:
        settings: what was read from a file.
        path: of that file.
    """
    if {"verbose", "return_predictions"} & set(settings.keys()) or not _is_saved(Path(path)):
        return  # settings of the other subcommands, or a file of the user's own
    checkpoint = settings.pop("ckpt_path", None)
    if checkpoint:
        rank_zero_info(
            f"{path} is of a run that went on from {checkpoint}: that is left out. --ckpt_path=<checkpoint> goes on "
            "with a run, or uses it."
        )


def _is_saved(path: Path) -> bool:
    """Whether a file holds the resolved settings of a run, as Lightning heads them."""
    try:
        with path.open(encoding="utf-8") as file:
            return re.match(r"# (pytorch_)?lightning[.\w]*==", file.readline()) is not None
    except (OSError, ValueError):
        return False
