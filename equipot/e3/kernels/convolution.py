"""The hot operation of message passing: gather, couple to harmonics, weight, sum at receivers.

Features are a mapping from irrep to an array ``[nodes, 2l+1, channels]``; the spherical harmonics
of an edge are one array ``[edges]`` per component. For a path (l1, l2) → l3 and channel c

    z[n, m3, c] = Σ_{e: receivers[e] = n} R[e, c] Σ_{m1, m2} c[m1, m2, m3] x[senders[e], m1, c]
    Y[e, m2]

with c = √(2 l3 + 1) C and Clebsch–Gordan coefficients C of unit norm. Paths are never
concatenated: each gives an array of its own, to be consumed by the sum of matrix products of the
linear map that follows (``equipot.e3.nn.channels``).

``convolution_reference`` is the contract written with dense einsums; ``convolution`` is the form
that models use. Both must agree through the second derivative, because training on forces
differentiates twice.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.clebsch_gordan import clebsch_gordan
from equipot.e3.irreps import Irrep
from equipot.typing import Array, Float, Int

Features = Mapping[Irrep, Array]
Components = Sequence[Array]


class Path(NamedTuple):
    """One coupling: irreps of the neighbour's features, of the harmonics, and of the message."""

    node: Irrep
    edge: Irrep
    out: Irrep


def paths(
    irreps_in: Sequence[Irrep], irreps_edge: Sequence[Irrep], irreps_out: Sequence[Irrep]
) -> tuple[Path, ...]:
    """Lists the couplings that selection rules allow, by input, then edge, then output."""
    return tuple(
        Path(node, edge, out)
        for node in irreps_in
        for edge in irreps_edge
        for out in irreps_out
        if out in tuple(node * edge)
    )


def coupling(path: Path) -> np.ndarray:
    """Returns √(2 l3 + 1) C[m1, m2, m3] in float64."""
    return clebsch_gordan(path.node.l, path.edge.l, path.out.l) * np.sqrt(path.out.dim)


def convolution(
    node_feats: Features,
    edge_sh: Mapping[Irrep, Components],
    radial: Mapping[Path, Float[Array, "edges channels"]],
    senders: Int[Array, " edges"],
    receivers: Int[Array, " edges"],
    num_nodes: int,
) -> dict[Path, Float[Array, "nodes components channels"]]:
    """Sums weighted tensor products of neighbours' features with spherical harmonics at every node.

    Every component of a message is an array of its own, so that a compiler fuses the whole
    expression between the gather and the sum. Coefficients are first contracted with the
    harmonics, which have no channels.

    Args:
      node_feats: ``{irrep: [nodes, 2l+1, channels]}``.
      edge_sh: ``{irrep: 2l+1 arrays [edges]}``.
      radial: Weights of every path to compute; the channels are those of the path's input.
      senders: Where messages come from.
      receivers: Where they are summed.
      num_nodes: Number of nodes of the result.
    """
    gathered = {
        irrep: [node_feats[irrep][:, m, :][senders] for m in range(irrep.dim)]
        for irrep in {path.node for path in radial}
    }
    return {
        path: jnp.stack(
            [
                jax.ops.segment_sum(weights * message, receivers, num_nodes)
                for message in _messages(path, gathered[path.node], edge_sh[path.edge])
            ],
            axis=1,
        )
        for path, weights in radial.items()
    }


def _messages(path: Path, sender_feats: Components, harmonics: Components) -> list[Array]:
    """The tensor product of one path, one array [edges, channels] per component."""
    coefficients = coupling(path)
    messages = []
    for m3 in range(path.out.dim):
        terms = []
        for m1 in range(path.node.dim):
            nonzero = [m2 for m2 in range(path.edge.dim) if abs(coefficients[m1, m2, m3]) > 1e-12]
            if nonzero:
                weighted = [float(coefficients[m1, m2, m3]) * harmonics[m2] for m2 in nonzero]
                mixed = sum(weighted[1:], weighted[0])
                terms.append(mixed[:, None] * sender_feats[m1])
        messages.append(sum(terms[1:], terms[0]))
    return messages


def convolution_reference(
    node_feats: Features,
    edge_sh: Mapping[Irrep, Components],
    radial: Mapping[Path, Float[Array, "edges channels"]],
    senders: Int[Array, " edges"],
    receivers: Int[Array, " edges"],
    num_nodes: int,
) -> dict[Path, Float[Array, "nodes components channels"]]:
    """The same sum with dense coefficients, one einsum per path: what faster forms must equal."""
    result = {}
    for path, weights in radial.items():
        neighbours = node_feats[path.node][senders]
        harmonics = jnp.stack(list(edge_sh[path.edge]), axis=-1)
        coefficients = jnp.asarray(coupling(path), neighbours.dtype)
        message = jnp.einsum("abc,eau,eb,eu->ecu", coefficients, neighbours, harmonics, weights)
        result[path] = jax.ops.segment_sum(message, receivers, num_nodes)
    return result
