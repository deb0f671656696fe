"""How well a model tells classes, with labels or without: the error of its answers, the accuracy of its categories."""

from typing import Any

import networkx
import torch
from torch import Tensor
from torch.nn import functional

from lit_gen.data.batches import UNLABELLED
from lit_gen.metrics.evaluator import Evaluator, Figure


class ClassificationError(Evaluator):
    """What a model says of the classes of labelled images; without these there is no value.

    `classification` (↓): the model's term of that name, the weighted cross-entropy in nats.
    `classification_error` (↓): the fraction of images that it gives another class.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_state("entropy", torch.tensor(0.0), "sum")
        self.add_state("wrong", torch.tensor(0), "sum")
        self.add_state("known", torch.tensor(0), "sum")

    def update(self, model: Any, batch: Any) -> None:
        known = batch.label != UNLABELLED
        logits, label = model.classify(batch.image)[known], batch.label[known]
        self.entropy += model.classification_weight * functional.cross_entropy(logits, label, reduction="sum")
        self.wrong += (logits.argmax(1) != label).sum()
        self.known += known.sum()

    def figures(self) -> dict[str, Figure]:
        known = int(self.known)
        values = {"classification": float(self.entropy), "classification_error": int(self.wrong)}
        return {name: Figure(value / known, known) for name, value in values.items()} if known else {}


class CategoryAccuracy(Evaluator):
    """`category_accuracy` (↑): the fraction of images in the category of their class, under the best matching.

    Each category is matched with at most one class, and no two with the same. Without labels there is no value.

    Args:
        categories: number of categories.
        classes: number of classes of the labels.
    """

    def __init__(self, categories: int, classes: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(categories, classes, dtype=torch.int64), "sum")

    def update(self, model: Any, batch: Any) -> None:
        if hasattr(batch, "label"):
            known = batch.label != UNLABELLED
            found = model.categories(batch.image)[known], batch.label[known]
            self.counts.index_put_(found, torch.ones_like(found[1]), accumulate=True)

    def figures(self) -> dict[str, Figure]:
        total = int(self.counts.sum())
        return {"category_accuracy": Figure(matched(self.counts) / total, total)} if total else {}


def matched(counts: Tensor) -> int:
    """Return the largest number of images that agree with a matching of categories and classes, each used once at most.

    `counts` (categories, classes) are the numbers of images of each class in each category.
    """
    table = enumerate(counts.tolist())
    edges = [(("category", row), ("class", place), count) for row, line in table for place, count in enumerate(line)]
    graph = networkx.Graph()
    graph.add_weighted_edges_from(edges)
    return int(sum(graph.edges[pair]["weight"] for pair in networkx.max_weight_matching(graph)))
