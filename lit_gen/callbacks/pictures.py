"""Pictures of a run: sheets of samples while it trains, and what `predict` makes."""

from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from lit_gen.data.files import complete_file, make_folder


def save_picture(image: Tensor, path: Path) -> None:
    """Writes one image (C, H, W) in [-1, 1] as a PNG file that appears complete or not at all."""
    picture = to_pil_image(((image.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
    with complete_file(path) as partial:
        picture.save(partial, format="PNG")


class SampleSheets(Callback):
    """Writes the model's sheets every so many batches, at the end of each epoch and at the end of training.

    Each goes to `folder/<sheet>-<batches so far>.png` and, where W&B logs, there as an image.

    Args:
        folder: where to write.
        every_n_batches: how often; 0 for the ends of epochs only.
        count: about how many images a sheet.
    """

    def __init__(self, folder: Path, every_n_batches: int = 1_000, count: int = 64) -> None:
        self.folder, self.every_n_batches, self.count = folder, every_n_batches, count
        self._batches_at_last_sheet = -1

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        if self.every_n_batches and batches_so_far(trainer) % self.every_n_batches == 0:
            self.write(trainer, model)

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.write(trainer, model)

    @torch.no_grad()
    def write(self, trainer: Trainer, model: LightningModule) -> None:
        """Writes the sheets now, once a batch number, on the main process."""
        batches = batches_so_far(trainer)
        if not trainer.is_global_zero or batches == self._batches_at_last_sheet:
            return
        self._batches_at_last_sheet = batches
        batch = model.transfer_batch_to_device(trainer.datamodule.preview_batch(self.count), model.device, 0)
        # Sheets must not move the random state of the training.
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            sheets = model.sample_sheets(batch, self.count)
        for name, sheet in sheets.items():
            path = self.folder / f"{name}-{batches:07d}.png"
            save_picture(sheet, path)
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image(f"samples/{name}", [str(path)])


def batches_so_far(trainer: Trainer) -> int:
    """Batches trained on so far, over all epochs."""
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


class PredictionWriter(BasePredictionWriter):
    """Writes what `predict_step` returns, images (B, C, H, W) in [-1, 1], as `folder/<rank>-<number>.png`.

    At the end it says how many all processes have written, and where.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("batch")
        self.folder, self.written = folder, 0

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        self.folder = trainer.strategy.broadcast(
            self.folder
        )  # another node's has the time of another clock in its name

    def write_on_batch_end(self, trainer: Trainer, model: LightningModule, prediction: Tensor, *_: Any) -> None:
        make_folder(self.folder)
        for image in prediction:
            save_picture(image, self.folder / f"{trainer.global_rank}-{self.written:06d}.png")
            self.written += 1

    def on_predict_end(self, trainer: Trainer, model: LightningModule) -> None:
        written = torch.tensor(self.written, device=model.device)
        count = int(trainer.strategy.reduce(written, reduce_op="sum"))
        rank_zero_info(f"{count} images are in {self.folder}" if count else "no images: there was nothing to predict")
