"""The base of the models that encode, trained by automatic optimization."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lit_gen.data.batches import DataSpec
from lit_gen.errors import UserError
from lit_gen.layers.coders import DecoderArgument, EncoderArgument, build
from lit_gen.lightning_compat import batches_a_step
from lit_gen.limits import NonNegativeFloat, PositiveInt
from lit_gen.losses import Terms, total
from lit_gen.models.base import GenerativeModule
from lit_gen.schedules import log_spaced
from lit_gen.tasks.reconstruction import Reconstruction
from lit_gen.training.graphs import Gradients, differentiable, gradients_of
from lit_gen.training.modes import evaluating
from lit_gen.training.processes import gather
from lit_gen.training.step import clip_gradients


class AutoencodingModule(GenerativeModule):
    """An encoder and a decoder with one loss.

    A subclass defines `losses` and `decode`; a step is the sum of the terms. Several batches that make one step
    (`--trainer.accumulate_grad_batches`) count by their images, as one batch of all of these would.

    Args:
        spec: what the data look like; on the command line it comes from the data.
        latent_dim: length of the latent z.
        encoder: class of the encoder, such as MLPEncoder, ConvEncoder or ResidualEncoder, with its settings, which
            `--model=VAE --model.encoder.help=<class>` lists.
        decoder: class of the decoder with its settings; the encoder's mirror by default.
        learning_rate: learning rate of Adam.
        learning_rate_decay: final over initial learning rate; exponential decay until the training ends, 1 for none.
        code_features: outputs of the encoder; `latent_dim` by default.
    """

    task = Reconstruction()

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt,
        encoder: EncoderArgument,
        decoder: DecoderArgument | None,
        learning_rate: NonNegativeFloat,
        learning_rate_decay: float,
        code_features: int | None = None,
    ) -> None:
        super().__init__(spec)
        if not 0 < learning_rate_decay <= 1:
            raise UserError(f"learning_rate_decay must be above 0 and at most 1, not {learning_rate_decay}.")
        self.latent_dim = latent_dim
        self.learning_rate, self.learning_rate_decay = learning_rate, learning_rate_decay
        self._images_waiting = 0  # of this process, whose gradients wait for those of more batches
        self._images_of_first = 0  # of the first batch of the step
        self._begun: dict[str, Any] | None = None
        self.encoder = build(encoder, self.image_shape, code_features or latent_dim)
        self.decoder = (
            self.encoder.mirror(latent_dim) if decoder is None else build(decoder, latent_dim, self.image_shape)
        )

    def losses(self, batch: Any) -> Terms:
        """Return the named terms whose sum is minimized."""
        raise NotImplementedError

    def reconstruct(self, image: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] after encoding and decoding; those given may be uint8.

        In training mode what is drawn there is drawn here too, as for `code`.
        """
        return self.decode(self.code(image))

    def code(self, image: Tensor) -> Tensor:
        """Return the codes (B, Z) of images (B, C, H, W); `decode` reconstructs from them.

        In evaluation mode there are no random draws. In training mode (call `eval()` after `trainer.fit`) a VAE draws
        binary pixels, an AAE drops some pixels, and a SemiSupervisedAAE adds noise.
        """
        return self.encoder(self.checked(image))

    def decode(self, latent: Tensor) -> Tensor:
        """Return the mean images (B, C, H, W) in [-1, 1] of codes (B, Z)."""
        raise NotImplementedError

    def forward(self, latent: Tensor) -> Tensor:
        """Return the images (B, C, H, W) in [-1, 1] of codes (B, Z)."""
        return self.decode(latent)

    def learning_rate_factor(self) -> float:
        # Without a decay the training may be without an end, as with --trainer.max_epochs=-1.
        return 1.0 if self.learning_rate_decay == 1 else log_spaced(self.progress, 1.0, self.learning_rate_decay)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.set_learning_rates(*self.trainer.optimizers)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seed("step", self._images_waiting)
        if self.graphs is None:
            terms = self.losses(batch)
            loss = total(terms)
        else:
            terms, gradients = self.graphs.run(None, self.losses_and_gradients, batch)
            loss = differentiable(gradients)
        self.log_terms(terms)
        count = len(batch[0])
        if not (self._images_waiting and self._images_of_first):  # older checkpoints do not say the latter
            self._images_of_first = count
        self._images_waiting += count
        return loss if count == self._images_of_first else loss * (count / self._images_of_first)

    def losses_and_gradients(self, batch: Any) -> tuple[Terms, Gradients]:
        """Return the terms, and the gradients of their sum; a graph computes all of it at once."""
        terms = self.losses(batch)
        return {name: value.detach() for name, value in terms.items()}, gradients_of(total(terms), self)

    @torch.no_grad()
    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Lightning has divided by the number of batches that a step should have, which an epoch's last one may lack.
        batches = self.trainer.accumulate_grad_batches
        if batches > 1:
            counts: Any = (batches * self._images_of_first, self._images_waiting)
            if self.trainer.world_size > 1:  # which average their gradients: a factor of its own would part the weights
                counts = self.trainer.strategy.reduce(torch.tensor(counts, device=self.device).float(), reduce_op="sum")
            values = (value for group in optimizer.param_groups for value in group["params"])
            gradients = [value.grad for value in values if value.grad is not None]
            if gradients:  # none where StochasticWeightAveraging renews the statistics of batch norm
                torch._foreach_mul_(gradients, counts[0] / counts[1])
        # Not before: the schedule stands still between the batches of one step.
        self.count_images(self._images_waiting)
        self._images_waiting = 0

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    # A step of several batches (`accumulate_grad_batches`) that a checkpoint comes into

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self._images_waiting, self._begun = 0, None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self._images_waiting and self.trainer.accumulate_grad_batches > 1:
            gradients = {name: value.grad.cpu() for name, value in self.named_parameters() if value.grad is not None}
            checkpoint["begun_step"] = {
                "images": self._images_waiting,
                "images_of_first": self._images_of_first,
                "batches_a_step": self.trainer.accumulate_grad_batches,
                "gradients": gather(gradients),  # each process has those of its own images
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._begun = checkpoint.get("begun_step")

    def begin_step_anew(self, same_batches: bool) -> int:
        begun = self._begun
        if begun is None:
            return 0
        processes = len(begun["gradients"])
        same = begun["batches_a_step"] == batches_a_step(self.trainer) and processes == self.trainer.world_size
        if same_batches and same:
            return 0
        self._begun = None
        return begun["images"] * processes

    def on_train_start(self) -> None:
        self.trainer.accumulate_grad_batches = batches_a_step(self.trainer)
        super().on_train_start()
        if self._begun is None:
            return
        self._images_waiting, self._images_of_first = self._begun["images"], self._begun.get("images_of_first", 0)
        gradients = self._begun["gradients"][self.global_rank]
        for name, value in self.named_parameters():
            value.grad = gradients[name].to(value.device) if name in gradients else None
        self._begun = None

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return draws (count, Z) from the prior of codes; N(0, I) unless a model says otherwise."""
        return self.noise(count, self.latent_dim, generator=generator)

    @torch.no_grad()
    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return images (count, C, H, W) in [-1, 1] decoded from draws of the prior."""
        with evaluating(self):
            images = self.decode(self.sample_latent(self.checked_count(count), generator)).float().clamp(-1, 1)
        return images

    def configure_optimizers(self) -> Optimizer:
        return self.adam(self.parameters(), self.learning_rate)
