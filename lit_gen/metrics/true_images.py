"""Metrics against the truth: the renderer draws the same scene with one attribute changed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.utilities.data import dim_zero_cat

from lit_gen.data.contract import DataModule
from lit_gen.metrics.attributes import single_changes
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import as_images
from lit_gen.metrics.processes import as_model_input, own_pieces, turn

LOOKED_AT = 200  # test images: each change of each takes the renderer 30 ms
PIECE = 20  # of them at once
SIDE = 16  # pixels, at which faces are told apart


class TrueEdits(Evaluator):
    """Metrics of single attribute changes of rendered test images, against the true images of the changed scenes.

    An image has a region for each change: the pixels in which its two true images differ. Errors are mean absolute
    differences from the true image, of values in [-1, 1].

    - `inside_error_<name>` (↓): the error of translations inside their regions.
    - `inside_identity_error_<name>`: the same of the unchanged input.
    - `inside_error_ratio_<name>` (↓): the first over the second (1 = unchanged input).
    - `outside_error_<name>` (↓): the error outside the region, where the unchanged input has 0.
    - `identity_kept_<name>` (↑): fraction of translations that are nearer, at 16x16 pixels, to the true image of their
      own face than to that of each other face.
    - The same without a name: their means over the attributes.

    Images without a true image are left out, and data that are not rendered have no such metric. The arguments are
    those of `AttributeChanges`; at most 200 test images are looked at.
    """

    which: list[Tensor]
    made: list[Tensor]
    true: list[Tensor]

    def __init__(self, names: Sequence[str], samples: int) -> None:
        super().__init__()
        self.names, self.samples = list(names), min(samples, LOOKED_AT)
        for state in ("inside_error", "inside_identity_error", "inside", "outside_error", "outside"):
            self.add_state(state, torch.zeros(len(names), dtype=torch.float64), "sum")
        for state in ("which", "made", "true"):
            self.add_state(state, [], "cat")

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        dataset = data.datasets["test"]
        # A process may have no case: torchmetrics joins what is of one type and has as many axes.
        self.which.append(torch.zeros(0, dtype=torch.long, device=model.device))
        for state in (self.made, self.true):
            state.append(torch.zeros(0, data.spec["image_shape"][0] * SIDE**2, device=model.device))
        for _, chosen in own_pieces(min(self.samples, len(dataset)), PIECE):
            batch = as_model_input(data, dataset, chosen, model.device)
            targets = single_changes(model.labels(batch), self.names)
            wanted = [[dict(zip(self.names, map(bool, row), strict=True)) for row in rows] for rows in targets.tolist()]
            truths = data.counterfactuals("test", chosen, list(zip(*wanted, strict=True)))
            if truths is None:
                return
            for index, target in enumerate(targets):
                self.look(index, model, batch.image, target, [of_row[index] for of_row in truths], data)

    def look(
        self, index: int, model: Any, image: Tensor, target: Tensor, truths: Sequence[np.ndarray | None], data: Any
    ) -> None:
        """Add what translations of images (B, C, H, W) to targets (B, A), for attribute `index`, are like."""
        rows = [row for row, truth in enumerate(truths) if truth is not None]
        if not rows:
            return
        image, target = image[rows], target[rows]
        truth = as_images([truths[row] for row in rows], data, image.device)
        region = (truth != image).any(1, keepdim=True)
        seen = region.flatten(1).any(1)  # an image that has the attribute already, or hides it, is no case
        if not seen.any():
            return
        image, target, truth, region = image[seen], target[seen], truth[seen], region[seen]
        made = model.translate(image, target).float()
        error, identity_error = (((one - truth).abs().mean(1, keepdim=True)).double() for one in (made, image))
        self.inside_error[index] += error[region].sum()
        self.inside_identity_error[index] += identity_error[region].sum()
        self.inside[index] += region.sum()
        self.outside_error[index] += error[~region].sum()
        self.outside[index] += (~region).sum()
        self.which.append(torch.full((len(made),), index, device=made.device))
        self.made.append(functional.adaptive_avg_pool2d(made, SIDE).flatten(1))
        self.true.append(functional.adaptive_avg_pool2d(truth, SIDE).flatten(1))

    def compute(self) -> dict[str, Figure]:
        which, made, true = (dim_zero_cat(state) for state in (self.which, self.made, self.true))
        figures: dict[str, Figure] = {}
        for index, name in enumerate(self.names):
            own = which == index
            if not own.any():
                continue
            nearest = torch.cdist(made[own], true[own]).argmin(1)
            kept = (nearest == torch.arange(len(nearest), device=nearest.device)).double().mean()
            inside, outside = self.inside[index], self.outside[index]
            values = {
                "inside_error": self.inside_error[index] / inside,
                "inside_identity_error": self.inside_identity_error[index] / inside,
                "inside_error_ratio": self.inside_error[index] / self.inside_identity_error[index],
                "outside_error": self.outside_error[index] / outside.clamp(min=1),
                "identity_kept": kept,
            }
            figures |= {f"{key}_{name}": Figure(float(value), len(nearest)) for key, value in values.items()}
        return figures | means_of(figures, self.names)


class TrueEffects(Evaluator):
    """Metrics of what one attribute in a sentence does to images, against what it does to rendered faces.

    Two sentences of a face state the attribute and its opposite, and nothing else but perhaps the sex. Both are drawn
    with the same noise. The effect is the mean difference of the two images over the test faces, (C, H, W); the true
    effect that of the two true images. The region is where the latter is not 0.

    - `effect_error_ratio_<name>` (↓): the mean absolute difference of the effects inside the region, over the mean
      absolute true effect (0 = the true effect, 1 = no effect).
    - `effect_outside_<name>` (↓): the mean absolute effect outside the region, of values in [-1, 1].
    - The same without a name: their means over the attributes.

    What comes with the attribute in the data (long hair with women) is no part of the true effect.

    Args:
        samples: largest number of faces; at most 200 are looked at.
    """

    def __init__(self, names: Sequence[str], image_shape: Sequence[int], samples: int) -> None:
        super().__init__()
        self.names, self.samples = list(names), min(samples, LOOKED_AT)
        self.add_state("faces", torch.zeros(len(names), dtype=torch.int64), "sum")
        for state in ("made", "true"):
            self.add_state(state, torch.zeros(len(names), *image_shape, dtype=torch.float64), "sum")

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        for start, chosen in own_pieces(min(self.samples, len(data.datasets["test"])), PIECE):
            wanted = [[{name: value} for name in self.names for value in (False, True)]] * len(chosen)
            truths = data.counterfactuals("test", chosen, wanted)
            if truths is None:
                return
            for index, name in enumerate(self.names):
                pairs = [of_row[2 * index : 2 * index + 2] for of_row in truths]
                rows = [row for row, pair in enumerate(pairs) if all(image is not None for image in pair)]
                sentences = data.opposite_captions("test", [chosen[row] for row in rows], name) if rows else None
                if sentences is None:
                    continue
                true = [as_images([pairs[row][side] for row in rows], data, model.device) for side in (0, 1)]
                captions = torch.from_numpy(sentences).to(model.device)  # (B, 2, L)
                seed = turn(start)  # the same noise for both
                made = [model.draw(captions[:, side], torch.Generator().manual_seed(seed)) for side in (0, 1)]
                self.faces[index] += len(rows)
                self.made[index] += (made[1].float() - made[0].float()).sum(0)
                self.true[index] += (true[1] - true[0]).sum(0)

    def compute(self) -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        for index, name in enumerate(self.names):
            faces, made, true = int(self.faces[index]), self.made[index], self.true[index]
            region = (true != 0).any(0)
            if not region.any():
                continue
            ratio = (made - true)[:, region].abs().mean() / true[:, region].abs().mean()
            figures[f"effect_error_ratio_{name}"] = Figure(float(ratio), faces)
            if not region.all():
                outside = made[:, ~region].abs().mean() / faces
                figures[f"effect_outside_{name}"] = Figure(float(outside), faces)
        return figures | means_of(figures, self.names)


def means_of(figures: dict[str, Figure], names: Sequence[str]) -> dict[str, Figure]:
    """Return the mean over the attributes of each metric `<metric>_<name>`."""
    metrics = dict.fromkeys(
        key.removesuffix(f"_{name}") for name in names for key in figures if key.endswith(f"_{name}")
    )
    means = {}
    for metric in metrics:
        found = [figures[f"{metric}_{name}"] for name in names if f"{metric}_{name}" in figures]
        means[metric] = Figure(sum(one.value for one in found) / len(found), sum(one.samples for one in found))
    return means
