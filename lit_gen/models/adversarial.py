"""The base of every GAN: D and G steps by manual optimization, the average of G, and their log."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import torch
from lightning import LightningDataModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lit_gen.data.batches import DataSpec
from lit_gen.losses import Terms
from lit_gen.metrics.evaluator import Evaluator
from lit_gen.metrics.held_out import HeldOutDistance
from lit_gen.metrics.sliced_wasserstein import PATCH
from lit_gen.models.average import MovingAverage
from lit_gen.models.base import GenerativeModule, evaluating
from lit_gen.random_state import gather, get_random_state, set_random_state


class AdversarialModule(GenerativeModule):
    """A generator and a discriminator that take turns.

    A subclass assigns `generator` and `discriminator` (whatever their optimizers move), calls `start_average` when it
    wants an averaged generator, and defines `make_fakes`, `discriminator_loss` and `generator_loss`. Its
    `learning_rate` and `betas` are those of both Adam optimizers, unless it has a `configure_optimizers` of its own
    (D's first, then G's). Here, a step is: make fakes once; step D on them, detached; step G.

    `--trainer.accumulate_grad_batches` and `--trainer.gradient_clip_val`, which Lightning refuses to models that take
    their steps themselves, come here from the command line. Several batches then make one step of D and after it one of
    G, as one batch of all their images would, but for what compares the images of a batch (batch norm, for example). An
    epoch's last step may have fewer. `max_steps`, schedules and intervals go on counting batches.

    Args:
        spec: what the data look like; on the command line it comes from the data.
        n_critic: D steps for each G step.
        ema_decay: decay a step of the moving average of G's weights that all pictures are made with; 0 for none.
    """

    monitor: ClassVar[str | None] = "val/sliced_wasserstein"
    """No loss of a game says how good the pictures are: what is kept is what comes nearest to the held-out images."""
    makes_samples: ClassVar[bool] = True
    """Whether new images come from noise, so that G has collapsed when they are all alike."""
    generator: nn.Module
    discriminator: nn.Module
    learning_rate: float
    betas: tuple[float, float]

    def __init__(self, spec: DataSpec, n_critic: int = 1, ema_decay: float = 0.0) -> None:
        super().__init__(spec)
        self.automatic_optimization = False
        self.n_critic, self.ema_decay = n_critic, ema_decay
        self.average: MovingAverage | None = None
        self.watcher: Callable[[Any, Any], None] | None = None  # is shown batch and fakes before each step
        self.accumulate_grad_batches = 1
        self.gradient_clip_val: float | None = None
        self._waiting: list[Any] = []  # batches whose step is still to come
        # Schedules count images: Trainer.global_step counts optimizer steps, whatever their batch. These are plain
        # numbers in the state dict (`get_extra_state`): reading a buffer would wait for the GPU in every step.
        self.images_seen = 0
        self.discriminator_steps = 0

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self._waiting = []

    def get_extra_state(self) -> dict[str, Any]:
        return {"images_seen": self.images_seen, "discriminator_steps": self.discriminator_steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.images_seen, self.discriminator_steps = state["images_seen"], state["discriminator_steps"]

    def start_average(self) -> None:
        """Builds the moving average of `generator`; to be called once the generator is there."""
        if self.ema_decay > 0:
            self.average = MovingAverage(self.generator, self.ema_decay)

    def __getstate__(self) -> dict[str, Any]:
        # What looks on belongs to a callback, not to a copy of the model.
        return super().__getstate__() | {"watcher": None}

    @property
    def sampler(self) -> nn.Module:
        """The generator that pictures are made with: the average where there is one."""
        return self.generator if self.average is None else self.average.module

    # What a model defines

    def make_fakes(self, batch: Any) -> Any:
        """The fake images of this step, with their graph; a named tuple where they come with more than themselves."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Any, fakes: Any) -> Terms:
        """D's terms on the real images of `batch` and on `fakes`, which carry no graph."""
        raise NotImplementedError

    def generator_loss(self, batch: Any, fakes: Any) -> Terms:
        """G's terms; the gradient reaches G through `fakes`, and D takes none."""
        raise NotImplementedError

    def minibatches(self, batch: Any) -> list[Any]:
        """The pieces of a loaded batch on which one step each is made."""
        return [batch]

    def configure_optimizers(self) -> list[Optimizer]:
        networks = self.discriminator, self.generator
        return [Adam(network.parameters(), self.learning_rate, self.betas) for network in networks]

    # The steps

    def training_step(self, batch: Any, batch_idx: int) -> None:
        *others, last = self.minibatches(batch)
        for minibatch in others:
            self.take(minibatch)
        ends = self.trainer.is_last_batch or 0 < self.trainer.max_steps <= self.trainer.global_step + 1
        self.take(last, ends)

    def take(self, batch: Any, ends: bool = False) -> None:
        """Steps on this batch and those that wait, if they are enough or the epoch `ends`; otherwise it waits too."""
        self._waiting.append(batch)
        if len(self._waiting) < self.accumulate_grad_batches and not ends:
            # Trainer.global_step, and with it max_steps, is to mean batches.
            optimizer, _ = self.optimizers()
            optimizer._on_before_step()
            optimizer._on_after_step()
            return
        # Those of a checkpoint are plain lists.
        batches = [type(batch)(*(field.to(self.device) for field in waiting)) for waiting in self._waiting]
        self._waiting = []
        self.adversarial_step(batches)

    def adversarial_step(self, batches: list[Any]) -> None:
        """One step of D, and one of G on every `n_critic`-th call, on the same fakes."""
        discriminator_optimizer, generator_optimizer = self.optimizers()
        self.before_step()
        self.set_learning_rates(discriminator_optimizer, generator_optimizer)
        generator_turn = (self.discriminator_steps + 1) % self.n_critic == 0
        # The graphs of several batches of fakes would take the memory that was to be saved.
        again = generator_turn and len(batches) > 1
        fakes, random_states = [], []
        for batch in batches:
            random_states += [get_random_state()] if again else []
            with torch.set_grad_enabled(generator_turn and not again):
                fakes.append(self.make_fakes(batch))

        detached = apply_to_collection(fakes, Tensor, Tensor.detach)
        if self.watcher is not None:
            self.watcher(batches[-1], detached[-1])
        self.step(discriminator_optimizer, self.discriminator_loss, batches, detached)
        if generator_turn:
            # Trainer.global_step is to mean D's steps and not those of both.
            generator_optimizer._on_before_step = generator_optimizer._on_after_step = _do_nothing
            fakes = self.make_again(batches, random_states) if again else fakes
            self.step(generator_optimizer, self.generator_loss, batches, fakes)
            if self.average is not None:
                self.average.update_parameters(self.generator)
        self.discriminator_steps += 1
        self.images_seen += sum(len(batch[0]) for batch in batches) * self.trainer.world_size

    def make_again(self, batches: list[Any], random_states: list[Any]) -> Iterator[Any]:
        """The fakes that `make_fakes` gave from these random states, with their graph, one batch after the other."""
        for batch, state in zip(batches, random_states, strict=True):
            present = get_random_state()
            set_random_state(state)
            fakes = self.make_fakes(batch)
            set_random_state(present)
            yield fakes

    def before_step(self) -> None:
        """Called before each pair of steps, for schedules."""

    def step(
        self,
        optimizer: LightningOptimizer,
        loss: Callable[[Any, Any], Terms],
        batches: list[Any],
        fakes: Iterable[Any],
    ) -> None:
        """One step down the sum of `loss(batch, fakes)`, the mean over the images of all batches.

        No parameter of the other optimizer takes a gradient.
        """
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        images = sum(len(batch[0]) for batch in batches)
        means: Terms = {}
        for batch, made in zip(batches, fakes, strict=True):
            weight = len(batch[0]) / images
            terms = loss(batch, made)
            if weight < 1:
                terms = {name: weight * term for name, term in terms.items()}
            self.manual_backward(sum(terms.values()))
            for name, term in terms.items():
                means[name] = means[name] + term.detach() if name in means else term.detach()
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        self.log_terms("train", means, prog_bar=True)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # By now, gradients in 16 bits are no longer scaled.
        if self.gradient_clip_val:
            self.clip_gradients(optimizer, self.gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.accumulate_grad_batches > 1:
            checkpoint["waiting"] = gather([[field.cpu() for field in batch] for batch in self._waiting])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        waiting = checkpoint.get("waiting", [])
        if self._trainer is not None and len(waiting) == self.trainer.world_size:
            self._waiting = waiting[self.global_rank]

    def forward(self, latent: Tensor) -> Tensor:
        """Latent vectors (B, Z) to images (B, C, H, W) in [-1, 1], by the generator that pictures are made with."""
        return self.sampler(latent)

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, Z) draws from the prior; standard normal unless a model says otherwise."""
        return self.noise(count, self.latent_dim, generator=generator)

    @torch.no_grad()
    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """`count` images (count, C, H, W) in [-1, 1], in evaluation mode, by the averaged generator if there is one."""
        with evaluating(self.sampler):
            images = self(self.sample_latent(count, generator)).float().clamp(-1, 1)
        return images

    def validation_evaluators(self, data: LightningDataModule) -> list[Evaluator]:
        measurable = min(self.image_shape[1:]) >= PATCH
        return [HeldOutDistance()] if measurable and self.monitor == "val/sliced_wasserstein" else []

    def held_out_pairs(self, batch: Any, noise: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Held-out images and as many made ones that are to look like them, each (B, C, H, W) in [-1, 1].

        Args:
            batch: held-out data on the model's device.
            noise: a CPU generator to draw the noise from.
        """
        return [(batch.image, self.generate(len(batch.image), noise))]

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log_logits(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log_logits(batch, "test")

    def log_logits(self, batch: Any, prefix: str) -> None:
        """Logs D's mean output for held-out real images and for new fakes.

        Held-out reals near the fakes, while the training reals are not: D has learnt its training images by heart.
        """
        real, fake = self.discriminate(batch, self.make_fakes(batch))
        values = {"d_logit_real": real.mean(), "d_logit_fake": fake.mean()}
        self.log_terms(prefix, values, batch_size=len(batch[0]), sync_dist=True)

    def discriminate(self, batch: Any, fakes: Any) -> tuple[Tensor, Tensor]:
        """D's logits or scores, of any shape, for the real images of `batch` and for what `make_fakes` gave."""
        return self.discriminator(batch.image), self.discriminator(fake_images(fakes))


def fake_images(fakes: Any) -> Tensor:
    """The images (B, C, H, W) among what `make_fakes` gave."""
    return fakes if isinstance(fakes, Tensor) else fakes.image


def _do_nothing() -> None:
    pass
