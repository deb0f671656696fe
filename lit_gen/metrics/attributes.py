"""Metrics of attribute editing: whether images show the changed attribute, and keep the others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lit_gen.data.contract import DataModule
from lit_gen.metrics.classifiers import attribute_question, classifier_for, quoted
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.processes import Share
from lit_gen.synthetic.faces.names import HAIR_COLOURS


class AttributeChanges(Evaluator):
    """Metrics of each single attribute change of every test image, by a classifier.

    - `changed_<name>` (↑): fraction of translations with the target attribute, of the images that lacked it.
    - `kept_with_<name>` (↑): fraction of the classifier's predictions for the attributes that this change does not
      concern that a translation leaves unchanged.
    - `changed`, `kept` (↑): their means over the attributes.
    - `judge_<name>`, `judge_accuracy`: the classifier's accuracy on real images, the ceiling of these metrics.

    Only the model's own attributes are looked at.

    Args:
        names: names of the attributes.
        samples: largest number of test images to translate.
    """

    def __init__(self, names: Sequence[str], samples: int) -> None:
        super().__init__()
        self.names, self.samples = list(names), samples
        # A change that leaves an attribute alone in images with no attribute and with all leaves it alone in any image.
        extremes = torch.tensor([[0.0], [1.0]]).expand(2, len(names))
        stays = single_changes(extremes, names) == extremes
        self.left_alone = stays.all(1)  # (A, A): row i for a change of attribute i
        self.add_state("pictures", torch.tensor(0), "sum")
        for state in ("right", "asked", "changed", "kept"):
            self.add_state(state, torch.zeros(len(names), dtype=torch.int64), "sum")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.classifier = classifier_for(attribute_question(data, self.names), data, model.device)
        self.share = Share(self.samples)

    def update(self, model: Any, batch: Any) -> None:
        batch = self.share.of(batch)
        if not len(batch.image):
            return
        labels, before = model.labels(batch), self.classifier.decide(batch.image)
        self.pictures += len(labels)
        self.right += (before == labels).sum(0)
        for index, target in enumerate(single_changes(labels, self.names)):
            asked = (target != labels).any(1)  # hair that has the colour already needs no change
            after = self.classifier.decide(model.translate(batch.image, target))
            self.asked[index] += asked.sum()
            self.changed[index] += (after[asked, index] == target[asked, index]).sum()
            self.kept[index] += (after == before)[asked][:, self.left_alone[index]].sum()

    def compute(self) -> dict[str, Figure]:
        pictures, asked, others = int(self.pictures), self.asked.tolist(), self.left_alone.sum(1).tolist()
        accuracy = (self.right / self.pictures).tolist()
        figures = {f"judge_{name}": Figure(right, pictures) for name, right in zip(self.names, accuracy, strict=True)}
        changed, kept = [], []
        for index, name in enumerate(self.names):
            if not asked[index]:
                continue
            network = quoted(accuracy[index])
            changed.append(float(self.changed[index]) / asked[index])
            figures[f"changed_{name}"] = Figure(changed[-1], asked[index], network)
            if others[index]:
                kept.append(float(self.kept[index]) / (asked[index] * others[index]))
                figures[f"kept_with_{name}"] = Figure(kept[-1], asked[index], network)
        mean_accuracy = sum(accuracy) / len(accuracy)
        for name, shares in (("changed", changed), ("kept", kept)):
            if shares:
                figures[name] = Figure(sum(shares) / len(shares), sum(asked), quoted(mean_accuracy))
        return figures | {"judge_accuracy": Figure(mean_accuracy, pictures)}


def single_changes(labels: Tensor, names: Sequence[str]) -> Tensor:
    """Return the targets (A, B, A) that differ from labels (B, A) in {0, 1} in one thing, one set for each attribute.

    A hair colour is set, and the other hair colours with it unset; any other attribute is turned into its opposite.
    """
    hair = [column for column, name in enumerate(names) if name in HAIR_COLOURS]
    targets = labels.repeat(len(names), 1, 1)
    for column, target in enumerate(targets):
        if column in hair:
            target[:, hair] = 0
            target[:, column] = 1
        else:
            target[:, column] = 1 - target[:, column]
    return targets
