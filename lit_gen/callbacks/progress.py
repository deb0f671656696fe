"""The progress bar of a training."""

import time
from datetime import timedelta
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from lit_gen.errors import UserError
from lit_gen.models.base import GenerativeModule

REFRESH = 0.2  # seconds


class TrainingBar(TQDMProgressBar):
    """Lightning's bar, with images per second, the time left of the whole training, and the memory of the GPU.

    The terms are those that were read last. The bar is drawn five times per second at most: drawing takes longer than
    the step of a small network.
    """

    def __init__(self) -> None:
        super().__init__()
        self._drawn = 0.0
        self._begun: tuple[float, float, int] | None = None  # time, part that was done, images seen

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *arguments: Any) -> None:
        now = time.monotonic()
        if now - self._drawn >= REFRESH or trainer.is_last_batch:
            self._drawn = now
            super().on_train_batch_end(trainer, model, *arguments)

    def get_metrics(self, trainer: Trainer, model: LightningModule) -> dict[str, int | str | float | dict[str, float]]:
        values = super().get_metrics(trainer, model)
        values.pop("v_num", None)
        return values | self.speed(model) if trainer.training and isinstance(model, GenerativeModule) else values

    def speed(self, model: GenerativeModule) -> dict[str, str]:
        """Return images per second since the bar was first drawn, the time left, and the GPU's memory, as text."""
        now, done = time.monotonic(), part_done(model)
        if self._begun is None or model.images_seen < self._begun[2]:
            self._begun = now, done, model.images_seen
        since, done_before, images = self._begun
        found = {}
        if model.images_seen > images and now > since:
            found["images/s"] = f"{(model.images_seen - images) / (now - since):,.0f}"
        if done > done_before:
            left = (now - since) * (1 - done) / (done - done_before)
            found["left"] = str(timedelta(seconds=round(left)))
        if model.device.type == "cuda":
            found["GiB"] = f"{torch.cuda.max_memory_allocated(model.device) / 2**30:.1f}"
        return found


def part_done(model: GenerativeModule) -> float:
    """Return the part of the training that is done, from 0 to 1; 0 where nothing says when it ends."""
    try:
        return model.progress
    except UserError:
        return 0.0
