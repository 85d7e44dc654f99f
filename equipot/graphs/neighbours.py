"""Neighbour lists: every pair of atoms, and of their periodic images, within a cutoff.

The lists are multi-image: an atom meets itself and its neighbours as often as the cell is small.
Directions that are not periodic get no images, whatever stands in their row of the cell.
"""

import numpy as np
import vesin

from equipot import errors

SAME_PLACE = 1e-3
"""Atoms closer than this, in Å, are taken for a mistake in the input."""

THREADED_FROM = 2000
"""Number of atoms from which one list is spread over the cores."""

MIN_SINE = 1e-6
"""Periodic lattice vectors that span less than this, relative to their lengths, are singular."""


def neighbour_list(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists the pairs of atoms closer than the cutoff, in both directions.

    The vector of an edge, from sender to receiver, is
    ``positions[receivers] - positions[senders] + cell_shifts @ cell``. Edge 2k + 1 is the mirror
    image of edge 2k, whose receiver is at most its sender; these are sorted by receiver, then
    sender, then shift.

    Args:
      positions: Å, [nodes, 3]; atoms may lie outside the cell.
      cell: Lattice vectors in rows, Å, [3, 3]; rows of directions that are not periodic may be
        anything, zero too.
      pbc: Which directions are periodic, [3].
      cutoff: Å, positive.

    Returns:
      Senders [edges], receivers [edges] and cell shifts [edges, 3], all int32.

    Raises:
      DataError: If a number is not finite, the periodic lattice vectors span no volume, or two
        atoms lie at the same place.
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    pbc = np.ascontiguousarray(pbc, dtype=bool)
    _check(positions, cell, pbc, cutoff)
    search = vesin.NeighborList(
        cutoff=cutoff, full_list=False, n_threads=0 if len(positions) >= THREADED_FROM else 1
    )
    first, second, shifts, lengths = search.compute(
        points=positions, box=cell, periodic=pbc, quantities="ijSd"
    )
    if len(lengths) and lengths.min() < SAME_PLACE:
        edge = int(lengths.argmin())
        raise errors.DataError(
            f"atoms {first[edge]} and {second[edge]} are {lengths[edge]:.2g} Å apart, "
            f"expected at least {SAME_PLACE} Å; remove one of them or mend the cell"
        )
    swapped = (second > first) | ((second == first) & _is_negative(shifts))
    senders = np.where(swapped, second, first).astype(np.int32)
    receivers = np.where(swapped, first, second).astype(np.int32)
    shifts = np.where(swapped[:, None], -shifts, shifts).astype(np.int32)
    order = np.argsort(_sort_key(senders, receivers, shifts, len(positions)))
    return both_ways(senders[order], receivers[order], shifts[order])


def both_ways(
    senders: np.ndarray, receivers: np.ndarray, cell_shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Puts the mirror image of every edge behind it.

    Args:
      senders: Where the edges start, [pairs].
      receivers: Where they end, [pairs].
      cell_shifts: Lattice shifts of the receivers, [pairs, 3].

    Returns:
      The same of twice as many edges.
    """
    there_and_back = np.stack([cell_shifts, -cell_shifts], axis=1)
    return (
        np.stack([senders, receivers], axis=1).ravel(),
        np.stack([receivers, senders], axis=1).ravel(),
        there_and_back.reshape(-1, 3),
    )


def offsets(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """What to subtract so that the atoms lie around the origin, where single precision is finest.

    Lattice vectors that bring every atom into one cell, and one shift common to all atoms.

    Args:
      positions: Å, [nodes, 3], finite.
      cell: Lattice vectors in rows, Å, [3, 3].
      pbc: Which directions are periodic, [3].

    Returns:
      Offsets in Å, [nodes, 3].
    """
    lattice = cell[pbc]
    whole = np.floor(positions @ np.linalg.pinv(lattice)) @ lattice
    return whole + (positions - whole).mean(axis=0)


def _is_negative(shifts: np.ndarray) -> np.ndarray:
    """Whether the first component that is not zero is negative, [pairs]."""
    x, y, z = shifts.T
    return (x < 0) | ((x == 0) & ((y < 0) | ((y == 0) & (z < 0))))


def _sort_key(
    senders: np.ndarray, receivers: np.ndarray, shifts: np.ndarray, count: int
) -> np.ndarray:
    """One integer per edge that orders by receiver, sender and shift; no two are equal."""
    key = receivers.astype(np.int64) * count + senders
    if len(shifts):
        low, high = shifts.min(axis=0), shifts.max(axis=0)
        for axis in range(3):
            key = key * int(high[axis] - low[axis] + 1) + (shifts[:, axis] - low[axis])
    return key


def _check(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> None:
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise errors.DataError(f"the cutoff must be a positive length in Å, received {cutoff}")
    if not np.isfinite(positions).all():
        atom = int(np.argmin(np.isfinite(positions).all(axis=1)))
        raise errors.DataError(
            f"position of atom {atom} is {positions[atom]}, expected finite numbers"
        )
    if not np.isfinite(cell).all():
        raise errors.DataError(f"cell is {cell.tolist()}, expected finite numbers")
    vectors = cell[pbc]
    lengths = np.linalg.norm(vectors, axis=1)
    if (lengths == 0).any() or _spanned(vectors, lengths) < MIN_SINE:
        raise errors.DataError(
            f"the periodic lattice vectors {vectors.tolist()} span no volume; give the cell, or "
            "turn periodicity off in that direction"
        )


def _spanned(vectors: np.ndarray, lengths: np.ndarray) -> float:
    """Volume spanned by the unit vectors along the given ones; 1 for orthogonal or no vectors."""
    unit = vectors / lengths[:, None]
    return float(np.sqrt(max(np.linalg.det(unit @ unit.T), 0.0))) if len(vectors) else 1.0
