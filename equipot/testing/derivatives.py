"""Forces and stress are the derivatives of the energy."""

from collections.abc import Callable

import numpy as np

from equipot.testing import structures, symmetry
from equipot.testing.subject import Subject
from equipot.testing.tolerances import F64_EXACT, FINITE_DIFFERENCE, assert_close

_DIRECTIONS = 4
_STEP = 2e-4  # Å, or strain


def check_forces(subject: Subject) -> None:
    """Forces are minus the change of the energy along random displacements of all atoms."""
    generator = np.random.default_rng(3)
    for structure in symmetry.general(subject):
        forces = subject.observe(structure)[0].forces
        for _ in range(_DIRECTIONS):
            direction = generator.standard_normal(structure.positions.shape)

            def energy(
                step: float,
                structure: structures.Structure = structure,
                along: np.ndarray = direction,
            ) -> float:
                return _energy(subject, structures.displaced(structure, step * along))

            slope = _difference(energy, _STEP)
            what = f"forces on the {structure.source} are minus the slope of the energy"
            assert_close(-np.sum(forces * direction), slope, FINITE_DIFFERENCE, what)


def check_stress(subject: Subject) -> None:
    """Stress is the change of the energy under each of the six strains, over the volume."""
    crystal = structures.crystal(subject.cutoff, subject.species_table)
    stress = subject.observe(crystal)[0].stress
    assert_close(stress, stress.T, F64_EXACT, "stress is symmetric")
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        unit = np.zeros((3, 3))
        unit[i, j] += 0.5
        unit[j, i] += 0.5

        def energy(step: float, unit: np.ndarray = unit) -> float:
            return _energy(subject, structures.strained(crystal, step * unit))

        slope = _difference(energy, _STEP)
        what = f"stress {i}{j} times the volume is the slope of the energy under strain"
        assert_close(crystal.volume * stress[i, j], slope, FINITE_DIFFERENCE, what)


def check_momentum(subject: Subject) -> None:
    """Forces sum to zero, to rounding."""
    for structure in symmetry.general(subject):
        forces = subject.observe(structure)[0].forces
        allowed = F64_EXACT * max(1.0, float(np.abs(forces).sum()))
        what = f"forces on the {structure.source} sum to zero"
        assert_close(forces.sum(axis=0), np.zeros(3), allowed, what)


def _energy(subject: Subject, structure: structures.Structure) -> float:
    return subject.observe(structure)[0].energy


def _difference(function: Callable[[float], float], step: float) -> float:
    """Slope at zero, of fourth order."""
    near = function(step) - function(-step)
    far = function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)
