"""The order of the batches: for training a function of a seed and the epoch, for evaluation that of the dataset.

A run resumed in mid-epoch begins at the very row where the previous one stopped, with any batch size and any number of
training and loading processes. In evaluation, several processes share the rows so that each row comes once.
"""

import math
import signal
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lit_gen.data.batches import BatchReader
from lit_gen.errors import UserError
from lit_gen.lightning_compat import begin_epoch_anew


@runtime_checkable
class SizesImages(Protocol):
    """The interface of a model that wants its training images at a side of its choice."""

    @property
    def images_loaded(self) -> int:
        """The number of training images that it was given, on all processes together."""

    def side_at(self, images: int) -> int:
        """Return the side in pixels that the next image needs after so many."""


class TrainingOrder(DistributedSampler):
    """A sampler of one request per training batch: the seed of its random draws, and the rows to fetch.

    Of a `model` that sizes its images, a request also has the side of the images in pixels.

    Each epoch has its own order. Rows that do not fill a batch on every process are left out. The class derives from
    `DistributedSampler`, so that Lightning calls `set_epoch` and does not replace the sampler.

    Args:
        count: number of rows of the dataset.
        batch_size: rows per batch and process.
        seed: seed of the orders, the same on all processes.
        processes: number of processes that share the rows of an epoch (world_size).
        process: rank of this process.
    """

    def __init__(self, count: int, batch_size: int, seed: int, processes: int = 1, process: int = 0) -> None:
        super().__init__(range(count), processes, process, seed=seed)  # type: ignore[arg-type]  # it asks for a length only
        self.count, self.rows_a_batch = count, batch_size * processes
        # Where to begin: the batch's number, and the rows of the epoch that are done, on all processes together.
        self.epoch = self.first_batch = self.first_row = 0
        self.model: SizesImages | None = None

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.first_batch, self.first_row = epoch, 0, 0

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch, wherever this one began."""
        return self.count // self.rows_a_batch

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rows, seeds = rng.permutation(self.count), rng.integers(2**63, size=self.count)
        # Loading is ahead of the training. So the side of a batch follows from its place, not from where the model is.
        loaded = 0 if self.model is None else self.model.images_loaded
        for begin in range(self.first_row, self.count - self.rows_a_batch + 1, self.rows_a_batch):
            mine = slice(begin + self.rank, begin + self.rows_a_batch, self.num_replicas)
            loaded += self.rows_a_batch
            side = () if self.model is None else (self.model.side_at(loaded - 1),)
            yield int(seeds[mine.start]), rows[mine].tolist(), *side  # one seed per row: batches of any size differ


class EvaluationOrder(DistributedSampler):
    """A sampler of one request per evaluation batch of one process: the seed 0, and the rows to fetch.

    Over all processes each row comes once; Lightning's own sampler repeats some rows. All processes have equally many
    batches, because they wait for each other in each batch. The sizes of batches differ by one row at most. Batch b of
    all processes together holds consecutive rows.

    Args:
        count: number of rows of the dataset: 0, or at least one per process.
        batch_size: largest number of rows per batch and process; 1 may become 2 where rows are left over.
        processes: number of processes that share the rows (world_size).
        process: rank of this process.
    """

    def __init__(self, count: int, batch_size: int, processes: int, process: int) -> None:
        super().__init__(range(count), processes, process, shuffle=False)  # type: ignore[arg-type]  # as above
        batches = min(math.ceil(count / (batch_size * processes)), count // processes)
        pieces = np.array_split(np.arange(count), max(1, batches) * processes)
        self.batches = [rows.tolist() for rows in pieces[process::processes] if len(rows)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        return ((0, rows) for rows in self.batches)


def processes_that_share(count: int, trainer: Trainer | None, what: str) -> int:
    """Refuse images that are fewer than the processes that share them; return the number of these processes.

    Args:
        count: number of images.
        trainer: of the processes; None before there is one.
        what: the images, in words.

    Raises:
        UserError: a process would have none, and the others would wait for it.
    """
    processes = 1 if trainer is None else trainer.world_size
    if 0 < count < processes:
        raise UserError(
            f"{processes} processes cannot share {count} {what}. Set --trainer.devices lower, or take more."
        )
    return processes


class SeededFetches(Dataset):
    """A dataset that seeds torch's generator by each request, and puts the generator's state back after the fetch.

    Args:
        dataset: what the rows are fetched from.
    """

    def __init__(self, dataset: BatchReader) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: tuple[Any, ...]) -> Any:
        seed, *what = request
        before = torch.get_rng_state()
        # torch.manual_seed would seed the GPU's generators too.
        torch.default_generator.manual_seed(seed)
        try:
            return self.dataset.__getitems__(*what)
        finally:
            torch.set_rng_state(before)


class ResumableData(LightningDataModule):
    """A data module whose training loader resumes with the very rows that come next in an unbroken run.

    A row is an image, or any other item that the dataset counts. A checkpoint holds the number of rows of the epoch
    that are done. So the rest follows also in batches of another size, or on another number of processes.
    """

    trainer: Trainer  # None before there is one
    order_seed: int | None = None
    """The seed of the training order, kept in the checkpoint; None before the run begins."""
    _order: TrainingOrder | None = None
    _loaded: Mapping[str, int] = {}  # this data module's state in the resumed checkpoint
    _model: Any = None  # the one whose training these are of

    def state_dict(self) -> dict[str, Any]:
        state = {} if self.order_seed is None else {"order_seed": self.order_seed}
        if self._order is not None:
            batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready - self._order.first_batch
            state["rows_done"] = self._order.first_row + batches * self._order.rows_a_batch
            state["rows_a_batch"], state["rows"] = self._order.rows_a_batch, self._order.count
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.order_seed, self._loaded = state_dict.get("order_seed"), state_dict
        self._model = None if self.trainer is None else self.trainer.lightning_module

    @property
    def run_seed(self) -> int:
        """The seed of the run, the same on all processes; a resumed run has that of its checkpoint."""
        if self.trainer is None:
            return torch.initial_seed()
        model: Any = self.trainer.lightning_module
        if self._model not in (None, model):  # another training with the same data
            self.order_seed, self._loaded = None, {}
        self._model = model
        if self.order_seed is None:
            of_model = getattr(model, "run_seed", None)
            self.order_seed = self.trainer.strategy.broadcast(torch.initial_seed() if of_model is None else of_model)
        return self.order_seed

    def training_loader(
        self, dataset: BatchReader, batch_size: int, model: SizesImages | None = None, **options: Any
    ) -> DataLoader:
        """Return a training loader, of `batch_size` rows per batch and process, for the Trainer that is attached.

        With a `model` that sizes its images, the dataset's `__getitems__` gets the side in pixels after the rows.

        Raises:
            UserError: `val_check_interval` is larger than the number of batches per epoch.
        """
        trainer = self.trainer
        self._order = TrainingOrder(
            len(dataset), batch_size, self.run_seed, processes=trainer.world_size, process=trainer.global_rank
        )
        self._order.model = model
        limit, there = trainer.limit_train_batches, len(self._order)
        batches = min(there, limit) if isinstance(limit, int) else int(there * limit)
        interval = trainer.val_check_interval
        if (
            isinstance(interval, int)
            and interval > batches > 0
            and trainer.check_val_every_n_epoch is not None
            and trainer.limit_val_batches
        ):
            raise UserError(
                f"val_check_interval is {interval}, but an epoch has {batches} batches. Set "
                "--trainer.val_check_interval lower, or --trainer.check_val_every_n_epoch=null to count on."
            )
        self._go_on(self._order, batches)
        return DataLoader(SeededFetches(dataset), batch_size=None, sampler=self._order, **(loader_options() | options))

    def _go_on(self, order: TrainingOrder, batches: int) -> None:
        """Set the order, and Lightning's counters, to the place where the checkpoint ended, if there is one."""
        loop: Any = self.trainer.fit_loop
        epochs, done = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        order.epoch = epochs.processed
        if (before := self._loaded.get("rows", order.count)) != order.count:
            rank_zero_info(f"there are {order.count} training images now, and were {before} before the run was resumed")
            self._loaded = {**self._loaded, "rows": order.count}  # a loader may be made again
        if epochs.ready == epochs.processed:
            # With max_steps, a resumed Lightning confuses an epoch's end with its middle: it would count the epoch
            # twice, and without validation train on one more batch.
            begin_epoch_anew(self.trainer)
        if not loop.restarting:
            return
        # Lightning warns about any loader that has no state of its own.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
        # Old checkpoints count batches, not rows.
        rows_a_batch = order.rows_a_batch // order.num_replicas * self._loaded.get("processes", order.num_replicas)
        rows_a_batch = self._loaded.get("rows_a_batch", rows_a_batch)
        rows = self._loaded.get("rows_done", done.ready * rows_a_batch)
        model: Any = self.trainer.lightning_module
        if hasattr(model, "begin_step_anew"):
            rows = max(0, rows - model.begin_step_anew(rows_a_batch == order.rows_a_batch))
        there = order.count if batches == len(order) else batches * order.rows_a_batch
        left = max(0, there - rows) // order.rows_a_batch
        order.first_row, order.first_batch = rows if left else order.count, batches - left
        _set_batches_done(loop.epoch_loop, batches - left, ended=not left)


def _set_batches_done(loop: Any, batches: int, ended: bool) -> None:
    """Make Lightning's loop over an epoch's batches, as a checkpoint has it, resume after so many of the new size.

    If it has `ended`, no batch is left: only the epoch's end, with its validation, is still to come.
    """
    progress = loop.batch_progress
    saved_in_hook = progress.current.processed - progress.current.completed  # 1 in on_train_batch_end
    if progress.current.ready == progress.current.processed == batches and not (ended and saved_in_hook):
        return
    if ended:
        # Lightning would regard the epoch as done, and skip all that follows its last batch.
        progress.total.completed += saved_in_hook
        progress.is_last_batch, saved_in_hook = True, 0
        # A resumed Lightning validates first only if it was stopped in a validation.
        validation = loop.val_loop.batch_progress
        validation.reset()
        validation.total.ready = validation.total.started = 1
    progress.current.ready = progress.current.started = progress.current.processed = batches
    progress.current.completed = batches - saved_in_hook


def loader_options() -> dict[str, Any]:
    """Return the options of every loader, so that loading neither changes torch's random state nor is interrupted.

    Each time that a loader starts it draws a seed for its processes, by default from torch's global generator. Ctrl-C
    reaches all processes of a terminal, and SIGTERM often all of a job. Loading processes ignore both: the training
    process decides when loading ends.
    """
    return {"generator": torch.Generator(), "worker_init_fn": _ignore_signals}


def _ignore_signals(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
