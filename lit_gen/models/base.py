"""What every model shares: the check against the data, the log of named terms, and how it is asked for pictures."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_gen.data.base import ImageData
from lit_gen.data.batches import DataSpec
from lit_gen.errors import UserError
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.parzen import ParzenWindow
from lit_gen.metrics.samples import SampleQuality
from lit_gen.old_versions.checkpoints import add_counts
from lit_gen.random_state import gather_random_states, get_random_state, set_random_state
from lit_gen.runs.changes import changes_of_model

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
CHECK_EVERY_N_BATCHES = 50
"""How late a training term that is not finite may be found; never after it went into a checkpoint."""


class NonFiniteTerm(UserError):
    """A term of a training loss is infinite or not a number."""


class GenerativeModule(LightningModule):
    """A model that can be asked for pictures.

    Args:
        spec: what the data look like; on the command line it comes from the data.
    """

    needs: ClassVar[tuple[str, ...]] = ("image",)
    """The fields of a batch that the model reads."""
    needs_to_predict: ClassVar[tuple[str, ...] | None] = None
    """Those that `predict` reads, where it can do with fewer."""
    needs_input: ClassVar[bool] = False
    """Whether the model makes pictures from pictures or words only, so that `generate` has no meaning."""
    monitor: ClassVar[str | None] = None
    """The logged value whose lowest point is kept as the best checkpoint, where there is one."""
    generated_sheets: ClassVar[tuple[str, ...]] = ("samples",)
    """Names (or patterns, `code_*`) of the sheets that show neither images of the data nor what was made from them."""
    checkpoints_hold_images: ClassVar[bool] = False
    """Whether checkpoints hold images made from the data."""

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec
        self.image_shape = tuple(spec["image_shape"])
        self._random_state_restored = False
        self._trained_with: Mapping[str, Any] = {}  # the hyperparameters in the checkpoint, once there is one
        self._random_state: dict[str, Any] | None = None  # that of the training, during a validation
        self._unchecked: list[tuple[int, list[str], Tensor]] = []
        # Schedules count images: a batch may be of another size after a resume. These are plain numbers in the state
        # dict (`get_extra_state`): reading a buffer would wait for the GPU in every step.
        self.images_seen = 0
        self.images_in_epoch = 0
        self._images_a_batch = 0

    def get_extra_state(self) -> dict[str, Any]:
        return {"images_seen": self.images_seen, "images_in_epoch": self.images_in_epoch}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        # That of another model may lack something; what else does not fit it says better.
        self.images_seen, self.images_in_epoch = state.get("images_seen", 0), state.get("images_in_epoch", 0)

    def count_images(self, images: int) -> None:
        """Counts the images of a step, of which each process has made one.

        Args:
            images: of this process.
        """
        self.images_seen += images * self.trainer.world_size
        self.images_in_epoch += images * self.trainer.world_size

    def setup(self, stage: str) -> None:
        if self.trainer.precision not in PRECISIONS:
            raise UserError(
                f"precision {self.trainer.precision} would need images of that type. Set --trainer.precision to one of "
                f"{', '.join(PRECISIONS)}."
            )
        data = self.trainer.datamodule
        if data is not None:
            check_pair(type(self), data, predicting=stage == "predict")
            given = tuple(getattr(data, "spec", self.spec)["image_shape"])
            if given != self.image_shape:
                raise UserError(
                    f"the model was built for images of shape {self.image_shape}, but the data give "
                    f"{given}. Use the same data settings for both."
                )

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's, but a `UserError` when the weights are those of other networks."""
        if "_extra_state" not in state_dict:  # of before every model counted images
            state_dict = copy(state_dict)  # with its metadata
            state_dict["_extra_state"] = self.get_extra_state()
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            changes = ", ".join(changes_of_model(self._trained_with, self.hparams))
            differs = f"What differs: {changes}. " if changes else ""
            raise UserError(
                f"the checkpoint does not fit this {type(self).__name__}: {first} {differs}"
                "Use the settings it was trained with: --config <run>/config.yaml."
            ) from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"]["_extra_state"] = self.get_extra_state()  # and not that of averaged weights
        checkpoint["random_states"] = gather_random_states(self._random_state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._trained_with = checkpoint.get("hyper_parameters", {})
        add_counts(checkpoint, self._trainer)
        states = checkpoint.get("random_states", [])
        resuming = self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
        if resuming and len(states) == self.trainer.world_size:
            # Here and not later: the loader draws the first epoch's order before training starts.
            set_random_state(states[self.global_rank])
            self._random_state_restored = True

    def begin_step_anew(self, same_batches: bool) -> int:
        """Called before a resumed run goes on; how many images are to come again, since their step cannot go on.

        These were loaded for a step that was still to be made when the checkpoint was written.

        Args:
            same_batches: whether the batches of all processes have as many images as then.
        """
        return 0

    def on_train_epoch_start(self) -> None:
        self.images_in_epoch = 0

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._images_a_batch = len(batch[0]) * self.trainer.world_size

    def on_train_start(self) -> None:
        self._unchecked = []
        if self.trainer.world_size > 1 and not self._random_state_restored:
            # All processes were seeded alike, to build the same networks; from here on each draws its own noise.
            torch.manual_seed(torch.initial_seed() + self.global_rank)
        # A resumed optimizer carries the checkpoint's settings; what this run was told is what counts.
        configured = self.configure_optimizers()
        configured = configured if isinstance(configured, list) else [configured]
        for optimizer, fresh in zip(self.trainer.optimizers, configured, strict=True):
            for group, settings in zip(optimizer.param_groups, fresh.param_groups, strict=True):
                group.update({name: value for name, value in settings.items() if name != "params"})
                group["initial_lr"] = group["lr"]

    def learning_rate_factor(self) -> float:
        """What the optimizers' learning rates are multiplied by in this step; models with a schedule override it."""
        return 1.0

    def set_learning_rates(self, *optimizers: Optimizer) -> None:
        """Multiplies what they were told by `learning_rate_factor`."""
        factor = self.learning_rate_factor()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    @property
    def progress(self) -> float:
        """The part of the training that is done, from 0 to 1, for schedules that end with it; 0 outside of training.

        With `max_epochs` it is the part of their images that steps have been made on, with `max_steps` that of the
        steps; with both, what ends sooner counts. Where a run goes on with batches or epochs of another size, the
        epochs that are done count as they did.

        Raises:
            UserError: neither `max_epochs` nor `max_steps` says where the training ends.
        """
        trainer = self._trainer
        if trainer is None or not trainer.training:
            return 0.0
        parts = []
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            epochs, images = trainer.fit_loop.epoch_progress.current.processed, self.images_in_epoch
            an_epoch = trainer.num_training_batches * self._images_a_batch
            if not 0 < an_epoch < math.inf:  # before the first batch; or data without a length
                images, an_epoch = 0, 1
            parts.append((epochs * an_epoch + min(images, an_epoch)) / (trainer.max_epochs * an_epoch))
        if trainer.max_steps > 0:
            parts.append(trainer.global_step / trainer.max_steps)
        if not parts:
            raise UserError(
                f"{type(self).__name__}'s schedule ends with the training: set --trainer.max_epochs or "
                "--trainer.max_steps."
            )
        return min(1.0, max(parts))

    def on_validation_start(self) -> None:
        # What a validation draws makes no difference to the training: a run that is resumed does not repeat it.
        if self.trainer.state.fn == TrainerFn.FITTING:
            self._random_state = get_random_state()

    def on_validation_end(self) -> None:
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    def on_train_epoch_end(self) -> None:
        self.check_terms()

    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """`count` new images, (count, C, H, W) in [-1, 1], on the model's device.

        Args:
            count: how many.
            generator: a CPU generator to draw the noise from, for pictures that can be had again.
        """
        raise NotImplementedError

    def sample_sheets(self, batch: Any, count: int = 64) -> dict[str, Tensor]:
        """Pictures to look at while the model trains, by name; each one image (C, H, W) in [-1, 1].

        Args:
            batch: held-out data on the model's device; always the same ones, so that sheets can be compared.
            count: about how many images a sheet.
        """
        return {"samples": tile(self.generate(count, torch.Generator().manual_seed(0)))}

    @classmethod
    def shows_data(cls, sheet: str) -> bool:
        """Whether a sheet may show images of the data, or such as were made from them.

        A class that has a `sample_sheets` of its own is taken to show them until it, or a class derived from it, says
        otherwise in `generated_sheets`.
        """
        maker = next(kind for kind in cls.__mro__ if "sample_sheets" in vars(kind))
        speaker = next(kind for kind in cls.__mro__ if "generated_sheets" in vars(kind))
        names = speaker.generated_sheets if issubclass(speaker, maker) else ()
        return not any(fnmatchcase(sheet, name) for name in names)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """What `predict` writes as pictures: one new image for each image of the batch."""
        return self.generate(len(batch[0]))

    def evaluators(self, data: LightningDataModule, options: Options) -> list[Evaluator]:
        """What `test` measures beyond the terms of `test_step`.

        Args:
            data: the data that the model is tested on.
            options: what the user chose.
        """
        if self.needs_input:
            return []

        def make(batch: Any) -> Tensor:
            return self.generate(len(batch[0]))

        evaluators: list[Evaluator] = [SampleQuality(options, self.image_shape, make, lambda batch: batch[0])]
        if self.image_shape == ParzenWindow.image_shape and isinstance(data, ImageData):
            evaluators.append(ParzenWindow(options.samples))
        return evaluators

    def validation_evaluators(self, data: LightningDataModule) -> list[Evaluator]:
        """What each validation measures beyond the terms of `validation_step`, in seconds.

        Args:
            data: the data that the model is validated on.
        """
        return []

    def log_terms(self, prefix: str, terms: Mapping[str, Tensor], **options: Any) -> None:
        """Logs each term as `prefix/name`."""
        values = {f"{prefix}/{name}": value.detach() for name, value in terms.items()}
        # No whole number: Lightning would round the mean of the processes' counts of images down to one.
        self.log_dict(values, **options | {"batch_size": float(options.get("batch_size", 1))})
        if prefix == "train" and self._trainer is not None:
            batch = self.trainer.fit_loop.total_batch_idx + 1
            self._unchecked.append((batch, list(values), torch.stack([value.float() for value in values.values()])))
            if batch - self._unchecked[0][0] >= CHECK_EVERY_N_BATCHES:
                self.check_terms()

    def check_terms(self) -> None:
        """Looks at the training terms logged since the last time; the one place where training waits for the GPU.

        Raises:
            NonFiniteTerm: on all processes, when a term is not finite on any.
        """
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        finite = torch.cat([values for _, _, values in unchecked]).isfinite().tolist()
        if self.trainer.strategy.reduce_boolean_decision(all(finite)):
            return
        terms = [(batch, name) for batch, names, _ in unchecked for name in names]
        first = next((term for term, good in zip(terms, finite, strict=True) if not good), None)
        what = f"{first[1]} is not finite in batch {first[0]}" if first else "a term is not finite on another process"
        raise NonFiniteTerm(
            f"{what} (found in batch {unchecked[-1][0]}). Lower the learning rate, or train in a wider precision."
        )

    def noise(self, *shape: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal noise on the model's device; with a CPU generator, the same on every device."""
        if generator is None:
            return torch.randn(*shape, device=self.device)
        return torch.randn(*shape, generator=generator).to(self.device)

    def uniform_noise(self, *shape: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise uniform on (-1, 1), as `noise` otherwise."""
        device = self.device if generator is None else None
        return torch.rand(*shape, generator=generator, device=device).to(self.device) * 2 - 1


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block, and behind it the mode that the network was in."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def tile(images: Tensor, columns: int | None = None, gap: int = 2) -> Tensor:
    """Images side by side, row after row.

    Args:
        images: (N, C, H, W) in [-1, 1].
        columns: images a row; as many as make a square by default.
        gap: pixels of white between images.

    Returns:
        (C, H', W') float32 on the CPU, in [-1, 1].
    """
    images = images.detach().float().cpu().clamp(-1, 1)
    count, channels, height, width = images.shape
    columns = columns or max(1, round(count**0.5))
    rows = -(-count // columns)
    sheet = torch.ones(channels, rows * (height + gap) + gap, columns * (width + gap) + gap)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + gap) + gap, (index % columns) * (width + gap) + gap
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def check_pair(model: type, data: Any, predicting: bool = False) -> None:
    """Raises a `UserError` naming data that do fit when `data` (class or object) lack a field that `model` needs."""
    batch_type = getattr(data, "batch_type", None)
    needs = getattr(model, "needs", None)
    if predicting and getattr(model, "needs_to_predict", None) is not None:
        needs = model.needs_to_predict
    if batch_type is None or needs is None or set(needs) <= set(batch_type._fields):
        return
    from lit_gen import data as package

    name_of_data = (data if isinstance(data, type) else type(data)).__name__

    fitting = [
        name
        for name, candidate in vars(package).items()
        if isinstance(candidate, type)
        and set(needs) <= set(getattr(getattr(candidate, "batch_type", None), "_fields", ()))
    ]
    raise UserError(
        f"{model.__name__} needs batches with fields {', '.join(needs)}; {name_of_data} gives "
        f"{batch_type.__name__}({', '.join(batch_type._fields)}). "
        f"Data that fit: {', '.join(sorted(fitting)) or 'none'}."
    )
