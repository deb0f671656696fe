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

DIRECTIONS = {"a_to_b": ("A", 1), "b_to_a": ("B", 0)}  # the domain translated, the number of the one translated to
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
        for direction in DIRECTIONS:
            for state in ("pictures", "known_right", "taken"):
                self.add_state(f"{direction}_{state}", torch.tensor(0), "sum")
            for state in ("error", "identity_error", "change_outside", "outside"):
                self.add_state(f"{direction}_{state}", torch.tensor(0.0, dtype=torch.float64), "sum")

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        """Translate and measure all images here, because test batches repeat images of the smaller domain."""
        self.classifier = classifier_for(domain_question(data), data, model.device)
        for direction, (domain, _) in DIRECTIONS.items():
            pictures = data.test_images(domain)
            piece = max(1, AT_ONCE // pictures["test"].shape[1] ** 2)
            pieces = list(own_pieces(min(self.samples, len(pictures["test"])), piece))
            for _, rows in tqdm(pieces, desc=direction, disable=piece > 1):
                shown = {part: as_images(array[rows], data, model.device) for part, array in pictures.items()}
                self.look(direction, model.translate(shown["test"], direction), **shown)

    def look(
        self, direction: str, made: Tensor, test: Tensor, truth: Tensor | None = None, mask: Tensor | None = None
    ) -> None:
        """Add the measurements of translations `made` of the images `test` to the states."""
        target = DIRECTIONS[direction][1]

        def add(state: str, value: Any) -> None:
            name = f"{direction}_{state}"
            setattr(self, name, getattr(self, name) + value)

        add("pictures", len(test))
        add("known_right", (self.classifier.decide(test) == 1 - target).sum())
        add("taken", (self.classifier.decide(made) == target).sum())
        if truth is None or mask is None:
            return
        for state, images in (("error", made), ("identity_error", test)):
            add(state, functional.avg_pool2d(images - truth, 4).abs().mean((1, 2, 3)).sum())
        outside = mask.amax(1, keepdim=True) < -0.99  # no part of the animal
        add("change_outside", ((made - test).abs().mean(1, keepdim=True) * outside).sum())
        add("outside", outside.sum())

    def compute(self) -> dict[str, Figure]:
        def state(direction: str, name: str) -> float:
            return float(getattr(self, f"{direction}_{name}"))

        everything = sum(state(direction, "pictures") for direction in DIRECTIONS)
        accuracy = sum(state(direction, "known_right") for direction in DIRECTIONS) / everything
        figures = {"judge_accuracy": Figure(accuracy, int(everything))}
        for way in DIRECTIONS:
            pictures = int(state(way, "pictures"))
            taken = state(way, "taken") / pictures
            figures[f"{way}_taken_for_target"] = Figure(taken, pictures, quoted(accuracy))
            if state(way, "outside"):
                error, identity_error = (state(way, name) / pictures for name in ("error", "identity_error"))
                outside = state(way, "change_outside") / state(way, "outside")
                figures[f"{way}_change_outside"] = Figure(outside, pictures)
                figures[f"{way}_error"] = Figure(error, pictures)
                figures[f"{way}_identity_error"] = Figure(identity_error, pictures)
                figures[f"{way}_error_ratio"] = Figure(error / identity_error, pictures)
        return figures
