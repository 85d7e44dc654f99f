"""The hot operation of message passing: gather, couple to harmonics, weight, sum at receivers.

Features are a mapping from irrep to an array ``[nodes, 2l+1, channels]``; the spherical harmonics
of an edge are one array ``[edges]`` per component. For a path (l1, l2) → l3 and channel c

    z[n, m3, c] = Σ_{e: receivers[e] = n} R[e, c] Σ_{m1, m2} c[m1, m2, m3] x[senders[e], m1, c]
    Y[e, m2]

with c = √(2 l3 + 1) C and Clebsch–Gordan coefficients C of unit norm. The weights R of an edge are
a function of its radial basis, evaluated where they are needed: written out for all edges and
paths they would be the largest array of a model. Paths are never concatenated: each gives an array
of its own, to be consumed by the sum of matrix products of the linear map that follows
(``equipot.e3.nn.channels``).

Of a pair of nodes that send to each other, both messages have the same weights R, and harmonics
that differ by the sign (−1)^l, as the vector turns round. Given each pair once, in either
direction, and ``both_ways=True``, messages go both ways, and what depends on the edge is computed
once.

``convolution_reference`` is the contract written with dense einsums; ``convolution`` is the form
that models use. Both must agree through the second derivative, because training on forces
differentiates twice.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.edge_sum import edge_sum
from equipot.e3.products.tensor_product import coupling
from equipot.typing import Array, Float, Int, PyTree

Features = Mapping[Irrep, Array]
Components = Sequence[Array]


class Path(NamedTuple):
    """One coupling: irreps of the neighbor's features, of the harmonics, and of the message."""

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


Radial: TypeAlias = Callable[[PyTree, PyTree], Mapping[Path, Array]]


def convolution(
    node_feats: Features,
    edge_sh: Mapping[Irrep, Components],
    radial_basis: PyTree,
    radial: Radial,
    radial_params: PyTree,
    senders: Int[Array, " edges"],
    receivers: Int[Array, " edges"],
    num_nodes: int,
    *,
    both_ways: bool = False,
) -> dict[Path, Float[Array, "nodes components channels"]]:
    """Sums weighted tensor products of neighbors' features with spherical harmonics at every node.

    Every component of a message is an array of its own, so that a compiler fuses the whole
    expression between the gather and the sum; ``edge_sum`` keeps it in the cache.

    Args:
      node_feats: ``{irrep: [nodes, 2l+1, channels]}``.
      edge_sh: ``{irrep: 2l+1 arrays [edges]}``.
      radial_basis: What the weights of an edge depend on, arrays ``[edges, ...]``.
      radial: From (params, basis) to the weights ``[edges, channels]`` of every path to compute;
        the channels are those of the path's input. A function of module level, or hashable.
      radial_params: Its parameters.
      senders: Where messages come from.
      receivers: Where they are summed.
      num_nodes: Number of nodes of the result.
      both_ways: Whether each edge is a pair, whose nodes send to each other.

    Raises:
      ValueError: Features, harmonics or weights have other shapes or irreps than described.
    """
    _check(node_feats, edge_sh)
    if both_ways:
        senders, receivers = (
            jnp.stack([senders, receivers], axis=1),
            jnp.stack([receivers, senders], axis=1),
        )
    components = {irrep: [x[:, m, :] for m in range(irrep.dim)] for irrep, x in node_feats.items()}
    harmonics = {irrep: list(y) for irrep, y in edge_sh.items()}
    sums = edge_sum(
        _Message(radial, both_ways),
        radial_params,
        components,
        (harmonics, radial_basis),
        senders,
        receivers,
        num_nodes,
    )
    return {path: jnp.stack(z, axis=1) for path, z in sums.items()}


def spread(y: Float[Array, " edges"], channels: int) -> Float[Array, "edges channels"]:
    """The same number for every channel.

    Written as a matrix product, so that the derivative, a sum over channels, is one too: as a plain
    reduction along rows it is not vectorised on CPUs.
    """
    return jnp.matmul(y[:, None], jnp.ones((1, channels), y.dtype), precision="highest")


@dataclasses.dataclass(frozen=True)
class _Message:
    """The weighted tensor products of a block of edges, ``{path: 2l+1 arrays}``.

    Both ways, arrays of senders and messages are [edges, 2, channels], else [edges, channels].
    """

    radial: Radial
    both_ways: bool

    def __call__(
        self,
        params: PyTree,
        sender_feats: Mapping[Irrep, Components],
        edge_feats: tuple[Mapping[Irrep, Components], PyTree],
    ) -> dict[Path, list[Array]]:
        edge_sh, basis = edge_feats
        repeated: dict[tuple[Irrep, int], list[Array]] = {}
        messages = {}
        for path, weights in self.radial(params, basis).items():
            _check_path(path, weights, sender_feats, edge_sh)
            key = path.edge, weights.shape[-1]
            if key not in repeated:
                repeated[key] = [self._spread(y, *key) for y in edge_sh[path.edge]]
            products = _products(path, sender_feats[path.node], repeated[key])
            messages[path] = [self._both(weights) * product for product in products]
        return messages

    def _spread(self, y: Float[Array, " edges"], irrep: Irrep, channels: int) -> Array:
        """The same number for every channel; for the way back with the sign of the degree."""
        there = spread(y, channels)
        if not self.both_ways:
            return there
        signs = jnp.asarray([1.0, (-1.0) ** irrep.l], y.dtype)
        return there[:, None, :] * signs[None, :, None]

    def _both(self, weights: Float[Array, "edges channels"]) -> Array:
        """The weights of all messages of an edge."""
        shape = len(weights), 2, weights.shape[-1]
        return jnp.broadcast_to(weights[:, None, :], shape) if self.both_ways else weights


def _check(node_feats: Features, edge_sh: Mapping[Irrep, Components]) -> None:
    for irrep, x in node_feats.items():
        if x.ndim != 3 or x.shape[1] != irrep.dim:
            raise ValueError(
                f"expected features of {irrep} [nodes, {irrep.dim}, channels], received {x.shape}"
            )
    for irrep, y in edge_sh.items():
        if len(y) != irrep.dim:
            raise ValueError(
                f"expected {irrep.dim} arrays of harmonics of {irrep}, received {len(y)}"
            )


def _check_path(path: Path, weights: Array, sender_feats: Mapping, edge_sh: Mapping) -> None:
    for name, irrep, given in (
        ("features", path.node, sender_feats),
        ("harmonics", path.edge, edge_sh),
    ):
        if irrep not in given:
            raise ValueError(
                f"expected {name} of {irrep} for path {'_'.join(map(str, path))}, "
                f"received those of {', '.join(map(str, given))}"
            )
    channels = sender_feats[path.node][0].shape[-1]
    if weights.shape[-1] != channels:
        raise ValueError(
            f"expected radial weights of {channels} channels for path {'_'.join(map(str, path))}, "
            f"those of its features, received {weights.shape[-1]}"
        )


def _products(path: Path, sender_feats: Components, harmonics: Components) -> list[Array]:
    """The tensor product of one path, one array [edges, channels] per component."""
    coefficients = coupling(*path)
    products = []
    for m3 in range(path.out.dim):
        terms = []
        for m1 in range(path.node.dim):
            nonzero = [m2 for m2 in range(path.edge.dim) if abs(coefficients[m1, m2, m3]) > 1e-12]
            if nonzero:
                mixed = [float(coefficients[m1, m2, m3]) * harmonics[m2] for m2 in nonzero]
                terms.append(sum(mixed[1:], mixed[0]) * sender_feats[m1])
        products.append(sum(terms[1:], terms[0]))
    return products


def convolution_reference(
    node_feats: Features,
    edge_sh: Mapping[Irrep, Components],
    radial_basis: PyTree,
    radial: Radial,
    radial_params: PyTree,
    senders: Int[Array, " edges"],
    receivers: Int[Array, " edges"],
    num_nodes: int,
    *,
    both_ways: bool = False,
) -> dict[Path, Float[Array, "nodes components channels"]]:
    """The same sum with dense coefficients, one einsum per path: what faster forms must equal."""
    result = {}
    if both_ways:
        senders, receivers = (
            jnp.concatenate([senders, receivers]),
            jnp.concatenate([receivers, senders]),
        )
        radial_basis = jax.tree.map(lambda x: jnp.concatenate([x, x]), radial_basis)
        edge_sh = {
            irrep: [jnp.concatenate([y, (-1) ** irrep.l * y]) for y in components]
            for irrep, components in edge_sh.items()
        }
    for path, weights in radial(radial_params, radial_basis).items():
        neighbors = node_feats[path.node][senders]
        harmonics = jnp.stack(list(edge_sh[path.edge]), axis=-1)
        coefficients = jnp.asarray(coupling(*path), neighbors.dtype)
        message = jnp.einsum(
            "abc,eau,eb,eu->ecu", coefficients, neighbors, harmonics, weights, precision="highest"
        )
        result[path] = jax.ops.segment_sum(message, receivers, num_nodes)
    return result
