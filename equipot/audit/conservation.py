"""Constant-energy dynamics at three time steps: how the total energy drifts and fluctuates.

With the forces of one smooth energy the total energy of velocity Verlet fluctuates with the square
of the time step and does not drift. A jump, a kink, or forces that belong to no energy show here.
"""

import dataclasses
import warnings
from typing import Any

import numpy as np
from ase import Atoms

from equipot import errors, pictures
from equipot.audit.audited import Audited
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, judged
from equipot.calculators import dynamics, relaxation
from equipot.data.structure import Structure

DRIFT = 0.05
"""meV/atom/ps at 0.5 fs."""

OFF = 0.5
"""How far the power of the time step, by which fluctuations grow, may be from 2."""

PICOSECONDS, PICOSECONDS_QUICK = 1.0, 0.2
_STEPS_LIGHT, _STEPS_HEAVY = (0.25, 0.5, 1.0), (0.5, 1.0, 2.0)  # fs; with hydrogen, without
_SHARE = 0.5  # of the time of the run at 0.5 fs that the other two take
_JUDGED = 0.5  # fs
_FLOOR = 1e-6  # meV/atom, of fluctuations that are rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """The total energy of one run.

    Attributes:
      timestep: fs.
      times: ps.
      energies: meV/atom, from the first.
    """

    timestep: float
    times: np.ndarray
    energies: np.ndarray

    @property
    def drift(self) -> float:
        """Slope of a straight line, meV/atom/ps."""
        return float(np.polyfit(self.times, self.energies, 1)[0])

    def fluctuation(self, until: float) -> float:
        """Standard deviation from a straight line over the first part of the run, meV/atom."""
        early = self.times <= until + 1e-9
        line = np.polyfit(self.times[early], self.energies[early], 1)
        return float(np.std(self.energies[early] - np.polyval(line, self.times[early])))


def check(audited: Audited, samples: Samples, *, temperature: float, quick: bool) -> list[Verdict]:
    """One line for the drift, one for the fluctuations."""
    light = 1 in samples.box.atomic_numbers
    length = PICOSECONDS_QUICK if quick else PICOSECONDS
    try:
        courses = _run(
            audited, samples, temperature, length, _STEPS_LIGHT if light else _STEPS_HEAVY
        )
    except errors.EquipotError as error:
        sentence = f"The dynamics ended: {error}."
        return [judged("NVE: drift", np.nan, DRIFT, "meV/atom/ps", sentence)]
    return _judge(courses, len(samples.box.positions), temperature)


def _judge(courses: list[Course], num_atoms: int, temperature: float) -> list[Verdict]:
    half = next(own for own in courses if own.timestep == _JUDGED)
    common = min(own.times[-1] for own in courses)
    sizes = np.array([max(own.fluctuation(common), _FLOOR) for own in courses])
    steps = np.array([own.timestep for own in courses])
    power = float(np.polyfit(np.log(steps), np.log(sizes), 1)[0])
    off = abs(power - 2.0) if np.isfinite(power) else np.nan
    about = f"{num_atoms} atoms at {temperature:g} K"
    told = ", ".join(f"{s:.3g} at {t:g} fs" for s, t in zip(sizes, steps, strict=True))
    return [
        judged(
            "NVE: drift",
            abs(half.drift),
            DRIFT,
            "meV/atom/ps",
            f"{about}, {half.times[-1]:.3g} ps of {_JUDGED} fs: the slope of the total energy.",
            _picture(courses),
            "The total energy from the same start at three time steps.",
        ),
        judged(
            "NVE: fluctuations",
            off,
            OFF,
            "from the power 2",
            f"{about}: the total energy fluctuates by {told} (meV/atom), which grows with the time"
            f" step to the power {power:.2f}; that of a smooth energy is 2.",
        ),
    ]


def _run(
    audited: Audited,
    samples: Samples,
    temperature: float,
    length: float,
    timesteps: tuple[float, ...],
) -> list[Course]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.OutOfRangeWarning)
        atoms = to_atoms(samples.box, audited.make_calculator(audited.dtype))
        if not samples.has_data:
            relaxation.relax(atoms, relaxation.RelaxationConfig(fmax=0.1, max_steps=200))
        dynamics.draw_velocities(atoms, temperature, np.random.default_rng(1))
        positions, momenta = atoms.get_positions(), atoms.get_momenta()
        courses = []
        for timestep in timesteps:
            atoms.set_positions(positions)
            atoms.set_momenta(momenta)
            share = 1.0 if timestep == _JUDGED else _SHARE
            courses.append(_course(atoms, timestep, share * length))
    return courses


def _course(atoms: Atoms, timestep: float, picoseconds: float) -> Course:
    config = dynamics.DynamicsConfig(
        ensemble="nve",
        timestep=timestep,
        num_steps=round(picoseconds * 1e3 / timestep),
        log_every=1,
    )
    samples = dynamics.run_dynamics(atoms, config, progress=False).samples
    totals = np.array([sample.total for sample in samples])
    return Course(
        timestep=timestep,
        times=np.array([sample.time for sample in samples]) * 1e-3,
        energies=(totals - totals[0]) * 1e3 / len(atoms),
    )


def to_atoms(structure: Structure, calculator: Any) -> Atoms:
    """A structure as ASE has it.

    Args:
      structure: Atoms and cell.
      calculator: Of the atoms.
    """
    return Atoms(
        numbers=structure.atomic_numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
        info={"charge": structure.charge} if structure.charge else {},
        calculator=calculator,
    )


def _picture(courses: list[Course]) -> str:
    with pictures.drawing("constant energy", 1, 1, width=6.4) as picture:
        [axis] = picture.axes
        for own in reversed(courses):
            axis.plot(own.times, own.energies, linewidth=0.7, label=f"{own.timestep:g} fs")
        axis.set_xlabel("time, ps")
        axis.set_ylabel("total energy, meV/atom")
        axis.legend(ncols=3, loc="upper right")
    return picture.svg
