"""What the project asks a data module for, and the check that its batches have what a model reads."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lit_gen.data.batches import BatchReader, DataSpec
from lit_gen.data.decoding import ImageArray
from lit_gen.errors import UserError


class DataModule(Protocol):
    """The names that models, tasks, metrics and callbacks know of a data module, beside those of Lightning.

    A data module of your own needs `batch_type` and `spec` only; each other name adds what its docstring says.
    `lit_gen.data.base.ImageData` has all but `labelled_images`, which is `MNIST`'s, and the last five, which are
    `Horse2Zebra`'s and those of rendered data.
    """

    batch_type: type[Any]
    """The named tuple that its batches are, with the image first, or the first of several."""
    spec: DataSpec
    """What a model needs to know before it is built."""
    may_be_shared: bool
    """Whether W&B may get sample grids that show images of the data; by default not."""
    has_attributes: bool
    """Whether a classifier can learn the attributes: `test` then tells by it what generated images show."""
    cache_folder: Path
    """Where classifiers are kept."""
    datasets: Mapping[str, BatchReader]
    """The rows of each split: if one is called `held_out`, `test` measures images of its captions too."""
    all_training: BatchReader | None
    """All training images of the dataset, for published metrics; by default the training split.

    None says that the training split lacks some of them: no metric is then called `fid50k_full`.
    """

    def preview_batch(self, count: int) -> Any:
        """Return the first `count` held-out rows: for sample grids, `val/sliced_wasserstein` and Parzen windows."""

    def training_batches(self, count: int, size: int, generator: torch.Generator) -> Iterator[Any]:
        """Yield `count` training rows drawn at random, `size` at a time: for the distance of their codes to a prior."""

    def labelled_images(self) -> Any:
        """Return all training images whose labels are known, as the loader gives them: for SemiSupervisedAAE."""

    def mean_image(self) -> Tensor:
        """Return the mean (C, H, W) of all training images in [-1, 1]: for `output_bias_from_data`."""

    def attribute_examples(self, names: Sequence[str]) -> BatchReader:
        """Return images and the attributes of these names, for a classifier to learn from."""

    def to_floats(self, batch: Any, flip: bool) -> Any:
        """Return a batch of those examples with images in [-1, 1], mirrored at random if `flip`."""

    def domain_examples(self) -> BatchReader:
        """Return pairs of images of two domains, for a classifier to learn from: how many translations fool it?"""

    def test_images(self, domain: str) -> Mapping[str, ImageArray]:
        """Return the test images of domain A or B, each once; of rendered ones also their `truth` and `mask`."""

    def counterfactuals(
        self, split: str, places: Sequence[int], wanted: Sequence[Sequence[Mapping[str, bool]]]
    ) -> list[list[np.ndarray | None]] | None:
        """Return the true images of rows with other attributes, for errors against them; None if they are not known."""

    def opposite_captions(self, split: str, places: Sequence[int], name: str) -> np.ndarray | None:
        """Return two sentences for each row, (B, 2, L): one states that the attribute is false, one that it is true."""

    def factors(self, split: str, places: Sequence[int]) -> Mapping[str, np.ndarray] | None:
        """Return what the scenes of rows were drawn from, each (N,), for MIG and DCI; None if it is not known."""


def fields_read(model: Any, predicting: bool = False) -> tuple[str, ...]:
    """Return the names of the fields of a batch that a model (class or object) and its task read."""
    task = model.task
    if predicting and task.needs_to_predict is not None:
        return task.needs_to_predict
    return model.needs or task.needs


def check_pair(model: type, data: Any, predicting: bool = False) -> None:
    """Raise a `UserError` naming data that do fit when `data` (class or object) lack a field that `model` reads."""
    given = batch_types(data)
    if not given or not hasattr(model, "task"):
        return
    needs = fields_read(model, predicting)
    if any(set(needs) <= set(kind._fields) for kind in given):
        return
    from lit_gen import data as package

    name_of_data = (data if isinstance(data, type) else type(data)).__name__
    read = ""
    if len(given) == 1:
        read = f"; {name_of_data} gives {given[0].__name__}({', '.join(given[0]._fields)})"
    if hasattr(data, "what_is_missing") and not isinstance(data, type):
        missing = [field for field in needs if field not in given[0]._fields]
        raise UserError(
            f"{model.__name__} needs batches with fields {', '.join(needs)}{read}. {data.what_is_missing(missing)}"
        )
    fitting = [
        name
        for name, candidate in vars(package).items()
        if isinstance(candidate, type) and any(set(needs) <= set(kind._fields) for kind in batch_types(candidate))
    ]
    raise UserError(
        f"{model.__name__} needs batches with fields {', '.join(needs)}{read}. "
        f"Data that fit: {', '.join(sorted(fitting)) or 'none'}."
    )


def batch_types(data: Any) -> tuple[type[Any], ...]:
    """Return the types that the batches of data (class or object) may have; several of a class whose files tell."""
    if isinstance(data, type) and hasattr(data, "batch_types"):
        return data.batch_types
    found = getattr(data, "batch_type", None)
    return () if found is None else (found,)
