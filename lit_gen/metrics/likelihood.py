"""The log-likelihood of test images under a model with latent variables."""

import time
from contextlib import nullcontext
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.lightning_compat import trainer_of
from lit_gen.losses.likelihood import importance_weighted_bound
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.processes import turn

AT_ONCE = 2**20  # pixels: so many stay in a processor's cache between operations
WORTH_A_WORD = 30  # seconds


class NegativeLogLikelihood(Evaluator):
    """`nll` (↓): an estimate of -log p(x) in nats per image, by the K-sample bound with many samples.

    Burda et al. (arXiv:1509.00519), section 5.1. The estimate is an upper bound on average, and falls towards the true
    value with the number of samples. The networks run in the trainer's precision, as in `test_step`. bfloat16 takes
    half the time, and changes the value by some thousandths of a nat.

    Args:
        samples: number of importance samples per image; the papers have 5,000.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples, self.announced = samples, False
        self.add_state("images", torch.tensor(0), "sum")
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), "sum")

    def update(self, model: Any, batch: Any) -> None:
        target = model.target(batch.image)
        # The decoder's output for all samples would be (samples, B, D) numbers.
        piece = max(1, AT_ONCE // target.numel())
        weights, begun = [], time.monotonic()
        precision = model.trainer.precision_plugin.forward_context() if trainer_of(model) else nullcontext()
        with own_noise(turn(self.update_count), model.device), precision:
            for start in range(0, self.samples, piece):
                weights.append(model.log_weights(target, min(piece, self.samples - start)))
                if not self.announced and len(weights) == 3:
                    self.announce(model, (time.monotonic() - begun) / 3 * self.samples / piece)
        self.images += len(target)
        self.total += importance_weighted_bound(torch.cat(weights)).double().sum()

    def announce(self, model: Any, seconds: float) -> None:
        """Print the expected time, if it is long, given the seconds per batch."""
        self.announced = True
        if trainer_of(model) is None:
            return
        seconds *= sum(model.trainer.num_test_batches)
        if seconds > WORTH_A_WORD:
            rank_zero_info(
                f"NLL from {self.samples:,} samples per image: about {seconds / 60:.0f} min. "
                "Set --model.num_eval_samples lower to shorten it."
            )

    def compute(self) -> dict[str, Figure]:
        samples = f"{self.samples:,} samples per image"
        return {"nll": Figure(float(-self.total / self.images), int(self.images), samples)}
