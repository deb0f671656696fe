"""The private names of Lightning that this project needs, each in one function: the one place to look after an upgrade.

Nothing else in the package reads or sets a name of Lightning's that begins with an underscore. This module lies below
every room of the package. `tests/test_lightning_compat.py` fails when an upgrade removes a name or changes its meaning.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.core.optimizer import LightningOptimizer, _init_optimizers_and_lr_schedulers
from lightning.pytorch.core.saving import _default_map_location
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loops.loop import _Loop
from lightning.pytorch.profilers import PassThroughProfiler, Profiler
from lightning.pytorch.utilities import rank_zero_only
from torch.optim import Optimizer

# ------------------------------------------------------------------------------------------------- models, optimizers


def trainer_of(model: LightningModule) -> Trainer | None:
    """Return the Trainer that a model is attached to, or None; the public `model.trainer` raises without one."""
    return model._trainer


def told_optimizers(model: LightningModule) -> list[Optimizer]:
    """Return new optimizers as `configure_optimizers` tells them, which may do so in any way that Lightning reads."""
    return _init_optimizers_and_lr_schedulers(model)[0]


def data_of(trainer: Trainer) -> Any:
    """Return the data module that a Trainer works on, or None; Lightning declares no such attribute."""
    return trainer.datamodule  # type: ignore[attr-defined]


def rank() -> int:
    """Return this process's rank, known before there is a Trainer; Lightning hangs it on a function."""
    return rank_zero_only.rank  # type: ignore[attr-defined]


@contextmanager
def uncounted_steps(*optimizers: LightningOptimizer) -> Iterator[None]:
    """Keep `Trainer.global_step`, and with it `max_steps`, where it is, however often `optimizers` step in the block.

    Lightning counts each `optimizer.step()` of a model with manual optimization, and the public API has no switch. Give
    all of `model.optimizers()`.
    """
    before = [(optimizer._on_before_step, optimizer._on_after_step) for optimizer in optimizers]
    for optimizer in optimizers:
        optimizer._on_before_step = optimizer._on_after_step = _do_nothing
    try:
        yield
    finally:
        for optimizer, (on_before, on_after) in zip(optimizers, before, strict=True):
            optimizer._on_before_step, optimizer._on_after_step = on_before, on_after


def count_step(optimizer: LightningOptimizer) -> None:
    """Add one to `Trainer.global_step` without moving a parameter, which no public method does.

    Call it within `training_step` and outside of `uncounted_steps`, with any of `model.optimizers()`.
    """
    optimizer._on_before_step()
    optimizer._on_after_step()


def _do_nothing() -> None:
    pass


# ------------------------------------------------------------------------------------------------------- training loop


def batches_so_far(trainer: Trainer) -> int:
    """Return the number of batches trained on so far, over all epochs; no public attribute of the Trainer has it."""
    return trainer.fit_loop.epoch_loop.total_batch_idx + 1


def accumulation_schedulers(trainer: Trainer) -> list[GradientAccumulationScheduler]:
    """Return the callbacks that say in each epoch how many batches make one step."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from outside
    return [callback for callback in callbacks if isinstance(callback, GradientAccumulationScheduler)]


def batches_a_step(trainer: Trainer) -> int:
    """Return how many batches make one step in the present epoch, also where it is resumed.

    Lightning asks the callback that says so at the start of an epoch only.
    """
    for scheduler in accumulation_schedulers(trainer):
        return scheduler.get_accumulate_grad_batches(trainer.current_epoch)
    return trainer.accumulate_grad_batches


HOOKS_WITHIN_A_STEP = ("on_before_backward", "on_after_backward", "on_before_zero_grad", "on_before_optimizer_step")
"""Hooks of Lightning within a step by manual optimization."""
HOOKS_OF_A_BATCH = ("on_train_batch_start", "on_train_batch_end", *HOOKS_WITHIN_A_STEP)


def skip_idle_hooks(trainer: Trainer) -> None:
    """Keep the Trainer from calling the hooks of a batch that a callback inherits from `Callback`, which do nothing.

    Lightning enters a profiler's context for each hook of each callback: dozens per batch, which take a small network
    longer than its step. It leaves out a hook that is no function; a profiler that is asked for times all others.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it from outside
        for name in HOOKS_OF_A_BATCH:
            if name not in vars(callback) and getattr(type(callback), name) is getattr(Callback, name):
                setattr(callback, name, None)
    settings: Any = trainer  # which declares no profiler
    if type(settings.profiler) is PassThroughProfiler:
        settings.profiler = _NoProfiler()


def call_all_hooks(trainer: Trainer) -> None:
    """Undo `skip_idle_hooks`, for what is done with the callbacks after the training."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it from outside
        for name in HOOKS_OF_A_BATCH:
            if vars(callback).get(name, callback) is None:
                delattr(callback, name)
    settings: Any = trainer
    if type(settings.profiler) is _NoProfiler:
        settings.profiler = PassThroughProfiler()


class _NoProfiler(PassThroughProfiler):
    _nothing = nullcontext("")

    def profile(self, action_name: str) -> Any:
        return self._nothing


def let_unfinished_profilers_end() -> None:
    """Keep a profiler whose constructor has failed from a second error when it is collected.

    Its finalizer reads attributes that it does not have yet. Below the line that says what is wrong, Python would print
    an AttributeError with a traceback, as for `--trainer.profiler=xla` without XLA.
    """
    for name in ("_output_file", "_stage"):
        if not hasattr(Profiler, name):
            setattr(Profiler, name, None)


def reopen_epoch_cut_short(checkpoint: Mapping[str, Any]) -> None:
    """Have a checkpoint say that its last epoch is not done, where `max_steps` or `should_stop` cut it short.

    Lightning counts such an epoch as done, in what it saves from the epoch's end on: a resume would leave out the rest.
    """
    loop = checkpoint.get("loops", {}).get("fit_loop", {})
    epochs, batches = loop.get("epoch_progress"), loop.get("epoch_loop.batch_progress")
    if not epochs or not batches or batches["is_last_batch"] or not batches["current"]["ready"]:
        return
    if epochs["current"]["ready"] == epochs["current"]["processed"]:
        for counts in epochs.values():
            counts["processed"] = counts["completed"] = counts["ready"] - 1


def begin_epoch_anew(trainer: Trainer) -> None:
    """Have a resumed training begin its next epoch, rather than go on in the middle of one.

    The public `fit_loop.restarting = False` does not do it: with `max_steps`, Lightning's setter takes an epoch's end
    for its middle. The loop would count the epoch twice, and train on one batch more where there is no validation.
    """
    vars(_Loop)["restarting"].fset(trainer.fit_loop, False)


def validation_follows(trainer: Trainer) -> bool:
    """Return whether Lightning validates after the batch that has just ended; it says so in no hook."""
    loop: Any = trainer.fit_loop
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


def stops_early(trainer: Trainer) -> bool:
    """Return whether `trainer.should_stop` ends the training now: it does not before `min_epochs` and `min_steps`."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def last_epoch_is_done(trainer: Trainer) -> bool:
    """Return whether the epoch that has just ended is the last; `fit_loop.done` prints a line and sets a count, too."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    progress: Any = trainer.fit_loop.epoch_progress.current
    by_epochs = epochs is not None and 0 <= epochs <= progress.processed
    return by_epochs or 0 <= steps <= trainer.global_step or stops_early(trainer)


# ----------------------------------------------------------------------------------------------------------------- log


def next_row(trainer: Trainer) -> dict[str, int]:
    """Return `epoch` and `step` of the row that Lightning logs for the batch that has just ended; {} if it logs none.

    Lightning logs a batch after the last hook, and the public `trainer.global_step` is not the step that it logs at.
    """
    loop, automatic = trainer.fit_loop, trainer.lightning_module.automatic_optimization
    if not trainer._logger_connector.should_update_logs or (automatic and loop.epoch_loop._should_accumulate()):
        return {}
    return {"epoch": trainer.current_epoch, "step": step_in_log(trainer)}


def step_in_log(trainer: Trainer) -> int:
    """Return the step at which Lightning logs training values; the public `trainer.global_step` may be another one."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def leave_anonymous_out(logger: WandbLogger) -> None:
    """Take back the argument `anonymous` that Lightning always hands to W&B, which warns of the mere mention."""
    logger._wandb_init.pop("anonymous", None)


def uploads_checkpoints(logger: WandbLogger) -> bool:
    """Return whether a logger was told `log_model`, which it keeps under a private name only."""
    return bool(logger._log_model)


# ------------------------------------------------------------------------------------------------------------- signals


def forget_sigterm(trainer: Trainer) -> None:
    """Have Lightning forget a SIGTERM; the public `received_sigterm` can only be read."""
    trainer._signal_connector.received_sigterm = False


def stop_sharing_sigterm(trainer: Trainer) -> None:
    """Have Lightning no longer send the first process's SIGTERM to all before each batch, which waits for the GPU."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _do_nothing  # type: ignore[method-assign]


def set_requeue_handler(trainer: Trainer, handler: Callable[[int, Any], None]) -> None:
    """Replace what Lightning does when SLURM says that a job's time is running out.

    Its own handler saves a checkpoint in the middle of a step. The public way, a SLURMEnvironment that does not
    requeue, would have to be among the user's plugins.
    """
    connector: Any = trainer._signal_connector
    connector._slurm_sigusr_handler_fn = handler


def cluster_environment(trainer: Trainer) -> ClusterEnvironment:
    """Return what Lightning knows of the cluster; the strategy for a single device has no public attribute for it."""
    return trainer._accelerator_connector.cluster_environment


def end_by(end: Callable[[], None]) -> None:
    """Have a command call `end` once a process that it has started has failed; Lightning would kill the first one.

    It is called in a thread, while the first process may wait for the one that failed.
    """

    def terminate_all(self: _ChildProcessObserver) -> None:
        for process in self._child_processes:
            process.kill()
        end()

    _ChildProcessObserver._terminate_all = terminate_all  # type: ignore[method-assign]


# --------------------------------------------------------------------------------------------------------- checkpoints


def whole_checkpoint(trainer: Trainer) -> dict[str, Any]:
    """Return what `trainer.save_checkpoint` would write to a file."""
    return trainer._checkpoint_connector.dump_checkpoint(weights_only=False)


def where_saved(storage: Any, location: str) -> Any:
    """Return where `torch.load` puts a tensor: the device that it was saved from, or the CPU where that is not there.

    Lightning loads by it when it is told no `map_location`.
    """
    return _default_map_location(storage, location)


class DelayedCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that has `keep` write a file, or not yet; Lightning has no public place to do so."""

    def keep(self, trainer: Trainer, path: str) -> None:
        """Keep the present state, which `path` is to hold. All processes call it."""
        raise NotImplementedError

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        self.keep(trainer, filepath)
        self._last_global_step_saved, self._last_checkpoint_saved = trainer.global_step, filepath


def saves_by_the_clock(callback: ModelCheckpoint) -> bool:
    """Return whether a ModelCheckpoint was given `train_time_interval`, which it keeps under a private name only."""
    return callback._train_time_interval is not None


# -------------------------------------------------------------------------------------------------------- command line


def option_names(cli: LightningCLI, command: str) -> list[str]:
    """Return the names of all options of a command, without dashes; those of the whole program for another word.

    Neither LightningCLI nor argparse has a public list.
    """
    parser = cli._subcommand_parsers.get(command, cli.parser)
    return [name.removeprefix("--") for action in parser._actions for name in action.option_strings]
