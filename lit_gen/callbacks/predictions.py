"""Predictions: the images that `predict` writes."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lit_gen.callbacks.sample_grids import save_picture
from lit_gen.files.atomic import make_folder


class PredictionWriter(BasePredictionWriter):
    """Write what `predict_step` returns, images (B, C, H, W) in [-1, 1], as `folder/<rank>-<number>.png`.

    At the end it says how many all processes have written, and where.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("batch")
        self.folder, self.written = folder, 0

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        # Another node's has the time of another clock in its name.
        self.folder = trainer.strategy.broadcast(self.folder)

    def write_on_batch_end(self, trainer: Trainer, model: LightningModule, prediction: Tensor, *_: Any) -> None:
        make_folder(self.folder)
        for image in prediction:
            save_picture(image, self.folder / f"{trainer.global_rank}-{self.written:06d}.png")
            self.written += 1

    def on_predict_end(self, trainer: Trainer, model: LightningModule) -> None:
        written = torch.tensor(self.written, device=model.device)
        count = int(trainer.strategy.reduce(written, reduce_op="sum"))
        rank_zero_info(f"{count} images are in {self.folder}" if count else "no images: there was nothing to predict")
