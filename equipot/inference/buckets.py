"""Stable padded sizes: a system whose number of pairs fluctuates keeps one compiled shape."""

from equipot.graphs import batching

GROWTH = 1.1
"""Ratio of neighboring sizes on the ladder, before rounding to a multiple of eight."""

HEADROOM = 1.04
"""Room for more pairs than first seen: in a liquid their number fluctuates by a few percent."""

MELTING = 1.15
"""Limit on what an expected number of pairs adds: a lattice can have fewer than its liquid."""

SHRINK = 1.5
"""A budget is replaced by a smaller one only if it is too large by this factor."""


class Bucket:
    """The budget of one structure at a time, which grows when necessary and rarely shrinks.

    Attributes:
      smallest: Nodes and edges that always have room.
      budget: The present budget; none before the first structure.
    """

    def __init__(self, smallest: tuple[int, int] = (1, 1)) -> None:
        self.smallest = smallest
        self.budget: batching.Budget | None = None

    def fit(self, num_nodes: int, num_edges: int, likely_edges: float = 0.0) -> batching.Budget:
        """Returns a budget that holds this structure, the previous one if possible.

        Args:
          num_nodes: Atoms.
          num_edges: Pairs.
          likely_edges: Expected number of pairs once the atoms have moved; limited by ``MELTING``.
        """
        nodes = max(num_nodes, self.smallest[0])
        likely = min(likely_edges, num_edges * MELTING)
        edges = max(round(num_edges * HEADROOM), round(likely), self.smallest[1])
        wanted = batching.bucket(nodes, edges, GROWTH)
        if self.budget is None or not self.budget.holds(num_nodes, num_edges):
            self.budget = wanted
        elif wanted.nodes * SHRINK < self.budget.nodes or wanted.edges * SHRINK < self.budget.edges:
            self.budget = wanted
        return self.budget
