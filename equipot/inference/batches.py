"""Padded batches of one structure after another, for the pairs of one cutoff.

A structure whose neighbor list is still valid gets its batch again, even if others came in between.
"""

import weakref

import numpy as np

from equipot.graphs import batching
from equipot.inference import buckets, neighbors, refill
from equipot.potential.bound import Bound
from equipot.store import host_graph


class Batches:
    """The batches of the structures whose neighbor lists are kept.

    Attributes:
      cutoff: Of the pairs, Å.
    """

    def __init__(
        self, bound: Bound, cutoff: float, head: int = 0, smallest: tuple[int, int] = (1, 1)
    ) -> None:
        """Makes none yet.

        Args:
          bound: The potential whose program takes the batches.
          cutoff: Of the pairs, Å.
          head: Which level of theory the structures ask for.
          smallest: Nodes and edges that always have room.
        """
        self.cutoff = cutoff
        self._bound, self._head = bound, head
        self._bucket = buckets.Bucket(smallest)
        self._made: weakref.WeakKeyDictionary[neighbors.Found, refill.Refill]
        self._made = weakref.WeakKeyDictionary()

    def batch_of(
        self,
        pairs: neighbors.Neighbors,
        species: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        charge: float = 0.0,
    ) -> refill.Refill:
        """The batch for these pairs: the one made for their search, if they fit.

        Args:
          pairs: Within the cutoff.
          species: Index of each atom's species, [nodes]; pass the same array while it is unchanged.
          cell: Lattice vectors in rows, Å, [3, 3].
          pbc: Which directions are periodic, [3].
          charge: Total charge, in elementary charges.
        """
        num_atoms, num_pairs = len(species), pairs.num_pairs
        batch = self._made.get(pairs.found)
        same = batch is not None and batch.graph.species is species and batch.graph.charge == charge
        if batch is not None and same and batch.budget.holds(num_atoms, num_pairs):
            return batch
        volume = float(abs(np.linalg.det(cell))) if pbc.all() else 0.0
        likely = _homogeneous_pairs(num_atoms, volume, self.cutoff) if volume else 0.0
        budget = self._bucket.fit(num_atoms, num_pairs, likely)
        offsets = host_graph.offsets_of(pairs.found.offsets, pbc)
        graph = _host_graph(pairs, species, volume or 1.0, self._head, charge, offsets)
        with self._bound.entered():
            batch = refill.Refill(graph, budget, self.cutoff, self._bound.dtype, self._bound.device)
        self._made[pairs.found] = batch
        return batch


def _host_graph(
    pairs: neighbors.Neighbors,
    species: np.ndarray,
    volume: float,
    head: int,
    charge: float,
    offsets: np.ndarray | None,
) -> batching.HostGraph:
    """A graph without labels."""
    return batching.HostGraph(
        positions=pairs.positions,
        species=species,
        cell=pairs.cell,
        volume=volume,
        senders=pairs.senders,
        receivers=pairs.receivers,
        cell_shifts=pairs.cell_shifts,
        charge=charge,
        offsets=offsets,
        head=head,
    )


def _homogeneous_pairs(num_nodes: int, volume: float, cutoff: float) -> float:
    """Expected number of pairs if the atoms were spread evenly over the volume."""
    return 0.5 * num_nodes**2 / volume * 4 / 3 * np.pi * cutoff**3
