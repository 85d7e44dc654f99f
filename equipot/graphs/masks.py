"""Which nodes, edges and graphs of a padded batch are real.

The last graph is padding and owns all padding nodes and edges; graphs without nodes may precede it,
and are padding too.
"""

import jax.numpy as jnp

from equipot.graphs.graph import Graph
from equipot.typing import AnyArray, Array, Bool


def node_mask(graph: Graph) -> Bool[Array, " nodes"]:
    """True for the atoms of the structures, False for padding."""
    return _first(graph.n_node, graph.nodes.species.shape[0])


def edge_mask(graph: Graph) -> Bool[Array, " edges"]:
    """True for the edges of the structures, False for padding."""
    return _first(graph.n_edge, graph.senders.shape[0])


def graph_mask(graph: Graph) -> Bool[Array, " graphs"]:
    """True for the structures, False for padding."""
    count = graph.n_node.shape[0]
    return (jnp.asarray(graph.n_node) > 0) & (jnp.arange(count) < count - 1)


def _first(counts: AnyArray, total: int) -> Array:
    """True up to the share of the last graph, which is padding."""
    return jnp.arange(total, dtype=jnp.int32) < total - jnp.asarray(counts)[-1]
