"""Sums over edges in blocks are the plain sums, through every derivative and on every device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from equipot import testing
from equipot.e3.kernels.edge_sum import edge_sum

NODES, EDGES = 6, 23
BLOCKS = (1, 5, 23, 64)  # 5 and 64 do not divide the edges


def message(params, sender, edge):
    """Nonlinear in everything, with a singular derivative at zero, which padding must not meet."""
    mixed = jnp.tanh(sender["x"] @ params["w"]) * jnp.sqrt(edge["d"])[:, None]
    return {"scaled": mixed, "plain": [edge["d"] * jnp.sum(sender["x"], axis=-1)]}


def plain(params, nodes, edges, senders, receivers):
    values = message(params, jax.tree.map(lambda x: x[senders], nodes), edges)
    return jax.tree.map(lambda x: jax.ops.segment_sum(x, receivers, NODES), values)


def inputs(dtype="float64", edges=EDGES, seed=0):
    rng = np.random.default_rng(seed)
    params = {"w": jnp.asarray(rng.normal(size=(3, 4)), dtype)}
    nodes = {"x": jnp.asarray(rng.normal(size=(NODES, 3)), dtype)}
    ends = rng.integers(0, NODES - 1, size=(2, edges)).astype(np.int32)  # none at the last
    edge = {"d": jnp.asarray(rng.uniform(0.5, 2.0, size=edges), dtype)}
    return params, nodes, edge, *map(jnp.asarray, ends)


@functools.cache
def blocked(size):
    return lambda *x: edge_sum(message, *x, NODES, edges_per_block=size)


def energy(function, *arguments):
    return sum(jnp.sum(jnp.sin(z + 0.3)) for z in jax.tree.leaves(function(*arguments)))


def force_loss(function, params, nodes, edge, *ends):
    gradients = jax.grad(energy, argnums=(1, 2, 3))(function, params, nodes, edge, *ends)
    return sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients))


ORDERS = {
    "value": lambda f, *x: f(*x),
    "gradient": jax.grad(energy, argnums=(1, 2, 3)),
    "gradient of a force loss": jax.grad(force_loss, argnums=(1, 2, 3)),
}
# Compiled, so that tests share programs.
ORDERS = {order: jax.jit(f, static_argnums=0) for order, f in ORDERS.items()}


def assert_trees_close(actual, expected, what):
    jax.tree.map(lambda a, b: testing.assert_close(a, b, testing.F64_EXACT, what), actual, expected)


@pytest.mark.wide
@pytest.mark.parametrize("size", BLOCKS)
@pytest.mark.parametrize("order", ORDERS)
def test_blocks_of_any_size_give_the_plain_sum(size, order):
    with jax.enable_x64(True):
        found, expected = (ORDERS[order](f, *inputs()) for f in (blocked(size), plain))
        assert_trees_close(found, expected, f"{order} in blocks of {size}")


def test_third_derivatives_are_those_of_the_plain_sum():
    with jax.enable_x64(True):

        def third(function):
            def slope(scale, params, *rest):
                scaled = {"w": scale * params["w"]}
                return jax.grad(lambda p: force_loss(function, p, *rest))(scaled)["w"].sum()

            return jax.jit(jax.grad(slope))(jnp.asarray(1.1), *inputs())

        testing.assert_close(third(blocked(5)), third(plain), testing.F64_EXACT, "third derivative")


def test_mapped_over_a_batch_it_is_the_same_for_each():
    with jax.enable_x64(True):
        batch = jax.tree.map(lambda *x: jnp.stack(x), inputs(), inputs(seed=1))
        gradient = ORDERS["gradient of a force loss"]
        mapped = jax.jit(jax.vmap(lambda *x: gradient(blocked(5), *x)))(*batch)
        for i in range(2):
            one = gradient(plain, *inputs(seed=i))
            assert_trees_close(jax.tree.map(lambda x, i=i: x[i], mapped), one, "vmap")


@pytest.mark.parametrize("size", [3, 23])
def test_over_devices_gradients_of_shared_parameters_are_summed_once(size):
    """Each device has its own edges; parameters and nodes are the same on all."""
    with jax.enable_x64(True):
        params, nodes, edge, *ends = inputs(edges=4 * 6)
        mesh = Mesh(np.array(jax.devices()[:4]), ("data",))
        share, own = PartitionSpec(), PartitionSpec("data")

        def on_devices(params, nodes, edge, *ends):
            def local(*arguments):
                return jax.lax.psum(energy(blocked(size), *arguments), "data")

            split = jax.shard_map(
                local, mesh=mesh, in_specs=(share, share, own, own, own), out_specs=share
            )
            return split(params, nodes, edge, *ends)

        def one_after_the_other(params, nodes, edge, *ends):
            parts = [
                jax.tree.map(lambda x, i=i: x[6 * i : 6 * i + 6], (edge, ends)) for i in range(4)
            ]
            return sum(energy(plain, params, nodes, e, *s) for e, s in parts)

        arguments = params, nodes, edge, *ends
        found = jax.jit(jax.grad(on_devices, argnums=(0, 1, 2)))(*arguments)
        expected = jax.jit(jax.grad(one_after_the_other, argnums=(0, 1, 2)))(*arguments)
        assert_trees_close(found, expected, "gradient over devices")


def test_derivatives_have_the_precision_of_the_sum_wherever_they_are_taken():
    """A potential asks for it; the gradient of a loss on its forces is taken outside of it."""
    params, nodes, *edges = inputs("float32")

    def loss(params):
        with jax.default_matmul_precision("highest"):
            return force_loss(blocked(5), params, nodes, *edges)

    program = str(jax.make_jaxpr(jax.grad(loss))(params))
    products = program.count("dot_general[")
    assert products > 0 and program.count("precision=(Precision.HIGHEST") == products


def test_temporary_memory_does_not_grow_with_the_edges():
    """The derivative of a force loss: its largest arrays are those that go in and come out."""

    def temporary(edges):
        gradient = jax.jit(lambda *x: jax.grad(force_loss, argnums=1)(blocked(16), *x))
        shapes = jax.eval_shape(lambda: inputs("float32", edges))
        return gradient.lower(*shapes).compile().memory_analysis().temp_size_in_bytes / edges

    # Four arrays [edges] are the plain derivatives and padding; messages would be dozens.
    assert temporary(8000) < 80


@pytest.mark.wide
@pytest.mark.parametrize("padding", [-1, NODES, 10**9, -(10**9)])
def test_an_index_outside_of_the_nodes_is_padding_for_the_sender_and_the_receiver(padding):
    """Negative ones too, which would count from the end."""
    params, nodes, edge, senders, receivers = inputs("float32")
    real = np.arange(EDGES) % 4 != 0
    kept = {"d": edge["d"][real]}, senders[real], receivers[real]
    expected = edge_sum(message, params, nodes, *kept, NODES)
    nowhere = jnp.where(real, receivers, padding)
    found = edge_sum(message, params, nodes, edge, senders, nowhere, NODES, 5)
    jax.tree.map(lambda a, b: testing.assert_close(a, b, testing.F32, "receivers"), found, expected)
    nobody = jnp.where(real, senders, padding)
    found = edge_sum(message, params, nodes, edge, nobody, receivers, NODES, 5)
    jax.tree.map(lambda a, b: testing.assert_close(a, b, testing.F32, "senders"), found, expected)


def test_what_fills_the_last_block_leaves_derivatives_finite():
    """Of a message that is singular where the features of its sender are zero."""
    params, nodes, edge, *ends = inputs("float32")

    def singular(params, sender, edge):
        return params["w"][0, 0] * jnp.log(jnp.sum(sender["x"] ** 2, -1)) * edge["d"]

    def total(params, nodes):
        return jnp.sum(edge_sum(singular, params, nodes, edge, *ends, NODES, edges_per_block=5))

    gradients = jax.grad(total, argnums=(0, 1))(params, nodes)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_indices_of_few_bits_count_as_any_others():
    params, _, edge, *ends = inputs("float32")
    nodes = {"x": jnp.asarray(np.random.default_rng(1).normal(size=(128, 3)), "float32")}
    few = [index.astype(jnp.int8) for index in ends]
    found, expected = (
        edge_sum(message, params, nodes, edge, *index, 128, edges_per_block=5)
        for index in (few, ends)
    )
    assert np.array_equal(found["scaled"], expected["scaled"])


def test_no_nodes_and_no_channels_give_empty_sums():
    params, nodes, edge, *ends = inputs("float32")
    nobody = jax.tree.map(lambda x: x[:0], nodes)
    assert np.all(edge_sum(message, params, nobody, edge, *ends, NODES)["scaled"] == 0)

    def scaled(params, sender, edge):
        return sender["x"] * edge["d"][:, None]

    narrow = {"x": nodes["x"][:, :0]}
    assert edge_sum(scaled, params, narrow, edge, *ends, NODES).shape == (NODES, 0)


def test_arrays_without_a_row_for_each_edge_or_node_are_refused():
    """They would be filled or cut where edges are put in blocks."""
    params, nodes, edge, senders, receivers = inputs("float32")

    def apply(message=message, nodes=nodes, edge=edge, senders=senders, ends=receivers, size=None):
        return edge_sum(message, params, nodes, edge, senders, ends, NODES, edges_per_block=size)

    with pytest.raises(ValueError, match="as many senders as receivers, received 23 and 20"):
        apply(ends=receivers[:20])
    with pytest.raises(ValueError, match=r"edge_feats to be arrays of 23 rows, .* \[\(20,\)\]"):
        apply(edge={"d": edge["d"][:20]})
    with pytest.raises(ValueError, match=r"node_feats to be arrays of 6 rows, .* \(4, 3\)\]"):
        apply(nodes={"x": nodes["x"], "y": nodes["x"][:4]})
    with pytest.raises(ValueError, match=r"messages to be arrays of 23 rows, .* \[\(3,\)\]"):
        apply(message=lambda params, sender, edge: jnp.sum(sender["x"], axis=0))
    with pytest.raises(ValueError, match="edges_per_block of at least 1, received 0"):
        apply(size=0)


def test_forward_mode_is_refused_rather_than_wrong():
    params, *rest = inputs("float32")
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda p: energy(blocked(5), p, *rest), (params,), (params,))
