"""Neighbor lists of small molecules, many at a time; the same as those found one by one."""

import itertools
from collections.abc import Sequence

import numpy as np

from equipot.data import molecules, structure
from equipot.store import neighbors, pair_search

_SPREAD = 1000.0  # cubes of the cutoff's size around a molecule; ``pair_search`` changes its way
# of searching, and with it what it finds within rounding of the cutoff, at twice as many


def placed_lists(
    structures: Sequence[structure.Structure], cutoff: float
) -> list[neighbors.Placed | None]:
    """Lists the pairs of each small structure without periodicity as ``placed_list`` does.

    Args:
      structures: Any, others among them.
      cutoff: Å.

    Returns:
      One entry for each structure; None if it has to be searched on its own, because it is large
      or periodic, consists of pieces that no edges connect, or has two atoms at the same place, or
      because the cutoff is invalid.
    """
    found: list[neighbors.Placed | None] = [None] * len(structures)
    if not 0.0 < cutoff < np.inf:
        return found
    for block in molecules.blocks(structures):
        near = block.squares < cutoff * cutoff
        usable = _connected(block, near)
        usable &= block.squares.min(axis=0) >= pair_search.SAME_PLACE**2
        usable &= np.prod(np.ptp(block.positions, axis=1) / cutoff + 1.0, axis=1) < _SPREAD
        chosen = np.flatnonzero(usable)
        lists = _placed(block, near, chosen)
        for index, own in zip(block.indices[chosen].tolist(), lists, strict=True):
            found[index] = own
    return found


def _connected(block: molecules.Block, near: np.ndarray) -> np.ndarray:
    """Whether edges hold all atoms of a molecule together, [molecules]."""
    count, size = block.positions.shape[:2]
    reached = np.zeros((size, count), bool)
    reached[0] = True
    before = 0
    while before < (now := np.count_nonzero(reached)) < reached.size:
        before = now
        for first, second, edge in zip(block.first, block.second, near, strict=True):
            reached[second] |= edge & reached[first]
            reached[first] |= edge & reached[second]
    return np.all(reached, axis=0, keepdims=True)[0]


def _placed(block: molecules.Block, near: np.ndarray, chosen: np.ndarray) -> list[neighbors.Placed]:
    """The lists of the chosen molecules, each held together by its edges."""
    size = block.positions.shape[1]
    total = np.zeros((len(chosen), 3))
    for atom in range(size):  # one after the other, in the order of a separate search
        total += block.positions[chosen, atom]
    offsets = np.repeat((total / size)[:, None], size, axis=1)
    molecule, pair = np.nonzero(near.T[chosen])
    ends = np.cumsum(np.bincount(molecule, minlength=len(chosen)))
    senders, receivers = block.second[pair].astype(np.int32), block.first[pair].astype(np.int32)
    shifts = np.zeros((len(pair), 3), np.int8)
    starts = [0, *ends.tolist()]
    return [
        neighbors.Placed(
            offsets=offset,
            cell=np.zeros((3, 3)),
            senders=senders[start:stop],
            receivers=receivers[start:stop],
            cell_shifts=shifts[start:stop],
        )
        for offset, (start, stop) in zip(offsets, itertools.pairwise(starts), strict=True)
    ]
