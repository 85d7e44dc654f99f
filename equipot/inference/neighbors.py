"""A neighbor list that is valid for many steps, because it is wider than the cutoff by a skin.

The search uses cutoff + skin. At each call the pairs beyond the cutoff are dropped (a model's
envelope makes them vanish anyway; dropping them saves their cost on the device). This is exact as
long as no atom has moved by more than half of the skin since the search.

The same holds for any radius and for the actual displacements: if no atom has moved by more than m,
no distance has changed by more than 2m. Only pairs whose distance was within 2m of the radius have
to be measured again.

Lists of the last few structures are kept, so that images of a band, or walkers, may take turns. One
search serves several cutoffs, each with its own list.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from equipot import errors
from equipot.store import neighbors, pair_search

_ROUNDING = 1e-4  # Å; distances at the search are kept in single precision

MOST_STRUCTURES = 32
MOST_PAIRS = 2_000_000
"""Limits of the lists kept: structures, and pairs in total (130 MB); the latest is always kept."""


class Found:
    """The result of a search for one cutoff: each pair up to cutoff + skin, once.

    The first ``num_always`` pairs are so short that they stay within the cutoff as long as the list
    is valid; the others come after them.

    Attributes:
      offsets: What to subtract from the positions, Å, [nodes, 3].
      cell: Lattice vectors to go with them, Å, [3, 3].
      senders: Either atom of each pair, int32, [pairs].
      receivers: The other one, int32, [pairs].
      cell_shifts: Lattice shifts of the receivers, int32, [pairs, 3].
      lengths: Distance of each pair at the search, Å, float32, [pairs].
      shortest: The smallest of these distances, Å.
      num_always: Number of pairs that never leave the cutoff.
    """

    def __init__(
        self, positions: np.ndarray, placed: neighbors.Placed, cutoff: float, skin: float
    ) -> None:
        self.offsets, self.cell = placed.offsets, placed.cell
        vectors = (positions - placed.offsets).take(placed.receivers, axis=0)
        vectors -= (positions - placed.offsets).take(placed.senders, axis=0)
        vectors += placed.cell_shifts @ placed.cell
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)).astype(np.float32)
        always = lengths < cutoff - skin - _ROUNDING
        sometimes = (lengths <= cutoff + skin + _ROUNDING) & ~always  # the search may reach farther
        order = np.concatenate([np.flatnonzero(always), np.flatnonzero(sometimes)])
        self.num_always = int(np.count_nonzero(always))
        self.lengths = lengths[order]
        self.shortest = float(self.lengths.min(initial=np.inf))
        self.senders, self.receivers = placed.senders[order], placed.receivers[order]
        self.cell_shifts = placed.cell_shifts[order]
        # By component and in NumPy's fastest layout, because pairs are measured at every step.
        self._shifts = np.ascontiguousarray((self.cell_shifts @ placed.cell).T)
        self._ends = self.senders.astype(np.intp), self.receivers.astype(np.intp)

    def squares(self, positions: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Squared lengths of some pairs, Å².

        Args:
          positions: Å, with the offsets subtracted, [3, nodes].
          chosen: Indices of pairs.
        """
        senders, receivers = (ends.take(chosen) for ends in self._ends)
        squares = np.zeros(len(chosen))
        for x, shifts in zip(positions, self._shifts, strict=True):
            component = x.take(receivers)
            component -= x.take(senders)
            component += shifts.take(chosen)
            component *= component
            squares += component
        return squares


class Neighbors:
    """The pairs of one structure, each once, up to the cutoff, and positions to go with them.

    They are the first ``num_always`` pairs of the search and some of the pairs after them.

    Attributes:
      positions: Positions in Å, moved so that they lie around the origin (single precision
        resolves them best there), see ``equipot.store.neighbors.Placed``; [nodes, 3].
      found: The result of the last search.
      others: Which of the pairs that may leave the cutoff are within it, ascending.
    """

    def __init__(self, positions: np.ndarray, found: Found, moved: float, cutoff: float) -> None:
        """Selects the pairs within the cutoff.

        Args:
          positions: Å, of the structure, [nodes, 3].
          found: The result of the search that is still valid.
          moved: Upper bound on the displacement of any atom since that search, Å.
          cutoff: Å.
        """
        self.positions, self.found = positions - found.offsets, found
        self._columns = np.ascontiguousarray(self.positions.T)
        self._slack = 2.0 * moved + _ROUNDING
        lengths = found.lengths[found.num_always :]
        inside = lengths < cutoff - self._slack
        unsure = np.flatnonzero(inside ^ (lengths <= cutoff + self._slack))
        squares = found.squares(self._columns, unsure + found.num_always)
        inside[unsure] = squares < cutoff**2
        self.others = np.flatnonzero(inside) + found.num_always

    @property
    def num_pairs(self) -> int:
        """Number of pairs within the cutoff."""
        return self.found.num_always + len(self.others)

    @property
    def cell(self) -> np.ndarray:
        """Lattice vectors for these positions, Å, [3, 3]; reduced if that makes them shorter."""
        return self.found.cell

    @property
    def senders(self) -> np.ndarray:
        """Either atom of each pair, [pairs]."""
        return self._kept(self.found.senders)

    @property
    def receivers(self) -> np.ndarray:
        """The other one, [pairs]."""
        return self._kept(self.found.receivers)

    @property
    def cell_shifts(self) -> np.ndarray:
        """Lattice shifts of the receivers in units of the cell, [pairs, 3]."""
        return self._kept(self.found.cell_shifts)

    def within(self, radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First and second atom, and distance in Å, of the pairs up to a radius.

        Args:
          radius: Å, at most the cutoff.
        """
        chosen = np.flatnonzero(self.found.lengths <= radius + self._slack)
        lengths = np.sqrt(self.found.squares(self._columns, chosen))
        near = np.flatnonzero(lengths <= radius)
        chosen = chosen.take(near)
        ends = self.found.senders.take(chosen), self.found.receivers.take(chosen)
        return *ends, lengths.take(near)

    def check_apart(self) -> None:
        """Refuses atoms at the same place.

        Raises:
          DataError: Naming the closest two.
        """
        if self.found.shortest > pair_search.SAME_PLACE + self._slack:
            return
        senders, receivers, lengths = self.within(pair_search.SAME_PLACE)
        if len(lengths):
            closest = int(lengths.argmin())
            raise errors.DataError(
                f"atoms {senders[closest]} and {receivers[closest]} are at the same place"
                f" ({lengths[closest]:.2g} Å apart); remove one of them, or mend the cell or the"
                " time step"
            )

    def _kept(self, values: np.ndarray) -> np.ndarray:
        always = values[: self.found.num_always]
        return np.concatenate([always, values.take(self.others, axis=0)])


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """A structure that was searched, and the result for each cutoff."""

    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    found: tuple[Found, ...]

    def moved(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> float:
        """Largest displacement of an atom since the search, Å; infinite for another structure."""
        if len(self.positions) != len(positions):
            return np.inf
        if not ((self.cell == cell).all() and (self.pbc == pbc).all()):
            return np.inf
        step = positions - self.positions
        return float(np.sqrt(np.einsum("ij,ij->i", step, step).max()))

    @property
    def num_pairs(self) -> int:
        """Pairs of all lists."""
        return sum(len(found.lengths) for found in self.found)


class NeighborCache:
    """Neighbor lists of one system after another, most of them from previous searches.

    Attributes:
      cutoff: Å.
      further: Additional cutoffs, each with its own list, Å.
      skin: Å; with 0 every change leads to a new search.
      n_searches: Number of searches.
    """

    def __init__(self, cutoff: float, skin: float, further: Sequence[float] = ()) -> None:
        if not (np.isfinite(skin) and skin >= 0):
            raise errors.ConfigError(f"skin: expected a length in Å, at least 0, received {skin}")
        self.cutoff, self.further = cutoff, tuple(further)
        self.skin = skin
        self.n_searches = 0
        self._kept: list[_Search] = []  # the last one used comes first

    @property
    def num_pairs(self) -> int:
        """Pairs of all lists that are kept."""
        return sum(search.num_pairs for search in self._kept)

    def find(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> Neighbors:
        """Returns the pairs within the cutoff.

        Args:
          positions: Å, [nodes, 3].
          cell: Lattice vectors in rows, Å, [3, 3].
          pbc: Which directions are periodic, [3].

        Raises:
          DataError: If two atoms lie at the same place, or a number is not finite.
        """
        return self.find_all(positions, cell, pbc)[0]

    def find_all(
        self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> tuple[Neighbors, ...]:
        """Returns the pairs within the cutoff, and those within each of the further ones.

        Args:
          positions: Å, [nodes, 3].
          cell: Lattice vectors in rows, Å, [3, 3].
          pbc: Which directions are periodic, [3].

        Raises:
          DataError: If two atoms lie at the same place, or a number is not finite.
        """
        search, moved = self._search_of(positions, cell, pbc)
        cutoffs = (self.cutoff, *self.further)
        lists = tuple(
            Neighbors(positions, found, moved, cutoff)
            for found, cutoff in zip(search.found, cutoffs, strict=True)
        )
        lists[0].check_apart()
        return lists

    def _search_of(
        self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> tuple[_Search, float]:
        """A search valid for the structure, and the largest displacement of an atom since then."""
        for place, search in enumerate(self._kept):
            moved = search.moved(positions, cell, pbc)
            if moved <= 0.5 * self.skin:  # false for NaN, which the search reports
                if place:
                    self._kept.insert(0, self._kept.pop(place))
                return search, moved
        search = self._search(positions, cell, pbc)
        self._keep(search)
        return search, 0.0

    def _search(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> _Search:
        cutoffs = (self.cutoff, *self.further)
        placed = neighbors.placed_list(positions, cell, pbc, max(cutoffs) + self.skin)
        self.n_searches += 1
        found = {own: Found(positions, placed, own, self.skin) for own in set(cutoffs)}
        return _Search(
            positions=positions.copy(),
            cell=cell.copy(),
            pbc=pbc.copy(),
            found=tuple(found[own] for own in cutoffs),
        )

    def _keep(self, search: _Search) -> None:
        """Keeps a search; if there are too many, drops those least recently used."""
        kept, num_pairs = [search], search.num_pairs
        for other in self._kept[: MOST_STRUCTURES - 1]:
            num_pairs += other.num_pairs
            if num_pairs > MOST_PAIRS:
                break
            kept.append(other)
        self._kept = kept
