"""Tasks worked off by several processes, each on one thread, with results kept as they come."""

import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from typing import Any

from tests.benchmarks.judging import Results

# Makes the figures of a task, by key. It and the tasks go to other processes by pickle.
Work = Callable[[Any], dict[str, dict[str, Any]]]
_work: Work | None = None


def work_off(
    tasks: Sequence[Any],
    work: Work,
    results: Results,
    *,
    processes: int = 1,
    seconds: float = math.inf,
) -> int:
    """Do the tasks in their order, as many at once as there are processes.

    Args:
        tasks: what `work` is called with.
        work: a function of a module, or an object of a class of one.
        results: takes the figures of each task when it ends, so that a kill loses only what runs.
        processes: 1 works in this process, on as many threads as it has.
        seconds: after which no other task is begun; those that run are finished.

    Returns:
        How many tasks were not done: for want of time, or because of an error, which is told on
        stderr and does not keep the others from being done.
    """
    until = time.monotonic() + seconds
    waiting = iter(tasks)
    done = 0
    if processes == 1:
        for task in waiting:
            if time.monotonic() >= until:
                break
            done += _keep(_try(work, task), results)
        return len(tasks) - done
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_prepare, initargs=(work,)
    ) as pool:
        running: set[Future[Any]] = set()

        def begin(count: int) -> Iterator[Future[Any]]:
            for task in islice(waiting, count):
                yield pool.submit(_do, task)

        running |= set(begin(processes))
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            done += sum(_keep(future.result(), results) for future in ended)
            if time.monotonic() < until:
                running |= set(begin(len(ended)))
    return len(tasks) - done


def _prepare(work: Work) -> None:
    """Make this process ready for tasks."""
    global _work
    _work = work
    import torch

    from guidegen.engine import models

    torch.set_num_threads(1)
    # settings take turns; their models are to be loaded once, not each time
    models._load = lru_cache(maxsize=None)(models._load.__wrapped__)


def _do(task: Any) -> dict[str, dict[str, Any]] | None:
    assert _work is not None
    return _try(_work, task)


def _try(work: Work, task: Any) -> dict[str, dict[str, Any]] | None:
    """The figures of a task; None if it failed."""
    try:
        return work(task)
    except Exception as error:
        traceback.print_exc()
        print(f"failed: {str(task)[:300]}: {error}", file=sys.stderr, flush=True)
        return None


def _keep(found: dict[str, dict[str, Any]] | None, results: Results) -> bool:
    for key, figures in (found or {}).items():
        results.add(key, figures)
    return found is not None
