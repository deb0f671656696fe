"""Metrics of images translated to another domain: whether they look like it, and how much else has changed."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from lit_gen.data.contract import DataModule
from lit_gen.metrics.classifiers import classifier_for, domain_question, quoted
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import as_images
from lit_gen.metrics.processes import own_pieces

DIRECTIONS = {"a_to_b": "A", "b_to_a": "B"}
"""The domain translated; the numbers of the domains are 0 and 1."""
AT_ONCE = 2**16  # pixels


class DomainTranslations(Evaluator):
    """Metrics of the test images of both domains, each translated once to the other domain.

    - `<direction>_taken_for_target` (↑): fraction of translations that a classifier assigns to the other domain.
    - `judge_accuracy`: the classifier's accuracy on real images, the ceiling of the previous metric.

    On rendered data, where the true counterpart of an image is known, with images in [-1, 1]:

    - `<direction>_error` (↓): mean absolute difference from the counterpart, both averaged over 4x4 pixels, so that the
      place of each stripe does not matter.
    - `<direction>_identity_error`: the same for the unchanged input.
    - `<direction>_error_ratio` (↓): the relative error, the first over the second (1 = unchanged input).
    - `<direction>_change_outside` (↓): mean absolute change outside the animal.

    Args:
        samples: largest number of images to translate per domain.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        for state in ("pictures", "known_right", "taken"):
            self.add_state(state, torch.zeros(2, dtype=torch.int64), "sum")
        for state in ("error", "identity_error", "change_outside", "outside"):
            self.add_state(state, torch.zeros(2, dtype=torch.float64), "sum")

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        """Translate and measure all images here, because test batches repeat images of the smaller domain."""
        self.classifier = classifier_for(domain_question(data), data, model.device)
        for number, (direction, domain) in enumerate(DIRECTIONS.items()):
            pictures = data.test_images(domain)
            piece = max(1, AT_ONCE // pictures["test"].shape[1] ** 2)
            pieces = list(own_pieces(min(self.samples, len(pictures["test"])), piece))
            for _, rows in tqdm(pieces, desc=direction, disable=piece > 1):
                shown = {part: as_images(array[rows], data, model.device) for part, array in pictures.items()}
                self.look(number, model.translate(shown["test"], direction), **shown)

    def look(
        self, number: int, made: Tensor, test: Tensor, truth: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Add the measurements of translations `made` of images `test`, of the domain `number`, to the states."""
        self.pictures[number] += len(test)
        self.known_right[number] += (self.classifier.decide(test) == number).sum()
        self.taken[number] += (self.classifier.decide(made) == 1 - number).sum()
        if truth is None or mask is None:
            return
        self.error[number] += distance(made, truth)
        self.identity_error[number] += distance(test, truth)
        outside = mask.amax(1, keepdim=True) < -0.99  # no part of the animal
        self.change_outside[number] += ((made - test).abs().mean(1, keepdim=True) * outside).sum()
        self.outside[number] += outside.sum()

    def compute(self) -> dict[str, Figure]:
        everything = int(self.pictures.sum())
        accuracy = int(self.known_right.sum()) / everything
        figures = {"judge_accuracy": Figure(accuracy, everything)}
        for number, way in enumerate(DIRECTIONS):
            pictures = int(self.pictures[number])
            taken = int(self.taken[number]) / pictures
            figures[f"{way}_taken_for_target"] = Figure(taken, pictures, quoted(accuracy))
            if self.outside[number]:
                error, identity_error = (float(state[number]) / pictures for state in (self.error, self.identity_error))
                outside = float(self.change_outside[number] / self.outside[number])
                figures[f"{way}_change_outside"] = Figure(outside, pictures)
                figures[f"{way}_error"] = Figure(error, pictures)
                figures[f"{way}_identity_error"] = Figure(identity_error, pictures)
                figures[f"{way}_error_ratio"] = Figure(error / identity_error, pictures)
        return figures


def distance(images: Tensor, truth: Tensor) -> Tensor:
    """Return the sum over images (B, C, H, W) of the mean absolute difference, both averaged over 4x4 pixels."""
    return functional.avg_pool2d(images - truth, 4).abs().mean((1, 2, 3)).sum()
