"""What each of many structures says of the range of distances, before they are taken together."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from equipot.data import contacts, distances, molecules, structure


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DistanceRows:
    """Distances within a radius, each table as index of a structure, kind, and number.

    Attributes:
      pairs: Shortest distance in Å of each pair of elements, a pair as one number.
      nearest: For each element, the longest distance in Å of one of its atoms to its nearest atom.
      alone: For each element with such atoms, how many have no other atom within the radius.
    """

    pairs: contacts.Rows
    nearest: contacts.Rows
    alone: contacts.Rows


def measure(structures: Sequence[structure.Structure], radius: float) -> DistanceRows:
    """Measures every structure, periodic images included.

    Args:
      structures: The structures.
      radius: How far is searched, Å.
    """
    pairs, nearest, alone = [], [], []
    left = np.ones(len(structures), bool)
    for block in molecules.blocks(structures):
        left[block.indices] = False
        limit = radius * radius
        pairs.append(contacts.rows_of_block(block, block.indices, block.shortest(limit)))
        lengths = np.sqrt(np.where(block.nearest < limit, block.nearest, np.inf))
        _add(block.indices, block.atomic_numbers.T, lengths, nearest, alone)
    for index in np.flatnonzero(left).tolist():
        item = structures[index]
        found = distances.nearest(item, radius)
        own = distances.shortest_of_pairs(item, found)
        kinds = np.array([contacts.ELEMENTS * a + b for a, b in own], np.int64)
        lengths = np.array(list(own.values()), np.float64)
        pairs.append((np.full(len(kinds), index), kinds, lengths))
        numbers, lengths = np.asarray(item.atomic_numbers), found.lengths.min(axis=0)
        _add(np.array([index]), numbers[:, None], lengths[:, None], nearest, alone)
    return DistanceRows(
        pairs=contacts.joined(pairs),
        nearest=contacts.joined(nearest),
        alone=contacts.joined(alone),
    )


def _add(
    owners: np.ndarray,
    numbers: np.ndarray,
    lengths: np.ndarray,
    nearest: list[contacts.Rows],
    alone: list[contacts.Rows],
) -> None:
    """Rows of structures of one size, from Z and nearest distance of atoms, [nodes, structures]."""
    near = np.isfinite(lengths)
    for number in np.unique(numbers).tolist():
        own = numbers == number
        longest = np.where(own & near, lengths, -np.inf).max(axis=0)
        counts = (own & ~near).sum(axis=0)
        for rows, values in ((nearest, longest), (alone, counts.astype(np.float64))):
            kept = values > 0.0
            rows.append((owners[kept], np.full(int(kept.sum()), number), values[kept]))
