"""The loaders of a data module, one for each command, and what they say of a split without images."""

from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from lit_gen.data.averaged import AveragedDataset, with_smaller_copies
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.order import (
    EvaluationOrder,
    ResumableData,
    SeededFetches,
    SizesImages,
    loader_options,
    processes_that_share,
)
from lit_gen.errors import UserError

SPLITS = {"fit": "train", "validate": "val", "test": "test", "predict": "test"}
"""The split that each command reads."""
IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


def _as_is(batch: Any) -> Any:
    return batch


class LoadedData(ResumableData):
    """A data module with a dataset for each split."""

    datasets: dict[str, ArrayDataset]
    image_size: int
    batch_size: int
    num_workers: int

    def training_dataset(self) -> ArrayDataset:
        """Return the dataset of the training loader: the training split, of which a subclass may hide labels."""
        return self.datasets["train"]

    def check_split(self, command: str) -> None:
        """Raise a `UserError` if the split that a command (fit, validate, test or predict) reads has no image."""
        self._check_setup()
        split = SPLITS[command]
        if not len(self.datasets.get(split, ())):
            raise UserError(
                f"{type(self).__name__} has no {IN_WORDS[split]} images, and {command} reads those. "
                f"{self.how_to_fill(split)}"
            )

    def _check_setup(self) -> None:
        if not self.datasets:
            raise UserError(f"{type(self).__name__} has no images yet: call prepare_data() and setup() first.")

    def how_to_fill(self, split: str) -> str:
        """Return the advice for an empty split (train, val or test), which ends the error message."""
        return "Add some."

    def train_dataloader(self) -> DataLoader:
        self.check_split("fit")
        dataset, trainer = self.datasets["train"], self.trainer
        processes = 1 if trainer is None else trainer.world_size
        if len(dataset) < self.batch_size * processes:
            each = f" for each of {processes} processes" if processes > 1 else ""
            raise UserError(
                f"batch_size is {self.batch_size}{each}, but there are only {len(dataset)} training images. "
                "Set --data.batch_size lower."
            )
        if trainer is None:
            return self._loader("train", shuffle=True, drop_last=True, generator=None)
        if trainer.overfit_batches:  # type: ignore[attr-defined]
            return self._loader("train", drop_last=True)
        dataset, model = self.training_dataset(), trainer.lightning_module
        # `fast_dev_run` may try a later part of the training than its batches are.
        sized = model if isinstance(model, SizesImages) and not trainer.fast_dev_run else None  # type: ignore[attr-defined]
        if sized is not None:
            dataset = with_smaller_copies(dataset, self.image_size)
        sized = sized if isinstance(dataset, AveragedDataset) else None
        return self.training_loader(dataset, self.batch_size, sized, **self._loader_options())

    def val_dataloader(self) -> DataLoader:
        if self._command() == TrainerFn.VALIDATING:  # training needs no validation images
            self.check_split("validate")
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader:
        self.check_split("test")
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader:
        self.check_split("predict")
        return self._prediction_loader("test")

    def _prediction_loader(self, split: str) -> DataLoader:
        """Return a loader of the rows that `predict` reads, which Lightning shares among several processes."""
        processes_that_share(len(self.datasets[split]), self.trainer, "images")
        return self._loader(split)

    def _command(self) -> str | None:
        return self.trainer.state.fn if isinstance(self.trainer, Trainer) else None

    def _evaluation_loader(self, split: str) -> DataLoader:
        """Return a loader of a split's rows in their order; several processes share them, and no row comes twice."""
        self._check_setup()
        dataset, trainer = self.datasets[split], self.trainer
        if trainer is not None and trainer.overfit_batches:  # type: ignore[attr-defined]
            return self._loader(split)
        processes = processes_that_share(len(dataset), trainer, f"{split} images")
        if processes == 1:
            return self._loader(split)
        order = EvaluationOrder(len(dataset), self.batch_size, processes, trainer.global_rank)
        return DataLoader(SeededFetches(dataset), batch_size=None, sampler=order, **self._loader_options())

    def _loader(self, split: str, **options: Any) -> DataLoader:
        dataset = self.training_dataset() if split == "train" else self.datasets[split]
        size = min(self.batch_size, max(1, len(dataset)))  # torch takes no size beyond the machine's whole numbers
        return DataLoader(dataset, batch_size=size, **(self._loader_options() | options))

    def _loader_options(self) -> dict[str, Any]:
        return loader_options() | {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "pin_memory": torch.cuda.is_available(),
            "collate_fn": _as_is,
        }
