"""Between ASE's atoms and the arrays of the device."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.stress import full_3x3_to_voigt_6_stress

from equipot import errors
from equipot.calculators import log
from equipot.inference import neighbors
from equipot.md.simulation import Snapshot
from equipot.md.systems import Start

_WRITTEN = 1e-8  # amu Å per unit of time of ASE: the last digit of momenta in an xyz file


def start_of(atoms: Atoms, stream: int, temperature: float, *, conserves: bool) -> Start:
    """A system at its start.

    Args:
      atoms: With velocities.
      stream: Which random numbers are its own.
      temperature: K, wanted.
      conserves: Whether the dynamics conserves the momentum of atoms that nothing holds.

    Raises:
      ConfigError: If something else than single atoms is held.
    """
    fixed = fixed_atoms(atoms)
    momenta = atoms.get_momenta()
    rounding = _WRITTEN * len(atoms) + 1e-9 * np.abs(momenta).sum()
    at_rest = bool((np.abs(momenta.sum(axis=0)) < rounding).all())
    return Start(
        positions=atoms.get_positions(),
        numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=np.asarray(atoms.pbc),
        masses=atoms.get_masses(),
        fixed=fixed,
        temperature=temperature,
        stream=stream,
        conserved=3 if conserves and at_rest and not fixed.any() else 0,
    )


def check(structures: Sequence[Atoms], cutoff: float) -> None:
    """Refuses structures whose neighbors cannot be found, before anything is computed.

    Args:
      structures: All that are to move.
      cutoff: Å.

    Raises:
      DataError: If two atoms are at the same place, a cell is singular, or a number is not finite;
        with the index of the structure, if there are several.
    """
    for i, own in enumerate(structures):
        try:
            neighbors.NeighborCache(cutoff, 0.0).find(
                own.get_positions(), np.asarray(own.cell), np.asarray(own.pbc)
            )
        except errors.DataError as failure:
            which = f"structure {i}: " if len(structures) > 1 else ""
            raise errors.DataError(f"{which}{failure}") from failure


def are_kept(constraints: Sequence[Any]) -> bool:
    """Whether constraints of ASE's atoms are such as the device keeps: fixed atoms."""
    return all(isinstance(constraint, FixAtoms) for constraint in constraints)


def fixed_atoms(atoms: Atoms) -> np.ndarray:
    """Which atoms are held where they are, [nodes].

    Raises:
      ConfigError: If something else is held.
    """
    fixed = np.zeros(len(atoms), bool)
    for constraint in atoms.constraints:
        if not are_kept([constraint]):
            raise errors.ConfigError(
                f"constraints: expected fixed atoms alone, received {type(constraint).__name__};"
                " others are kept where ASE runs one structure (equipot md --engine ase, equipot"
                " relax without --frame all)"
            )
        fixed[constraint.index] = True
    return fixed


def update(atoms: Atoms, now: Snapshot, system: int) -> None:
    """Puts atoms where a simulation has them, with what the potential says of them, in place.

    Args:
      atoms: Those of the system.
      now: The simulation.
      system: Which of its systems.
    """
    count = len(atoms)
    atoms.set_positions(now.positions[system, :count], apply_constraint=False)
    atoms.set_velocities(now.velocities[system, :count])
    found: dict[str, Any] = {"energy": now.energies[system], "forces": now.forces[system, :count]}
    if atoms.pbc.all():
        atoms.set_cell(now.cells[system])
        stress = now.virials[system] / atoms.get_volume()
        found["stress"] = full_3x3_to_voigt_6_stress(stress)
    atoms.calc = SinglePointCalculator(atoms, **found)


def sample_of(
    atoms: Atoms, now: Snapshot, system: int, timestep: float, freedom: float
) -> log.Sample:
    """A line of the log.

    Args:
      atoms: Those of the system, for their masses.
      now: The simulation.
      system: Which of its systems.
      timestep: fs.
      freedom: Number of momenta that the temperature is of.
    """
    count = len(atoms)
    velocities = now.velocities[system, :count]
    kinetic = 0.5 * float((atoms.get_masses()[:, None] * velocities**2).sum())
    potential = float(now.energies[system])
    pressure = math.nan
    if atoms.pbc.all():
        volume = abs(float(np.linalg.det(now.cells[system])))
        trace = float(np.trace(now.virials[system]))
        pressure = (2.0 * kinetic - trace) / (3.0 * volume) / units.GPa
    return log.Sample(
        step=now.step,
        time=now.step * timestep,
        temperature=2.0 * kinetic / (units.kB * freedom) if freedom else 0.0,
        potential=potential,
        kinetic=kinetic,
        total=potential + kinetic,
        pressure=pressure,
        system=system,
    )
