"""The end of a `fast_dev_run`: what a run would make only after many batches."""

import os

import torch
from lightning import Callback, LightningModule, Trainer

from lit_gen.lightning_compat import whole_checkpoint

COUNT = 8
"""Images per sample grid, about: enough to see that it can be made."""


class Rehearsal(Callback):
    """Make what a run first makes after many batches, sample grids and a checkpoint, and throw it away."""

    @torch.no_grad()
    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        checkpoint = whole_checkpoint(trainer)
        if not trainer.is_global_zero:
            return
        with open(os.devnull, "wb") as nowhere:
            torch.save(checkpoint, nowhere)
        if not hasattr(trainer.datamodule, "preview_batch"):
            return
        batch = model.transfer_batch_to_device(trainer.datamodule.preview_batch(COUNT), model.device, 0)
        model.task.sample_grids(model, batch, COUNT)
