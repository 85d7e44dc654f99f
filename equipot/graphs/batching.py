"""From graphs on the host to one padded batch: every array is made once, at its final size.

To make batches, call ``build_graph`` for each structure, ``plan_budget`` once, ``pack`` per epoch,
and ``collate`` per batch, or ``collate_labelled`` if labels are needed too. Padding is neutral:
padding nodes belong to the last graph, whose cell is twice the cutoff wide; padding edges run from
the first of them to itself over one cell; all weights are zero.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from equipot import errors
from equipot.graphs.graph import Batch, Edges, Globals, Graph, Nodes
from equipot.quantities import DERIVED, Label, Quantity
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
    "collate_labelled",
    "compiled_shapes",
    "pack",
    "padding_waste",
    "plan_budget",
]


def collate(
    graphs: Sequence[HostGraph], budget: Budget, cutoff: float, dtype: str = "float32"
) -> Graph:
    """Joins graphs into one padded batch with NumPy leaves, without their labels.

    Args:
      graphs: The graphs of the batch, in this order; may be empty.
      budget: The padded totals.
      cutoff: Å; padding edges are twice as long.
      dtype: Of positions and cells, ``"float32"`` or ``"float64"``.

    Raises:
      GraphTooLargeError: If the graphs do not fit the budget.
    """
    batch = collate_devices([graphs], budget, cutoff, dtype, quantities={})
    return _on_device(batch, 0).graph


def collate_labelled(
    graphs: Sequence[HostGraph],
    budget: Budget,
    cutoff: float,
    dtype: str = "float32",
    quantities: Mapping[str, Quantity] = DERIVED,
) -> Batch:
    """Like ``collate``, but with labels; see ``collate_devices``."""
    return _on_device(collate_devices([graphs], budget, cutoff, dtype, quantities), 0)


def collate_devices(
    bins: Sequence[Sequence[HostGraph]],
    budget: Budget,
    cutoff: float,
    dtype: str = "float32",
    quantities: Mapping[str, Quantity] = DERIVED,
) -> Batch:
    """Joins one list of graphs per device; every leaf has a leading axis [devices].

    Args:
      bins: The graphs of each device; a list may be empty.
      budget: The padded totals of one device.
      cutoff: Å; padding edges are twice as long.
      dtype: Of positions, cells and labels, ``"float32"`` or ``"float64"``.
      quantities: Names of the quantities whose labels the batch holds.

    Raises:
      GraphTooLargeError: If the graphs of a device do not fit the budget.
    """
    graph = _allocate(len(bins), budget, cutoff, np.dtype(dtype))
    batch = Batch(graph, _allocate_labels(len(bins), budget, np.dtype(dtype), quantities))
    for device, graphs in enumerate(bins):
        _check_fit(graphs, budget)
        _fill(_on_device(batch, device), graphs, quantities)
    return batch


def _allocate(devices: int, budget: Budget, cutoff: float, dtype: np.dtype) -> Graph:
    """A batch that is all padding."""

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
            positions=zeros(nodes, 3), species=zeros(nodes, dtype=index), offsets=zeros(nodes, 3)
        ),
        edges=Edges(cell_shifts=shifts),
        globals=Globals(
            cell=cell,
            volume=zeros(graphs) + np.ones((), dtype),
            head=zeros(graphs, dtype=index),
            charge=zeros(graphs),
        ),
        senders=zeros(edges, dtype=index),
        receivers=zeros(edges, dtype=index),
        n_node=zeros(graphs, dtype=index),
        n_edge=zeros(graphs, dtype=index),
    )


def _allocate_labels(
    devices: int, budget: Budget, dtype: np.dtype, quantities: Mapping[str, Quantity]
) -> dict[str, Label]:
    """Labels of zero with weight zero."""
    rows = {"atom": budget.nodes, "structure": budget.graphs}
    return {
        name: Label(
            np.zeros((devices, rows[quantity.per], *quantity.shape), dtype),
            np.zeros((devices, budget.graphs), dtype),
        )
        for name, quantity in quantities.items()
    }


def _fill(batch: Batch, graphs: Sequence[HostGraph], quantities: Mapping[str, Quantity]) -> None:
    """Writes the graphs over the padding of one device, in place."""
    node = edge = 0
    target, own = batch.graph, batch.graph.globals
    senders, receivers = np.asarray(target.senders), np.asarray(target.receivers)  # not copied
    for index, graph in enumerate(graphs):
        nodes = slice(node, node + graph.num_nodes)
        edges = slice(edge, edge + graph.num_edges)
        target.nodes.positions[nodes] = graph.positions
        target.nodes.species[nodes] = graph.species
        if graph.offsets is not None:
            target.nodes.offsets[nodes] = graph.offsets
        target.edges.cell_shifts[edges] = graph.cell_shifts
        np.add(graph.senders, node, out=senders[edges])
        np.add(graph.receivers, node, out=receivers[edges])
        target.n_node[index], target.n_edge[index] = graph.num_nodes, graph.num_edges
        own.cell[index], own.volume[index] = graph.cell, graph.volume
        own.head[index], own.charge[index] = graph.head, graph.charge
        for name, label in batch.labels.items():
            found = graph.labels.get(name)
            if found is not None:
                label.value[nodes if quantities[name].per == "atom" else index] = found.value
                label.weight[index] = found.weight
        node, edge = nodes.stop, edges.stop
    senders[edge:] = receivers[edge:] = node
    target.n_node[-1] = len(target.nodes.species) - node
    target.n_edge[-1] = len(senders) - edge


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


def _on_device(batch: Batch, device: int) -> Batch:
    """Views of one device's share of every leaf."""

    def view(fields: Nodes | Edges | Globals) -> dict[str, np.ndarray]:
        return {name: leaf[device] for name, leaf in vars(fields).items()}

    graph = batch.graph
    own = Graph(
        nodes=Nodes(**view(graph.nodes)),
        edges=Edges(**view(graph.edges)),
        globals=Globals(**view(graph.globals)),
        senders=graph.senders[device],
        receivers=graph.receivers[device],
        n_node=graph.n_node[device],
        n_edge=graph.n_edge[device],
    )
    labels = {
        name: Label(label.value[device], label.weight[device])
        for name, label in batch.labels.items()
    }
    return Batch(own, labels)
