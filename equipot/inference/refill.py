"""A padded batch of one structure in which each step replaces only what has changed.

Between two neighbor searches species, cell and labels are unchanged and stay on the device.
Positions and the pairs within the cutoff are written into arrays that are reused. These arrays must
not be overwritten before the program that reads them has finished, because on a CPU it may read
them in place.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from equipot.graphs import batching
from equipot.graphs.graph import Graph
from equipot.inference.neighbors import Neighbors


class Refill:
    """A padded batch of one structure.

    Attributes:
      graph: The structure at the time of making, without labels.
      budget: The padded totals.
    """

    def __init__(
        self,
        graph: batching.HostGraph,
        budget: batching.Budget,
        cutoff: float,
        dtype: str,
        device: Any = None,
    ) -> None:
        """Puts the unchanging part on the device.

        In float64 this must be called inside ``potential.precision.of``.

        Args:
          graph: A structure whose first pairs are those that never leave the cutoff.
          budget: The padded totals, with room for the structure.
          cutoff: Å; padding edges are twice as long.
          dtype: Of the batch.
          device: Where the program runs; None for jax's default device.
        """
        self.graph, self.budget = graph, budget
        batch = batching.collate([graph], budget, cutoff, dtype)
        self._filled = len(batch.senders)
        self._host = batch
        self._device = batch._replace(
            nodes=jax.device_put(batch.nodes, device),
            globals=jax.device_put(batch.globals, device),
            n_node=jax.device_put(batch.n_node, device),
        )

    def fill(self, pairs: Neighbors) -> Graph:
        """Returns the batch of the same structure with other positions and pairs.

        Args:
          pairs: From the search with which the structure was made; they must fit the budget.
        """
        host, found, padding = self._host, pairs.found, self.graph.num_nodes
        first, count = found.num_always, pairs.num_pairs
        host.nodes.positions[:padding] = pairs.positions
        for target, source, filling in (
            (host.senders, found.senders, padding),
            (host.receivers, found.receivers, padding),
            (host.edges.cell_shifts, found.cell_shifts, (1, 0, 0)),
        ):
            # With mode="raise" NumPy would write to a copy first.
            room = np.asarray(target)[first:count]
            source.take(pairs.others, axis=0, out=room, mode="clip")
            target[count : self._filled] = filling
        self._filled = count
        host.n_edge[:] = count, self.budget.edges - count
        nodes = dataclasses.replace(self._device.nodes, positions=host.nodes.positions)
        return self._device._replace(nodes=nodes)
