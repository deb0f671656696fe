"""A run's checkpoints: when they are written, how many stay, what is saved when the run is stopped or fails."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.callbacks.best import best_checkpoints
from lit_gen.callbacks.timing import Clock
from lit_gen.files.atomic import remove_partial
from lit_gen.lightning_compat import (
    batches_so_far,
    cluster_environment,
    forget_sigterm,
    last_epoch_is_done,
    stop_sharing_sigterm,
    stops_early,
    validation_follows,
)
from lit_gen.limits import NonNegativeFloat, NonNegativeInt, PositiveInt
from lit_gen.runs import slurm
from lit_gen.runs.checkpoint_files import take_place
from lit_gen.runs.commands import resume_command
from lit_gen.training.log import NonFiniteTermError
from lit_gen.training.processes import Agreement


class Stopped(SystemExit):
    """The run was told to stop, and has saved a checkpoint; `requeue` has SLURM start the job again.

    The exit code is 128 plus the signal's number, as in a shell.
    """

    def __init__(self, message: str, code: int, requeue: bool = False) -> None:
        super().__init__(code)
        self.message, self.requeue = message, requeue


class RunCheckpoints(Checkpoint):
    """Write `folder/last.ckpt` every so many batches, at ends of epochs, and when the run ends or is told to stop.

    At the end of an epoch the last checkpoint is replaced if it is `every_n_minutes` old. A run that is killed loses
    what it trained since: at most `every_n_batches`, or these minutes and one epoch where that is less.

    SIGTERM and Ctrl-C stop the run after the present batch, or within a second of it where several processes are to
    know; a second Ctrl-C ends it at once. SIGUSR1, by which SLURM says that the time of a job is running out, stops it
    too, and the job is then queued again. When the only process of a run meets an exception, its state is saved to
    `folder/exception.ckpt`.

    Args:
        folder: the folder for checkpoints.
        every_n_batches: batches from one checkpoint to the next; 0 saves at the ends of epochs only.
        keep: checkpoints that stay: last.ckpt, previous-1.ckpt, and so on.
        every_n_minutes: age of the last checkpoint at which the end of an epoch has another one; 0 saves at the end of
            each. A better state for best.ckpt waits in memory as long at most, and until the next checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        every_n_batches: NonNegativeInt = 1_000,
        keep: PositiveInt = 2,
        every_n_minutes: NonNegativeFloat = 1.0,
    ) -> None:
        self.folder, self.every_n_batches, self.keep = folder, every_n_batches, keep
        self.last = folder / "last.ckpt"
        self.clock = Clock(every_n_minutes)
        self._signal: int | None = None
        self._requeue_signal: int | None = None
        self._requeue = False
        self._began_at = 0  # batches that were done when this process began
        self._stopping = self._cut_short = self._after_validation = False

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._began_at = _batches_done(trainer)
        self._agreement = Agreement()
        stop_sharing_sigterm(trainer)
        # Lightning puts the former handlers back. Its own for SIGTERM saves nothing, and lets the processes of a group
        # wait for each other.
        self._signal = signal.SIGTERM if trainer.received_sigterm else None
        forget_sigterm(trainer)
        self._stopping = self._cut_short = self._after_validation = False
        self.clock.restart()
        self._requeue_signal, self._requeue = _requeue_signal(trainer), False
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, self._requeue_signal):
                if number is not None:
                    signal.signal(number, self._note)
        if trainer.is_global_zero:
            remove_partial(self.folder)

    def _note(self, number: int, frame: Any) -> None:
        if self._signal == number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
        self._requeue |= number == self._requeue_signal  # also when SIGTERM follows before the batch has ended
        os.write(2, b"\nstopping after this batch\n")  # print might have been interrupted itself

    def on_train_epoch_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._cut_short = False
        self._stop(trainer)

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        self._stop(trainer)

    def on_train_batch_end(self, trainer: Trainer, model: Any, *_: Any) -> None:
        if trainer.is_last_batch:
            return  # its checkpoint follows, after the validation
        # An epoch that is cut short can go on, if it is saved before Lightning counts it as done.
        self._cut_short = 0 < trainer.max_steps <= trainer.global_step
        self._cut_short |= stops_early(trainer)
        self._stopping = self._told_to_stop(trainer)
        if self._enough_batches(trainer) or self._cut_short or self._stopping:
            # A resumed run would leave out a validation that is still to come.
            self._after_validation = validation_follows(trainer)
            if not self._after_validation:
                model.log_row()  # which Lightning would do after the checkpoint, and a run may be killed in between
                self.save(trainer)

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self._after_validation:
            self._after_validation = False
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self._cut_short:
            return
        self._stopping = self._told_to_stop(trainer)
        due = self._stopping or self._enough_batches(trainer) or last_epoch_is_done(trainer)
        due = due or (trainer.is_global_zero and self.clock.is_due)  # the clocks of other processes differ
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self.save(trainer)

    def on_exception(self, trainer: Trainer, model: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, NonFiniteTermError):
            trainer.save_checkpoint(self.folder / "non-finite.ckpt", weights_only=False)
        elif isinstance(exception, Exception) and trainer.world_size == 1 and _batches_done(trainer) > self._began_at:
            # One of several processes that failed alone would wait for the others for ever.
            path = self.folder / "exception.ckpt"
            try:
                trainer.save_checkpoint(path, weights_only=False)
            except Exception as error:  # whatever it is, the first exception is the one to be seen
                rank_zero_info(f"what was trained since {self.last} cannot be saved: {error}")
            else:
                rank_zero_info(f"the state in which the error came is in {path}. To go on: {resume_command(path)}")

    def save(self, trainer: Trainer) -> None:
        """Write last.ckpt; the previous one becomes previous-1.ckpt."""
        model: Any = trainer.lightning_module
        model.read_terms()  # a checkpoint that cannot go on must not replace one that can
        new = self.folder / ".next.ckpt"
        trainer.save_checkpoint(new, weights_only=False)
        if trainer.is_global_zero:
            for number in range(self.keep - 1, 0, -1):
                take_place(self.last if number == 1 else self._previous(number - 1), self._previous(number))
            os.replace(new, self.last)
        self.clock.strike()

    def _enough_batches(self, trainer: Trainer) -> bool:
        return bool(self.every_n_batches) and batches_so_far(trainer) % self.every_n_batches == 0

    def _previous(self, number: int) -> Path:
        return self.folder / f"previous-{number}.ckpt"

    def _told_to_stop(self, trainer: Trainer) -> bool:
        """Return whether any process was told to stop; several know it within about a second."""
        told = [self._signal is not None, self._requeue]
        stop, requeue = self._agreement.ask(trainer.strategy, told, now=trainer.is_last_batch)
        self._requeue |= requeue
        return stop

    def _stop(self, trainer: Trainer) -> None:
        if not self._stopping:
            return
        number = (self._requeue_signal if self._requeue else self._signal) or signal.SIGTERM
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        words = f"stopped by {name} after batch {_batches_done(trainer)}. To go on: {resume_command(self.last)}"
        # A process that ends with another code than 0 would have Lightning kill the first one.
        code = 128 + number if trainer.is_global_zero else 0
        raise Stopped("\n".join([*best_of(trainer), words]), code, self._requeue)


def best_of(trainer: Trainer) -> list[str]:
    """Return a line about the run's `best.ckpt`, where there is one."""
    return [line for callback in best_checkpoints(trainer) if (line := callback.summary())]


def last_words(trainer: Trainer, folder: Path) -> list[str]:
    """Return the last lines of a run that is finished, whose folder is given."""
    there = [Path(name).stem for name in ("checkpoints", "samples", "metrics.csv") if (folder / name).exists()]
    what = " and ".join(filter(None, (", ".join(there[:-1]), *there[-1:]))) or "settings and report"
    return [*best_of(trainer), f"finished: {what} are in {folder}"]


def _batches_done(trainer: Trainer) -> int:
    return trainer.fit_loop.epoch_loop.batch_progress.total.completed


def _requeue_signal(trainer: Trainer) -> int | None:
    """Return the signal by which SLURM asks a job to save its state and be started again; None outside of jobs."""
    if slurm.job() is None:
        return None
    environment = cluster_environment(trainer)
    if isinstance(environment, SLURMEnvironment):
        return environment.requeue_signal if environment.auto_requeue else None
    return signal.SIGUSR1
