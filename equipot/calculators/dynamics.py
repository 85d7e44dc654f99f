"""Molecular dynamics through ASE: constant energy or temperature, with a log and a trajectory."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet
from rich import progress as rich_progress

from equipot import errors
from equipot.calculators import growing, trajectory

COLUMNS = ("step", "time_fs", "T_K", "Epot_eV", "Ekin_eV", "Etot_eV", "P_GPa")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Settings of a run.

    Attributes:
      ensemble: "nve" (velocity Verlet) or "nvt" (Langevin).
      temperature: K; of the thermostat, and of the velocities if the structure has none.
      timestep: fs.
      num_steps: Number of steps.
      friction: Friction of the thermostat, 1/fs.
      seed: Seed for velocities and thermostat.
      trajectory: File of frames, ``.extxyz``, ``.xyz`` or ``.traj``; None writes none.
      log: CSV file of step, time, T, Epot, Ekin, Etot, P; None writes none.
      trajectory_every: Steps between frames.
      log_every: Steps between lines of the log, and points of the drift.
      overwrite: Whether existing files may be replaced.
    """

    ensemble: str = "nvt"
    temperature: float = 300.0
    timestep: float = 0.5
    num_steps: int = 2000
    friction: float = 0.01
    seed: int = 0
    trajectory: str | None = None
    log: str | None = None
    trajectory_every: int = 20
    log_every: int = 10
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.ensemble not in ("nve", "nvt"):
            raise errors.ConfigError(
                f"ensemble: expected nve or nvt, received {self.ensemble!r}."
                f"{errors.did_you_mean(str(self.ensemble).lower(), ('nve', 'nvt'))}"
            )
        if self.temperature < 0:
            raise errors.ConfigError(f"temperature: expected K, received {self.temperature}")
        for name in ("timestep", "num_steps", "friction", "trajectory_every", "log_every"):
            if not getattr(self, name) > 0:
                raise errors.ConfigError(
                    f"{name}: expected a positive number, received {getattr(self, name)}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """One line of the log.

    Attributes:
      step: Number of the step.
      time: fs.
      temperature: K, for 3N degrees of freedom minus constraints.
      potential: Potential energy, eV.
      kinetic: Kinetic energy, eV.
      total: Their sum, eV.
      pressure: GPa, kinetic part included; NaN unless periodic in all directions.
    """

    step: int
    time: float
    temperature: float
    potential: float
    kinetic: float
    total: float
    pressure: float


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


def run_dynamics(
    atoms: Atoms,
    config: DynamicsConfig,
    *,
    progress: bool = True,
    observe: Callable[[int], None] | None = None,
) -> DynamicsReport:
    """Moves the atoms, in place.

    Atoms that have velocities keep them; otherwise velocities are drawn at the temperature, without
    drift of the center of mass.

    Args:
      atoms: With a calculator.
      config: Settings.
      progress: Whether a bar is drawn.
      observe: Called with the number of the step at step 0 and after every step.

    Raises:
      ConfigError: If an output file's name is unusable.
      EquipotError: What the calculator raises, with the step in front.
    """
    rng = np.random.default_rng(config.seed)
    if not np.any(atoms.get_momenta()):
        draw_velocities(atoms, config.temperature, rng)
    integrator = _integrator(atoms, config, rng)
    samples: list[Sample] = []
    with (
        trajectory.frame_writer(config.trajectory, atoms, config.overwrite) as write_frame,
        _log_writer(config.log, config.overwrite) as write_line,
        _bar(config.num_steps, progress) as draw,
    ):

        def look() -> None:
            step = integrator.nsteps
            if step % config.log_every == 0:
                samples.append(_sample(atoms, step, config.timestep))
                write_line(samples[-1])
                draw(step, samples[-1].temperature)
            if step % config.trajectory_every == 0:
                write_frame()
            if observe is not None:
                observe(step)

        seconds = _run(integrator, config.num_steps, look)
    return DynamicsReport(
        samples=tuple(samples),
        drift=fit_drift(
            np.array([s.time for s in samples]), np.array([s.total for s in samples]), len(atoms)
        ),
        seconds_per_step=seconds / max(config.num_steps - 1, 1),
    )


def draw_velocities(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Gives the atoms velocities from the Maxwell-Boltzmann distribution, in place.

    The center of mass is left at rest, unless some atoms are constrained.

    Args:
      atoms: Whose velocities are replaced.
      temperature: K.
      rng: Random numbers.
    """
    masses = atoms.get_masses()[:, None]
    momenta = rng.normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    if not atoms.constraints and len(atoms) > 1:
        momenta -= masses * momenta.sum(axis=0) / masses.sum()
    atoms.set_momenta(momenta)


def fit_drift(times: np.ndarray, energies: np.ndarray, num_atoms: int) -> Drift:
    """Fits a straight line to the total energy.

    Args:
      times: fs.
      energies: Total energies in eV.
      num_atoms: Number of atoms.
    """
    picoseconds = times * 1e-3
    shares = (energies - energies[0]) * 1e3 / num_atoms
    slope = float(np.polyfit(picoseconds, shares, 1)[0]) if len(shares) > 1 else 0.0
    return Drift(slope=slope, excursion=float(np.abs(shares).max()))


def _integrator(
    atoms: Atoms, config: DynamicsConfig, rng: np.random.Generator
) -> MolecularDynamics:
    timestep = config.timestep * units.fs
    if config.ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    return Langevin(
        atoms,
        timestep,
        temperature_K=config.temperature,
        friction=config.friction / units.fs,
        fixcm=False,
        rng=rng,
    )


def _run(integrator: MolecularDynamics, num_steps: int, look: Callable[[], None]) -> float:
    """Runs, calling ``look`` at every step; returns the seconds taken after the first step."""
    begun = 0  # the step in progress; integrator.nsteps is the last one completed

    def look_and_go_on() -> None:
        nonlocal begun
        look()
        begun = integrator.nsteps + 1

    integrator.attach(look_and_go_on, interval=1)
    start = time.perf_counter()
    try:
        for _ in integrator.irun(num_steps):
            if integrator.nsteps == 1:
                start = time.perf_counter()
    except errors.EquipotError as error:
        raise type(error)(f"step {begun}: {error}") from error
    return time.perf_counter() - start


def _sample(atoms: Atoms, step: int, timestep: float) -> Sample:
    potential, kinetic = atoms.get_potential_energy(), atoms.get_kinetic_energy()
    pressure = float("nan")
    if atoms.pbc.all():
        stress = atoms.get_stress(include_ideal_gas=True)
        pressure = float(-stress[:3].mean() / units.GPa)
    return Sample(
        step=step,
        time=step * timestep,
        temperature=float(atoms.get_temperature()),
        potential=float(potential),
        kinetic=float(kinetic),
        total=float(potential + kinetic),
        pressure=pressure,
    )


@contextlib.contextmanager
def _log_writer(
    path: str | pathlib.Path | None, overwrite: bool
) -> Iterator[Callable[[Sample], None]]:
    """Gives a function that appends a line to the CSV file."""
    if path is None:
        yield lambda sample: None
        return
    with growing.appender(trajectory.prepare(path, (".csv",), overwrite)) as append:

        def write_row(row: Sequence[str]) -> None:
            append(f"{','.join(row)}\r\n".encode())

        write_row(COLUMNS)
        yield lambda sample: write_row([repr(value) for value in dataclasses.astuple(sample)])


@contextlib.contextmanager
def _bar(num_steps: int, visible: bool) -> Iterator[Callable[[int, float], None]]:
    """Gives a function that moves a progress bar to a step."""
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("steps {task.fields[speed]} {task.fields[state]}"),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, disable=not visible) as bar:
        task = bar.add_task("dynamics", total=num_steps, speed="", state="compiling")

        def draw(step: int, temperature: float) -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task,
                completed=step,
                speed=f"{speed:.1f}/s" if speed else "",
                state=f"T = {temperature:.0f} K" if step else "compiling",
            )

        yield draw
