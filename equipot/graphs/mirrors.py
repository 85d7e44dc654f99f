"""Whether each edge of a graph stands before its mirror image, as models that see a pair once need.

Other graphs would give other numbers without a word, wherever they come from.
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from equipot.graphs.graph import Graph
from equipot.typing import Array, Bool

ORDER = (
    "expected each edge before its mirror image (edge 2k + 1 that of edge 2k), as"
    " graphs.neighbors.both_ways and batching.collate put them, received edges in another order"
)


def is_paired(graph: Graph) -> Bool[Array, ""]:
    """Whether edge 2k + 1 is the mirror image of edge 2k throughout; may be traced."""
    if graph.senders.shape[0] % 2:
        return jnp.asarray(False)
    ends = jnp.all(graph.senders[::2] == graph.receivers[1::2])
    ends &= jnp.all(graph.receivers[::2] == graph.senders[1::2])
    shifts = jnp.asarray(graph.edges.cell_shifts)
    return ends & jnp.all(shifts[::2] == -shifts[1::2])


def check_paired(graph: Graph) -> None:
    """Refuses a graph whose edges are in another order; one that is being traced passes.

    Raises:
      ValueError: If an edge is not followed by its mirror image.
    """
    leaves = graph.senders, graph.receivers, graph.edges.cell_shifts
    if any(isinstance(leaf, Tracer) for leaf in leaves):
        return
    senders, receivers, shifts = map(np.asarray, leaves)
    there = senders[::2], receivers[::2], shifts[::2]
    back = receivers[1::2], senders[1::2], -shifts[1::2]
    if not all(map(np.array_equal, there, back)):
        raise ValueError(f"graph of {len(senders)} edges: {ORDER}")
