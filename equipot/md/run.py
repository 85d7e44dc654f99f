"""Molecular dynamics on the device, of one system or many, with log, frames and restart file.

The device takes the steps between one line of the log, frame or restart file and the next. A run
that goes on gives to the last bit what it would have given without the interruption: random numbers
depend on seed and step, and lists of pairs are made anew after each writing of the restart file.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from equipot.calculators import dynamics, log, restarts, trajectory
from equipot.inference import out_of_range
from equipot.md import atoms
from equipot.md import config as settings
from equipot.md.config import DeviceConfig
from equipot.md.simulation import Simulation, Snapshot
from equipot.potential import artefact
from equipot.potential.bound import Bound

ENGINE = "device"
_ARRAYS = "positions", "velocities", "cells"


def run(
    structures: Sequence[Atoms],
    bound: Bound,
    config: DeviceConfig,
    *,
    temperatures: Sequence[float] | None = None,
    stored: artefact.Artefact | None = None,
    head: int = 0,
    skin: float = 0.5,
    is_strict: bool = False,
    progress: bool = True,
    observe: Callable[[int, Sequence[out_of_range.Finding], int], None] | None = None,
) -> tuple[log.DynamicsReport, ...]:
    """Moves the atoms of all structures, in place.

    Atoms that have velocities keep them; otherwise velocities are drawn at the temperature, without
    drift of the center of mass.

    Args:
      structures: As they were at the start, if the run goes on.
      bound: The potential.
      config: Settings.
      temperatures: K, of each structure; None for that of the settings.
      stored: The file of the potential, whose probe is checked first.
      head: Index of the level of theory.
      skin: Å by which lists of pairs are wider than the cutoff.
      is_strict: Whether to stop at a distance outside of those of training.
      progress: Whether a bar is drawn.
      observe: Called with the number of a step, what was outside of training there, and in how many
        steps since the last call.

    Returns:
      One report for each structure.

    Raises:
      ConfigError: If an output file's name is unusable, the restart file is that of another run, or
        a constraint cannot be kept.
      ArtefactError: If the restart file is missing or damaged, or the potential's probe is not
        reproduced.
      DataError: If two atoms are at the same place, a cell is singular, or a number is not finite.
      EquipotError: What the potential raises, with the step in front.
    """
    wanted = list(temperatures or [config.temperature] * len(structures))
    place = dynamics.restart_file(config)
    names = *dynamics.COURSE, *settings.FINE
    given = {name: getattr(config, name) for name in names}
    atoms.check(structures, bound.spec.cutoff)
    what = restarts.run_of(
        structures,
        bound.potential,
        {**given, "engine": ENGINE, "temperatures": wanted},
        head=bound.spec.heads[head],
        plus=bound.plus,
    )
    begun = None
    if place is not None and config.resume:
        begun = restarts.load(place, what, (*_ARRAYS, "capacities"))
    rng = np.random.default_rng(config.seed)
    for own, temperature in zip(structures, wanted, strict=True):
        if not np.any(own.get_momenta()):
            dynamics.draw_velocities(own, temperature, rng)
    options = {"head": head, "skin": skin, "is_strict": is_strict, "stored": stored}
    simulation = _simulation(structures, bound, config, wanted, begun, **options)
    course = _Course(structures, simulation, config, begun, observe)
    with (
        trajectory.frame_writer(
            config.trajectory, structures[0], config.overwrite, course.kept("trajectory")
        ) as course.write_frame,
        log.log_writer(
            config.log,
            config.overwrite,
            course.kept("log"),
            has_systems=len(structures) > 1,
        ) as course.write_line,
        log.bar(config.num_steps, progress) as course.draw,
    ):
        seconds = course.take(place, what)
    return course.reports(seconds)


class _Course:
    """A run and what it has written."""

    def __init__(
        self,
        structures: Sequence[Atoms],
        simulation: Simulation,
        config: DeviceConfig,
        begun: restarts.State | None,
        observe: Callable[..., None] | None,
    ) -> None:
        self._structures, self._simulation, self._config = structures, simulation, config
        self._begun, self._observe = begun, observe
        self.first = begun.step if begun else 0
        self._samples = log.read_samples(config.log, self.kept("log"))
        self._sizes = dict(begun.sizes) if begun else {"trajectory": 0, "log": 0}
        self.write_frame: Callable[..., int] = lambda frame: 0
        self.write_line: Callable[[log.Sample], int] = lambda sample: 0
        self.draw: Callable[[int, float], None] = lambda step, temperature: None

    def kept(self, name: str) -> int | None:
        """Bytes of a file to go on after; None where the run had no such file."""
        return self._begun.sizes[name] or None if self._begun else None

    def take(self, place: pathlib.Path | None, what: dict[str, Any]) -> float:
        """All steps; returns the seconds they took after the program was compiled."""
        config, simulation = self._config, self._simulation
        strides = [config.log_every, config.trajectory_every]
        strides += [config.restart_every] if place is not None else []
        simulation.advance(0)
        start, step = time.perf_counter(), self.first
        if self._begun is None:
            self._look(step, place, what)
        while step < config.num_steps:
            target = min(min(_next(step, stride) for stride in strides), config.num_steps)
            simulation.advance(target - step)
            step = target
            self._look(step, place, what)
        self._update(simulation.snapshot())
        return time.perf_counter() - start

    def _look(self, step: int, place: pathlib.Path | None, what: dict[str, Any]) -> None:
        """Writes what is due after a step."""
        config, simulation = self._config, self._simulation
        now = simulation.snapshot()
        if step % config.log_every == 0:
            samples = [
                atoms.sample_of(own, now, i, config.timestep, simulation.freedom(i))
                for i, own in enumerate(self._structures)
            ]
            for sample in samples:
                self._sizes["log"] = self.write_line(sample)
            self._samples += samples
            self.draw(step, float(np.mean([sample.temperature for sample in samples])))
        if step % config.trajectory_every == 0:
            self._update(now)
            for i, own in enumerate(self._structures):
                own.info.update(step=step, time_fs=step * config.timestep)
                if len(self._structures) > 1:
                    own.info["system"] = i
                self._sizes["trajectory"] = self.write_frame(own)
        if self._observe is not None:
            count, where, found = simulation.outside()
            self._observe(where if count else step, found, count)
        if place is not None and (step % config.restart_every == 0 or step == config.num_steps):
            self._save(place, what, now)

    def _save(self, place: pathlib.Path, what: dict[str, Any], now: Snapshot) -> None:
        """Writes where the run stands, and forgets what one that goes on from there cannot know."""
        state = restarts.State(
            step=now.step,
            arrays={name: getattr(now, name) for name in _ARRAYS},
            numbers={"capacities": list(self._simulation.capacities)},
            sizes=self._sizes,
        )
        restarts.save(place, state, what)
        self._simulation.forget()

    def _update(self, now: Snapshot) -> None:
        for i, structure in enumerate(self._structures):
            atoms.update(structure, now, i)

    def reports(self, seconds: float) -> tuple[log.DynamicsReport, ...]:
        """One for each system."""
        num_steps = max(self._config.num_steps - self.first, 1)
        made = []
        for i, own in enumerate(self._structures):
            samples = tuple(sample for sample in self._samples if sample.system == i)
            times = np.array([sample.time for sample in samples])
            totals = np.array([sample.total for sample in samples])
            drift = log.fit_drift(times, totals, len(own))
            made.append(
                log.DynamicsReport(
                    samples=samples, drift=drift, seconds_per_step=seconds / num_steps
                )
            )
        return tuple(made)


def _simulation(
    structures: Sequence[Atoms],
    bound: Bound,
    config: DeviceConfig,
    temperatures: Sequence[float],
    begun: restarts.State | None,
    **options: Any,
) -> Simulation:
    """The simulation at its start, or where it stood."""
    conserves = config.ensemble == "nve" or config.thermostat == "bussi"
    starts = [
        atoms.start_of(own, i, temperature, conserves=conserves)
        for i, (own, temperature) in enumerate(zip(structures, temperatures, strict=True))
    ]
    velocities = [own.get_velocities() for own in structures]
    step, capacities = 0, None
    if begun is not None:
        step, capacities = begun.step, tuple(begun.numbers["capacities"])
        sizes = [len(own) for own in structures]
        parts = [begun.arrays[name] for name in _ARRAYS]
        velocities = [own[:size] for own, size in zip(parts[1], sizes, strict=True)]
        starts = [
            dataclasses.replace(
                start,
                positions=positions[:size],
                cell=np.where(start.pbc[:, None], cell, start.cell),
            )
            for start, positions, cell, size in zip(starts, parts[0], parts[2], sizes, strict=True)
        ]
    return Simulation(
        bound,
        starts,
        settings.ensemble_of(config, structures),
        velocities=velocities,
        seed=config.seed,
        step=step,
        capacities=capacities,
        **options,
    )


def _next(step: int, stride: int) -> int:
    """The next multiple of a stride."""
    return (step // stride + 1) * stride
