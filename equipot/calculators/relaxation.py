"""Relaxation through ASE: moves atoms, and if asked the cell, until forces and stress vanish."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS
from ase.optimize.optimize import Optimizer

from equipot import errors
from equipot.calculators import trajectory

OPTIMIZERS: dict[str, type[Optimizer]] = {"fire": FIRE, "bfgs": BFGS, "lbfgs": LBFGS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelaxationConfig:
    """Settings of a relaxation.

    Attributes:
      optimizer: "fire" (robust), "bfgs" or "lbfgs" (fewer steps near a minimum).
      fmax: Largest force component vector allowed at the end, eV/Å; with ``cell`` the cell's too.
      max_steps: Number of steps after which to give up.
      cell: Whether the cell is relaxed too.
      pressure: External pressure on the cell, GPa.
      trajectory: File of frames, ``.extxyz``, ``.xyz`` or ``.traj``; None writes none.
      overwrite: Whether an existing file may be replaced.
    """

    optimizer: str = "fire"
    fmax: float = 0.01
    max_steps: int = 500
    cell: bool = False
    pressure: float = 0.0
    trajectory: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise errors.ConfigError(
                f"optimizer: expected one of {', '.join(OPTIMIZERS)}, received"
                f" {self.optimizer!r}.{errors.did_you_mean(str(self.optimizer), OPTIMIZERS)}"
            )
        if self.pressure and not self.cell:
            raise errors.ConfigError(
                "pressure: only has an effect if the cell is relaxed too; received"
                f" {self.pressure:g} GPa without cell. Set cell, or leave pressure out"
            )
        for name in ("fmax", "max_steps"):
            if not getattr(self, name) > 0:
                raise errors.ConfigError(
                    f"{name}: expected a positive number, received {getattr(self, name)}"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelaxationReport:
    """The results of a relaxation.

    Attributes:
      converged: Whether ``fmax`` was reached.
      num_steps: Steps taken.
      energy_before: eV.
      energy_after: eV; not a number if energy or forces were none, and the structure was left as it
        was.
      largest_force: Length of the largest force on an atom at the end, eV/Å.
      volume_before: Å³; 0 unless periodic in all directions.
      volume_after: Å³; likewise.
    """

    converged: bool
    num_steps: int
    energy_before: float
    energy_after: float
    largest_force: float
    volume_before: float
    volume_after: float

    def __str__(self) -> str:
        """One line for people."""
        if math.isnan(self.energy_after):
            return (
                f"NOT relaxed, left as it was: at step {self.num_steps} energies or forces are not"
                " finite, or the cell has collapsed; atoms may lie much closer together than in the"
                " potential's training data"
            )
        state = "converged" if self.converged else "NOT converged"
        line = (
            f"{state} after {self.num_steps} steps: energy {self.energy_before:.6f} →"
            f" {self.energy_after:.6f} eV, largest force {self.largest_force:.4f} eV/Å"
        )
        if self.volume_before == self.volume_after:
            return line
        return f"{line}, volume {self.volume_before:.3f} → {self.volume_after:.3f} Å³"


def relax(
    atoms: Atoms,
    config: RelaxationConfig,
    *,
    observe: Callable[[int], None] | None = None,
) -> RelaxationReport:
    """Relaxes the atoms, in place.

    Args:
      atoms: With a calculator.
      config: Settings.
      observe: Called with the number of each step, starting from 0.

    Raises:
      ConfigError: If the cell is to be relaxed and not all directions are periodic, or an output
        file's name is unusable.
      EquipotError: What the calculator raises, with the step in front.
    """
    if config.cell and not atoms.pbc.all():
        raise errors.ConfigError(
            "cell: expected a structure that is periodic in all three directions, received pbc ="
            f" {atoms.pbc.tolist()}; relax the atoms alone, or give a cell"
        )
    pressure = config.pressure * units.GPa
    target: Any = FrechetCellFilter(atoms, scalar_pressure=pressure) if config.cell else atoms
    optimizer = OPTIMIZERS[config.optimizer](target, logfile=None)
    with _step_named(optimizer):
        before, volume = float(atoms.get_potential_energy()), _volume(atoms)
    with trajectory.frame_writer(config.trajectory, atoms, config.overwrite) as write_frame:
        optimizer.attach(write_frame, interval=1)
        if observe is not None:
            optimizer.attach(lambda: observe(optimizer.nsteps), interval=1)
        with _step_named(optimizer):
            converged = optimizer.run(fmax=config.fmax, steps=config.max_steps)
    return RelaxationReport(
        converged=bool(converged),
        num_steps=optimizer.nsteps,
        energy_before=before,
        energy_after=float(atoms.get_potential_energy()),
        largest_force=float(np.linalg.norm(atoms.get_forces(), axis=1).max()),
        volume_before=volume,
        volume_after=_volume(atoms),
    )


@contextlib.contextmanager
def _step_named(optimizer: Optimizer) -> Iterator[None]:
    """Puts the number of the step in front of an error of the calculator."""
    try:
        yield
    except errors.EquipotError as error:
        raise type(error)(f"step {optimizer.nsteps}: {error}") from error


def _volume(atoms: Atoms) -> float:
    return float(atoms.get_volume()) if atoms.pbc.all() else 0.0
