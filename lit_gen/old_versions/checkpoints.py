"""Checkpoints of older versions, brought to the present form."""

from pathlib import Path
from typing import Any

from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.data.alphabet import ALPHABET
from lit_gen.errors import UserError
from lit_gen.lightning_compat import data_of, trainer_of
from lit_gen.runs.settings import read_settings


def bring_up_to_date(checkpoint: dict[str, Any], model: LightningModule) -> None:
    """Add to a checkpoint what this version reads and older ones did not write; one of this version stays as it is.

    The model, which is about to load it, is attached to its Trainer, if there is one.

    Raises:
        UserError: the numbers of characters stand for others now, and sentences would be misread.
    """
    if checkpoint.get("alphabet", ALPHABET) != ALPHABET:
        raise UserError("the model was trained with another alphabet. Use the version of lit_gen that trained it.")
    counts = checkpoint["state_dict"].setdefault("_extra_state", {})
    trainer = trainer_of(model)
    data = None if trainer is None else data_of(trainer)
    if "run_seed" not in counts and trainer is not None:
        add_seed(checkpoint, counts, data, says=trainer.state.fn == TrainerFn.FITTING)
    if "images_in_epoch" not in counts:
        add_counts(checkpoint, counts, trainer and trainer.ckpt_path, data)
    if trainer is not None and trainer.state.fn == TrainerFn.FITTING:
        forget_best(checkpoint, model)
    if trainer is not None and not model.automatic_optimization and "loops" in checkpoint:
        # ProGAN's steps on the pieces of a batch were counted once.
        loops = checkpoint["loops"]["fit_loop"]
        done = loops["epoch_loop.batch_progress"]["total"]["processed"]
        for steps in loops["epoch_loop.manual_optimization.optim_step_progress"].values():
            steps |= {"ready": done, "completed": done}


def add_seed(checkpoint: dict[str, Any], counts: dict[str, Any], data: Any, says: bool) -> None:
    """Add the run's seed, that of the order of its training data, to `counts`; with `says`, tell the user of it."""
    seed = checkpoint.get(type(data).__qualname__, {}).get("order_seed")
    if seed is None:
        return
    counts["run_seed"] = seed
    if says:
        rank_zero_info(
            "this checkpoint is of a version that kept random states: from here on, what is drawn follows from the "
            f"run's seed, {seed}, and the images seen"
        )


def forget_best(checkpoint: dict[str, Any], model: Any) -> None:
    """Leave out how good `best.ckpt` is, where it was chosen by another value than now: the two cannot be compared."""
    monitor, callbacks = model.task.monitored(model), checkpoint.get("callbacks", {})
    for key in [key for key in callbacks if key.startswith("BestCheckpoint{") and f"'{monitor}'" not in key]:
        del callbacks[key]
        rank_zero_info(f"best.ckpt is now chosen by {monitor}: the next validation begins it anew")


def add_counts(checkpoint: dict[str, Any], counts: dict[str, Any], path: Any, data: Any) -> None:
    """Add to `counts` the images seen and the place in the epoch, where a checkpoint tells of batches only.

    Batches are taken to have had the size in the `config.yaml` of the run that has `path`, or else the present one.
    """
    loops, processes = checkpoint.get("loops", {}).get("fit_loop"), len(checkpoint.get("random_states", ())) or 1
    batches = loops["epoch_loop.batch_progress"] if loops else {"total": {"processed": 0}, "current": {"processed": 0}}
    of_run = batch_size_of_run(path) if path else None
    images_per_batch = (of_run or int(getattr(data, "batch_size", 0))) * processes
    waiting = sum(len(batch[0]) for process in checkpoint.get("waiting", ()) for batch in process)
    counts.setdefault("images_seen", batches["total"]["processed"] * images_per_batch)
    counts["images_in_epoch"] = max(0, batches["current"]["processed"] * images_per_batch - waiting)
    state_of_data = checkpoint.get(type(data).__qualname__)
    if state_of_data is not None:
        state_of_data["processes"] = processes
        if of_run:
            state_of_data["rows_a_batch"] = images_per_batch


def batch_size_of_run(checkpoint: Any) -> int | None:
    """Return `data.batch_size` in <run>/config.yaml for <run>/checkpoints/last.ckpt; None if it cannot be read."""
    try:
        return int(read_settings(Path(checkpoint).absolute().parents[1])["data"]["init_args"]["batch_size"])
    except (ValueError, KeyError, TypeError):  # not there, or of another kind
        return None
