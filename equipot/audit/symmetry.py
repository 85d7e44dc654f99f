"""Rotated, inverted, renamed and repeated structures have the energies and forces they should."""

from collections.abc import Callable, Sequence

import numpy as np

from equipot.audit.audited import Audited
from equipot.audit.evaluator import Evaluator
from equipot.audit.samples import Samples
from equipot.audit.verdict import Verdict, judged, shown
from equipot.data.structure import Structure
from equipot.potential.evaluate import HostPrediction
from equipot.testing import equivariance, structures

LIMIT, LIMIT_SINGLE, LIMIT_EXTENSIVE = 1e-10, 1e-4, 1e-9
UNIT = "eV/Å"
_MOST_REPEATED = 32  # atoms of a cell that supercells are made of
_FAR = 12.0  # cutoffs between parts that must not feel each other

Pair = tuple[Structure, Structure, Callable[[HostPrediction], HostPrediction]]
"""A structure, its image, and what the prediction for the image must be."""


def check(audited: Audited, samples: Samples) -> list[Verdict]:
    """Lines for each symmetry in float64, and one for all of them in float32."""
    pairs = _pairs(samples.every, audited.subject.inverts)
    lines, worst = [], 0.0
    for name, (own, sentence) in pairs.items():
        value = max(_differences(audited.exact, own))
        lines.append(judged(name, value, LIMIT, UNIT, sentence))
        worst = max([worst, *_differences(audited.single, own)], key=_nan_last)
    sentence = "The largest difference of all of these where they are computed in float32."
    lines.append(judged("symmetries in float32", worst, LIMIT_SINGLE, UNIT, sentence))
    if not audited.subject.inverts:
        lines.append(
            shown("inversion", "The potential tells mirror images apart, as its settings say.")
        )
    return lines


def check_extensive(audited: Audited, samples: Samples) -> list[Verdict]:
    """Twice the matter has twice the energy: doubled cells, and parts that are far apart."""
    worst, evaluate = 0.0, audited.exact
    cells = [s for s in samples.every if s.volume > 0 and len(s.positions) <= _MOST_REPEATED]
    for cell in cells:
        one, two = evaluate([cell, structures.repeated(cell, (1, 2, 1))])
        worst = max(worst, _relative(two.energy, 2 * one.energy), key=_nan_last)
    first, *others = [s for s in samples.every if not s.pbc.any()]
    fragment = structures.fragment(audited.cutoff, audited.species_table)
    for second in [*others, fragment]:
        offset = _FAR * audited.cutoff * np.array([0.6, -0.48, 0.64])
        parts = evaluate([first, second, structures.joined(first, second, offset)])
        energies = [found.energy for found in parts]
        worst = max(worst, _relative(energies[2], energies[0] + energies[1]), key=_nan_last)
    sentence = (
        "Energies of doubled cells and of two parts that are twelve cutoffs apart, against the sum"
        " of the parts, as a share of it."
    )
    return [judged("extensivity", worst, LIMIT_EXTENSIVE, "of the energy", sentence)]


def _pairs(every: Sequence[Structure], inverts: bool) -> dict[str, tuple[list[Pair], str]]:
    cells = [s for s in every if s.volume > 0 and len(s.positions) <= _MOST_REPEATED]
    what = "Energies, forces and stress of the probe, a crystal, a slab, a cluster and frames of"
    found = {
        "rotation": (
            [_turned(s, equivariance.rotation_matrix(seed)) for seed in range(2) for s in every],
            f"{what} the data, against those of the same structures turned twice.",
        ),
        "inversion": (
            [_turned(s, -np.eye(3)) for s in every],
            f"{what} the data, against those of their mirror images.",
        ),
        "permutation": (
            [_shuffled(s, seed) for seed, s in enumerate(every)],
            f"{what} the data, against those with the atoms in another order.",
        ),
        "supercell": (
            [_repeated(s, times) for s in cells for times in ((2, 1, 1), (1, 1, 2))],
            "Energies, forces and stress of periodic cells against those of doubled cells.",
        ),
    }
    return found if inverts else {k: v for k, v in found.items() if k != "inversion"}


def _differences(evaluate: Evaluator, pairs: Sequence[Pair]) -> list[float]:
    """For each pair the largest difference, as a share of numbers above one."""
    before = evaluate([first for first, _, _ in pairs])
    after = evaluate([second for _, second, _ in pairs])
    found = []
    for own, image, (first, _, change) in zip(before, after, pairs, strict=True):
        expected, atoms = change(own), len(first.positions)
        found.append(
            max(
                _relative(image.energy / atoms, expected.energy / atoms),
                _relative(image.forces, expected.forces),
                _relative(image.stress, expected.stress),
                key=_nan_last,
            )
        )
    return found


def _turned(structure: Structure, matrix: np.ndarray) -> Pair:
    def change(found: HostPrediction) -> HostPrediction:
        stress = matrix @ found.stress @ matrix.T
        return _changed(found, 1, found.forces @ matrix.T, stress)

    return structure, structures.rotated(structure, matrix), change


def _shuffled(structure: Structure, seed: int) -> Pair:
    order = np.random.default_rng(seed).permutation(len(structure.positions))

    def change(found: HostPrediction) -> HostPrediction:
        return _changed(found, 1, found.forces[order], found.stress)

    return structure, structures.permuted(structure, order), change


def _repeated(structure: Structure, times: tuple[int, int, int]) -> Pair:
    copies = int(np.prod(times))

    def change(found: HostPrediction) -> HostPrediction:
        return _changed(found, copies, np.tile(found.forces, (copies, 1)), found.stress)

    return structure, structures.repeated(structure, times), change


def _changed(
    found: HostPrediction, times: int, forces: np.ndarray, stress: np.ndarray
) -> HostPrediction:
    return HostPrediction(
        energy=times * found.energy,
        energies=found.energies,
        forces=forces,
        stress=stress,
        has_stress=found.has_stress,
    )


def _relative(found: np.ndarray | float, expected: np.ndarray | float) -> float:
    """Largest difference, relative to the largest number expected where that is above one."""
    size = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(np.asarray(found) - expected).max(initial=0.0)) / size


def _nan_last(value: float) -> float:
    """A key under which what is not a number is the largest."""
    return np.inf if np.isnan(value) else value
