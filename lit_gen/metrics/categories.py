"""The accuracy of categories, learned without labels, as classes."""

import math
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

    It is found by the Hungarian method (Kuhn 1955) with shortest paths (Jonker & Volgenant 1987), whose time grows with
    the larger of the two numbers, and with the square of the smaller.

    Args:
        counts: (categories, classes), the number of images of each class in each category.
    """
    gains = (counts if len(counts) <= counts.shape[1] else counts.T).tolist()
    rows, columns = len(gains), range(1, len(gains[0]) + 1)
    of_row, of_column = (
        [0.0] * (rows + 1),
        [0.0] * (len(columns) + 1),
    )  # prices: a cell's two sum up to its gain or more
    row_of = [0] * (len(columns) + 1)  # the row matched with each column; rows count from 1, and 0 is for none
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        slack, before, done = [math.inf] * (len(columns) + 1), [0] * (len(columns) + 1), {0}
        while row_of[column]:
            here, cheapest = row_of[column], 0
            slack[0] = math.inf
            for other in columns:
                if other not in done:
                    spare = of_row[here] + of_column[other] - gains[here - 1][other - 1]
                    if spare < slack[other]:
                        slack[other], before[other] = spare, column
                    if slack[other] < slack[cheapest]:
                        cheapest = other
            step = slack[cheapest]
            for other in done:
                of_row[row_of[other]] -= step
                of_column[other] += step
            slack = [value if other in done else value - step for other, value in enumerate(slack)]
            done.add(cheapest)
            column = cheapest
        while column:  # every column on the path takes the row of the one before it
            row_of[column] = row_of[before[column]]
            column = before[column]
    return sum(gains[row_of[column] - 1][column - 1] for column in columns if row_of[column])
