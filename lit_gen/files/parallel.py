"""Work on many images in several processes, with a progress bar."""

import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from tqdm import tqdm

from lit_gen.errors import UserError

# The main thread has usually run torch by now, and a forked child may inherit a held lock; a fork server does not.
START_METHOD = "forkserver"
# Modules that the fork server imports once, for all workers. One server does all work of a process, whatever it began
# with, so that a room with large imports adds itself here.
PRELOAD: list[str] = []

Result = TypeVar("Result")


def map_indices(
    function: Callable[..., Result],
    count: int,
    description: str,
    workers: int | None = None,
    items: Sequence[Any] | None = None,
) -> list[Result]:
    """Return [function(0), ..., function(count - 1)], computed by several processes.

    Args:
        function: picklable function (a module's function, or a `functools.partial` of one). An exception that it raises
            ends the work and is raised here.
        count: number of indices.
        description: words of the progress bar.
        workers: number of processes; by default one per available core, and none at all for fewer than 256 indices.
        items: `count` picklable things, of which the function gets the one at each index as its second argument. No
            process holds more than a few of them at a time.

    Raises:
        UserError: a worker process ended.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bar = partial(tqdm, total=count, desc=description, unit="image", mininterval=0.5, disable=count < 256)
    arguments = (range(count),) if items is None else (range(count), items)
    if workers <= 1 or count < 256:
        return [function(*given) for given in bar(zip(*arguments, strict=True))]
    context = multiprocessing.get_context(START_METHOD)
    context.set_forkserver_preload(PRELOAD)
    # multiprocessing.Pool would replace workers that cannot start for ever; this one says so.
    pool = ProcessPoolExecutor(workers, context, _remember, (function,))
    of_script = b"__main__" in pickle.dumps(function)
    try:
        with _no_script(unless=of_script):
            results = pool.map(_call, *arguments, chunksize=32)
        return list(bar(results))
    except BrokenProcessPool as error:
        why = "Start your script below `if __name__ == '__main__':`." if of_script else "Memory may be short."
        raise UserError(f"a process ended while {description}. {why}") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _no_script(unless: bool) -> Iterator[None]:
    """Have processes that start within the block not import the script that runs.

    A script that does not begin below `if __name__ == "__main__":` would run in each of them once more, and there wait
    for the very work that it is to do.

    Args:
        unless: whether the processes need the script, as for a function that is defined in it.
    """
    script = sys.modules["__main__"]
    if not unless:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


_function: Callable[..., Any]


def _remember(function: Callable[..., Any]) -> None:
    global _function
    _function = function
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when the process that it works for is gone: it would wait for work for ever."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _call(*arguments: Any) -> Any:
    return _function(*arguments)
