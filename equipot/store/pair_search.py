"""Finds pairs: with a cell list if atoms fill the space, with a tree if most of it is empty.

Cell lists walk through all of the space; vesin merges cells if there are more than 10⁵, and divides
by zero if the box is long and thin. A tree looks only at atoms, and is slower if there are many.
"""

import itertools

import numpy as np
import vesin
from scipy.spatial import KDTree

from equipot import errors
from equipot.data import lattice

SAME_PLACE = 1e-3
"""Atoms closer than this, in Å, are considered a mistake in the input."""

THREADED_FROM = 2000
"""Number of atoms from which a single list is computed on several cores."""

MAX_NEIGHBORS = 10_000
"""Average number of neighbors beyond which a structure is considered a mistake."""

_EMPTY_BINS = 2000.0
_MAX_BINS = 9e4


def half_list(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists each pair of atoms closer than the cutoff once.

    Args:
      positions: Å, [nodes, 3], inside the cell where it is periodic.
      cell: Lattice vectors in rows, reduced, Å, [3, 3].
      pbc: Which directions are periodic, [3].
      cutoff: Å, positive.

    Returns:
      First atom [pairs], second atom [pairs] and lattice shift of the second [pairs, 3].

    Raises:
      DataError: If two atoms lie at the same place, or pairs would fill the memory.
    """
    _check_density(positions, cell, pbc, cutoff)
    if _mostly_empty(positions, cell, pbc, cutoff):
        first, second, shifts, lengths = _tree_search(positions, cell, pbc, cutoff)
    else:
        lattice_only = np.where(pbc[:, None], cell, 0.0)  # vesin handles the open directions
        search = vesin.NeighborList(
            cutoff=cutoff, full_list=False, n_threads=0 if len(positions) >= THREADED_FROM else 1
        )
        first, second, shifts, lengths = search.compute(
            points=positions, box=lattice_only, periodic=pbc, quantities="ijSd"
        )
    if len(lengths) and lengths.min() < SAME_PLACE:
        edge = int(lengths.argmin())
        raise errors.DataError(
            f"atoms {first[edge]} and {second[edge]} are {lengths[edge]:.2g} Å apart, "
            f"expected at least {SAME_PLACE} Å; remove one of them or mend the cell"
        )
    return first, second, shifts


def is_negative(shifts: np.ndarray) -> np.ndarray:
    """Whether the first nonzero component is negative, [pairs]."""
    x, y, z = shifts.T
    return (x < 0) | ((x == 0) & ((y < 0) | ((y == 0) & (z < 0))))


def _check_density(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> None:
    """Stops before pairs fill the memory."""
    if not len(positions):
        return
    own = float(np.linalg.norm(cell[pbc], axis=1).min(initial=np.inf))
    if own < SAME_PLACE:
        raise errors.DataError(
            f"a lattice vector puts atom 0 {own:.2g} Å from its own image, expected at least "
            f"{SAME_PLACE} Å; mend the cell {cell[pbc].tolist()} or its unit"
        )
    room = np.where(np.arange(3) < pbc.sum(), 0.0, 2.0 * cutoff) + _extents(positions, cell, pbc)
    spread = len(positions) * 4.0 / 3.0 * np.pi * cutoff**3 / float(np.prod(room))
    expected = max(lattice.num_points(cell, pbc, cutoff), spread)
    if expected > MAX_NEIGHBORS:
        raise errors.DataError(
            f"about {expected:.1e} neighbors of each atom lie within the cutoff of {cutoff:g} Å, "
            f"expected at most {MAX_NEIGHBORS}: the {len(positions)} atoms or the lattice vectors "
            f"{cell[pbc].tolist()} (Å) are too close together; mend the structure or its unit"
        )


def _extents(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Distance between opposite faces of the cell, or across the atoms where it is open, Å, [3]."""
    if pbc.any():
        heights = 1.0 / np.linalg.norm(np.linalg.pinv(cell[pbc]), axis=0)
        # Across the atoms, the open directions are those at right angles to the lattice vectors.
        normals = np.linalg.svd(cell[pbc])[2][pbc.sum() :]
        return np.concatenate([heights, np.ptp(positions @ normals.T, axis=0)])
    return np.ptp(positions, axis=0) if len(positions) else np.zeros(3)


def _mostly_empty(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> bool:
    """Whether there are so many cubes of the cutoff's size that searching all of them is slow.

    Beyond 10⁵ of them vesin merges some, and divides by zero if the box is long and thin.
    """
    bins = np.prod(np.maximum(_extents(positions, cell, pbc) / cutoff, 1.0))
    return bool(bins > min(max(_EMPTY_BINS, 4.0 * len(positions)), _MAX_BINS))


def _tree_search(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The pairs as vesin gives them, found by a tree, for which empty space costs nothing."""
    margin = np.zeros(3)
    fractional = np.zeros(positions.shape)
    if pbc.any():
        inverse = np.linalg.pinv(cell[pbc])
        margin[pbc] = cutoff * np.linalg.norm(inverse, axis=0)
        fractional[:, pbc] = positions @ inverse
    reach = [range(-int(np.ceil(m)), int(np.ceil(m)) + 1) for m in margin]
    images, atoms, shifts = [], [], []
    for shift in itertools.product(*reach):
        moved = fractional + shift
        near = np.flatnonzero(
            ((moved >= -margin - 1e-9) & (moved <= 1.0 + margin + 1e-9) | ~pbc).all(1)
        )
        images.append(
            positions[near] + np.array(shift, np.float64) @ np.where(pbc[:, None], cell, 0.0)
        )
        atoms.append(near)
        shifts.append(np.tile(np.array(shift, np.int64), (len(near), 1)))
    atom, shift = np.concatenate(atoms), np.concatenate(shifts)
    found = KDTree(positions).sparse_distance_matrix(
        KDTree(np.concatenate(images)), cutoff, output_type="ndarray"
    )
    first, second, chosen = found["i"], atom[found["j"]], shift[found["j"]]
    once = (first < second) | ((first == second) & is_negative(-chosen))
    once &= found["v"] < cutoff
    return first[once], second[once], chosen[once], found["v"][once]
