"""The accuracy of categories, learned without labels, as classes."""

from typing import Any

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

    def compute(self) -> dict[str, Figure]:
        total = int(self.counts.sum())
        return {"category_accuracy": Figure(matched(self.counts) / total, total)} if total else {}


def matched(counts: Tensor) -> int:
    """Return the largest number of images that agree with a matching of categories and classes, each used once at most.

    An exact search goes through the categories, and keeps the best total for each set of classes already matched. Its
    time grows as 2^(number of classes): ten classes take a tenth of a second.

    Args:
        counts: (categories, classes), the number of images of each class in each category.
    """
    best = {0: 0}  # number of images that agree, by the set of matched classes as bits
    for row in counts.tolist():
        for taken, total in list(best.items()):
            for index, count in enumerate(row):
                if not taken >> index & 1:
                    with_it = taken | 1 << index
                    best[with_it] = max(best.get(with_it, 0), total + count)
    return max(best.values())
