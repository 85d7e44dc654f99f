"""What a simulation says while it runs: lines of a log, the drift of its energy, a progress bar."""

import contextlib
import csv
import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from rich import progress as rich_progress

from equipot.calculators import growing, trajectory

COLUMNS = ("step", "time_fs", "T_K", "Epot_eV", "Ekin_eV", "Etot_eV", "P_GPa")
SYSTEM = "system"
"""The last column, where several systems run together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One line of the log.

    Attributes:
      step: Number of the step.
      time: fs.
      temperature: K, for 3N degrees of freedom minus constraints; on the device also minus the
        total momentum where it is zero and stays so.
      potential: Potential energy, eV.
      kinetic: Kinetic energy, eV.
      total: Their sum, eV.
      pressure: GPa, kinetic part included; NaN unless periodic in all directions.
      system: Which of the systems that run together.
    """

    step: int
    time: float
    temperature: float
    potential: float
    kinetic: float
    total: float
    pressure: float
    system: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drift:
    """How well the total energy is conserved.

    Attributes:
      slope: Slope of a straight line fitted to the total energy, meV/atom/ps.
      excursion: Largest deviation of the total energy from its first value, meV/atom.
    """

    slope: float
    excursion: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"total energy: drift {self.slope:+.4f} meV/atom/ps (fitted slope),"
            f" largest excursion {self.excursion:.4f} meV/atom"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicsReport:
    """The results of a run.

    Attributes:
      samples: Lines of the log, the first at step 0.
      drift: Drift of the total energy; at constant temperature it measures the exchange with the
        heat bath.
      seconds_per_step: Wall time, without the first step, which compiles.
    """

    samples: tuple[Sample, ...]
    drift: Drift
    seconds_per_step: float


def fit_drift(times: np.ndarray, energies: np.ndarray, num_atoms: int) -> Drift:
    """Fits a straight line to the total energy; no numbers where there is none.

    Args:
      times: fs.
      energies: Total energies in eV.
      num_atoms: Number of atoms.
    """
    if not len(energies):
        return Drift(slope=math.nan, excursion=math.nan)
    picoseconds = times * 1e-3
    shares = (energies - energies[0]) * 1e3 / num_atoms
    slope = float(np.polyfit(picoseconds, shares, 1)[0]) if len(shares) > 1 else 0.0
    return Drift(slope=slope, excursion=float(np.abs(shares).max()))


def read_samples(path: str | None, kept: int | None) -> list[Sample]:
    """The lines that the log of a run that goes on holds already.

    Args:
      path: The CSV file; None where there is none.
      kept: Bytes of it that stay; None for a run that begins.

    Raises:
      DataError: If the file is shorter, or cannot be read.
    """
    if path is None or kept is None:
        return []
    place = pathlib.Path(path)
    with growing.refused(place):
        data = place.read_bytes() if place.exists() else b""
    growing.check_kept(place, len(data), kept)
    rows = csv.reader(data[:kept].decode().splitlines()[1:])
    return [Sample(**_numbers(row)) for row in rows]


def _numbers(row: Sequence[str]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(Sample)]
    values = dict(zip(names, map(float, row), strict=False))
    whole = {name: int(values[name]) for name in ("step", "system") if name in values}
    return {**values, **whole}


@contextlib.contextmanager
def log_writer(
    path: str | pathlib.Path | None,
    overwrite: bool,
    kept: int | None = None,
    *,
    has_systems: bool = False,
) -> Iterator[Callable[[Sample], int]]:
    """Gives a function that appends a line to the CSV file and returns its size.

    Args:
      path: The CSV file; None writes nothing.
      overwrite: Whether an existing file may be replaced.
      kept: Bytes of an existing file to go on after; None for a new file.
      has_systems: Whether a line says which system it is of.

    Raises:
      ConfigError: If the name is unusable, or the file already exists.
      DataError: If a line cannot be written.
    """
    if path is None:
        yield lambda sample: 0
        return
    target = trajectory.prepare(path, (".csv",), overwrite or kept is not None)
    with growing.appender(target, kept or 0) as append:

        def write_row(row: Sequence[str]) -> int:
            return append(f"{','.join(row)}\r\n".encode())

        columns = (*COLUMNS, SYSTEM) if has_systems else COLUMNS
        if not kept:
            write_row(columns)

        def write(sample: Sample) -> int:
            values = dataclasses.astuple(sample)[: len(columns)]
            return write_row([repr(value) for value in values])

        yield write


@contextlib.contextmanager
def bar(num_steps: int, visible: bool) -> Iterator[Callable[[int, float], None]]:
    """Gives a function that moves a progress bar to a step, and shows the temperature in K.

    Args:
      num_steps: Number of steps.
      visible: Whether there is a bar.
    """
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("steps {task.fields[speed]} {task.fields[state]}"),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, disable=not visible) as shown:
        task = shown.add_task("dynamics", total=num_steps, speed="", state="compiling")

        def draw(step: int, temperature: float) -> None:
            speed = shown.tasks[0].speed
            shown.update(
                task,
                completed=step,
                speed=f"{speed:.1f}/s" if speed else "",
                state=f"T = {temperature:.0f} K" if step else "compiling",
            )

        yield draw
