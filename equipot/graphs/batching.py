"""From graphs on the host to one padded batch: every array is made once, at its final size.

The door to a batch: ``build_graph`` for each structure, ``plan_budget`` once, ``pack`` per epoch,
and ``collate`` per batch. Padding is neutral: padding nodes belong to the last graph, whose cell is
twice the cutoff wide; padding edges run from the first of them to itself over one cell; all weights
are zero.
"""

from collections.abc import Sequence

import numpy as np

from equipot import errors
from equipot.graphs.graph import Edges, Globals, Graph, Nodes
from equipot.store.host_graph import HostGraph, build_graph, build_graphs
from equipot.store.packing import (
    Budget,
    PaddingWaste,
    bucket,
    compiled_shapes,
    pack,
    padding_waste,
    plan_budget,
)

__all__ = [
    "Budget",
    "HostGraph",
    "PaddingWaste",
    "bucket",
    "build_graph",
    "build_graphs",
    "collate",
    "collate_devices",
    "compiled_shapes",
    "pack",
    "padding_waste",
    "plan_budget",
]


def collate(
    graphs: Sequence[HostGraph], budget: Budget, cutoff: float, dtype: str = "float32"
) -> Graph:
    """Joins graphs into one padded batch with NumPy leaves.

    Args:
      graphs: What the batch holds, in this order; may be empty.
      budget: The padded totals.
      cutoff: Å; padding edges are twice as long.
      dtype: Of positions, cells and labels, ``"float32"`` or ``"float64"``.

    Raises:
      GraphTooLargeError: If the graphs do not fit the budget.
    """
    batch = collate_devices([graphs], budget, cutoff, dtype)
    return _on_device(batch, 0)


def collate_devices(
    bins: Sequence[Sequence[HostGraph]], budget: Budget, cutoff: float, dtype: str = "float32"
) -> Graph:
    """Joins one list of graphs per device; every leaf has a leading axis [devices].

    Args:
      bins: The graphs of each device; a list may be empty.
      budget: The padded totals of one device.
      cutoff: Å; padding edges are twice as long.
      dtype: Of positions, cells and labels, ``"float32"`` or ``"float64"``.

    Raises:
      GraphTooLargeError: If the graphs of a device do not fit the budget.
    """
    batch = _allocate(len(bins), budget, cutoff, np.dtype(dtype))
    for device, graphs in enumerate(bins):
        _check_fit(graphs, budget)
        _fill(_on_device(batch, device), graphs)
    return batch


def _allocate(devices: int, budget: Budget, cutoff: float, dtype: np.dtype) -> Graph:
    """A batch of padding alone."""

    def zeros(*shape: int, dtype: np.dtype = dtype) -> np.ndarray:
        return np.zeros((devices, *shape), dtype)

    index = np.dtype(np.int32)
    nodes, edges, graphs = budget.nodes, budget.edges, budget.graphs
    shifts = zeros(edges, 3, dtype=index)
    shifts[..., 0] = 1
    cell = zeros(graphs, 3, 3)
    cell[...] = 2.0 * cutoff * np.eye(3)
    return Graph(
        nodes=Nodes(
            positions=zeros(nodes, 3), species=zeros(nodes, dtype=index), forces=zeros(nodes, 3)
        ),
        edges=Edges(cell_shifts=shifts),
        globals=Globals(
            cell=cell,
            volume=zeros(graphs) + np.ones((), dtype),
            energy=zeros(graphs),
            stress=zeros(graphs, 3, 3),
            energy_weight=zeros(graphs),
            forces_weight=zeros(graphs),
            stress_weight=zeros(graphs),
            head=zeros(graphs, dtype=index),
            charge=zeros(graphs),
        ),
        senders=zeros(edges, dtype=index),
        receivers=zeros(edges, dtype=index),
        n_node=zeros(graphs, dtype=index),
        n_edge=zeros(graphs, dtype=index),
    )


def _fill(batch: Graph, graphs: Sequence[HostGraph]) -> None:
    """Writes the graphs over the padding of one device, in place."""
    node = edge = 0
    labels = batch.globals
    for index, graph in enumerate(graphs):
        nodes = slice(node, node + graph.num_nodes)
        edges = slice(edge, edge + graph.num_edges)
        batch.nodes.positions[nodes] = graph.positions
        batch.nodes.species[nodes] = graph.species
        batch.nodes.forces[nodes] = graph.forces
        batch.edges.cell_shifts[edges] = graph.cell_shifts
        np.add(graph.senders, node, out=batch.senders[edges])
        np.add(graph.receivers, node, out=batch.receivers[edges])
        batch.n_node[index], batch.n_edge[index] = graph.num_nodes, graph.num_edges
        labels.cell[index], labels.volume[index] = graph.cell, graph.volume
        labels.energy[index], labels.stress[index] = graph.energy, graph.stress
        labels.head[index], labels.energy_weight[index] = graph.head, graph.energy_weight
        labels.forces_weight[index], labels.charge[index] = graph.forces_weight, graph.charge
        labels.stress_weight[index] = graph.stress_weight
        node, edge = nodes.stop, edges.stop
    batch.senders[edge:] = batch.receivers[edge:] = node
    batch.n_node[-1] = len(batch.nodes.species) - node
    batch.n_edge[-1] = len(batch.senders) - edge


def _check_fit(graphs: Sequence[HostGraph], budget: Budget) -> None:
    nodes = sum(g.num_nodes for g in graphs)
    edges = sum(g.num_edges for g in graphs)
    if not budget.holds(nodes, edges, len(graphs)):
        where = graphs[0].source if graphs else "an empty batch"
        others = f" and {len(graphs) - 1} others" if len(graphs) > 1 else ""
        raise errors.GraphTooLargeError(
            f"{where or 'structure'}{others}: {nodes:,} nodes, {edges:,} pairs and {len(graphs):,} "
            f"graphs, expected at most {budget.nodes - 1:,}, {budget.edges:,} and "
            f"{budget.graphs - 1:,}; use a larger budget"
        )


def _on_device(batch: Graph, device: int) -> Graph:
    """Views of one device's share of every leaf."""

    def view(fields: Nodes | Edges | Globals) -> dict[str, np.ndarray]:
        return {name: leaf[device] for name, leaf in vars(fields).items()}

    return Graph(
        nodes=Nodes(**view(batch.nodes)),
        edges=Edges(**view(batch.edges)),
        globals=Globals(**view(batch.globals)),
        senders=batch.senders[device],
        receivers=batch.receivers[device],
        n_node=batch.n_node[device],
        n_edge=batch.n_edge[device],
    )
