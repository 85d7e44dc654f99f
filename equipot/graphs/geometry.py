"""Edge vectors (computed only here), and the graph that each node and edge belongs to."""

import jax.numpy as jnp

from equipot.graphs.graph import Graph
from equipot.typing import AnyArray, Array, Float, Int


def edge_vectors(
    positions: Float[AnyArray, "nodes 3"],
    cell: Float[AnyArray, "graphs 3 3"],
    cell_shifts: Int[AnyArray, "edges 3"],
    senders: Int[AnyArray, " edges"],
    receivers: Int[AnyArray, " edges"],
    edge_graph: Int[AnyArray, " edges"],
) -> Float[Array, "edges 3"]:
    """Vectors from senders to receivers, in Å and in the dtype of the positions.

    r = positions[receivers] - positions[senders] + cell_shifts @ cell

    The product with the cell is written as a sum, so that no device rounds it as a matrix product.

    Args:
      positions: Å.
      cell: Lattice vectors in rows, Å.
      cell_shifts: Lattice shifts of the receivers, in units of the cell.
      senders: Where the edges start.
      receivers: Where they end.
      edge_graph: The graph of each edge, see ``edge_graph_index``.
    """
    positions = jnp.asarray(positions)
    shifts = jnp.asarray(cell_shifts).astype(positions.dtype)
    lattice = jnp.asarray(cell).astype(positions.dtype)[edge_graph]
    offsets = jnp.sum(shifts[:, :, None] * lattice, axis=1)
    return positions[receivers] - positions[senders] + offsets


def graph_edge_vectors(graph: Graph) -> Float[Array, "edges 3"]:
    """Edge vectors of a padded batch, in Å; padding edges have twice the cutoff as length."""
    return edge_vectors(
        graph.nodes.positions,
        graph.globals.cell,
        graph.edges.cell_shifts,
        graph.senders,
        graph.receivers,
        edge_graph_index(graph.n_edge, graph.senders.shape[0]),
    )


def edge_graph_index(n_edge: Int[AnyArray, " graphs"], num_edges: int) -> Int[Array, " edges"]:
    """The graph that each edge belongs to.

    Args:
      n_edge: Edges per graph; they sum to ``num_edges``.
      num_edges: Padded number of edges, static.
    """
    return _index(n_edge, num_edges)


def node_graph_index(n_node: Int[AnyArray, " graphs"], num_nodes: int) -> Int[Array, " nodes"]:
    """The graph that each node belongs to.

    Args:
      n_node: Nodes per graph; they sum to ``num_nodes``.
      num_nodes: Padded number of nodes, static.
    """
    return _index(n_node, num_nodes)


def _index(counts: AnyArray, total: int) -> Array:
    graphs = jnp.arange(counts.shape[0], dtype=jnp.int32)
    return jnp.repeat(graphs, jnp.asarray(counts), total_repeat_length=total)
