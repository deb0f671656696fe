"""The distance of images translated to an attribute from real images that have it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from lit_gen.data.contract import DataModule
from lit_gen.data.pixel_values import as_bytes
from lit_gen.metrics.attributes import single_changes
from lit_gen.metrics.comparison import Names, feature_figures
from lit_gen.metrics.evaluator import Evaluator, Figure, Options
from lit_gen.metrics.features import Features
from lit_gen.metrics.processes import is_enough, turn

ROWS = 2**32  # more than a batch has


class TargetDomains(Evaluator):
    """FID and KID (↓) per attribute: of images that are given it, against real images that have it.

    `<attribute>_fid` and `<attribute>_kid`, with the network's name as in `SampleQuality`. Half of the test images are
    translated, those without the attribute only; of the other half, those with the attribute are compared with. So no
    image is compared with itself. Which half an image is in, its pixels decide: the sum of their 8-bit values is even
    or odd. An attribute that fewer than two images of a half have, or lack, is left out.

    The values do not depend on the number of processes.

    Attributes and their changes are as of `AttributeChanges`.
    """

    keys: list[Tensor]
    real_keys: list[Tensor]
    real_labels: list[Tensor]

    def __init__(self, options: Options, names: Sequence[str], features: Features) -> None:
        super().__init__()
        self.seen, self.names, self.features = 2 * options.samples, list(names), features
        self.batches = self.images = 0
        for state in ("keys", "real_keys", "real_labels"):
            self.add_state(state, [], "cat")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.networks = self.features.load(model.device)
        for index in range(len(self.names)):
            self.add_state(f"made_keys_{index}", [], "cat")
        for number in range(len(self.networks)):
            self.add_state(f"real_{number}", [], "cat")
            for index in range(len(self.names)):
                self.add_state(f"made_{number}_{index}", [], "cat")

    def update(self, model: Any, batch: Any) -> None:
        if not self.networks or is_enough(self.images, self.seen):
            return
        labels, image = model.labels(batch), as_bytes(batch.image)
        keys = turn(self.batches) * ROWS + torch.arange(len(image), device=image.device)
        self.batches, self.images = self.batches + 1, self.images + len(image)
        self.keys.append(keys)
        real = image.flatten(1).sum(1) % 2 > 0
        self.real_keys.append(keys[real])
        self.real_labels.append(labels[real])
        self._look("real", image[real])
        for index, target in enumerate(single_changes(labels, self.names)):
            rows = ~real & (labels[:, index] != target[:, index]) & (target[:, index] > 0)
            getattr(self, f"made_keys_{index}").append(keys[rows])
            made = model.translate(batch.image[rows], target[rows]) if rows.any() else batch.image[rows]
            self._look("made", as_bytes(made), f"_{index}")

    def _look(self, kind: str, image: Tensor, ending: str = "") -> None:
        for number, network in enumerate(self.networks):
            found = network(image) if len(image) else torch.empty(0, network.num_features, device=image.device)
            getattr(self, f"{kind}_{number}{ending}").append(found)

    def figures(self) -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        if not self.networks:
            return figures
        keys = dim_zero_cat(self.keys).sort().values
        last = keys[: self.seen][-1]

        def chosen(keys: Any, *states: Any) -> list[Tensor]:
            """Return states of the first rows, in their order."""
            joined = dim_zero_cat(keys)
            order = joined.argsort()
            order = order[joined[order] <= last]
            return [dim_zero_cat(state)[order] for state in states]

        for index, name in enumerate(self.names):
            for number, network in enumerate(self.networks):
                real, labels = chosen(self.real_keys, getattr(self, f"real_{number}"), self.real_labels)
                (made,) = chosen(getattr(self, f"made_keys_{index}"), getattr(self, f"made_{number}_{index}"))
                names = Names(f"test images that have it, of {len(real):,}", prefix=f"{name}_")
                figures |= feature_figures(network, made, real[labels[:, index] > 0], names, brief=True)
        return figures
