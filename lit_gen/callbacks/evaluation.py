"""Run the evaluators of a model's task: in `test`, which leaves a table and JSON, and quick ones in validation."""

import json
import time
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torchmetrics import SumMetric

from lit_gen.columns import columns
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file
from lit_gen.lightning_compat import data_of
from lit_gen.metrics.evaluator import Evaluator, Figure, Options


class Evaluation(Callback):
    """Run the evaluators of the model's task over the test data, print all figures, write them to `folder/test.json`.

    In each validation, the figures of the task's `validation_evaluators` go to the log as `val/<name>`.

    Args:
        folder: where to write; nothing is written without one.
        features: the network whose features FID, KID, precision and recall are computed on: `digits` comes with the
            project, `inception` is downloaded on first use; `auto` takes the former for grey images of 28 to 32 pixels
            and the latter for all others; `dinov2` (FD-DINOv2) is fetched by torch.hub, with code that is run;
            `none` leaves these metrics out.
        samples: how many images of a generator are compared with as many held-out ones, at most; by default 10,000. In
            the published protocol, how many are generated; by default 50,000.
        protocol: `quick` compares with as many test images; `published` has the numbers of images and the networks of
            published values and takes minutes on a GPU, hours on a CPU.
        split: which real images the published protocol compares with: `train` (the default) or `test`. Translations
            between two domains are compared with test images.
    """

    def __init__(
        self,
        folder: Path | None = None,
        features: Literal["auto", "digits", "inception", "dinov2", "none"] = "auto",
        samples: int | None = None,
        protocol: Literal["quick", "published"] = "quick",
        split: Literal["train", "test"] | None = None,
    ) -> None:
        if samples is not None and samples < 2:
            raise UserError(f"evaluation.samples must be at least 2, not {samples}.")
        if split == "train" and protocol == "quick":
            raise UserError("the quick protocol compares with test images. Set --evaluation.protocol=published too.")
        chosen = Options(features, published=protocol == "published", split=split)
        if samples is not None:
            chosen = chosen._replace(samples=samples, generated=samples)
        self.folder, self.options = folder, chosen
        self.figures: dict[str, Figure] = {}
        self._evaluators: list[Evaluator] = []

    def on_test_start(self, trainer: Trainer, model: Any) -> None:
        self._begun = time.monotonic()
        self._images = SumMetric().to(model.device)
        self._prepare(trainer, model, model.task.evaluators(model, data_of(trainer), self.options))

    @torch.no_grad()
    def on_test_batch_end(
        self, trainer: Trainer, model: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._images.update(len(batch[0]))
        self._update(model, batch, batch_idx)

    @torch.no_grad()
    def on_test_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self._compute(model, "test")

    def on_validation_epoch_start(self, trainer: Trainer, model: Any) -> None:
        chosen = [] if trainer.sanity_checking else model.task.validation_evaluators(model, data_of(trainer))
        self._prepare(trainer, model, chosen)

    @torch.no_grad()
    def on_validation_batch_end(
        self, trainer: Trainer, model: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._update(model, batch, batch_idx)

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self._compute(model, "val")

    def _prepare(self, trainer: Trainer, model: Any, evaluators: list[Evaluator]) -> None:
        self._evaluators = [evaluator.to(model.device) for evaluator in evaluators]
        for evaluator in self._evaluators:
            evaluator.prepare(model, data_of(trainer))

    def _update(self, model: Any, batch: Any, batch_idx: int) -> None:
        model.seed("evaluate", batch_idx)
        for evaluator in self._evaluators:
            evaluator.update(model, batch)

    def _compute(self, model: Any, prefix: str) -> None:
        """Log the metrics, and let go of the evaluators: they may hold thousands of images."""
        self.figures = {}
        for evaluator in self._evaluators:
            self.figures |= {f"{prefix}/{name}": figure for name, figure in evaluator.compute().items()}
        if self.figures:
            values = {name: float(figure.value) for name, figure in self.figures.items()}
            model.log_dict(values, batch_size=1, sync_dist=True)
        self._evaluators = []

    def on_test_end(self, trainer: Trainer, model: Any) -> None:
        images = int(self._images.compute())
        own = {
            name: Figure(float(value), images)
            for name, value in trainer.callback_metrics.items()
            if name not in self.figures
        }
        self.figures = own | self.figures
        rank_zero_info(table(self.figures))
        if self.folder is not None and trainer.is_global_zero:
            record = {
                "system": type(model).__name__,
                "checkpoint": str(trainer.ckpt_path or ""),
                "seconds": round(time.monotonic() - self._begun, 1),
                "figures": {name: figure._asdict() for name, figure in self.figures.items()},
            }
            path = self.folder / "test.json"
            with complete_file(path) as partial:
                partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def table(figures: dict[str, Figure]) -> str:
    """Return the metrics in columns: metric, value, samples, features."""
    rows = [("metric", "value", "samples", "features")]
    rows += [
        (name.removeprefix("test/"), f"{figure.value:.5g}", str(figure.samples), figure.features)
        for name, figure in figures.items()
    ]
    return "\n".join(columns(rows, right=(1, 2)))
