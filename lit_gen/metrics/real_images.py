"""The real images that the published protocol compares with, and their features, which the data's cache keeps."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from tqdm import tqdm

from lit_gen.data.batches import BatchReader
from lit_gen.data.cache import HINT
from lit_gen.data.pixel_values import as_bytes
from lit_gen.errors import UserError
from lit_gen.files.arrays import load_array, save_array
from lit_gen.metrics.features import Network
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.processes import as_model_input, from_first, in_pieces, place

READ_AT_ONCE = 500  # images
COMPARED = 8  # images whose kept features are compared with new ones


class Rows:
    """The rows of a split of the data, as a model gets them: in [-1, 1], on its device, never mirrored.

    `step` says which rows; `dataset` are the images of the split, if they are others than in `datasets`.

    Raises:
        UserError: the data cannot be read by rows, or the split is empty.
    """

    def __init__(
        self,
        data: Any,
        split: str,
        device: torch.device,
        step: slice = slice(None),
        dataset: BatchReader | None = None,
    ) -> None:
        self.data, self.device = data, device
        if not hasattr(data, "to_floats") or split not in getattr(data, "datasets", ()):
            raise UserError(
                f"the published protocol reads the {split} images of {type(data).__name__} by rows, by `datasets` and "
                "`to_floats`, which it lacks (see lit_gen/data/contract.py). Set --evaluation.protocol=quick."
            )
        self.dataset = data.datasets[split] if dataset is None else dataset
        self.rows = range(len(self.dataset))[step]
        if not self.rows:
            raise UserError(f"{type(data).__name__} has no {split} images to compare with. Set --evaluation.split.")

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: Sequence[int]) -> Any:
        """Return the batch of these rows."""
        with own_noise(0, torch.device("cpu")):  # captions may be drawn
            return as_model_input(self.data, self.dataset, [self.rows[row] for row in rows], self.device)


class RealImages:
    """The images of some rows, rounded to 8 bits, and what is computed of them once for all models.

    Features and values lie in the data's cache under a hash of the very bytes that enter a network, so that other data,
    another split, size or crop is another file. A file is complete or not there. Before it is used, its shape and
    numbers are checked, and eight of its rows computed again.

    Args:
        rows: the rows.
        labels: function from a batch to a tensor (B, ...) that is kept for all rows, as `labels`.
    """

    def __init__(self, rows: Rows, labels: Callable[[Any], Tensor] | None = None) -> None:
        self.rows, self.read_labels = rows, labels
        self.folder = Path(rows.data.cache_folder)
        self.unkept: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def bytes(self, rows: Sequence[int]) -> Tensor:
        """Return images (N, C, H, W), uint8, on the device."""
        return as_bytes(self.rows.batch(rows)[0])

    def many(self, rows: Sequence[int]) -> Tensor:
        """Return any number of images (N, C, H, W), uint8, on the CPU."""
        starts = range(0, len(rows), READ_AT_ONCE)
        return torch.cat([self.bytes(rows[start : start + READ_AT_ONCE]).cpu() for start in starts])

    def shuffled(self) -> list[int]:
        """Return all rows in a fixed random order."""
        return torch.randperm(len(self), generator=torch.Generator().manual_seed(0)).tolist()

    @cached_property
    def _read(self) -> tuple[str, Tensor]:
        return from_first(self._read_all)

    @property
    def labels(self) -> Tensor:
        """Return the labels of all rows, on the CPU."""
        return self._read[1]

    def _read_all(self) -> tuple[str, Tensor]:
        digest, labels = hashlib.sha256(), []
        starts = range(0, len(self), READ_AT_ONCE)
        for start in tqdm(starts, desc=f"reading {len(self):,} real images", unit="batch", mininterval=1):
            batch = self.rows.batch(range(start, min(len(self), start + READ_AT_ONCE)))
            images = as_bytes(batch[0])
            digest.update(repr((images.shape[1:], start)).encode() + images.cpu().contiguous().numpy().tobytes())
            if self.read_labels is not None:
                labels.append(self.read_labels(batch).cpu())
        return digest.hexdigest()[:16], torch.cat(labels) if labels else torch.empty(0)

    def _path(self, title: str) -> Path:
        return self.folder / f"features-{title}-{self._read[0]}.npy"

    def prepare(self, network: Network, at_once: int) -> None:
        """Compute and keep the features of all images, `at_once` together, unless they are kept.

        All processes must call it together.
        """
        path = self._path(network.title)
        if from_first(lambda: self._kept(network, path)):
            return
        work = f"{network.title} of {len(self):,} real images"
        looked = in_pieces(len(self), at_once, lambda _, rows: {"features": network(self.bytes(rows))}, work)
        if place()[0]:
            return
        try:
            save_array(path, looked["features"].numpy(), HINT)
        except (OSError, UserError) as error:
            rank_zero_info(f"the features of the real images cannot be kept for the next test: {error}")
            self.unkept[network.title] = looked["features"]

    def _kept(self, network: Network, path: Path) -> bool:
        if not path.exists():
            return False
        found = load_array(path)
        if found is not None and found.shape == (len(self), network.num_features):
            some = np.linspace(0, len(self) - 1, COMPARED).astype(int).tolist()
            again = network(self.bytes(some)).float().cpu()
            near = torch.allclose(torch.from_numpy(np.array(found[some])).float(), again, rtol=0.05, atol=0.05)
            if near and all(np.isfinite(found[at : at + 10_000]).all() for at in range(0, len(self), 10_000)):
                return True
        rank_zero_info(f"{path} is damaged or of another network; these features are computed anew")
        return False

    def features(self, network: Network) -> Tensor:
        """Return the features (M, F) that `prepare` has kept, on rank 0."""
        if network.title in self.unkept:
            return self.unkept[network.title]
        return torch.from_numpy(np.load(self._path(network.title)))
