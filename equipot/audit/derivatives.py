"""Forces and stress are the derivatives of the energy, number by number, in float64."""

from collections.abc import Sequence

import numpy as np

from equipot.audit.audited import Audited
from equipot.audit.evaluator import Evaluator
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, judged
from equipot.data.structure import Structure
from equipot.testing import structures

LIMIT_FORCES, LIMIT_STRESS = 1e-6, 1e-7
_STEP = 5e-4  # Å, or strain
_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))
_ATOMS = 6  # of each structure
_STRAINS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def check(audited: Audited, samples: Samples) -> list[Verdict]:
    """Lines for forces and for stress."""
    chosen = samples.made + samples.frames[:1]
    forces = [_forces_differ(audited.exact, structure) for structure in chosen]
    periodic = [s for s in chosen if s.volume > 0]
    stresses = [_stress_differs(audited.exact, structure) for structure in periodic]
    how = "against differences of the energy of fourth order, relative where they are above one"
    return [
        judged(
            "forces",
            np.max(forces),
            LIMIT_FORCES,
            "eV/Å",
            f"Forces on {_ATOMS} atoms of each of {len(chosen)} structures, {how}.",
        ),
        judged(
            "stress",
            np.max(stresses),
            LIMIT_STRESS,
            "eV/Å³",
            f"All six stresses of {len(periodic)} periodic structures, {how}.",
        ),
    ]


def _forces_differ(evaluate: Evaluator, structure: Structure) -> float:
    count = len(structure.positions)
    atoms = np.random.default_rng(5).permutation(count)[:_ATOMS]
    unit = np.zeros((len(atoms), 3, count, 3))
    for row, atom in enumerate(atoms):
        unit[row, :, atom] = np.eye(3)
    moved = [
        structures.displaced(structure, _STEP * step * direction)
        for direction in unit.reshape(-1, count, 3)
        for step, _ in _STENCIL
    ]
    here, *around = evaluate([structure, *moved])
    slopes = _slopes([found.energy for found in around]).reshape(-1, 3)
    return _worst(here.forces[atoms], -slopes)


def _stress_differs(evaluate: Evaluator, structure: Structure) -> float:
    moved = [
        structures.strained(structure, _STEP * step * _unit_strain(i, j))
        for i, j in _STRAINS
        for step, _ in _STENCIL
    ]
    here, *around = evaluate([structure, *moved])
    slopes = _slopes([found.energy for found in around]) / structure.volume
    own = np.array([here.stress[i, j] for i, j in _STRAINS])
    return max(_worst(own, slopes), float(np.abs(here.stress - here.stress.T).max()))


def _slopes(energies: Sequence[float]) -> np.ndarray:
    """One for each run over the stencil."""
    weights = np.array([weight for _, weight in _STENCIL])
    return np.asarray(energies).reshape(-1, len(weights)) @ weights / _STEP


def _unit_strain(i: int, j: int) -> np.ndarray:
    strain = np.zeros((3, 3))
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def _worst(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
