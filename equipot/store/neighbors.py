"""Neighbor lists: every pair of atoms, and of their periodic images, within a cutoff.

The lists are multi-image: in a small cell an atom can be paired with itself, and several times with
the same neighbor. Directions that are not periodic get no images, whatever their row of the cell.
"""

import dataclasses

import numpy as np
from scipy.sparse import coo_array, csgraph

from equipot import errors
from equipot.data import lattice
from equipot.store import pair_search

MIN_SINE = 1e-6
"""Periodic lattice vectors that span less than this, relative to their lengths, are singular."""


def neighbor_list(
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
    positions, cell, pbc = _checked(positions, cell, pbc, cutoff)
    reduced, integers = lattice.reduce(cell, pbc)
    whole = _whole(positions, reduced, pbc)
    first, second, shifts = pair_search.half_list(positions - whole @ reduced, reduced, pbc, cutoff)
    shifts = (shifts + whole[first].astype(np.int64) - whole[second].astype(np.int64)) @ integers
    if len(shifts) and np.abs(shifts).max() > np.iinfo(np.int32).max:
        raise errors.DataError(
            "neighbors are more than 2 billion cells apart, expected atoms near the cell; wrap the"
            " positions into it"
        )
    return both_ways(*_sorted(first, second, shifts, len(positions)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Pairs, and a placement of atoms and cell that single precision resolves best.

    The vectors of the pairs are those of the structure. Its atoms are moved by lattice vectors into
    one cell, and each set of atoms connected by pairs is then moved by one vector so that it lies
    around the origin.

    Attributes:
      offsets: Subtracted from the positions, Å, [nodes, 3].
      cell: Shorter vectors of the same lattice if there are any, otherwise the cell; Å, [3, 3];
        zero in directions that are not periodic.
      senders: The later atom of each pair, int32, [pairs].
      receivers: The other one, or the same atom if it is paired with its own image; ascending.
      cell_shifts: Lattice shifts of the receivers in units of this cell, for the positions minus
        the offsets, int32, [pairs, 3].
    """

    offsets: np.ndarray
    cell: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    cell_shifts: np.ndarray


def placed_list(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> Placed:
    """Lists each pair of atoms closer than the cutoff once, with atoms placed as in ``Placed``.

    The vector of a pair, from sender to receiver, is that of ``neighbor_list``.

    Args:
      positions: Å, [nodes, 3]; atoms may lie outside the cell.
      cell: Lattice vectors in rows, Å, [3, 3].
      pbc: Which directions are periodic, [3].
      cutoff: Å, positive.

    Raises:
      DataError: As ``neighbor_list`` does.
    """
    positions, cell, pbc = _checked(positions, cell, pbc, cutoff)
    reduced, _ = lattice.reduce(cell, pbc)
    whole = _whole(positions, reduced, pbc) @ reduced
    first, second, shifts = pair_search.half_list(positions - whole, reduced, pbc, cutoff)
    senders, receivers, cell_shifts = _sorted(first, second, shifts, len(positions))
    return Placed(
        offsets=whole + _middles(positions - whole, first, second),
        cell=np.where(pbc[:, None], reduced, 0.0),
        senders=senders,
        receivers=receivers,
        cell_shifts=cell_shifts,
    )


def both_ways(
    senders: np.ndarray, receivers: np.ndarray, cell_shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The directed edges that pairs stand for: each pair, followed by its reverse.

    Args:
      senders: Either atom of each pair, [pairs].
      receivers: The other one, [pairs].
      cell_shifts: Lattice shifts of the receivers, [pairs, 3].

    Returns:
      The same three arrays for twice as many edges.
    """
    there_and_back = np.stack([cell_shifts, -cell_shifts], axis=1)
    return (
        np.stack([senders, receivers], axis=1).ravel(),
        np.stack([receivers, senders], axis=1).ravel(),
        there_and_back.reshape(-1, 3),
    )


def _whole(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Lattice vectors to subtract to bring every atom into one cell, [nodes, 3]."""
    whole = np.zeros(positions.shape)
    if pbc.any():
        whole[:, pbc] = np.floor(positions @ np.linalg.pinv(cell[pbc]))
    return whole


def _middles(positions: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each atom the mean position of all atoms connected to it by pairs, Å, [nodes, 3]."""
    count = len(positions)
    pairs = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    number, labels = csgraph.connected_components(pairs, directed=False)
    sizes = np.bincount(labels, minlength=number)
    sums = [np.bincount(labels, weights=axis, minlength=number) for axis in positions.T]
    return (np.stack(sums, axis=1) / sizes[:, None])[labels]


def _sorted(
    first: np.ndarray, second: np.ndarray, shifts: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Senders, receivers and shifts of the pairs, in their order."""
    swapped = (second > first) | ((second == first) & pair_search.is_negative(shifts))
    senders = np.where(swapped, second, first).astype(np.int32)
    receivers = np.where(swapped, first, second).astype(np.int32)
    shifts = np.where(swapped[:, None], -shifts, shifts).astype(np.int32)
    order = np.argsort(_sort_key(senders, receivers, shifts, count))
    return senders[order], receivers[order], shifts[order]


def _sort_key(
    senders: np.ndarray, receivers: np.ndarray, shifts: np.ndarray, count: int
) -> np.ndarray:
    """One integer per pair that orders by receiver, sender and shift; no two are equal."""
    key = receivers.astype(np.int64) * count + senders
    if len(shifts):
        low, high = shifts.min(axis=0), shifts.max(axis=0)
        for axis in range(3):
            key = key * int(high[axis] - low[axis] + 1) + (shifts[:, axis] - low[axis])
    return key


def _checked(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, cell and periodicity as arrays, if a list of their pairs can exist."""
    positions = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    pbc = np.ascontiguousarray(pbc, dtype=bool)
    _check(positions, cell, pbc, cutoff)
    return positions, cell, pbc


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
