"""Distances within small structures without periodicity, many at a time.

For a molecule of twenty atoms, what a search for neighbors costs is the call, not the search. All
pairs of all molecules of one size are looked at in a few operations on whole arrays instead. What
is not such a molecule is left to whoever searches one structure at a time.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from equipot.data import structure

MAX_ATOMS = 64
"""Atoms of a structure above which all pairs are more than a search would look at."""

_BLOCK = 1 << 17  # pairs looked at together, so that the arrays stay in the processor's cache


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Molecules of one size, with the distances of all their pairs.

    Attributes:
      indices: Places in the sequence they come from, ascending, [molecules].
      positions: Å, [molecules, nodes, 3].
      atomic_numbers: Z, [molecules, nodes].
      first: First atom of each pair, [pairs]; pairs are in the order of first, then second.
      second: Second atom, larger than the first, [pairs].
      squares: Squared distances in Å², [pairs, molecules].
    """

    indices: np.ndarray
    positions: np.ndarray
    atomic_numbers: np.ndarray
    first: np.ndarray
    second: np.ndarray
    squares: np.ndarray

    @functools.cached_property
    def nearest(self) -> np.ndarray:
        """Squared distance of each atom to its nearest, Å², [nodes, molecules]."""
        places = range(self.positions.shape[1])
        with_atom = [(self.first == a) | (self.second == a) for a in places]
        return np.stack([self.squares[own].min(axis=0) for own in with_atom])

    @functools.cached_property
    def elements(self) -> np.ndarray:
        """Atomic numbers in these molecules, ascending, [elements]."""
        return np.unique(self.atomic_numbers)

    @functools.cached_property
    def kinds(self) -> np.ndarray:
        """Which pair of elements each pair is of, an index into ``pairs``, [pairs, molecules]."""
        places = np.searchsorted(self.elements, self.atomic_numbers.T)
        a, b = places[self.first], places[self.second]
        return np.minimum(a, b) * len(self.elements) + np.maximum(a, b)

    @functools.cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Every pair of elements, [elements²]; ``kinds`` knows those with the smaller Z first."""
        elements = self.elements.tolist()
        return [(a, b) for a in elements for b in elements]

    def shortest(self, limit: np.ndarray | float) -> np.ndarray:
        """Shortest distance of each kind of pair in each molecule.

        Args:
          limit: Squared distance in Å² from which on pairs do not count, [molecules] or one.

        Returns:
          Distances in Å, infinite where there is none, [molecules, elements²].
        """
        count, size = self.squares.shape[1], len(self.pairs)
        near = np.where(self.squares < limit, self.squares, np.inf)
        found = np.full(count * size, np.inf)
        if (self.atomic_numbers == self.atomic_numbers[0]).all():
            columns = found.reshape(count, size)
            for kind in np.unique(self.kinds[:, 0]).tolist():
                columns[:, kind] = near[self.kinds[:, 0] == kind].min(axis=0)
        else:
            places = self.kinds + size * np.arange(count)
            np.minimum.at(found, places.ravel(), near.ravel())
        return np.sqrt(found).reshape(count, size)


def blocks(structures: Sequence[structure.Structure]) -> Iterator[Block]:
    """Yields all structures of 2 to ``MAX_ATOMS`` atoms without periodicity, by size.

    Args:
      structures: Any, others among them.
    """
    for size, indices in sorted(by_size(structures).items()):
        first, second = np.triu_indices(size, 1)
        most = max(1, _BLOCK // len(first))
        for begin in range(0, len(indices), most):
            chosen = indices[begin : begin + most]
            positions = np.array([structures[i].positions for i in chosen], np.float64)
            axes = np.ascontiguousarray(positions.transpose(2, 1, 0))
            squares = np.zeros((len(first), len(chosen)))
            for axis in axes:  # x² + y², then + z²: as searches for neighbors add them up
                difference = axis[second] - axis[first]
                squares += np.square(difference, out=difference)
            yield Block(
                indices=np.array(chosen),
                positions=positions,
                atomic_numbers=np.array([structures[i].atomic_numbers for i in chosen]),
                first=first,
                second=second,
                squares=squares,
            )


def by_size(structures: Sequence[structure.Structure]) -> dict[int, list[int]]:
    """Places of the structures that ``blocks`` takes, by their number of atoms."""
    found: dict[int, list[int]] = {}
    for index, item in enumerate(structures):
        size = len(item.atomic_numbers)
        if 1 < size <= MAX_ATOMS and not any(item.pbc.tolist()):
            found.setdefault(size, []).append(index)
    return found
