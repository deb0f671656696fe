"""The health of a GAN's training: D and G in the log, and a line when G has collapsed or gets no gradient from D."""

from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from lit_gen.lightning_compat import batches_so_far, data_of, step_in_log
from lit_gen.limits import NonNegativeInt
from lit_gen.models.adversarial import AdversarialModule, fake_images
from lit_gen.training.modes import evaluating
from lit_gen.training.seeds import seed_generators
from lit_gen.training.step import statistics_kept

SAMPLES = 64
"""Images whose diversity is measured: the mean distance of their 2,016 pairs is sure to a few per cent."""
SIDE = 32
"""Height and width to which larger images are averaged before: images that differ do so at that size too."""
AT_ONCE = 2**18
"""Pixels that are generated at once for the diversity, to save memory."""
COLLAPSED = 0.1
"""Diversity below which G has collapsed. On MNIST, GAN has 0.99 after 12 epochs; real zeros alone have 0.92, and one
digit with noise of 0.05 on its pixels has 0.09."""
GRACE = 20
"""Checks in which G may become diverse at first: GAN on MNIST needs 250 batches for a diversity of 0.1."""
VANISHED = 1e-6
"""Norm of a gradient below which only rounding is left; GAN, DCGAN, InfoGAN and ProGAN have 0.4 to 30."""
UNCHANGED = 1e-4
"""Change of D's mean outputs between two checks below which D does not tell one batch from another."""
PATIENCE = 5
"""Checks in a row that must agree before a warning: a single batch says little."""


class Health(Callback):
    """Log how D and G are doing, and warn in one line when G has collapsed, D is saturated or D has no gradient.

    `health/d_logit_real` and `health/d_logit_fake` (or `d_score_…`) are D's mean outputs for a batch's real images and
    fakes before D steps on them. `health/d_gradient_norm` and `health/g_gradient_norm` are the norms of the last
    gradients. `health/diversity` is the mean distance between two images that G generates from fixed noise, over that
    between two held-out images; it is 1 when they are equally diverse.
    `health/collapsed` and `health/dead_discriminator` are 1 while a warning holds.

    Nothing of this changes the training, nor makes it wait for a GPU between two checks.

    Args:
        every_n_batches: batches from one check to the next; 0 for no checks.
    """

    def __init__(self, every_n_batches: NonNegativeInt = 50) -> None:
        self.every_n_batches = every_n_batches
        self.looks = {"collapsed": 0, "dead_discriminator": 0}  # checks in a row
        self.grace, self.outputs_before = GRACE, [0.0, 0.0]
        self._seen: dict[str, Tensor] = {}

    def setup(self, trainer: Trainer, model: Any, stage: str) -> None:
        self._seen = {}  # of another training; before a checkpoint is loaded

    def state_dict(self) -> dict[str, Any]:
        state = {"looks": dict(self.looks), "grace": self.grace, "outputs_before": list(self.outputs_before)}
        # Of a step before the batch of the look; between two batches, nothing else is waiting for it.
        return state | {"norms": {name: norm.item() for name, norm in self._seen.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.looks, self.grace = dict(state_dict["looks"]), state_dict["grace"]
        self.outputs_before = list(state_dict["outputs_before"])
        self._seen = {name: torch.tensor(norm) for name, norm in state_dict.get("norms", {}).items()}

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        self._seen = {name: norm.to(model.device) for name, norm in self._seen.items()}
        self._held_out = None
        if self.every_n_batches and model.task.makes_samples and hasattr(data_of(trainer), "preview_batch"):
            held_out = data_of(trainer).preview_batch(SAMPLES)
            self._held_out = held_out if len(held_out[0]) > 1 else None

    def _batches_to_look(self, trainer: Trainer) -> int:
        return -batches_so_far(trainer) % self.every_n_batches

    @torch.no_grad()
    def on_train_batch_start(self, trainer: Trainer, model: Any, batch: Any, *_: Any) -> None:
        if not self.every_n_batches:
            return
        # Neither network need step in the batch of the look. A CUDA graph would keep the gradients to itself.
        batches = self._batches_to_look(trainer)
        model.gradients_are_read = batches < model.n_critic * model.accumulate_grad_batches
        if batches > 0:
            return
        # D's outputs in training mode, for what the step is about to make: it begins with the same seed.
        with trainer.precision_plugin.train_step_context(), statistics_kept(model):
            minibatch = model.minibatches(batch)[0]
            model.seed("step")
            real, fake = (output.float() for output in model.discriminate(minibatch, model.make_fakes(minibatch)))
        self._seen |= {"d_real": real.mean(), "d_fake": fake.mean(), "separated": (real.min() > fake.max()).float()}

    def on_before_optimizer_step(self, trainer: Trainer, model: Any, optimizer: Optimizer) -> None:
        if not self.every_n_batches:
            return
        name, steps = ("d", 1) if optimizer is trainer.optimizers[0] else ("g", model.n_critic)
        if self._batches_to_look(trainer) < steps * model.accumulate_grad_batches:
            self._seen[f"{name}_gradient_norm"] = gradient_norm(optimizer)

    def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
        if not self.every_n_batches or self._batches_to_look(trainer) > 0:
            return
        if "d_gradient_norm" not in self._seen:
            self._seen = {}
            return  # no step since the start
        if self._held_out is not None:
            self._seen["diversity"] = self._diversity(model, self._held_out)
        # The one place where the training waits for the GPU, and for other processes.
        values = trainer.strategy.reduce(torch.stack(list(self._seen.values())), reduce_op="mean").tolist()
        seen = dict(zip(self._seen, values, strict=True))
        self._seen = {}
        seen |= self._alarms(batches_so_far(trainer), seen)
        outputs = {"d_real": f"{model.output_name}_real", "d_fake": f"{model.output_name}_fake"}
        figures = {f"health/{outputs.get(name, name)}": value for name, value in seen.items() if name != "separated"}
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})
        # Not by model.log: it would repeat them in the rows that follow.
        for logger in trainer.loggers:
            logger.log_metrics(figures | {"epoch": trainer.current_epoch}, step_in_log(trainer))

    @torch.no_grad()
    def _diversity(self, model: AdversarialModule, held_out: Any) -> Tensor:
        """Return the diversity of what G, not its EMA, generates from fixed noise, over that of the held-out images."""
        made = []
        seed_generators(model.device, "diversity")
        with evaluating(model.generator):
            size = max(1, AT_ONCE // (model.image_shape[-1] * model.image_shape[-2]))
            for piece in zip(*(field.split(size) for field in held_out), strict=True):
                batch = type(held_out)(*(field.to(model.device) for field in piece))
                made.append(model.make_fakes(batch))
        images = [fake_images(fakes).float() for fakes in made]
        side = min(SIDE, images[0].shape[-1])  # ProGAN's grow
        fake, real = (functional.adaptive_avg_pool2d(some, side) for some in (torch.cat(images), held_out.image))
        return mean_distance(fake) / mean_distance(real).to(fake.device).clamp_min(1e-12)

    def _alarms(self, batch: int, seen: dict[str, float]) -> dict[str, float]:
        """Warn where it is due, and return for each warning whether it holds, as 0 or 1."""
        outputs = [seen["d_real"], seen["d_fake"]]
        moved = max(abs(now - before) for now, before in zip(outputs, self.outputs_before, strict=True))
        self.outputs_before = outputs
        stuck = seen["d_gradient_norm"] < VANISHED and moved < UNCHANGED
        beyond_reach = seen["separated"] == 1 and seen.get("g_gradient_norm", 1) < VANISHED
        diversity = seen.get("diversity", 1)
        self.grace = 0 if diversity > 2 * COLLAPSED else max(0, self.grace - 1)
        findings = {
            "collapsed": (
                diversity < COLLAPSED and not self.grace,
                f"G has collapsed: its images differ by {diversity:.1%} of what held-out images do. Go back to an "
                "earlier checkpoint, with lower learning rates or another balance of D and G",
            ),
            "dead_discriminator": (
                stuck or beyond_reach,
                "D tells all real images from all fakes, and G has no gradient. Weaken D, or use another loss"
                if beyond_reach
                else "D is dead: it has no gradient, and its outputs no longer change. Lower its learning rate",
            ),
        }
        for name, (found, words) in findings.items():
            self.looks[name] = self.looks[name] + 1 if found else 0
            if self.looks[name] == PATIENCE:
                rank_zero_info(f"warning: batch {batch}: {words} ({PATIENCE} checks in a row).")
        return {name: float(looks >= PATIENCE) for name, looks in self.looks.items()}


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """Return the Euclidean norm of the gradients of all parameters that an optimizer moves."""
    gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
    return torch.stack([gradient.float().norm() for gradient in gradients if gradient is not None]).norm()


def mean_distance(images: Tensor) -> Tensor:
    """Return the mean Euclidean distance between two of the images (N, C, H, W)."""
    return functional.pdist(images.flatten(1)).mean()
