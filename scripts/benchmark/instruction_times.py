"""Measures how long each instruction of a compiled program takes, with jax's profiler.

On a CPU the profiler notes when a thread starts an instruction and when that is done, on a GPU the
same of its kernels. At a moment at which several are open, on several threads, each is given an
equal part of it, so that the parts add up to the time that passed while anything ran. Loops and
calls are left out: what runs inside them is counted.
"""

import heapq
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.profiler import ProfileData

from equipot.typing import PyTree

_END = "end: "


class Interval(NamedTuple):
    """An instruction that ran, in nanoseconds."""

    start: float
    end: float
    name: str


def seconds_by_instruction(
    run: Callable[[], PyTree], module: str, containers: Collection[str], repeats: int
) -> dict[str, float]:
    """Runs a program under the profiler; returns the seconds of each instruction per run.

    Args:
      run: Calls the compiled program; it should have run before.
      module: Name of the module, as its text gives it.
      containers: Names of loops and calls.
      repeats: Number of runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(repeats):
                jax.block_until_ready(run())
        [path] = Path(folder).rglob("*.xplane.pb")
        found = intervals(ProfileData.from_file(str(path)), module, containers)
    shares = share(found)
    return {name: value * 1e-9 / repeats for name, value in shares.items()}


def intervals(profile: Any, module: str, containers: Collection[str]) -> list[Interval]:
    """The instructions of a module that a profile has seen, but for its containers."""
    planes = list(profile.planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:")]
    found: list[Interval] = []
    for plane in devices or planes:
        started: dict[int, int] = {}  # what an end belongs to, as an index into ``found``
        ends: list[tuple[int, float]] = []
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                end = event.start_ns + event.duration_ns
                if event.name.startswith(_END):
                    ends.append((stats.get("_c", -1), end))
                elif stats.get("hlo_module") == module and stats.get("hlo_op") not in containers:
                    started[stats.get("_p", -1)] = len(found)
                    found.append(Interval(event.start_ns, end, stats["hlo_op"]))
        for producer, end in ends:
            if producer in started:
                i = started[producer]
                found[i] = found[i]._replace(end=max(found[i].end, end))
    return found


def share(found: Iterable[Interval]) -> dict[str, float]:
    """Splits the time in which anything is open equally among what is open, by name."""
    totals: dict[str, float] = defaultdict(float)
    open_until: list[tuple[float, str]] = []
    now = 0.0

    def advance(moment: float) -> None:
        """Gives the time until a moment to what is open, and closes what ends before."""
        nonlocal now
        while open_until:
            until = min(open_until[0][0], moment)
            for _, name in open_until:
                totals[name] += (until - now) / len(open_until)
            now = until
            if open_until[0][0] > moment:
                break
            heapq.heappop(open_until)
        now = max(now, moment)

    for start, end, name in sorted(found):
        advance(start)
        heapq.heappush(open_until, (end, name))
    advance(float("inf"))
    return dict(totals)
