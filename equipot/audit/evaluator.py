"""Many structures of any size through few compiled programs, in a stated precision.

Energies are those of the interaction alone: reference energies, which would hide the last digits,
are left out.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.potential import evaluate, precision
from equipot.quantities import Quantity
from equipot.typing import PyTree

DENSE = batching.Budget(nodes=256, edges=4096, graphs=64)
"""Room for small structures, and for one frame of a liquid of a hundred atoms."""

SPARSE = batching.Budget(nodes=512, edges=512, graphs=256)
"""Room for pairs of atoms on their own."""

_GROWTH = 1.25


@dataclasses.dataclass(kw_only=True, eq=False)
class Evaluator:
    """Evaluates structures in one precision.

    Attributes:
      predict: ``predict(params, graph)``, compiled.
      params: In the precision.
      dtype: "float32" or "float64".
      cutoff: Å.
      species_table: Atomic numbers.
      head: Index of the level of theory that is asked for.
      quantities: What is predicted beside energy, forces and stress.
      budgets: Padded sizes in use, for each of which a program is compiled.
    """

    predict: Callable
    params: PyTree
    dtype: str
    cutoff: float
    species_table: tuple[int, ...]
    head: int = 0
    quantities: tuple[Quantity, ...] = ()
    budgets: list[batching.Budget] = dataclasses.field(default_factory=lambda: [SPARSE, DENSE])

    def __call__(self, structures: Sequence[Structure]) -> list[evaluate.HostPrediction]:
        """Predictions in the given order; what is not finite is not refused."""
        graphs = [self.graph(structure) for structure in structures]
        found: list[evaluate.HostPrediction] = []
        start = 0
        while start < len(graphs):
            stop, budget = self._next_batch(graphs, start)
            members = graphs[start:stop]
            periodic = [s.volume > 0 for s in structures[start:stop]]
            found += self.run(members, periodic, budget)
            start = stop
        return found

    def graph(self, structure: Structure) -> batching.HostGraph:
        """The graph of a structure, of the level of theory that is asked for."""
        zeros = np.zeros(len(self.species_table))
        unnamed = dataclasses.replace(structure, head="")
        graph = batching.build_graph(unnamed, self.cutoff, self.species_table, zeros)
        return dataclasses.replace(graph, head=self.head)

    def run(
        self,
        graphs: Sequence[batching.HostGraph],
        periodic: Sequence[bool],
        budget: batching.Budget,
    ) -> list[evaluate.HostPrediction]:
        """Evaluates one batch.

        Args:
          graphs: That fit the budget.
          periodic: Which have a stress.
          budget: Padded totals.
        """
        zeros = np.zeros(len(self.species_table))
        alike = [dataclasses.replace(graph, head=0) for graph in graphs]
        with precision.of(self.dtype):
            batch = batching.collate(graphs, budget, self.cutoff, self.dtype)
            found = self.predict(self.params, batch)
            return evaluate.split_prediction(found, alike, zeros, periodic, self.quantities)

    def budget_of(self, graph: batching.HostGraph) -> batching.Budget:
        """The smallest budget in use that holds a graph; a new one where none does."""
        for budget in sorted(self.budgets, key=lambda own: own.edges):
            if budget.holds(graph.num_nodes, graph.num_edges):
                return budget
        made = batching.bucket(graph.num_nodes, graph.num_edges, _GROWTH)
        self.budgets.append(made)
        return made

    def _next_batch(
        self, graphs: Sequence[batching.HostGraph], start: int
    ) -> tuple[int, batching.Budget]:
        """How many graphs go together from here, and into which budget."""
        ahead = graphs[start : start + SPARSE.graphs - 1]
        sparse = all(graph.num_edges <= graph.num_nodes for graph in ahead)
        first = graphs[start]
        budget = self.budget_of(first) if sparse else self.budget_of(_no_less(first, DENSE))
        nodes = edges = count = 0
        for graph in graphs[start:]:
            more = nodes + graph.num_nodes, edges + graph.num_edges, count + 1
            if not budget.holds(*more):
                break
            nodes, edges, count = more
        return start + max(count, 1), budget


def _no_less(graph: batching.HostGraph, least: batching.Budget) -> batching.HostGraph:
    """A graph that asks for at least this budget."""
    if least.holds(graph.num_nodes, graph.num_edges):
        ends = np.zeros(least.edges, np.int32)
        return dataclasses.replace(graph, senders=ends, receivers=ends)
    return graph
