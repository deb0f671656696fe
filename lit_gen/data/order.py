"""The order of the training batches, and what is drawn to fetch them: functions of a seed, the epoch and the batch.

A run that goes on in mid-epoch can then begin where the other one stopped, with any number of loading processes. The
order of the evaluation batches gives several processes what one would have.
"""

import math
import signal
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from lightning.pytorch.loops.loop import _Loop
from torch.utils.data import DataLoader, Dataset, DistributedSampler


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
    ) -> None:
        super().__init__(range(count), processes, process, seed=seed)
        self.count, self.batch_size, self.first_batch = count, batch_size, first_batch
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self.first_batch = epoch, 0

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever this one began."""
        return self.count // self.num_replicas // self.batch_size

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rows = rng.permutation(self.count)[self.rank :: self.num_replicas]
        seeds = rng.integers(2**63, size=(len(self), self.num_replicas))[:, self.rank]
        for batch in range(self.first_batch, len(self)):
            yield int(seeds[batch]), rows[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()


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
    """Data whose training loader goes on with the very batch that would have come next in the unbroken run."""

    order_seed: int | None = None
    """What the order of the training batches depends on, once there is a run; it is in the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        return {} if self.order_seed is None else {"order_seed": self.order_seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.order_seed = state_dict.get("order_seed")

    @property
    def run_seed(self) -> int:
        """The seed of the run, the same for all its processes; of a run that is resumed, that of its checkpoint."""
        if self.trainer is None:
            return torch.initial_seed()
        if self.order_seed is None:
            self.order_seed = self.trainer.strategy.broadcast(torch.initial_seed())
        return self.order_seed

    def training_loader(self, dataset: Dataset, batch_size: int, **options: Any) -> DataLoader:
        """A loader for the Trainer that this data module is attached to.

        Args:
            dataset: its `__getitems__` gives a whole batch.
            batch_size: rows a batch and process.
            options: more arguments for the `DataLoader`.
        """
        trainer = self.trainer
        epoch, batch = _position(trainer.fit_loop)
        if batch > 0:
            # Lightning looks for loaders with a state of their own.
            warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
        order = TrainingOrder(
            len(dataset), batch_size, self.run_seed, epoch, batch, trainer.world_size, trainer.global_rank
        )
        return DataLoader(SeededFetches(dataset), batch_size=None, sampler=order, **loader_options(), **options)


def loader_options() -> dict[str, Any]:
    """What every loader is given, so that loading neither moves the training's random state nor is interrupted.

    A loader draws a seed for its processes each time that it starts, from torch's global generator if it has no own.
    Ctrl-C goes to all processes of a terminal, SIGTERM often to all of a job: this one decides when loading ends.
    """
    return {"generator": torch.Generator(), "worker_init_fn": _ignore_signals}


def _ignore_signals(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _position(fit_loop: Any) -> tuple[int, int]:
    """The epoch that comes next, or goes on, and how many of its batches are done."""
    progress, batches = fit_loop.epoch_progress.current, fit_loop.epoch_loop.batch_progress.current
    if progress.ready == progress.processed:
        # With max_steps, Lightning takes an epoch's end for its middle when it resumes: it would count the epoch twice,
        # and without validation train on one batch more.
        _Loop.restarting.fset(fit_loop, False)
    return progress.processed, batches.ready if fit_loop.restarting else 0
