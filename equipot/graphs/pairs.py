"""Each pair of atoms once: how models and sums read a graph, and what atoms send to each other.

A graph comes in one of two forms, which a model knows beforehand (its field ``directed``):

* *pairs*: an edge is a pair of atoms, listed once, in either direction, and stands for messages
  both ways.
* *directed*: an edge carries only a message from its sender to its receiver. If a system is spread
  over several domains, atoms of neighboring domains are senders only.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from equipot.typing import Array, Float, Int, PyTree

Exchange: TypeAlias = Callable[[PyTree], PyTree]
"""From arrays [nodes, ...] to arrays of the same shapes: features that atoms are about to send.

It gives each copy of an atom in another domain the features of that atom, and leaves the other
atoms unchanged.
"""


def keep(features: PyTree) -> PyTree:
    """The exchange of an undivided graph: none."""
    return features


def both_ways(
    edge_vectors: Float[Array, "pairs 3"],
    senders: Int[Array, " pairs"],
    receivers: Int[Array, " pairs"],
) -> tuple[Float[Array, "edges 3"], Int[Array, " edges"], Int[Array, " edges"]]:
    """Edge vectors, senders and receivers of the directed edges that pairs stand for.

    The two edges of a pair are adjacent, so that they gather from nearby memory.

    Args:
      edge_vectors: From sender to receiver, Å.
      senders: Either atom of each pair.
      receivers: The other one.
    """
    return (
        jnp.stack([edge_vectors, -edge_vectors], axis=1).reshape(-1, 3),
        jnp.stack([senders, receivers], axis=1).ravel(),
        jnp.stack([receivers, senders], axis=1).ravel(),
    )


def sum_at_nodes(
    values: Float[Array, "edges ..."] | Int[Array, "edges ..."],
    senders: Int[Array, " edges"],
    receivers: Int[Array, " edges"],
    num_nodes: int,
    *,
    directed: bool,
) -> Float[Array, "nodes ..."] | Int[Array, "nodes ..."]:
    """Sums what does not depend on an edge's direction at the atoms that it reaches.

    Args:
      values: Of each edge; the same for both atoms of a pair.
      senders: Where the edges start.
      receivers: Where they end.
      num_nodes: Number of nodes of the result.
      directed: Whether an edge reaches its receiver only.
    """
    summed = jax.ops.segment_sum(values, receivers, num_nodes)
    return summed if directed else summed + jax.ops.segment_sum(values, senders, num_nodes)
