"""Work on many images in several processes, with a progress bar."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm import tqdm

from lit_gen.errors import UserError

# The main thread has usually run torch by now, and a forked child may inherit a held lock; a fork server does not.
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def map_indices(function: Callable[[int], Any], count: int, description: str, workers: int | None = None) -> list[Any]:
    """[function(0), ..., function(count - 1)], computed by `workers` processes.

    Args:
        function: picklable (a module's function, or a `functools.partial` of one). An exception that it raises ends the
            work and is raised here.
        count: how many indices.
        description: what the progress bar says.
        workers: processes; by default one per available core, and none at all for a handful of images.

    Raises:
        UserError: a worker process ended.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bar = {"total": count, "desc": description, "unit": "image", "mininterval": 0.5, "disable": count < 256}
    if workers <= 1 or count < 256:
        return [function(index) for index in tqdm(range(count), **bar)]
    # The function may carry a long list of paths: each process gets it once, not with every chunk.
    context = multiprocessing.get_context(START_METHOD)
    if START_METHOD == "forkserver":
        context.set_forkserver_preload(["lit_gen.data"])  # torch is imported once, not by each process
    # multiprocessing.Pool would replace workers that cannot start for ever; this one says so.
    pool = ProcessPoolExecutor(workers, context, _remember, (function,))
    try:
        return list(tqdm(pool.map(_call, range(count), chunksize=32), **bar))
    except BrokenProcessPool as error:
        raise UserError(
            f"a process ended while {description}. In a script of your own, start below `if __name__ == '__main__':`; "
            "otherwise memory may be short."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _remember(function: Callable[[int], Any]) -> None:
    global _function
    _function = function


def _call(index: int) -> Any:
    return _function(index)
