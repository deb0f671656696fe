"""Checkpoints of before every model counted images, brought to the present form."""

from pathlib import Path
from typing import Any

import yaml
from lightning import Trainer


def add_counts(checkpoint: dict[str, Any], trainer: Trainer | None) -> None:
    """Adds the images seen and the place in the epoch, where a checkpoint tells of batches only.

    Batches are taken to have had the size in the `config.yaml` of the run, or else the present one.

    Args:
        checkpoint: of a run; nothing is done to one that has the counts.
        trainer: that is about to use it, if any. Without one there is nothing that the counts would be good for.
    """
    counts = checkpoint["state_dict"].setdefault("_extra_state", {})
    if "images_in_epoch" in counts:
        return
    loops, processes = checkpoint.get("loops", {}).get("fit_loop"), len(checkpoint.get("random_states", ())) or 1
    batches = loops["epoch_loop.batch_progress"] if loops else {"total": {"processed": 0}, "current": {"processed": 0}}
    data = None if trainer is None else trainer.datamodule
    of_run = None if trainer is None else batch_size_of_run(trainer.ckpt_path)
    images_a_batch = (of_run or getattr(data, "batch_size", 0)) * processes
    waiting = sum(len(batch[0]) for process in checkpoint.get("waiting", ()) for batch in process)
    counts.setdefault("images_seen", batches["total"]["processed"] * images_a_batch)
    counts["images_in_epoch"] = max(0, batches["current"]["processed"] * images_a_batch - waiting)
    state_of_data = checkpoint.get(type(data).__qualname__)
    if state_of_data is not None:
        state_of_data["processes"] = processes
        if of_run:
            state_of_data["rows_a_batch"] = images_a_batch


def batch_size_of_run(checkpoint: Any) -> int | None:
    """`data.batch_size` in <run>/config.yaml for <run>/checkpoints/last.ckpt; None where that cannot be read."""
    try:
        config = yaml.safe_load((Path(checkpoint).absolute().parent.parent / "config.yaml").read_text(encoding="utf-8"))
        return int(config["data"]["init_args"]["batch_size"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):  # not there, or of another kind
        return None
