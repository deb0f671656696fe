"""How well categories that were found without labels stand for classes."""

from typing import Any

import torch
from torch import Tensor

from lit_gen.metrics.evaluator import Evaluator, Figure


class CategoryAccuracy(Evaluator):
    """`category_accuracy`: the part of the images that are in their class's category, after the best matching.

    Each category stands for at most one class, and no two for the same. Without labels there is no figure.

    Args:
        categories: how many there are.
        classes: how many the labels have.
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
    """The most images that agree when each category stands for at most one class, and no two for the same.

    An exact search, one category after another, for the best total of each set of classes that are taken. Its time
    grows as 2^(number of classes): ten take a tenth of a second.

    Args:
        counts: (categories, classes), how many images of each class fell into each category.
    """
    best = {0: 0}  # bits of the classes that are taken: images that agree
    for row in counts.tolist():
        for taken, total in list(best.items()):
            for index, count in enumerate(row):
                if not taken >> index & 1:
                    with_it = taken | 1 << index
                    best[with_it] = max(best.get(with_it, 0), total + count)
    return max(best.values())
