"""Times compiled functions: medians with extremes, several programs in turn."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from equipot.typing import PyTree


class Compiled(NamedTuple):
    """A compiled function with its arguments, the seconds of compiling it, and its memory."""

    run: Callable[[], PyTree]
    compile_seconds: float
    temporary_mb: float


class Timing(NamedTuple):
    """Seconds of several calls, and what ``Compiled`` says of the program."""

    median: float
    minimum: float
    maximum: float
    compile_seconds: float
    temporary_mb: float


def compile_once(function: Callable, *arguments: PyTree) -> Compiled:
    """Compiles a function for some arguments; no cache of compiled programs should be in use."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    megabytes = program.memory_analysis().temp_size_in_bytes / 1e6
    return Compiled(lambda: program(*arguments), seconds, megabytes)


def in_turn(programs: Mapping[str, Compiled], repeats: int) -> dict[str, Timing]:
    """Calls all programs in turn, ``repeats`` times: each once to warm up, then once for its time.

    What else the machine does at a time then slows all of them alike, and none finds the caches
    full of what another left.
    """
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, program in programs.items():
            jax.block_until_ready(program.run())
            start = time.perf_counter()
            jax.block_until_ready(program.run())
            seconds[name].append(time.perf_counter() - start)
    return {
        name: Timing(
            float(np.median(seconds[name])),
            min(seconds[name]),
            max(seconds[name]),
            program.compile_seconds,
            program.temporary_mb,
        )
        for name, program in programs.items()
    }
