"""The memory that a step may take, and the largest batches that fit into it."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from equipot import free_memory
from equipot.process import Process

_UNKNOWN = 2**31 - 1  # MiB
_USABLE = 0.9  # of what is free on a processor, where batches ahead and checkpoints need some
_STEPS_AT_ONCE = 3  # one runs; two wait, and have addresses already, but no memory
_TRIES = 5  # programs that are compiled in search of the largest batch that fits
_CLOSE = 0.97  # of what scaling says fits
_NOT_MORE = 1.1  # times what fits is not worth another program


def limit(mesh: Mesh) -> int | None:
    """Bytes that each device of this process has for a program; None where nobody says.

    On a GPU that is what jax may take of it. Devices on a processor share nine tenths of what is
    free in the machine, or less if the process may not have all of it.

    Args:
      mesh: The devices.
    """
    devices = list(mesh.local_devices)
    if devices[0].platform != "cpu":
        stats = [device.memory_stats() or {} for device in devices]
        known = [own["bytes_limit"] for own in stats if "bytes_limit" in own]
        return min(known, default=None)
    found = [
        own
        for own in (free_memory.of_machine(), free_memory.of_group(), _of_process())
        if own is not None
    ]
    return int(_USABLE * min(found)) // len(devices) if found else None


def agreed(most: int | None, process: Process) -> int | None:
    """The least that any of the processes of a run has, so that all of them decide alike."""
    if process.count == 1:
        return most
    own = np.asarray(_UNKNOWN if most is None else min(most >> 20, _UNKNOWN), np.int32)  # MiB
    least = int(multihost_utils.process_allgather(own).min())
    return None if least == _UNKNOWN else least << 20


def largest(
    size: int,
    least: int,
    bytes_of: Callable[[int], int],
    fixed: int,
    most: int,
) -> tuple[int, int] | None:
    """The largest size below ``size`` that fits, and its bytes: by scaling, then by compiling.

    Args:
      size: One that does not fit.
      least: The smallest there is.
      bytes_of: Compiles the program of a size.
      fixed: Bytes that do not depend on the size.
      most: Bytes there are.

    Returns:
      None if the smallest does not fit either.
    """
    taken, fails, found = bytes_of(size), size, None
    for _ in range(_TRIES):
        share = max(most - fixed, 0) / max(taken - fixed, 1)
        size = max(least, min(fails - 1, rounded(_CLOSE * share * size)))
        if size >= fails or (found is not None and size <= _NOT_MORE * found[0]):
            break
        taken = bytes_of(size)
        if taken <= most:
            found = size, taken
        else:
            fails = size
    return found


def rounded(number: float) -> int:
    """Rounded down to two digits; exactly below a hundred."""
    whole = max(int(number), 0)
    step = 10 ** max(len(str(whole)) - 2, 0)
    return whole // step * step


def shown(count: int) -> str:
    """Bytes for people, to two or three digits."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            value = count / size
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{count / 1e3:.3g} kB"


def _of_process() -> int | None:
    """What the limit of addresses of this process leaves; steps that wait take some, too."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most in (resource.RLIM_INFINITY, -1):
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return most // _STEPS_AT_ONCE
    return max(most - pages * resource.getpagesize(), 0) // _STEPS_AT_ONCE
