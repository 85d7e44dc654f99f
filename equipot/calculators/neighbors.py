"""A neighbor list that outlives many steps, because it is wider than the cutoff by a skin.

The search runs with cutoff + skin. At each call the pairs beyond the cutoff are dropped (a model's
envelope makes them vanish anyway; dropping them spares their cost), which is exact as long as no
atom has moved by more than half of the skin since the search.
"""

import dataclasses

import numpy as np

from equipot import errors
from equipot.store import neighbors, pair_search


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Neighbors:
    """Edges within the cutoff, each before its mirror image, and positions to go with them.

    Attributes:
      positions: Positions in Å, moved so that they lie around the origin (single precision
        resolves them best there), see ``equipot.store.neighbors.Placed``; [nodes, 3].
      cell: Lattice vectors to go with them, Å, [3, 3]; reduced if those of the structure are not.
      senders: Where the edges start, [edges].
      receivers: Where they end, [edges].
      cell_shifts: Lattice shifts of the receivers in units of that cell, [edges, 3].
      squares: Squared length in Å² of each pair, that is of every other edge, [edges / 2].
    """

    positions: np.ndarray
    cell: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    cell_shifts: np.ndarray
    squares: np.ndarray


class NeighborCache:
    """Neighbor lists of one system after another, most of them from the previous search.

    Attributes:
      cutoff: Å.
      skin: Å; 0 searches whenever anything has changed.
      n_searches: How often the list was searched for.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        if not (np.isfinite(skin) and skin >= 0):
            raise errors.ConfigError(f"skin: expected a length in Å, at least 0, received {skin}")
        self.cutoff = cutoff
        self.skin = skin
        self.n_searches = 0
        self._searched: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def find(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> Neighbors:
        """Returns the pairs within the cutoff.

        Args:
          positions: Å, [nodes, 3].
          cell: Lattice vectors in rows, Å, [3, 3].
          pbc: Which directions are periodic, [3].

        Raises:
          DataError: If two atoms lie at the same place, or a number is not finite.
        """
        if not self._still_holds(positions, cell, pbc):
            self._search(positions, cell, pbc)
        moved = positions - self._offsets
        vectors = moved.take(self._receivers, axis=0)
        vectors -= moved.take(self._senders, axis=0)
        vectors += self._shift_vectors
        squares = np.einsum("ij,ij->i", vectors, vectors)
        _check_apart(squares, self._senders, self._receivers)
        kept = np.flatnonzero(squares < self.cutoff**2)
        senders, receivers, cell_shifts = neighbors.both_ways(
            self._senders.take(kept),
            self._receivers.take(kept),
            self._cell_shifts.take(kept, axis=0),
        )
        return Neighbors(
            positions=moved,
            cell=self._cell,
            senders=senders,
            receivers=receivers,
            cell_shifts=cell_shifts,
            squares=squares.take(kept),
        )

    def _still_holds(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> bool:
        if self._searched is None:
            return False
        before, old_cell, old_pbc = self._searched
        if len(before) != len(positions):
            return False
        if not (np.array_equal(old_cell, cell) and np.array_equal(old_pbc, pbc)):
            return False
        squares = np.square(positions - before).sum(axis=1)
        return bool(
            (squares <= (0.5 * self.skin) ** 2).all()
        )  # False for NaN too: the search says so

    def _search(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> None:
        self._searched = None
        placed = neighbors.placed_list(positions, cell, pbc, self.cutoff + self.skin)
        self._offsets, self._cell = placed.offsets, placed.cell
        edges = placed.senders, placed.receivers, placed.cell_shifts
        # One of each pair: so that rounding keeps both of its edges, or none.
        self._senders, self._receivers, self._cell_shifts = (part[::2] for part in edges)
        self._shift_vectors = self._cell_shifts @ placed.cell
        self._searched = positions.copy(), cell.copy(), pbc.copy()
        self.n_searches += 1


def _check_apart(squares: np.ndarray, senders: np.ndarray, receivers: np.ndarray) -> None:
    if len(squares) and squares.min() < pair_search.SAME_PLACE**2:
        closest = int(squares.argmin())
        raise errors.DataError(
            f"atoms {senders[closest]} and {receivers[closest]} are at the same place"
            f" ({squares[closest] ** 0.5:.2g} Å apart); remove one of them, or mend the cell or the"
            " time step"
        )
