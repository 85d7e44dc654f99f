"""The graphs of a set of structures, built once, with the facts about them that are often needed.

Up to this point data are read, audited, counted and searched for neighbors once; training,
validation and the final tables then share the results. Nothing here imports jax.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np

from equipot.data import structure as structures_
from equipot.data.stored.structures import StoredStructures
from equipot.quantities import DERIVED, Quantity
from equipot.store import closest, host_graph, neighbor_files, packing, statistics
from equipot.store.stored_graphs import StoredGraphs


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """The settings that graphs are built with.

    Attributes:
      cutoff: Å.
      species_table: Atomic number of each species.
      atomic_energies: Reference energies that are subtracted from labels, eV, [species] or
        [heads, species].
      heads: Names of the levels of theory.
      quantities: Names of the quantities whose labels are held.
    """

    cutoff: float
    species_table: tuple[int, ...]
    atomic_energies: np.ndarray
    heads: tuple[str, ...] = host_graph.ONE_HEAD
    quantities: Mapping[str, Quantity] = dataclasses.field(default_factory=lambda: DERIVED)

    def check_edges(
        self, cutoff: float, species_table: tuple[int, ...], heads: tuple[str, ...]
    ) -> None:
        """Refuses graphs that do not match those of a potential; labels do not matter.

        Raises:
          ValueError: With what differs.
        """
        wanted = {"cutoff": cutoff, "species_table": species_table, "heads": heads}
        for name, value in wanted.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"expected graphs of {name} {value}, received those of {getattr(self, name)};"
                    " build them with the settings of the potential"
                )


class GraphStore(Sequence[host_graph.HostGraph]):
    """Graphs in the order of their structures.

    Attributes:
      structures: The structures of the graphs.
      settings: The settings that they were built with.
      sizes: Their size table in the form that ``packing`` takes, [structures, 2]; read-only.
      names: File, frame and formula of each, for messages.
    """

    def __init__(
        self,
        structures: Sequence[structures_.Structure],
        graphs: Sequence[host_graph.HostGraph],
        settings: Settings,
    ) -> None:
        """Takes existing graphs; ``build`` makes new ones.

        Raises:
          ValueError: If there is not one graph for each structure.
        """
        if len(structures) != len(graphs):
            raise ValueError(
                f"expected one graph for each of {len(structures)} structures, received"
                f" {len(graphs)}"
            )
        self.structures, self.settings = structures, settings
        if isinstance(graphs, StoredGraphs):
            self._graphs, self.sizes, self.names = graphs, graphs.sizes, graphs.names
        else:
            self._graphs = tuple(graphs)
            self.sizes = packing.size_table(self._graphs)
            self.names = tuple(graph.source for graph in self._graphs)
        self.sizes.flags.writeable = False

    @classmethod
    def build(cls, structures: Sequence[structures_.Structure], settings: Settings) -> "GraphStore":
        """Finds the neighbors of all structures, or opens those in their store.

        Raises:
          UnknownElementError: If an element is not in the species table.
          DataError: As ``host_graph.build_graph`` does, for the first structure that is wrong.
        """
        if isinstance(structures, StoredStructures):
            pairs = neighbor_files.opened(structures.folder, settings.cutoff)
            return cls(structures, StoredGraphs(structures, settings, pairs), settings)
        graphs = host_graph.build_graphs(
            structures,
            settings.cutoff,
            settings.species_table,
            settings.atomic_energies,
            heads=settings.heads,
            quantities=settings.quantities,
        )
        return cls(structures, graphs, settings)

    def relabelled(self, settings: Settings) -> "GraphStore":
        """The same graphs with the labels of other settings, without a new neighbor search.

        Args:
          settings: Other reference energies, or other quantities.

        Raises:
          ValueError: If the settings require other graphs.
        """
        self.settings.check_edges(settings.cutoff, settings.species_table, settings.heads)
        if isinstance(self._graphs, StoredGraphs):
            return GraphStore(self.structures, self._graphs.relabelled(settings), settings)
        graphs = [
            host_graph.relabelled(graph, structure, settings.atomic_energies, settings.quantities)
            for graph, structure in zip(self, self.structures, strict=True)
        ]
        return GraphStore(self.structures, graphs, settings)

    @classmethod
    def joined(cls, stores: Sequence["GraphStore"]) -> "GraphStore":
        """The graphs of several stores, one after another.

        Raises:
          ValueError: If they were built with different settings.
        """
        first = stores[0].settings
        for store in stores[1:]:
            store.settings.check_edges(first.cutoff, first.species_table, first.heads)
        structures = [structure for store in stores for structure in store.structures]
        return cls(structures, [graph for store in stores for graph in store], first)

    def __len__(self) -> int:
        return len(self._graphs)

    @overload
    def __getitem__(self, index: int) -> host_graph.HostGraph: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[host_graph.HostGraph]: ...

    def __getitem__(
        self, index: int | slice
    ) -> host_graph.HostGraph | Sequence[host_graph.HostGraph]:
        """One graph, or several, without the facts that the store keeps about them."""
        return self._graphs[index]

    @property
    def avg_num_neighbors(self) -> float:
        """Mean number of neighbors of an atom, over all atoms; 1 if there are none at all."""
        if isinstance(self._graphs, StoredGraphs):
            nodes, pairs = self.sizes.sum(axis=0).tolist()
            return 2 * pairs / nodes if pairs else 1.0
        return statistics.average_num_neighbors(self._graphs)

    def closest_pairs(self, num_species: int) -> closest.Closest:
        """What the closest pairs of each two species say, see ``closest.closest_pairs``.

        Args:
          num_species: How many species there are.
        """
        known = None
        if isinstance(self._graphs, StoredGraphs):
            known = self._graphs.closest_pairs(num_species)
        return known or closest.closest_pairs(self._graphs, num_species)

    @property
    def has_stress(self) -> tuple[bool, ...]:
        """Which structures are periodic in all directions."""
        if isinstance(self.structures, StoredStructures):
            return tuple(map(bool, np.all(self.structures.column("pbc"), axis=1)))
        return tuple(bool(structure.pbc.all()) for structure in self.structures)
