"""The order of the training batches, and what is drawn to fetch them: functions of a seed, the epoch and the place.

A run that goes on in mid-epoch can then begin at the very row where the other one stopped, with batches of another size
and any number of processes, training or loading. The order of the evaluation batches gives several processes what one
would have.
"""

import math
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from lightning.pytorch.loops.loop import _Loop
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lit_gen.errors import UserError


class TrainingOrder(DistributedSampler):
    """The requests for one epoch's batches: for each a seed, and the rows to fetch.

    Each epoch has an order of its own. The rows that do not fill a batch on every process are left out. It is a
    `DistributedSampler` so that Lightning says which epoch it is (`set_epoch`), and puts no other sampler in its place.

    Args:
        count: rows of the dataset.
        batch_size: rows a batch and process.
        seed: what the orders depend on; the same for all processes.
        epoch: the epoch to begin with.
        first_batch: the batch of that epoch to begin with; later epochs begin with 0.
        processes: how many share the rows of an epoch.
        process: the number of this one.
        first_row: how many rows of that epoch all processes together are done with; by default those of the batches
            before `first_batch`, which may have been of another size.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        epoch: int = 0,
        first_batch: int = 0,
        processes: int = 1,
        process: int = 0,
        first_row: int | None = None,
    ) -> None:
        super().__init__(range(count), processes, process, seed=seed)
        self.count, self.rows_a_batch = count, batch_size * processes
        self.epoch, self.first_batch = epoch, first_batch
        self.first_row = first_batch * self.rows_a_batch if first_row is None else first_row

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.first_batch, self.first_row = epoch, 0, 0

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever this one began."""
        return self.count // self.rows_a_batch

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rows, seeds = rng.permutation(self.count), rng.integers(2**63, size=self.count)
        for begin in range(self.first_row, self.count - self.rows_a_batch + 1, self.rows_a_batch):
            mine = slice(begin + self.rank, begin + self.rows_a_batch, self.num_replicas)
            yield int(seeds[mine.start]), rows[mine].tolist()  # a seed a row: no two batches have the same, of any size


class EvaluationOrder(DistributedSampler):
    """The requests for the evaluation batches of one process of several: a seed that never changes, and rows.

    Over all processes each row comes once, where Lightning's own sampler repeats some to make ends meet. All processes
    have as many batches, since they wait for each other in each; the sizes of the batches differ by one row at most.
    Batch b of all processes together holds consecutive rows.

    Args:
        count: rows of the dataset: none, or at least one for each process.
        batch_size: rows a batch and process at most, except that 1 may become 2 where rows are left over.
        processes: how many share the rows.
        process: the number of this one.
    """

    def __init__(self, count: int, batch_size: int, processes: int, process: int) -> None:
        super().__init__(range(count), processes, process, shuffle=False)
        batches = min(math.ceil(count / (batch_size * processes)), count // processes)
        pieces = np.array_split(np.arange(count), max(1, batches) * processes)
        self.batches = [rows.tolist() for rows in pieces[process::processes] if len(rows)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        return ((0, rows) for rows in self.batches)


class SeededFetches(Dataset):
    """A dataset that draws from torch's generator as the request says, whatever that process drew before.

    Args:
        dataset: its `__getitems__` gives a whole batch.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: tuple[int, Sequence[int]]) -> Any:
        seed, rows = request
        before = torch.get_rng_state()
        # torch.manual_seed would seed the GPU's generators too.
        torch.default_generator.manual_seed(seed)
        try:
            return self.dataset.__getitems__(rows)
        finally:
            torch.set_rng_state(before)


class ResumableData(LightningDataModule):
    """Data whose training loader goes on with the very rows that would have come next in the unbroken run.

    Rows are images, or what else the dataset counts. A checkpoint holds how many of the epoch are done, so that the
    rest follows also in batches of another size, or shared by another number of processes.
    """

    order_seed: int | None = None
    """What the order of the training batches depends on, once there is a run; it is in the checkpoint."""
    _order: TrainingOrder | None = None
    _loaded: Mapping[str, int] = {}  # the state in the checkpoint that is gone on from

    def state_dict(self) -> dict[str, Any]:
        state = {} if self.order_seed is None else {"order_seed": self.order_seed}
        if self._order is not None:
            batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready - self._order.first_batch
            state["rows_done"] = self._order.first_row + batches * self._order.rows_a_batch
            state["rows_a_batch"] = self._order.rows_a_batch
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.order_seed, self._loaded = state_dict.get("order_seed"), state_dict

    @property
    def run_seed(self) -> int:
        """The seed of the run, the same for all its processes; of a run that is resumed, that of its checkpoint."""
        if self.trainer is None:
            return torch.initial_seed()
        if self.order_seed is None:
            of_model = getattr(self.trainer.lightning_module, "run_seed", None)
            self.order_seed = self.trainer.strategy.broadcast(torch.initial_seed() if of_model is None else of_model)
        return self.order_seed

    def training_loader(self, dataset: Dataset, batch_size: int, **options: Any) -> DataLoader:
        """A loader for the Trainer that this data module is attached to.

        Args:
            dataset: its `__getitems__` gives a whole batch.
            batch_size: rows a batch and process.
            options: more arguments for the `DataLoader`.

        Raises:
            UserError: an epoch has no batch to validate after.
        """
        trainer = self.trainer
        self._order = TrainingOrder(
            len(dataset), batch_size, self.run_seed, processes=trainer.world_size, process=trainer.global_rank
        )
        batches = _batches_an_epoch(trainer, len(self._order))
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
        return DataLoader(SeededFetches(dataset), batch_size=None, sampler=self._order, **loader_options(), **options)

    def _go_on(self, order: TrainingOrder, batches: int) -> None:
        """Has the order, and Lightning's counters, begin where the checkpoint ended, if there is one.

        Args:
            order: of this run's batches.
            batches: how many of them an epoch has.
        """
        loop = self.trainer.fit_loop
        epochs, done = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        order.epoch = epochs.processed
        if epochs.ready == epochs.processed:
            # With max_steps, Lightning takes an epoch's end for its middle when it resumes: it would count the epoch
            # twice, and without validation train on one batch more.
            _Loop.restarting.fset(loop, False)
        if not loop.restarting:
            return
        # Lightning looks for loaders with a state of their own.
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
        # Before rows were counted, a checkpoint had its batches only.
        rows_a_batch = order.rows_a_batch // order.num_replicas * self._loaded.get("processes", order.num_replicas)
        rows_a_batch = self._loaded.get("rows_a_batch", rows_a_batch)
        rows = self._loaded.get("rows_done", done.ready * rows_a_batch)
        if hasattr(self.trainer.lightning_module, "begin_step_anew"):
            rows = max(0, rows - self.trainer.lightning_module.begin_step_anew(rows_a_batch == order.rows_a_batch))
        there = order.count if batches == len(order) else batches * order.rows_a_batch
        left = max(0, there - rows) // order.rows_a_batch
        order.first_row, order.first_batch = rows if left else order.count, batches - left
        _set_batches_done(loop.epoch_loop, batches - left, ended=not left)


def _batches_an_epoch(trainer: Trainer, there: int) -> int:
    """How many of the loader's batches make an epoch, as Lightning reads `limit_train_batches`."""
    limit = trainer.limit_train_batches
    return min(there, limit) if isinstance(limit, int) else int(there * limit)


def _set_batches_done(loop: Any, batches: int, ended: bool) -> None:
    """Has Lightning go on behind so many batches of an epoch.

    Args:
        loop: Lightning's of an epoch's batches, with the counters of a checkpoint.
        batches: how many, in batches of the size that is to come.
        ended: whether no batch of the epoch is left. Its end is then all that is still to come, with its validation.
    """
    progress = loop.batch_progress
    saved_in_hook = progress.current.processed - progress.current.completed  # 1 in on_train_batch_end
    if progress.current.ready == progress.current.processed == batches and not (ended and saved_in_hook):
        return
    if ended:
        # Lightning itself would take the epoch for done, and leave out what follows its last batch.
        progress.total.completed += saved_in_hook
        progress.is_last_batch, saved_in_hook = True, 0
        # It validates before it goes on only where it was stopped in a validation.
        validation = loop.val_loop.batch_progress
        validation.reset()
        validation.total.ready = validation.total.started = 1
    progress.current.ready = progress.current.started = progress.current.processed = batches
    progress.current.completed = batches - saved_in_hook


def loader_options() -> dict[str, Any]:
    """What every loader is given, so that loading neither moves the training's random state nor is interrupted.

    A loader draws a seed for its processes each time that it starts, from torch's global generator if it has no own.
    Ctrl-C goes to all processes of a terminal, SIGTERM often to all of a job: this one decides when loading ends.
    """
    return {"generator": torch.Generator(), "worker_init_fn": _ignore_signals}


def _ignore_signals(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
