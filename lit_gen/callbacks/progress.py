"""The speed of a training, in its progress bar and in its log."""

import logging
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from tqdm.contrib.logging import logging_redirect_tqdm

from lit_gen.errors import UserError
from lit_gen.lightning_compat import next_row
from lit_gen.models.base import GenerativeModule

REFRESH = 0.2  # seconds


class Pace:
    """How fast a training has been since the first look at it."""

    def __init__(self) -> None:
        self._begun: tuple[float, float, int] | None = None  # time, part that was done, images seen

    def look(self, model: GenerativeModule) -> dict[str, float]:
        """Return images per second, seconds left, and GiB of the GPU, as far as they are known; waits for no GPU."""
        now, done = time.monotonic(), part_done(model)
        if self._begun is None or model.images_seen < self._begun[2]:
            self._begun = now, done, model.images_seen
        since, done_before, images = self._begun
        found = {}
        if model.images_seen > images and now > since:
            found["images/s"] = (model.images_seen - images) / (now - since)
        if done > done_before:
            found["left"] = (now - since) * (1 - done) / (done - done_before)
        if model.device.type == "cuda":
            found["GiB"] = torch.cuda.max_memory_allocated(model.device) / 2**30
        return found


class TrainingSpeed(Callback):
    """Log `speed/images_per_second`, `speed/minutes_left` and `speed/gpu_gib` in the rows of the training's terms.

    The first is since the previous row, whatever was done meanwhile, and counts the images of all processes. The second
    goes by all that this process has trained, the third is the largest memory so far. Lightning's ThroughputMonitor,
    which has the first, would wait for the GPU in each batch.
    """

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        self._run, self._row = Pace(), Pace()
        self._begun, model.speed = False, {}

    def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
        if not self._begun:  # the first batch, which takes longer, is left out
            self._begun = True
            self._run.look(model)
            self._row.look(model)
        elif next_row(trainer):
            found = {"speed/images_per_second": self._row.look(model).get("images/s")}
            of_run = self._run.look(model)
            found |= {"speed/minutes_left": of_run["left"] / 60 if "left" in of_run else None}
            found |= {"speed/gpu_gib": of_run.get("GiB")}
            model.speed = {name: float(f"{value:.4g}") for name, value in found.items() if value is not None}
            self._row = Pace()
            self._row.look(model)


class TrainingBar(TQDMProgressBar):
    """Lightning's bar, with images per second, the time left of the whole training, and the memory of the GPU.

    The terms are those that were read last. The bar is drawn five times per second at most: drawing takes longer than
    the step of a small network. What is said meanwhile (a warning that G has collapsed, for example) has its own line,
    and the bar goes on below it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._drawn = 0.0
        self._pace = Pace()
        self._messages = ExitStack()

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        super().setup(trainer, model, stage)
        loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch")]
        self._messages.enter_context(logging_redirect_tqdm([logger for logger in loggers if logger.handlers]))

    def teardown(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        self._messages.close()

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *arguments: Any) -> None:
        now = time.monotonic()
        if now - self._drawn >= REFRESH or trainer.is_last_batch:
            self._drawn = now
            super().on_train_batch_end(trainer, model, *arguments)

    def get_metrics(self, trainer: Trainer, model: LightningModule) -> dict[str, int | str | float | dict[str, float]]:
        values = super().get_metrics(trainer, model)
        values.pop("v_num", None)
        return values | self.speed(model) if trainer.training and isinstance(model, GenerativeModule) else values

    def on_exception(self, trainer: Trainer, model: LightningModule, error: BaseException) -> None:
        """End the line of each bar: what is said of the error has its own."""
        for name in ("train", "val", "test", "predict"):
            with suppress(TypeError):  # this one was not drawn
                getattr(self, f"{name}_progress_bar").close()
        self._messages.close()

    def speed(self, model: GenerativeModule) -> dict[str, str]:
        """Return images per second since the bar was first drawn, the time left, and the GPU's memory, as text."""
        words = {
            "images/s": lambda value: f"{value:,.0f}",
            "left": lambda value: str(timedelta(seconds=round(value))),
            "GiB": lambda value: f"{value:.1f}",
        }
        return {name: words[name](value) for name, value in self._pace.look(model).items()}


def part_done(model: GenerativeModule) -> float:
    """Return the part of the training that is done, from 0 to 1; 0 where nothing says when it ends."""
    try:
        return model.progress
    except UserError:
        return 0.0
