"""The accuracy of categories, learned without labels, as classes."""

from typing import Any

import networkx
import torch
from torch import Tensor

from lit_gen.metrics.evaluator import Evaluator, Figure


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
            found = model.categories(batch.image), batch.label
            self.counts.index_put_(found, torch.ones_like(batch.label), accumulate=True)

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
