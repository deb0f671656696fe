"""The end of a `fast_dev_run`: what a run would make only after many batches."""

import os
from typing import Any

import torch
from lightning import Callback, Trainer

from lit_gen.lightning_compat import data_of, whole_checkpoint

COUNT = 8
"""Images per sample grid, about: enough to see that it can be made."""


class Rehearsal(Callback):
    """Make what a run first makes after many batches, sample grids and a checkpoint, and throw it away."""

    @torch.no_grad()
    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        checkpoint = whole_checkpoint(trainer)
        if not trainer.is_global_zero:
            return
        with open(os.devnull, "wb") as nowhere:
            torch.save(checkpoint, nowhere)
        if not hasattr(data_of(trainer), "preview_batch"):
            return
        batch = model.transfer_batch_to_device(data_of(trainer).preview_batch(COUNT), model.device, 0)
        model.task.sample_grids(model, batch, COUNT)
