"""Sample grids: what a model's task shows of it while it trains, as files of the run and in its logs."""

from pathlib import Path
from typing import Any

import torch
import wandb
from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from lit_gen.data.pixel_values import as_bytes
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file
from lit_gen.lightning_compat import batches_so_far, data_of, last_epoch_is_done, step_in_log, uploads_checkpoints
from lit_gen.limits import NonNegativeInt, PositiveInt
from lit_gen.loggers.tensorboard import RunTensorBoard
from lit_gen.schedules import passes_a_tenth
from lit_gen.tasks.grids import as_grid


def save_picture(image: Tensor, path: Path) -> None:
    """Write one image (C, H, W) in [-1, 1] as a PNG file that appears complete or not at all."""
    picture = to_pil_image(as_bytes(image.cpu()))
    with complete_file(path, lasting=False) as partial:
        picture.save(partial, format="PNG")


class SampleGrids(Callback):
    """Write the model's sample grids every so many batches, at ends of epochs and at the end of training.

    From about the tenth epoch on, an epoch's end has grids only where the images seen have grown by a tenth: to draw
    them takes longer than an epoch of a small dataset.

    Each goes to `folder/<grid>-<batches so far>.png` and, where TensorBoard or W&B logs, there as an image. What W&B
    gets leaves the machine, offline logs too once they are synced: grids that hold originals, reconstructions or
    translations go there only if the data may be passed on (`Task.shows_data`, `ImageData.may_be_shared`).

    Args:
        folder: where to write.
        every_n_batches: number of batches from one to the next, besides ends of epochs; 0 for those only.
        count: about how many images per grid.
        all_to_wandb: send all grids to W&B, whatever they hold.
    """

    def __init__(
        self,
        folder: Path,
        every_n_batches: NonNegativeInt = 1_000,
        count: PositiveInt = 64,
        all_to_wandb: bool = False,
    ) -> None:
        self.folder, self.every_n_batches, self.count = folder, every_n_batches, count
        self.all_to_wandb = all_to_wandb
        self._batches_at_last = -1
        self._said = False

    def setup(self, trainer: Trainer, model: Any, stage: str) -> None:
        if not hasattr(data_of(trainer), "preview_batch"):
            rank_zero_info(f"no sample grids: {type(data_of(trainer)).__name__} has no preview_batch")
        for logger in trainer.loggers:
            uploads = isinstance(logger, WandbLogger) and uploads_checkpoints(logger)
            if uploads and model.checkpoints_hold_images and not self._all_may_leave(trainer):
                raise UserError(
                    f"checkpoints of {type(model).__name__} hold images made from your data, and this WandbLogger has "
                    "log_model, which would upload them. Leave log_model out, or set --wandb.images=all."
                )

    def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
        if self.every_n_batches and batches_so_far(trainer) % self.every_n_batches == 0:
            self.write(trainer, model, step_in_log(trainer))

    def on_train_epoch_end(self, trainer: Trainer, model: Any) -> None:
        seen = model.images_seen
        if passes_a_tenth(seen - model.images_in_epoch, seen) or last_epoch_is_done(trainer):
            self.write(trainer, model)

    def on_train_end(self, trainer: Trainer, model: Any) -> None:
        self.write(trainer, model)  # where a callback has ended the training after the last epoch

    @torch.no_grad()
    def write(self, trainer: Trainer, model: Any, step: int | None = None) -> None:
        """Write the grids now, once per number of batches, on the main process.

        `step` is the last one of the log: of the batch that has just ended, or by default of the last one before.
        """
        batches = batches_so_far(trainer)
        shown = hasattr(data_of(trainer), "preview_batch")
        if not shown or not trainer.is_global_zero or batches == self._batches_at_last:
            return
        self._batches_at_last = batches
        batch = model.transfer_batch_to_device(data_of(trainer).preview_batch(self.count), model.device, 0)
        model.seed("grids")
        grids = model.task.sample_grids(model, batch, self.count)
        split = "training" if getattr(data_of(trainer), "previews_training_images", False) else "held-out"
        back = []
        for name, made in grids.items():
            path = self.folder / f"{name}-{batches:07d}.png"
            titled, shows_data = as_grid(made, name), model.task.shows_data(name)
            of_data = f" ({split} images)" * shows_data
            grid = titled.drawn(f"{type(model).__name__} after {model.images_seen:,} images: {titled.title}{of_data}")
            save_picture(grid, path)
            kept_back = shows_data and not self._all_may_leave(trainer)
            for logger in trainer.loggers:
                if kept_back and _goes_to_wandb(logger):
                    back.append(name)
                elif isinstance(logger, RunTensorBoard):
                    last = step_in_log(trainer) - 1 if step is None else step
                    logger.log_image(f"samples/{name}", (grid.clamp(-1, 1) + 1) / 2, last)
                elif isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"samples/{name}", (grid.clamp(-1, 1) + 1) / 2, batches)
                elif isinstance(logger, WandbLogger):
                    logger.log_image(f"samples/{name}", [str(path)])
        if back and not self._said:
            self._said = True
            rank_zero_info(
                f"W&B does not get the sample grids {', '.join(dict.fromkeys(back))}, which show images of your data; "
                f"they are in {self.folder}. To send such grids too: --wandb.images=all"
            )

    def _all_may_leave(self, trainer: Trainer) -> bool:
        return self.all_to_wandb or getattr(data_of(trainer), "may_be_shared", False)


def _goes_to_wandb(logger: Logger) -> bool:
    """Return whether W&B gets what a logger is given; it may have been told to copy TensorBoard's logs."""
    if isinstance(logger, TensorBoardLogger | RunTensorBoard):
        return wandb.run is not None and bool(wandb.run.settings.sync_tensorboard)
    return isinstance(logger, WandbLogger)
