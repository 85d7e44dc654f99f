"""Runs that a launcher starts side by side share the cores: each is held to its own.

XLA makes as many threads as it sees cores. Two processes that both see all of them wait for each
other's threads more than they compute.
"""

import fcntl
import os
from collections.abc import Mapping
from typing import Any, TextIO

_HELD: list[TextIO] = []  # the lock on the place of this process, for as long as it lives


def share(launcher: Mapping[str, Any], number: int, places: str | None) -> None:
    """Holds this process to its share of the cores; before jax is imported.

    Args:
      launcher: Settings of the launcher of Hydra.
      number: Of the run in its sweep.
      places: Beginning of the names of files that processes of one sweep lock, to tell which place
        each of them has; None for no sweep of several processes.
    """
    if not hasattr(os, "sched_setaffinity") or _HELD:
        return
    target, cores = str(launcher.get("_target_")), sorted(os.sched_getaffinity(0))
    if target.endswith("JoblibLauncher") and places is not None:
        count = _processes(int(launcher.get("n_jobs", -1)))
        if count > 1:
            os.sched_setaffinity(0, part(cores, _place(places, count), count))
    elif "submitit" in target and target.endswith("LocalLauncher"):
        size = launcher.get("cpus_per_task")  # all start at once: the user says how many each has
        if size:
            count = max(1, len(cores) // int(size))
            os.sched_setaffinity(0, part(cores, number % count, count))


def part(cores: list[int], place: int, count: int) -> list[int]:
    """The cores of one of so many processes; some share one where there are fewer cores.

    Args:
      cores: All there are.
      place: Of the process, from 0.
      count: How many processes there are.
    """
    if count >= len(cores):
        return [cores[place % len(cores)]]
    size = len(cores) // count
    return cores[place * size : (place + 1) * size]


def _processes(n_jobs: int) -> int:
    """How many processes joblib runs: -1 stands for as many as there are cores."""
    return n_jobs if n_jobs > 0 else max(1, len(os.sched_getaffinity(0)) + 1 + n_jobs)


def _place(places: str, count: int) -> int:
    """The first place that no other process holds."""
    for place in range(count):
        file = open(f"{places}.{place}", "w")  # closed when the process ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _HELD.append(file)
        return place
    return os.getpid() % count
