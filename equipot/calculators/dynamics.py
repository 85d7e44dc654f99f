"""Molecular dynamics through ASE: constant energy or temperature, with a log and a trajectory."""

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet

from equipot import errors
from equipot.calculators import log, restarts, trajectory
from equipot.calculators.ase import EquipotCalculator
from equipot.potential.potential import Potential

_POSITIVE = (
    "timestep",
    "num_steps",
    "friction",
    "trajectory_every",
    "log_every",
    "restart_every",
)
COURSE = ("ensemble", "temperature", "timestep", "friction", "seed", *_POSITIVE[3:])
"""Settings that the course of a run depends on, or what its files hold."""


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
      restart: File of where the run stands; None writes none.
      restart_every: Steps between writings of that file, which is also written at the end.
      overwrite: Whether existing files may be replaced.
      resume: Whether to go on from that file, and in the other files.
    """

    ENSEMBLES: ClassVar[tuple[str, ...]] = ("nve", "nvt")

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
    restart: str | None = None
    restart_every: int = 1000
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.ensemble not in self.ENSEMBLES:
            raise errors.ConfigError(
                f"ensemble: expected one of {', '.join(self.ENSEMBLES)}, received"
                f" {self.ensemble!r}.{errors.did_you_mean(self.ensemble.lower(), self.ENSEMBLES)}"
            )
        if not 0 <= self.temperature < math.inf:
            raise errors.ConfigError(f"temperature: expected K, received {self.temperature}")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise errors.ConfigError(
                    f"{name}: expected a positive number, received {getattr(self, name)}"
                )
        if self.resume and self.restart is None:
            raise errors.ConfigError("resume: expected the name of a restart file, received none")
        if self.restart and self.trajectory and self.trajectory.endswith(".traj"):
            raise errors.ConfigError(
                f"trajectory: expected a name ending in .extxyz beside a restart file, received "
                f"{self.trajectory}: one in .traj cannot be cut where the run goes on"
            )


def run_dynamics(
    atoms: Atoms,
    config: DynamicsConfig,
    *,
    progress: bool = True,
    observe: Callable[[int], None] | None = None,
) -> log.DynamicsReport:
    """Moves the atoms, in place.

    Atoms that have velocities keep them; otherwise velocities are drawn at the temperature, without
    drift of the center of mass. A run that goes on (``resume``) takes both from its restart file,
    and gives to the last bit what it would have given without the interruption.

    Args:
      atoms: With a calculator; as they were at the start, if the run goes on.
      config: Settings.
      progress: Whether a bar is drawn.
      observe: Called with the number of the step, at step 0 and after every step.

    Raises:
      ConfigError: If an output file's name is unusable, or the restart file is that of another run.
      ArtefactError: If the restart file is missing or damaged.
      EquipotError: What the calculator raises, with the step in front.
    """
    rng = np.random.default_rng(config.seed)
    place = restart_file(config)
    potential = getattr(atoms.calc, "potential", None)
    made_by = potential if isinstance(potential, Potential) else type(atoms.calc).__name__
    own = atoms.calc if isinstance(atoms.calc, EquipotCalculator) else None
    run = restarts.run_of(
        [atoms],
        made_by,
        {name: getattr(config, name) for name in COURSE},
        head=own.head if own else "",
        plus=own.plus if own else (),
    )
    begun = _resumed(atoms, rng, place, run) if place is not None and config.resume else None
    if begun is None and not np.any(atoms.get_momenta()):
        draw_velocities(atoms, config.temperature, rng)
    integrator = _integrator(atoms, config, rng)
    integrator.nsteps = begun.step if begun else 0
    sizes = dict(begun.sizes) if begun else {"trajectory": 0, "log": 0}
    kept = {name: size or None for name, size in sizes.items()}  # 0: it had no such file
    samples = log.read_samples(config.log, kept["log"])
    with (
        trajectory.frame_writer(
            config.trajectory, atoms, config.overwrite, kept["trajectory"]
        ) as write_frame,
        log.log_writer(config.log, config.overwrite, kept["log"]) as write_line,
        log.bar(config.num_steps, progress) as draw,
    ):

        def look() -> None:
            step = integrator.nsteps
            if begun is not None and step == begun.step:
                return  # written before the interruption; ASE shows step 0 again
            if step % config.log_every == 0:
                samples.append(_sample(atoms, step, config.timestep))
                sizes["log"] = write_line(samples[-1])
                draw(step, samples[-1].temperature)
            if step % config.trajectory_every == 0:
                atoms.info.update(step=step, time_fs=step * config.timestep)
                sizes["trajectory"] = write_frame()
            if observe is not None:
                observe(step)
            if place is not None and (step % config.restart_every == 0 or step == config.num_steps):
                _save(place, atoms, integrator.nsteps, rng, sizes, run)

        seconds = _run(integrator, config.num_steps, look)
    return log.DynamicsReport(
        samples=tuple(samples),
        drift=log.fit_drift(
            np.array([s.time for s in samples]), np.array([s.total for s in samples]), len(atoms)
        ),
        seconds_per_step=seconds / max(config.num_steps - (begun.step if begun else 0) - 1, 1),
    )


def restart_file(config: DynamicsConfig) -> pathlib.Path | None:
    """The file of where a run stands, if it has one; to go on, or to be written.

    Raises:
      ConfigError: If a run that begins would write over one.
    """
    if config.restart is None or config.resume:
        return None if config.restart is None else pathlib.Path(config.restart)
    return trajectory.prepare(config.restart, (restarts.SUFFIX,), config.overwrite)


def _resumed(
    atoms: Atoms, rng: np.random.Generator, place: pathlib.Path, run: Mapping[str, Any]
) -> restarts.State:
    """Puts atoms and random numbers where the run stood."""
    state = restarts.load(place, run, ("positions", "momenta", "rng"))
    atoms.set_positions(state.arrays["positions"], apply_constraint=False)
    atoms.set_momenta(state.arrays["momenta"], apply_constraint=False)
    rng.bit_generator.state = state.numbers["rng"]
    return state


def _save(
    place: pathlib.Path,
    atoms: Atoms,
    step: int,
    rng: np.random.Generator,
    sizes: Mapping[str, int],
    run: Mapping[str, Any],
) -> None:
    """Writes where the run stands, and forgets what a run that goes on from there cannot know.

    A neighbor list of before would list the same pairs in another order, and their sum would round
    otherwise.
    """
    state = restarts.State(
        step=step,
        arrays={"positions": atoms.get_positions(), "momenta": atoms.get_momenta()},
        numbers={"rng": rng.bit_generator.state},
        sizes=sizes,
    )
    restarts.save(place, state, run)
    calculator = atoms.calc
    if isinstance(calculator, EquipotCalculator):
        calculator.forget()
    elif calculator is not None:
        calculator.reset()


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
    first = integrator.nsteps
    begun = first  # the step in progress; integrator.nsteps is the last one completed

    def look_and_go_on() -> None:
        nonlocal begun
        look()
        begun = integrator.nsteps + 1

    integrator.attach(look_and_go_on, interval=1)
    start = time.perf_counter()
    try:
        for _ in integrator.irun(max(num_steps - first, 0)):
            if integrator.nsteps == first + 1:
                start = time.perf_counter()
    except errors.EquipotError as error:
        raise type(error)(f"step {begun}: {error}") from error
    return time.perf_counter() - start


def _sample(atoms: Atoms, step: int, timestep: float) -> log.Sample:
    potential, kinetic = atoms.get_potential_energy(), atoms.get_kinetic_energy()
    pressure = float("nan")
    if atoms.pbc.all():
        stress = atoms.get_stress(include_ideal_gas=True)
        pressure = float(-stress[:3].mean() / units.GPa)
    return log.Sample(
        step=step,
        time=step * timestep,
        temperature=float(atoms.get_temperature()),
        potential=float(potential),
        kinetic=float(kinetic),
        total=float(potential + kinetic),
        pressure=pressure,
    )
