"""How a command ends: the one line for an error, the exit code, and what it gives back."""

import multiprocessing
import os
import re
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from types import FrameType, TracebackType

import torch
from lightning import Callback
from lightning.fabric.utilities.spike import TrainingSpikeException
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from torch.multiprocessing.spawn import ProcessRaisedException

from lit_gen.callbacks.checkpoints import Stopped
from lit_gen.errors import UserError, nearest
from lit_gen.lightning_compat import end_by
from lit_gen.loggers.wandb import wandb_mistake
from lit_gen.runs import leftovers, locks, processes, slurm

NO_MEMORY = re.compile("can't allocate memory|Storage size calculation overflowed")
LOST = re.compile(r"gloo/transport.*([Cc]onnection|Broken pipe)|Connection was likely closed|remote process exited")
OTHER_ENDED = "another process of this command has ended. Its own lines say why."


@contextmanager
def one_line_endings() -> Iterator[None]:
    """End a command that fails, or is told to stop, with one line on standard error, and give back what it holds.

    Another command may then follow in this process.

    Raises:
        SystemExit: with code 2 for an error that the user can mend; with 143 or 130 for SIGTERM or Ctrl-C.
    """
    told, requeue = processes.told() is not None, False
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    others = set(multiprocessing.active_children())
    end_by(_end_at_once)
    if handlers[signal.SIGTERM] == signal.SIG_DFL and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)  # which Lightning calls after its own: that alone lets predict go on
    try:
        yield
    except Exception as error:
        line = mistake(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, Stopped) and end.code:
            print(end.message, file=sys.stderr)
            requeue = end.requeue
        elif isinstance(end, SIGTERMException | KeyboardInterrupt) or isinstance(end.__context__, KeyboardInterrupt):
            end_loading_processes(others)
            by_signal = isinstance(end, SIGTERMException)
            print(f"stopped by {'SIGTERM' if by_signal else 'Ctrl-C'}", file=sys.stderr)
            raise SystemExit(128 + (signal.SIGTERM if by_signal else signal.SIGINT)) from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # a second Ctrl-C may have come before Lightning did it
                if handler is not None:  # which stands for one of C
                    signal.signal(number, handler)
        locks.release_all()
        leftovers.clear()
        if not told:
            processes.forget()
        if requeue:  # last, since SLURM then kills what is left of the job
            print(slurm.requeue(), file=sys.stderr)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SIGTERMException


def _end_at_once() -> None:
    try:
        os.write(2, f"error: {OTHER_ENDED}\n".encode())
        locks.release_all()
        leftovers.clear()
    finally:
        os._exit(2)


def end_loading_processes(others: Collection[multiprocessing.process.BaseProcess]) -> None:
    """End the processes that load batches: they heed no signal, and Python would wait for them for ever at its exit.

    `others` are the process's own of before the command.
    """
    for child in multiprocessing.active_children():
        if child.daemon and child not in others:
            child.kill()


def mistake(error: BaseException) -> str | None:
    """Return the line for an error, or for what it was raised from; None where the traceback is of more use."""
    cause: BaseException | None = error
    line = _unknown_monitor(str(error))
    while line is None and cause is not None:
        if isinstance(cause, UserError | MisconfigurationException):
            line = str(cause)
        # The CPU's allocator has no error of its own.
        elif isinstance(cause, torch.OutOfMemoryError | MemoryError) or NO_MEMORY.search(str(cause)):
            line = "there is not enough memory. Set --data.batch_size, --data.image_size or the networks' sizes lower."
        elif LOST.search(str(cause)):
            line = OTHER_ENDED
        elif isinstance(cause, ProcessRaisedException):  # of a strategy that starts processes, which raised it there
            said = re.search(r"^lit_gen\.errors\.\w+: (.+)", str(cause), re.MULTILINE | re.DOTALL)
            line, cause = said and said[1], cause.__cause__
        elif isinstance(cause, UnpicklingError):  # of a checkpoint IO that the user chose
            line = "the checkpoint holds objects that could run code, or is damaged: it was not loaded."
        else:
            line, cause = wandb_mistake(cause), cause.__cause__  # jsonargparse wraps what constructors raise
    line = line or _of_lightnings(error)
    return line and re.sub(r"\s*\n\s*", " ", line).strip()  # a path keeps its spaces


def _unknown_monitor(message: str) -> str | None:
    """Return the line for a callback that watches a value which nothing logs, with the values that are; else None."""
    early = re.search(r"conditioned on metric `(.+?)` which is not available.*following: `(.*)`", message, re.DOTALL)
    best = re.search(r"(\w+)\(monitor='(.+?)'\)` could not find the monitored key .*metrics: \[(.*?)\]", message)
    if early:
        name, value, known = "EarlyStopping", early[1], early[2].split("`, `")
    elif best:
        name, value, known = best[1], best[2], re.findall(r"'(.+?)'", best[3])
    else:
        return None
    hint = nearest(value, known)
    return f"{name} watches {value!r}, which nothing logs.{hint} Set its monitor to one of: {', '.join(known)}."


def _of_lightnings(error: BaseException) -> str | None:
    """Return the line for an error within one of Lightning's callbacks, loggers or profilers; None for others."""
    message = str(error)
    if isinstance(error, TrainingSpikeException):
        return (
            f"SpikeDetection: {message}. Go on from a checkpoint before it with a lower --model.learning_rate, or "
            "leave SpikeDetection out."
        )
    # jsonargparse's, when a constructor raises.
    made = r"Problem with given class_path 'lightning\.[\w.]*?(\w+)':\s+(.+?)(?:\s+- |$)"
    if found := re.search(made, message, re.DOTALL):
        return f"{found[1]}: {found[2]}"
    if message.startswith("Does not validate against") and "lightning.pytorch." in message:
        beside = "Does not|Not a valid|Expected a|Problem with|a class path|a dict"
        said = re.findall(rf"^ +- (?!{beside})(.+)$", message, re.MULTILINE)
        name = re.findall(r"class_path='lightning\.[\w.]*?(\w+)'", message)
        if said and name:
            return f"{name[0]}: {said[0]}"
    culprit = _culprit(error.__traceback__)
    if culprit is None:
        return None
    if isinstance(error, ImportError):
        install = f" Try pip install {error.name}." if error.name and "pip install" not in message else ""
        return f"{culprit}: {message}{install}"
    what = ": ".join(filter(None, (type(error).__name__, message.strip().rstrip("."))))
    return f"{culprit} does not work here ({what}). Leave it out, or set it otherwise."


def _culprit(traceback: TracebackType | None) -> str | None:
    """Return the name of Lightning's callback, logger or profiler in whose code an error came up; None for others."""
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in reversed(frames):
        module, owner = frame.f_globals.get("__name__", ""), frame.f_locals.get("self")
        # What lies outside of libraries is this project or the user's own, where a traceback is of use.
        if not re.search(r"^<|[/\\](?:site-packages|dist-packages|python3\.\d+)[/\\]", frame.f_code.co_filename):
            return None
        if module.startswith("lightning.") and isinstance(owner, Callback | Logger | Profiler):
            return None if type(owner).__module__.startswith("lit_gen.") else type(owner).__name__
        if re.match(r"lit_gen\.|lightning\.pytorch\.(trainer|loops|strategies)\.", module):
            return None
    return None
