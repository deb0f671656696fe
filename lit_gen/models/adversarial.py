"""The base of every GAN: a step of D, then one of G, by manual optimization.

    for each minibatch of a loaded batch (there is one, except in ProGAN):
        seed by the place in the training; make fakes
        D: zero, backward of its terms on the fakes without their graph, step
        G, on every n_critic-th turn: zero, backward of its terms on the same fakes, step; then the EMA of its weights

With `accumulate_grad_batches`, several loaded batches are the micro-batches of one step. G then makes fakes of its own
for each, where a step on one batch has D and G share them; G's own pass moves no statistics of batch norm again.
"""

from collections.abc import Hashable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_gen.data.batches import DataSpec
from lit_gen.errors import UserError
from lit_gen.import_paths import import_path
from lit_gen.lightning_compat import count_step, trainer_of, uncounted_steps
from lit_gen.limits import BelowOne, PositiveInt
from lit_gen.losses import Terms
from lit_gen.models.base import GenerativeModule
from lit_gen.training.ema import MovingAverage
from lit_gen.training.modes import evaluating
from lit_gen.training.processes import gather
from lit_gen.training.step import clip_gradients, descend, statistics_kept


class AdversarialModule(GenerativeModule):
    """A generator and a discriminator that take turns.

    A subclass assigns `generator` and `discriminator` (whatever their optimizers move), calls `start_average` when it
    wants an averaged generator, and defines `make_fakes`, `discriminator_loss` and `generator_loss`. Its
    `learning_rate` and `betas` are those of both Adam optimizers, unless it has a `configure_optimizers` of its own
    (D's first, then G's). `learning_rate_factor` is for rates that fall. Schedulers that are returned beside the
    optimizers take its place, and the subclass has to step them, as in every model that takes its steps itself.

    `accumulate_grad_batches` and `gradient_clip_val`, which Lightning's Trainer refuses to models that take their steps
    themselves, are attributes here, which the command line sets. Several batches then make one step of D and after it
    one of G, as one batch of all their images would, except in layers and losses that compare or mix the images of a
    batch (batch norm, for example). An epoch's last step may have fewer. `max_steps` and intervals go on counting
    loaded batches, schedules images.

    Args:
        spec: what the data look like; on the command line it comes from the data.
        n_critic: D steps per G step.
        ema_decay: decay per G step of the EMA of G's weights, by which all images are generated; 0 for none.

    Attributes:
        latent_dim: length of the noise vector.
        learning_rate: learning rate of both Adam optimizers.
        betas: betas of both Adam optimizers.
    """

    output_name: ClassVar[str] = "d_logit"
    """What D gives, in the log: `d_logit`, or `d_score` where no sigmoid is meant to follow."""
    memory_format: ClassVar[torch.memory_format] = torch.preserve_format
    """The layout of images and convolutions' weights with which steps are fastest; by default as they come."""
    generator: nn.Module
    discriminator: nn.Module
    learning_rate: float
    betas: tuple[float, float]
    latent_dim: int

    def __init__(self, spec: DataSpec, n_critic: PositiveInt = 1, ema_decay: BelowOne = 0.0) -> None:
        super().__init__(spec)
        self.automatic_optimization = False
        self.n_critic, self.ema_decay = n_critic, ema_decay
        self.average: MovingAverage | None = None
        self.beside: Terms = {}  # a loss puts here what is logged of a step beside its terms
        self.accumulate_grad_batches = 1
        self.gradient_clip_val: float | None = None
        self._waiting: list[Any] = []  # batches whose step is still to come
        self._not_restored = 0  # images that wait in the checkpoint, of another number of processes
        self.discriminator_steps = 0
        self.gradients_are_read = False  # by a callback, within this batch's step

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self._waiting, self._not_restored = [], 0
        self.to(memory_format=self.memory_format)

    def teardown(self, stage: str) -> None:
        if self.memory_format is not torch.preserve_format:
            self.to(memory_format=torch.contiguous_format)  # as in a model that is loaded: it generates the same bits

    def get_extra_state(self) -> dict[str, Any]:
        return super().get_extra_state() | {"discriminator_steps": self.discriminator_steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self.discriminator_steps = state.get("discriminator_steps", 0)

    @property
    def images_loaded(self) -> int:
        """Return the number of training images so far, of all processes, with those that wait for their step."""
        return self.images_seen + sum(len(batch[0]) for batch in self._waiting) * self.trainer.world_size

    def start_average(self) -> None:
        """Build the moving average of `generator`; a model calls this once the generator is there."""
        if self.ema_decay > 0:
            self.average = MovingAverage(self.generator, self.ema_decay)

    @property
    def sampler(self) -> nn.Module:
        """Return the network that images are generated with: the EMA if there is one, or G."""
        return self.generator if self.average is None else self.average.module

    # What a model defines

    def make_fakes(self, batch: Any) -> Any:
        """Return the fake images of this step, with their graph; with more beside them, as a named tuple."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Any, fakes: Any) -> Terms:
        """Return D's terms on the real images of `batch` and on `fakes`, which carry no graph."""
        raise NotImplementedError

    def generator_loss(self, batch: Any, fakes: Any) -> Terms:
        """Return G's terms; the gradient reaches G through `fakes`, and D takes none."""
        raise NotImplementedError

    def minibatches(self, batch: Any) -> list[Any]:
        """Return the pieces of a loaded batch; each has a step of its own."""
        return [batch]

    def configure_optimizers(self) -> list[Optimizer]:
        networks = self.discriminator, self.generator
        return [self.adam(network.parameters(), self.learning_rate, self.betas) for network in networks]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        with uncounted_steps(*self.optimizers()):  # max_steps counts loaded batches, not the steps of both networks
            *others, last = self.minibatches(batch)
            for minibatch in others:
                self.take(minibatch)
            self.take(last, ends=self.is_last_batch)
        count_step(self.optimizers()[0])  # type: ignore[index]  # they are two

    @property
    def is_last_batch(self) -> bool:
        """Whether this is the last loaded batch of the epoch, or of the training."""
        trainer = self.trainer
        return trainer.is_last_batch or 0 < trainer.max_steps <= trainer.global_step + 1

    def take(self, batch: Any, ends: bool = False) -> None:
        """Step on this batch and those that wait once they are enough, or the epoch `ends`; let it wait otherwise."""
        self._waiting.append(batch)
        if len(self._waiting) == self.accumulate_grad_batches or ends:
            # Those of a checkpoint are plain lists.
            batches = [type(batch)(*map(self._laid_out, waiting)) for waiting in self._waiting]
            self._waiting = []
            self.adversarial_step(batches)

    def _laid_out(self, field: Tensor) -> Tensor:
        return field.to(self.device, memory_format=self.memory_format if field.ndim == 4 else torch.preserve_format)

    def adversarial_step(self, batches: list[Any]) -> None:
        """Step D and, on every `n_critic`-th call, G on these micro-batches, as the pseudo-code at the top says."""
        self.seed("step")
        self.before_step()
        self.set_learning_rates(*self.trainer.optimizers)
        generator_turn = (self.discriminator_steps + 1) % self.n_critic == 0
        # `fast_dev_run` is to try both, and may have fewer batches than that.
        generator_turn |= bool(self.trainer.fast_dev_run) and self.is_last_batch  # type: ignore[attr-defined]

        step = partial(self.game, generator_turn)
        if self.graphs is None or self.gradients_are_read or len(batches) > 1:
            terms = step(batches)
        else:
            terms = self.graphs.run((generator_turn, self.kind_of_step()), lambda batch: step([batch]), batches[0])
        self.log_terms(terms, "train/")
        self.discriminator_steps += 1
        self.count_images(sum(len(batch[0]) for batch in batches))

    def game(self, generator_turn: bool, batches: list[Any]) -> Terms:
        """Step D and, on its turn, G. All work is the device's, except hooks of others within the step.

        The terms of both are returned by their names in the log without `train/`.
        """
        d_optimizer, g_optimizer = self.optimizers()  # type: ignore[attr-defined]  # they are two
        # The graphs of all fakes would take the memory that several micro-batches are to save.
        shared = list(self.fakes_of(batches, graph=generator_turn)) if len(batches) == 1 else None
        fakes = apply_to_collection(shared, Tensor, Tensor.detach) or self.fakes_of(batches, graph=False)
        terms = descend(self, d_optimizer, self.discriminator_loss, batches, fakes)
        if generator_turn:
            fakes = shared or self.fakes_of(batches, graph=True)
            terms |= descend(self, g_optimizer, self.generator_loss, batches, fakes)
            if self.average is not None:
                self.average.update_parameters(self.generator)
        beside, self.beside = self.beside, {}  # nothing is kept that would not follow the model to another device
        return {f"loss_{name}": value for name, value in terms.items()} | beside

    def fakes_of(self, batches: list[Any], graph: bool) -> Iterator[Any]:
        """Make the fakes of each micro-batch, one after the other, with a `graph` where gradients are to reach G."""
        # Where there are several, batch norm has counted each in D's turn.
        again = graph and len(batches) > 1
        for batch in batches:
            with torch.set_grad_enabled(graph), statistics_kept(self) if again else nullcontext():
                fakes = self.make_fakes(batch)
            yield fakes

    def before_step(self) -> None:
        """Prepare a step, as a schedule may want to; called before each."""

    def kind_of_step(self) -> Hashable:
        """Return what the losses decide in Python for the present step, beside whether G steps.

        Steps of one kind run the same operators on tensors of the same shapes, so that a CUDA graph of one is one of
        all. A number that changes from step to step lies in a buffer, which `before_step` fills.
        """
        return None

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # By now, gradients in 16 bits are no longer scaled.
        if self.gradient_clip_val:
            clip_gradients(optimizer, self.gradient_clip_val, self.trainer.gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.accumulate_grad_batches > 1:
            checkpoint["waiting"] = gather([[field.cpu() for field in batch] for batch in self._waiting])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        waiting = checkpoint.get("waiting", [])
        if trainer_of(self) is None:
            return
        if len(waiting) == self.trainer.world_size:
            self._waiting = waiting[self.global_rank]
        else:
            self._not_restored = sum(len(batch[0]) for process in waiting for batch in process)

    def begin_step_anew(self, same_batches: bool) -> int:
        # Batches that wait may be of any size, as long as each has its process.
        return self._not_restored

    def forward(self, latent: Tensor) -> Any:
        """Return the images (B, C, H, W) in [-1, 1] of latent vectors (B, Z), by the EMA if there is one."""
        return self.sampler(latent)

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return draws (count, Z) from the prior; standard normal unless a model says otherwise."""
        return self.noise(count, self.latent_dim, generator=generator)

    @torch.no_grad()
    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return images (count, C, H, W) in [-1, 1], in evaluation mode, by the EMA if there is one.

        Raises:
            UserError: the model makes images of images or sentences, not of noise alone.
        """
        verbs = self.task.verbs
        if not hasattr(verbs, "generate"):
            raise UserError(
                f"{type(self).__name__} makes no images of noise alone. Its methods are those that "
                f"{import_path(verbs)} lists."
            )
        with evaluating(self.sampler):
            images = self(self.sample_latent(self.checked_count(count), generator)).float().clamp(-1, 1)
        return images

    def discriminate(self, batch: Any, fakes: Any) -> tuple[Tensor, Tensor]:
        """Return D's logits or scores, of any shape, for the real images of a batch and for fakes.

        Fakes are what `make_fakes` returned, or generated images alone.

        Raises:
            UserError: batches have no field `image`, and the model does not say what its D is given.
        """
        if not hasattr(batch, "image"):
            raise UserError(
                f"{type(self).__name__} has batches of {type(batch).__name__}, which have no field image. Define its "
                f"discriminate, as {import_path(self.task.verbs)} says."
            )
        return self.discriminator(batch.image), self.discriminator(fake_images(fakes))


def fake_images(fakes: Any) -> Tensor:
    """Return the images (B, C, H, W) among what `make_fakes` gave."""
    return fakes if isinstance(fakes, Tensor) else fakes.image


def real_and_fake(discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return D's outputs for real images and for fakes, by one pass: for a D whose layers mix no images of a batch."""
    whole = discriminator(torch.cat([real, fake]))
    return whole[: len(real)], whole[len(real) :]
