"""Three measures of the scale of labels, each known beforehand where labels are in eV and Å.

They need no more than the labels themselves, and each says nothing where it cannot be trusted:

* bonds between nonmetals have a stiffness that their length alone gives within a factor of two;
* energies change with the lengths of bonds by the work of the forces along them;
* total energies of all electrons are the sum of those of the atoms within a percent.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from equipot import units
from equipot.data import structure
from equipot.data.elements import COVALENT_RADII

_MAX_FRAMES = 200  # of one composition
_MIN_FRAMES = 5
_BOND = 1.25  # a bond is at most so much longer than the covalent radii say
_MIN_CORRELATION = 0.6  # of force and length of a bond: below, its length varies for other reasons
_MIN_ENERGY_CORRELATION = 0.35
_MILLIDYNE = 6.241509074  # eV/Å² per mdyn/Å
_BADGER = 1.86  # mdyn Å²
_ROWS = {1: 0, **dict.fromkeys(range(5, 10), 1), **dict.fromkeys(range(14, 18), 2)}
_CORES: Mapping[tuple[int, int], float] = {
    (0, 0): 0.025,
    (0, 1): 0.335,
    (0, 2): 0.585,
    (1, 1): 0.68,
    (1, 2): 0.90,
    (2, 2): 1.18,
}


def bond_stiffness(structures: Sequence[structure.Structure]) -> float | None:
    """How stiff bonds are by their forces, over how stiff such bonds are in eV/Å².

    The force along a bond is regressed on its length, over the frames of one composition, and
    compared with Badger's rule, k = 1.86 mdyn Å² / (r − d)³. Metals and ions are left out.

    Returns:
      The median over kinds of bonds, or None where there are no such bonds in enough frames.

    Reference: Badger 1935, J. Chem. Phys. 3, 710. DOI 10.1063/1.1749581
    """
    sums: dict[tuple[int, int], np.ndarray] = {}
    for group in _groups([s for s in structures if s.forces_weight > 0.0]):
        lengths, forces, i, j = _lasting_bonds(group)
        numbers = group[0].atomic_numbers
        x, f = lengths - lengths.mean(axis=0), forces - forces.mean(axis=0)
        squares = [(x * x).sum(0), (x * f).sum(0), (f * f).sum(0), lengths.sum(0)]
        moments = np.stack([*squares, np.full(len(i), len(group))])
        for k in range(len(i)):
            low, high = sorted((int(numbers[i[k]]), int(numbers[j[k]])))
            sums[low, high] = sums.get((low, high), np.zeros(5)) + moments[:, k]
    ratios = [_stiffness_ratio(pair, *total) for pair, total in sums.items()]
    known = [value for value in ratios if value is not None]
    return float(np.median(known)) if known else None


def stretch_ratio(structures: Sequence[structure.Structure]) -> float | None:
    """Differences of energy between frames over what the forces along their bonds account for.

    E − Ē is regressed on −½ Σ f (r − r̄) over the bonds, over the frames of one composition. Other
    motions do not correlate with it, or, if temperatures differ, grow along: where the units of
    energy and forces agree the slope is between 0.8 and about 5.

    Returns:
      The slope, or None where there are no such bonds in enough frames, or nothing correlates.
    """
    energies, works = [], []
    both = [s for s in structures if s.forces_weight > 0.0 and s.energy_weight > 0.0]
    for group in _groups(both):
        lengths, forces, _, _ = _lasting_bonds(group)
        if lengths.size:
            work = -0.5 * (forces * (lengths - lengths.mean(axis=0))).sum(axis=1)
            energy = np.array([s.energy for s in group])
            works.append(work - work.mean())
            energies.append(energy - energy.mean())
    if not works:
        return None
    work, energy = np.concatenate(works), np.concatenate(energies)
    norm = float(np.sqrt((energy @ energy) * (work @ work)))
    if norm == 0.0 or energy @ work < _MIN_ENERGY_CORRELATION * norm:
        return None
    return float((energy @ work) / (work @ work))


def all_electron_ratio(structures: Sequence[structure.Structure]) -> float | None:
    """Energies over total energies of the atoms with all electrons, in eV; None where they vary.

    Atoms after Thomas, Fermi, Scott and Schwinger, in Hartree: −0.7687 Z^(7/3) + Z²/2 − 0.2699
    Z^(5/3).

    Reference: Englert 1988, Semiclassical Theory of Atoms. DOI 10.1007/BFb0019202
    """
    z = np.arange(len(COVALENT_RADII), dtype=np.float64)
    by_number = np.where(z > 1, -0.768745 * z ** (7 / 3) + 0.5 * z**2 - 0.2699 * z ** (5 / 3), -0.5)
    totals: dict[bytes, float] = {}  # of the same atoms in the same order, Hartree
    ratios = []
    for s in structures:
        if s.energy_weight > 0.0:
            key = s.atomic_numbers.tobytes()
            if key not in totals:
                is_heavy = (s.atomic_numbers > 2).any()
                totals[key] = float(by_number[s.atomic_numbers].sum()) if is_heavy else 0.0
            if totals[key]:
                ratios.append(s.energy / (units.HARTREE * totals[key]))
    if not ratios or np.ptp(np.quantile(ratios, [0.05, 0.95])) > 0.02 * abs(np.median(ratios)):
        return None
    return float(np.median(ratios))


def _groups(structures: Sequence[structure.Structure]) -> list[list[structure.Structure]]:
    """Frames of the same atoms in the same order, where there are enough."""
    found: dict[bytes, list[structure.Structure]] = {}
    for s in structures:
        numbers, pbc = np.asarray(s.atomic_numbers, "<i8"), np.asarray(s.pbc, bool)
        key = numbers.tobytes() + pbc.tobytes()
        group = found.setdefault(key, [])
        if len(s.positions) > 1 and len(group) < _MAX_FRAMES:
            group.append(s)
    return [group for group in found.values() if len(group) >= _MIN_FRAMES]


def _lasting_bonds(
    group: Sequence[structure.Structure],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lengths and forces [frames, bonds] and ends [bonds] of bonds that are there in all frames."""
    i, j = _bonds(group[0])
    numbers = group[0].atomic_numbers
    lengths, forces = np.array([_along(s, i, j) for s in group]).transpose(1, 0, 2)
    longest = _BOND * (COVALENT_RADII[numbers[i]] + COVALENT_RADII[numbers[j]])
    lasting = (lengths < longest).all(axis=0)
    return lengths[:, lasting], forces[:, lasting], i[lasting], j[lasting]


def _bonds(item: structure.Structure) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of nonmetals at the distance of a bond, each once."""
    numbers = item.atomic_numbers
    usable = np.flatnonzero([int(z) in _ROWS for z in numbers])[:300]
    first, second = np.triu_indices(len(usable), 1)
    i, j = usable[first], usable[second]
    longest = _BOND * (COVALENT_RADII[numbers[i]] + COVALENT_RADII[numbers[j]])
    bonded = np.linalg.norm(_vectors(item, i, j), axis=1) < longest
    return i[bonded], j[bonded]


def _vectors(item: structure.Structure, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    vectors = item.positions[j] - item.positions[i]
    if item.pbc.any():
        lattice = item.cell[item.pbc]
        vectors = vectors - np.rint(vectors @ np.linalg.pinv(lattice)) @ lattice
    return vectors


def _along(item: structure.Structure, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, ...]:
    """Length of each pair, Å, and the force that pushes it apart."""
    vectors = _vectors(item, i, j)
    lengths = np.linalg.norm(vectors, axis=1)
    forces = 0.5 * (item.forces[j] - item.forces[i])
    return lengths, np.einsum("ij,ij->i", forces, vectors) / np.maximum(lengths, 1e-9)


def _stiffness_ratio(
    pair: tuple[int, int], xx: float, xf: float, ff: float, total: float, count: float
) -> float | None:
    if xx <= 0.0 or ff <= 0.0 or -xf / np.sqrt(xx * ff) < _MIN_CORRELATION:
        return None
    low, high = sorted((_ROWS[pair[0]], _ROWS[pair[1]]))
    expected = _MILLIDYNE * _BADGER / max(total / count - _CORES[low, high], 0.2) ** 3
    return float(-xf / xx / expected)
