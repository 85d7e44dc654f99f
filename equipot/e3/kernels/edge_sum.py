"""Sums over edges, block by block: gather, compute a message, add it at the receiver.

    z[n] = Σ_{e: receivers[e] = n} f(params, x[senders[e]], edges[e])

What lies between the gather and the sum can be a hundred times larger than what goes in and comes
out. On a CPU it is therefore made for a few hundred edges at a time, so that it never leaves the
cache; on other devices all edges are one block. Nothing of a message is kept for the derivatives:
they compute it anew.

An edge may carry several messages, between several pairs of nodes: those of a bond go both ways,
and what depends on its length is computed once. Senders and receivers are then [edges, messages].

Derivatives of such a sum are sums over edges of the same kind: each reads values at senders, at
receivers and on edges, and gives sums at senders, sums at receivers, totals over all edges and
values on edges. ``_sums`` is that general form. Its reverse-mode derivative is itself, applied to
another function, so that every order is computed block by block; what no derivative was asked of
is left out. Forward-mode derivatives (jvp, jacfwd, hessian) are refused by jax: use jacrev of a
gradient.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from equipot.e3.functions import scatter
from equipot.e3.kernels import platforms
from equipot.typing import Array, Int, PyTree

_BLOCK_BYTES = 2**16  # of one array [edges, channels]; some twenty of them fit the cache of a core
_LEAST_BLOCK, _LARGEST_BLOCK = 64, 1024

Message = Callable[[PyTree, PyTree, PyTree], PyTree]


def edge_sum(
    message: Message,
    params: PyTree,
    node_feats: PyTree,
    edge_feats: PyTree,
    senders: Int[Array, "edges ..."],
    receivers: Int[Array, "receiving_edges ..."],
    num_nodes: int,
    edges_per_block: int | None = None,
) -> PyTree:
    """Sums messages at the nodes that receive them.

    Args:
      message: A pure function of (params, features of senders, features of edges) → arrays
        ``[edges, *messages, ...]``, each row from the rows of its edge alone; what it is given of
        senders is ``[edges, *messages, ...]``, of edges ``[edges, ...]``.
      params: What all edges share.
      node_feats: Arrays ``[nodes, ...]``.
      edge_feats: Arrays ``[edges, ...]``.
      senders: Where messages come from, in any order. An index outside of the nodes, negative or
        too large, is padding: its features read as zero.
      receivers: Where they are summed, in any order; messages to padding are dropped.
      num_nodes: Number of nodes of the result.
      edges_per_block: Edges that are computed at a time; by default what the device likes.

    Returns:
      What ``message`` returns, summed: arrays ``[num_nodes, ...]``.

    Raises:
      ValueError: Arrays do not have a row for each edge or node, or blocks have no edges.
    """
    trees = params, node_feats, edge_feats
    shared, nodes, edges = (jax.tree.leaves(tree) for tree in trees)
    _check(nodes, edges, senders, receivers, edges_per_block)
    num_edges = len(senders)
    rows = _rows(node_feats, senders.shape), _rows(edge_feats, (num_edges,))
    messages = jax.eval_shape(message, _shapes(params), *rows)
    _check_rows("messages", jax.tree.leaves(messages), senders.shape)
    senders, receivers = scatter.wide(senders), scatter.wide(receivers)
    inputs = Ends(shared, nodes, [], edges)
    flat = _FlatMessage(message, tuple(jax.tree.structure(tree) for tree in trees))
    if edges_per_block is None:
        edges_per_block = _edges_per_block(nodes, senders.shape)
    num_senders = max((len(leaf) for leaf in nodes), default=num_nodes)
    size = min(edges_per_block, num_edges)
    config: Any = jax.config
    precision = config.jax_default_matmul_precision
    plan = _Plan(flat, size, senders.shape[1:], num_senders, num_nodes, precision)
    if senders.size and num_senders:
        sums: Any = _sums(plan, _varying((inputs, senders, receivers)))
    else:
        sums = _empty_sums(plan, inputs)
    return jax.tree.unflatten(jax.tree.structure(messages), sums.receivers)


class Ends(NamedTuple):
    """What belongs to all edges, to their senders, to their receivers, and to each edge."""

    params: Sequence
    senders: Sequence
    receivers: Sequence
    edges: Sequence


@dataclasses.dataclass(frozen=True)
class _FlatMessage:
    """A message as the general form: a function of lists of arrays, summed at receivers."""

    message: Message
    structures: tuple[Any, Any, Any]

    def __call__(self, inputs: Ends) -> Ends:
        parts = inputs.params, inputs.senders, inputs.edges
        trees = map(jax.tree.unflatten, self.structures, parts)
        return Ends([], [], jax.tree.leaves(self.message(*trees)), [])

    def shapes(self, inputs: Ends) -> Ends:
        """The shapes of what it returns for inputs of such shapes."""
        return jax.eval_shape(self, inputs)


@dataclasses.dataclass(frozen=True)
class _Pullback:
    """From inputs and cotangents of some outputs to the cotangents of some inputs."""

    function: "_FlatMessage | _Pullback"
    wanted: Ends  # for each input whether its cotangent is
    given: Ends  # for each output whether its cotangent is

    def __call__(self, inputs: Ends) -> Ends:
        primals = self._primals(inputs)
        cotangents = Ends(*(part[len(of) :] for part, of in zip(inputs, primals, strict=True)))

        def restricted(chosen: Ends) -> Ends:
            return _choose(self.function(_merge(primals, chosen, self.wanted)), self.given)

        return jax.vjp(restricted, _choose(primals, self.wanted))[1](cotangents)[0]

    def shapes(self, inputs: Ends) -> Ends:
        """Those of the inputs that are wanted; nothing has to be traced to know them."""
        return _choose(self._primals(inputs), self.wanted)

    def _primals(self, inputs: Ends) -> Ends:
        return Ends(*(part[: len(of)] for part, of in zip(inputs, self.wanted, strict=True)))


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The static part of a sum: what is computed from the ``Ends`` of a block, and the sizes."""

    function: _FlatMessage | _Pullback
    edges_per_block: int
    messages: tuple[int, ...]  # axes of the messages of an edge
    num_senders: int
    num_receivers: int
    matmul_precision: Any  # where the sum was asked for: derivatives may be taken elsewhere


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sums(plan: _Plan, arguments: tuple[Ends, Array, Array]) -> Ends:
    """Totals of params, sums at senders and receivers, and values on edges, of every block."""
    inputs, senders, receivers = arguments
    num_edges, size = len(senders), plan.edges_per_block
    # What fills the last block is its last edge, sent to a node that does not exist: with zeros in
    # place of features a message may be singular, and 0 · ∞ would enter the totals.
    blocks = (
        _in_blocks(inputs.edges, size),
        _in_blocks(senders, size),
        _in_blocks(receivers, size, plan.num_receivers),
    )

    def add_block(sums: Ends, block: tuple[list, Array, Array]) -> tuple[Ends, Sequence]:
        edges, sent, received = block
        at_ends = _take(inputs.senders, sent), _take(inputs.receivers, received)
        with jax.default_matmul_precision(plan.matmul_precision):
            result = plan.function(Ends(inputs.params, *at_ends, edges))
        added = Ends(
            jax.tree.map(jnp.add, sums.params, result.params),
            _add_rows(sums.senders, sent, result.senders),
            _add_rows(sums.receivers, received, result.receivers),
            [],
        )
        return added, result.edges

    start = _varying((_empty_sums(plan, inputs), arguments))[0]
    if num_edges == size:
        sums, per_edge = add_block(start, jax.tree.map(lambda leaf: leaf[0], blocks))
        return sums._replace(edges=per_edge)
    sums, per_edge = lax.scan(add_block, start, blocks)
    return sums._replace(edges=[x.reshape(-1, *x.shape[2:])[:num_edges] for x in per_edge])


def _forward(plan: _Plan, arguments: Any) -> tuple[Ends, Any]:
    """Keeps the inputs, and which of them a derivative is asked of."""
    values = jax.tree.map(lambda leaf: leaf.value, arguments)
    wanted = jax.tree.map(lambda leaf: _Static(leaf.perturbed), arguments[0])
    return _sums(plan, values), (values, wanted)


def _backward(plan: _Plan, residuals: Any, cotangents: Ends) -> tuple[Any]:
    (inputs, senders, receivers), static = residuals
    wanted = Ends(*(tuple(flag.value for flag in part) for part in static))
    given = Ends(*(tuple(not isinstance(x, SymbolicZero) for x in part) for part in cotangents))
    both = Ends(
        *(
            [*primals, *chosen]
            for primals, chosen in zip(inputs, _choose(cotangents, given), strict=True)
        )
    )
    pullback = _Pullback(plan.function, wanted, given)
    sums: Any = _sums(dataclasses.replace(plan, function=pullback), (both, senders, receivers))
    nothing = Ends(*([None] * len(part) for part in inputs))
    return ((_merge(nothing, sums, wanted), None, None),)


_sums.defvjp(_forward, _backward, symbolic_zeros=True)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Static:
    """A truth value that is part of the structure of a tree."""

    value: bool


def _choose(values: Ends, flags: Ends) -> Ends:
    """The values that are flagged."""
    pairs = zip(values, flags, strict=True)
    return Ends(*([x for x, flag in zip(*pair, strict=True) if flag] for pair in pairs))


def _merge(values: Ends, chosen: Ends, flags: Ends) -> Ends:
    """Values, with those that are flagged replaced by the chosen ones."""
    parts = []
    for all_of, some, flagged in zip(values, chosen, flags, strict=True):
        replacements = iter(some)
        parts.append(
            [next(replacements) if flag else x for x, flag in zip(all_of, flagged, strict=True)]
        )
    return Ends(*parts)


def _empty_sums(plan: _Plan, inputs: Ends) -> Ends:
    """Zeros of the shapes of all sums."""
    params, messages = _shapes(inputs.params), (1, *plan.messages)
    at_ends = _rows(inputs.senders, messages), _rows(inputs.receivers, messages)
    one = plan.function.shapes(Ends(params, *at_ends, _rows(inputs.edges, (1,))))

    def zeros(parts: Sequence, count: int) -> list:
        return [jnp.zeros((count, *x.shape[len(messages) :]), x.dtype) for x in parts]

    totals = [jnp.zeros(x.shape, x.dtype) for x in one.params]
    sent, received = plan.num_senders, plan.num_receivers
    return Ends(totals, zeros(one.senders, sent), zeros(one.receivers, received), [])


def _shapes(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _rows(tree: PyTree, rows: tuple[int, ...]) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*rows, *x.shape[1:]), x.dtype), tree)


def _in_blocks(tree: PyTree, size: int, value: int | None = None) -> PyTree:
    """Reshapes ``[edges, ...]`` to ``[blocks, size, ...]``, filled with a value or the last row."""

    def reshape(leaf: Array) -> Array:
        if padding := -len(leaf) % size:
            last = leaf[-1:] if value is None else jnp.full_like(leaf[-1:], value)
            leaf = jnp.concatenate([leaf, jnp.repeat(last, padding, axis=0)])
        return leaf.reshape(-1, size, *leaf.shape[1:])

    return jax.tree.map(reshape, tree)


def _take(leaves: Sequence, rows: Int[Array, "edges ..."]) -> list:
    options: Any = {"mode": "fill", "fill_value": 0, "wrap_negative_indices": False}
    return [leaf.at[rows].get(**options) for leaf in leaves]


def _add_rows(leaves: Sequence, rows: Int[Array, "edges ..."], values: Sequence) -> list:
    options: Any = {"mode": "drop", "wrap_negative_indices": False}
    return [leaf.at[rows].add(x, **options) for leaf, x in zip(leaves, values, strict=True)]


def _varying(tree: PyTree) -> PyTree:
    """Inside ``shard_map``: every leaf counts as different on each device if one does.

    The sum of a derivative over devices is then taken outside of the blocks, once.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return tree
    never = jnp.zeros((), bool)
    for leaf in jax.tree.leaves(tree):
        if leaf.size:
            first = lax.stop_gradient(leaf).ravel()[0]
            never = never & (first != first)
    return jax.tree.map(lambda leaf: jnp.where(never, jnp.zeros_like(leaf), leaf), tree)


def _edges_per_block(nodes: list, shape: tuple[int, ...]) -> int:
    """A block's messages fit the cache of a processor; other devices take all edges at once."""
    num_edges, *messages = shape
    if platforms.current() != "cpu":
        return num_edges
    row = max((leaf.shape[-1] * leaf.dtype.itemsize for leaf in nodes), default=4)
    count = min(max(_BLOCK_BYTES // max(row, 1), _LEAST_BLOCK), _LARGEST_BLOCK)
    return max(count // max(math.prod(messages), 1), 1)


def _check(
    nodes: Sequence, edges: Sequence, senders: Array, receivers: Array, edges_per_block: int | None
) -> None:
    """Compares the rows of all arrays: what is missing would be filled, what is more left out."""
    if senders.shape != receivers.shape:
        one = senders.ndim == receivers.ndim == 1
        counts = (len(senders), len(receivers)) if one else (senders.shape, receivers.shape)
        raise ValueError(
            f"expected as many senders as receivers, received {counts[0]} and {counts[1]}"
        )
    _check_rows("edge_feats", edges, senders.shape[:1])
    if nodes:
        _check_rows("node_feats", nodes, nodes[0].shape[:1] or (0,))
    if edges_per_block is not None and edges_per_block < 1:
        raise ValueError(f"expected edges_per_block of at least 1, received {edges_per_block}")


def _check_rows(name: str, leaves: Sequence, rows: tuple[int, ...]) -> None:
    shapes = [leaf.shape for leaf in leaves]
    if any(shape[: len(rows)] != rows for shape in shapes):
        count = " × ".join(map(str, rows))
        raise ValueError(f"expected {name} to be arrays of {count} rows, received shapes {shapes}")
