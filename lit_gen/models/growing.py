"""The base of a GAN whose networks grow with the images seen: Karras et al. 2018, arXiv:1710.10196, section 2."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from lit_gen.data.batches import DataSpec
from lit_gen.errors import UserError
from lit_gen.layers.coders import square_side
from lit_gen.lightning_compat import trainer_of
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.schedules import RESOLUTIONS, Growth, growing_tables, growth


class GrowingModule(AdversarialModule):
    """A GAN that trains at 4x4 pixels first, and at the data's size in the end.

    A subclass builds its networks for `last_stage` + 1 stages, hands them `stage` and `blend`, and assigns the settings
    of its schedule, which `ProGAN` explains. The images of a step are as many as the resolution's minibatch.

    Attributes:
        stage: present stage: 0 for 4x4 pixels, and each is twice the side.
        last_stage: stage of the data's size.
        alpha_on_device: `alpha`, where a CUDA graph reads it.
    """

    fade_kimg: float
    stable_kimg: float
    total_kimg: float
    minibatch_sizes: dict[int, int] | None
    learning_rate_factors: dict[int, float] | None
    alpha_on_device: Tensor

    def __init__(self, spec: DataSpec, n_critic: int = 1, ema_decay: float = 0.0) -> None:
        super().__init__(spec, n_critic, ema_decay)
        size = square_side(self.image_shape, type(self).__name__)
        if size not in RESOLUTIONS:
            raise UserError(
                f"{type(self).__name__} needs an image size that is a power of two from 4 to 1024, not {size}. "
                "Set --data.image_size."
            )
        self.last_stage = RESOLUTIONS.index(size)
        self.stage, self._alpha = 0, 1.0
        self.register_buffer("alpha_on_device", torch.ones(()), persistent=False)

    @staticmethod
    def table(name: str, values: Mapping[Any, Any] | None) -> dict[int, Any] | None:
        """Return a setting's values by resolution, which are texts in a file of JSON.

        Raises:
            UserError: there is a value for what is no resolution.
        """
        if values is None:
            return None
        found = {int(size): value for size, value in values.items()}
        if wrong := sorted(set(found) - set(RESOLUTIONS)):
            others = ", ".join(map(str, wrong))
            raise UserError(f"{name} is by resolution, a power of two from 4 to 1024, not {others}.")
        return found

    def get_extra_state(self) -> dict[str, Any]:
        return super().get_extra_state() | {"stage": self.stage, "alpha": self.alpha}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self.stage, self.alpha = state.get("stage", 0), state.get("alpha", 1.0)

    @property
    def alpha(self) -> float:
        """Return the weight of the present stage beside the one before, from 0 to 1."""
        return self._alpha

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        if alpha != self._alpha:
            self._alpha = alpha
            self.alpha_on_device.fill_(alpha)

    @property
    def blend(self) -> Tensor | float:
        """Return alpha as the networks take it: in a fade a tensor, of which a CUDA graph reads the present value."""
        return self.alpha_on_device if self.alpha < 1 else 1.0

    @property
    def resolution(self) -> int:
        """Return the side of the images of the present stage, in pixels."""
        return RESOLUTIONS[self.stage]

    @property
    def tables(self) -> tuple[dict[int, int], dict[int, float]]:
        """Return images per step and process, and factors on the learning rate, both by resolution."""
        trainer = trainer_of(self)
        sizes, factors = growing_tables(1 if trainer is None else trainer.world_size)
        if self.minibatch_sizes is not None:  # rates belong to minibatches; also a run of before there were factors
            sizes, factors = self.minibatch_sizes, {}
        return sizes, factors if self.learning_rate_factors is None else self.learning_rate_factors

    def growth_at(self, images: int) -> Growth:
        """Return the stage and alpha after so many images."""
        return growth(images, round(self.fade_kimg * 1000), round(self.stable_kimg * 1000), self.last_stage)

    def side_at(self, images: int) -> int:
        """Return the side in pixels that the next image needs after so many: the data load no larger ones."""
        return RESOLUTIONS[self.growth_at(images).stage]

    def learning_rate_factor(self) -> float:
        return self.tables[1].get(self.resolution, 1.0)

    def in_minibatches(self, function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
        """Return function(tensor), rows of the present resolution's minibatch at a time, to fit into the memory."""
        size = self.tables[0].get(self.resolution, len(tensor))
        pieces = [function(piece) for piece in tensor.split(max(1, size))]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def minibatches(self, batch: Any) -> list[Any]:
        self.before_step()
        size = self.tables[0].get(self.resolution, len(batch.image))
        return [type(batch)(*piece) for piece in zip(*(field.split(size) for field in batch), strict=True)]

    def before_step(self) -> None:
        """Move stage and alpha to where `images_seen` puts them."""
        before = self.stage, self.alpha < 1
        self.stage, self.alpha = self.growth_at(self.images_seen)
        if before != (self.stage, self.alpha < 1):
            # As the authors' code does: the moments belong to another function once a fade begins or ends.
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()
            if self.graphs is not None:
                self.graphs.clear()

    def kind_of_step(self) -> Hashable:
        return self.stage, self.alpha < 1

    def on_train_start(self) -> None:
        super().on_train_start()
        self.trainer.should_stop |= self.progress == 1.0  # a finished run that is resumed

    def training_step(self, batch: Any, batch_idx: int) -> None:
        if self.trainer.fast_dev_run and self.is_last_batch:  # type: ignore[attr-defined]
            # It is to try the middle of the last fade too, or what is as far as the training would go.
            middle = self.last_stage * (self.fade_kimg + self.stable_kimg) - self.fade_kimg / 2
            self.images_seen = max(self.images_seen, round(1000 * min(middle, self.total_kimg)) - 1)
            batch = self.minibatches(batch)[0]
        super().training_step(batch, batch_idx)
        self.log_numbers({"kimg": self.images_seen / 1000, "resolution": self.resolution, "alpha": self.alpha})
        self.trainer.should_stop |= self.progress == 1.0

    @property
    def progress(self) -> float:
        """Return the part of the training that is done, from 0 to 1: it ends by `total_kimg`."""
        return min(1.0, self.images_seen / (1000 * self.total_kimg)) if self.total_kimg else 1.0
