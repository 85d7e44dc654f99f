"""A padded batch of one structure that is filled anew at each step, with what has changed only.

Between two searches for neighbors species, cell and labels stay, and stay on the device. Positions
and the pairs within the cutoff are written into arrays that stay too; they must not be written to
again before the program that reads them has ended, since on a CPU it may read them where they lie.
"""

import jax

from equipot.calculators.neighbors import Neighbors
from equipot.graphs import batching
from equipot.graphs.graph import Graph


class Refill:
    """A padded batch of one structure.

    Attributes:
      graph: The structure at the time of making, without labels.
      budget: The padded totals.
    """

    def __init__(
        self, graph: batching.HostGraph, budget: batching.Budget, cutoff: float, dtype: str
    ) -> None:
        """Puts on the device what stays.

        In float64 this must be called inside ``jax.enable_x64``.

        Args:
          graph: A structure; its positions and pairs are looked at for their number only.
          budget: The padded totals; has room for the structure.
          cutoff: Å; padding edges are twice as long.
          dtype: Of the batch.
        """
        self.graph, self.budget = graph, budget
        batch = batching.collate([graph], budget, cutoff, dtype)
        self._filled = len(batch.senders)
        self._host = batch
        self._device = batch._replace(
            nodes=jax.device_put(batch.nodes),
            globals=jax.device_put(batch.globals),
            n_node=jax.device_put(batch.n_node),
        )

    def fill(self, pairs: Neighbors) -> Graph:
        """Returns the batch of the same structure with other positions and pairs.

        Args:
          pairs: Of as many atoms, in the same cell; they fit the budget.
        """
        host, count, padding = self._host, len(pairs.kept), self.graph.num_nodes
        host.nodes.positions[:padding] = pairs.positions
        ends = (host.senders, pairs.found.senders), (host.receivers, pairs.found.receivers)
        for target, source in ends:
            source.take(pairs.kept, out=target[:count], mode="clip")  # "raise" copies twice
            target[count : self._filled] = padding
        shifts = host.edges.cell_shifts
        pairs.found.cell_shifts.take(pairs.kept, axis=0, out=shifts[:count], mode="clip")
        shifts[count : self._filled] = 1, 0, 0
        self._filled = count
        host.n_edge[:] = count, self.budget.edges - count
        nodes = self._device.nodes.replace(positions=host.nodes.positions)
        return self._device._replace(nodes=nodes)
