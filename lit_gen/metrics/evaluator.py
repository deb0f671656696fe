"""The interface of the metrics that `test` computes, besides those of a model's own `test_step`."""

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor
from torchmetrics import Metric

from lit_gen.data.contract import DataModule
from lit_gen.metrics.processes import from_first


class Figure(NamedTuple):
    """A value of a metric."""

    value: float
    samples: int  # number of images, pairs or latents that it is computed from
    features: str = ""  # name of the network that looked at them, and which real images they are compared with


class Options(NamedTuple):
    """The user's settings of an evaluation; see `lit_gen.callbacks.evaluation.Evaluation`."""

    features: str = "auto"
    samples: int = 10_000
    published: bool = False
    generated: int = 50_000
    split: str | None = None


class Evaluator(Metric):
    """A torchmetrics metric of a model: `update(model, batch)`, then `compute()` returns values by name.

    It collects states (`add_state`), which torchmetrics joins over all processes before `compute`. A subclass defines
    `compute`, or, where that takes long or draws at random, `figures`, which one process computes for all. It lives
    for one evaluation and is no part of the model, so that checkpoints hold nothing of it.
    """

    full_state_update = False
    if TYPE_CHECKING:  # a state that is declared nowhere is a tensor

        def __getattr__(self, name: str) -> Tensor: ...

    def prepare(self, model: Any, data: DataModule) -> None:
        """Prepare the first batch, on all processes: for example, train a classifier."""

    def update(self, model: Any, batch: Any) -> None:
        """Look at a batch; nothing by default, for those that look at images of their own in `prepare`."""

    def compute(self) -> dict[str, Figure]:
        """Return `figures`, computed by rank 0 for all processes: each has the joined states."""
        return from_first(self.figures)

    def figures(self) -> dict[str, Figure]:
        """Return the values by name."""
        raise NotImplementedError
