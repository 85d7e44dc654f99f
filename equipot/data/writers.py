"""Structures with predicted energies, forces and stresses, as a file other programs read."""

import pathlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import ase
import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import files
from equipot.data.structure import Structure

_VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])  # xx, yy, zz, yz, xz, xy


@runtime_checkable
class Predicted(Protocol):
    """What a potential says of one structure; eV, eV/Å, eV/Å³ with tension positive."""

    @property
    def energy(self) -> float:
        """Total energy."""
        ...

    @property
    def energies(self) -> np.ndarray:
        """Energy of each atom, [nodes]."""
        ...

    @property
    def forces(self) -> np.ndarray:
        """Forces, [nodes, 3]."""
        ...

    @property
    def stress(self) -> np.ndarray:
        """Stress, [3, 3]."""
        ...

    @property
    def has_stress(self) -> bool:
        """Whether the stress is defined."""
        ...


def write_predictions(
    path: str | pathlib.Path, structures: Sequence[Structure], predictions: Sequence[Predicted]
) -> None:
    """Writes extended xyz; by its name compressed (``.xz``, ``.gz``).

    Predictions stand under ``energy``, ``forces``, ``stress`` and ``energies``; labels, where there
    are any, under ``REF_energy``, ``REF_forces`` and ``REF_stress`` (Voigt, as ASE has it).

    Args:
      path: Name of the file; what stood there is replaced, whole or not at all.
      structures: With or without labels.
      predictions: Of these structures, in the same order.

    Raises:
      DataError: If the file cannot be written.
    """
    frames = [_atoms(s, p) for s, p in zip(structures, predictions, strict=True)]
    with files.whole(path) as draft:
        ase.io.write(draft, frames, format="extxyz")


def to_atoms(structure: Structure) -> ase.Atoms:
    """The same structure for ASE, without labels."""
    return ase.Atoms(
        numbers=structure.atomic_numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )


def _atoms(structure: Structure, prediction: Predicted) -> ase.Atoms:
    atoms = to_atoms(structure)
    results = {
        "energy": prediction.energy,
        "energies": prediction.energies,
        "forces": prediction.forces,
    }
    if prediction.has_stress:
        results["stress"] = prediction.stress[_VOIGT]
    atoms.calc = SinglePointCalculator(atoms, **results)
    if structure.energy_weight > 0:
        atoms.info["REF_energy"] = structure.energy
    if structure.forces_weight > 0:
        atoms.arrays["REF_forces"] = structure.forces
    if structure.stress_weight > 0:
        atoms.info["REF_stress"] = structure.stress[_VOIGT]
    if structure.head:
        atoms.info["head"] = structure.head
    if structure.group:
        atoms.info["group"] = structure.group
    return atoms
