"""How well a model tells classes, with labels or without: the error of its answers, the accuracy of its categories."""

from typing import Any

import networkx
import torch
from torch import Tensor

from lit_gen.data.batches import UNLABELLED
from lit_gen.metrics.evaluator import Evaluator, Figure


class ClassificationError(Evaluator):
    """`classification_error` (↓): the fraction of labelled images that the model gives another class.

    Without labelled images there is no value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_state("wrong", torch.tensor(0), "sum")
        self.add_state("known", torch.tensor(0), "sum")

    def update(self, model: Any, batch: Any) -> None:
        known = batch.label != UNLABELLED
        self.wrong += ((model.classify(batch.image).argmax(1) != batch.label) & known).sum()
        self.known += known.sum()

    def figures(self) -> dict[str, Figure]:
        known = int(self.known)
        return {"classification_error": Figure(int(self.wrong) / known, known)} if known else {}


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
