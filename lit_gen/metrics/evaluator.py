"""What `test` measures of a model, beyond the terms of its own `test_step`."""

from typing import Any, NamedTuple

from lightning import LightningDataModule
from torchmetrics import Metric


class Figure(NamedTuple):
    """One measured number.

    `samples` is how many images, pairs or codes it comes from, `features` the network that looked at them, if any.
    """

    value: float
    samples: int
    features: str = ""


class Options(NamedTuple):
    """What the user may choose of an evaluation; see `lit_gen.callbacks.evaluation.Evaluation`."""

    features: str = "auto"
    samples: int = 10_000


class Evaluator(Metric):
    """A torchmetrics metric that asks the model: `update(model, batch)`, then `compute()` gives figures by name.

    What it gathers are states (`add_state`), which torchmetrics joins over processes before `compute`. Evaluators live
    for one evaluation and are no part of the model: nothing of them is in its checkpoint.
    """

    full_state_update = False

    def prepare(self, model: Any, data: LightningDataModule) -> None:
        """Prepare the first batch, on all processes: for example, train a classifier."""

    def update(self, model: Any, batch: Any) -> None:
        raise NotImplementedError

    def compute(self) -> dict[str, Figure]:
        raise NotImplementedError
