"""Run the evaluators of a model's task: in `test`, which leaves a table and JSON, and quick ones in validation."""

import json
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torchmetrics import SumMetric

from lit_gen.columns import columns
from lit_gen.errors import UserError
from lit_gen.files.atomic import write_text
from lit_gen.lightning_compat import data_of
from lit_gen.metrics.evaluator import Evaluator, Figure, Options
from lit_gen.metrics.meanings import Paper, meaning, names, paper_value


class Evaluation(Callback):
    """Run the evaluators of the model's task over the test data, print all figures, write them to `folder/test.json`.

    Both say what is better, in which unit, and which value a paper has, on what (`lit_gen.metrics.meanings`).

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
            published values (VGG-16 with other weights) and takes minutes on a GPU, hours on a CPU.
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

    def on_test_batch_end(
        self, trainer: Trainer, model: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._images.update(len(batch[0]))
        self._update(model, batch, batch_idx)

    def on_test_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self._compute(model, "test")

    def on_validation_epoch_start(self, trainer: Trainer, model: Any) -> None:
        chosen = [] if trainer.sanity_checking else model.task.validation_evaluators(model, data_of(trainer))
        self._prepare(trainer, model, chosen)

    def on_validation_batch_end(
        self, trainer: Trainer, model: Any, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        self._update(model, batch, batch_idx)

    def on_validation_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self._compute(model, "val")

    def _prepare(self, trainer: Trainer, model: Any, evaluators: list[Evaluator]) -> None:
        self._evaluators = [evaluator.to(model.device) for evaluator in evaluators]
        for evaluator in self._evaluators:
            evaluator.prepare(model, data_of(trainer))

    @torch.no_grad()
    def _update(self, model: Any, batch: Any, batch_idx: int) -> None:
        model.seed("evaluate", batch_idx)
        for evaluator in self._evaluators:
            evaluator.update(model, batch)

    @torch.no_grad()
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
        systems, data = names(model), names(data_of(trainer))
        alike = getattr(model, "is_like_papers", True)
        papers = {name: paper_value(name, systems, data) if alike else None for name in self.figures}
        rank_zero_info(table(self.figures, systems, papers))
        if self.folder is not None and trainer.is_global_zero:
            record = {
                "system": type(model).__name__,
                "checkpoint": str(trainer.ckpt_path or ""),
                "seconds": round(time.monotonic() - self._begun, 1),
                "figures": {
                    name: figure._asdict() | meaning(name, systems)._asdict() | {"paper": paper and paper._asdict()}
                    for (name, figure), paper in zip(self.figures.items(), papers.values(), strict=True)
                },
            }
            write_text(self.folder / "test.json", json.dumps(record, indent=2) + "\n")


def table(
    figures: Mapping[str, Figure], systems: Collection[str] = (), papers: Mapping[str, Paper | None] | None = None
) -> str:
    """Return the metrics in columns, and below them what the papers' values were measured on.

    Args:
        figures: by name.
        systems: names of the model's class and its bases, which some metrics are told apart by.
        papers: the published values, by the names of the metrics that have one.
    """
    rows = [("metric", "value", "unit", "paper", "samples", "features")]
    below: dict[str, list[str]] = {}
    for name, figure in figures.items():
        _, direction, unit = meaning(name, systems)
        paper, name = (papers or {}).get(name), name.removeprefix("test/")
        if paper is not None:
            below.setdefault(f"{paper.of}: {paper.source}", []).append(name)
        cells = f"{figure.value:.5g}", unit, paper.value if paper else "", str(figure.samples), figure.features
        rows.append((f"{name} {direction}".rstrip(), *cells))
    lines = columns(rows, right=(1, 4))
    return "\n".join([*lines, *(f"paper's {', '.join(names)}: on {text}" for text, names in below.items())])
