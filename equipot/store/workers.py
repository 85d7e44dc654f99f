"""One function over many pieces of work, in several processes or in this one."""

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from equipot import errors

S = TypeVar("S")
T = TypeVar("T")

_MOST = 16  # processes
_AHEAD = 4  # pieces of work for each process that wait for it


def count(items: int) -> int:
    """How many processes so many pieces of work are given to, if nothing else is said."""
    mine = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if mine else os.cpu_count() or 1
    return max(1, min(cores, items, _MOST))


def results(work: Callable[[S], T], items: Iterable[S], processes: int) -> Iterator[T]:
    """Yields the result for each item, in order.

    Args:
      work: A function of a module, with arguments that can be sent to another process.
      items: Pieces of work; looked at as they are needed.
      processes: How many; with one, everything is done here.
    """
    if processes == 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=context, initializer=_end_with, initargs=(os.getpid(),)
    )
    waiting: list[concurrent.futures.Future[T]] = []
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _AHEAD * processes:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise errors.DataError(
            "a process that reads or writes data ended before it was done: it was killed, for"
            " memory perhaps (equipot prepare --processes 1 takes less), or the script that started"
            " this lacks: if __name__ == '__main__':"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone; a killed one cannot say so."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
