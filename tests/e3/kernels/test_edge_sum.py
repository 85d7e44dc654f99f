"""Sums over edges in blocks are the plain sums, through every derivative and on every device."""

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


def blocked(size):
    return lambda *x: edge_sum(message, *x, NODES, edges_per_block=size)


def energy(function, *arguments):
    return sum(jnp.sum(jnp.sin(z + 0.3)) for z in jax.tree.leaves(function(*arguments)))


def force_loss(function, params, nodes, edge, *ends):
    gradients = jax.grad(energy, argnums=(1, 2, 3))(function, params, nodes, edge, *ends)
    return sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients))


def assert_trees_close(actual, expected, what):
    jax.tree.map(lambda a, b: testing.assert_close(a, b, testing.F64_EXACT, what), actual, expected)


@pytest.mark.parametrize("size", BLOCKS)
@pytest.mark.parametrize("order", ["value", "gradient", "gradient of a force loss"])
def test_blocks_of_any_size_give_the_plain_sum(size, order):
    with jax.enable_x64(True):
        compute = {
            "value": lambda f, *x: f(*x),
            "gradient": jax.grad(energy, argnums=(1, 2, 3)),
            "gradient of a force loss": jax.grad(force_loss, argnums=(1, 2, 3)),
        }[order]
        found, expected = compute(blocked(size), *inputs()), compute(plain, *inputs())
        assert_trees_close(found, expected, f"{order} in blocks of {size}")


def test_third_derivatives_are_those_of_the_plain_sum():
    with jax.enable_x64(True):

        def third(function):
            def slope(scale, params, *rest):
                scaled = {"w": scale * params["w"]}
                return jax.grad(lambda p: force_loss(function, p, *rest))(scaled)["w"].sum()

            return jax.grad(slope)(jnp.asarray(1.1), *inputs())

        testing.assert_close(third(blocked(5)), third(plain), testing.F64_EXACT, "third derivative")


def test_mapped_over_a_batch_it_is_the_same_for_each():
    with jax.enable_x64(True):
        batch = jax.tree.map(lambda *x: jnp.stack(x), inputs(), inputs(seed=1))
        gradient = jax.grad(force_loss, argnums=1)
        mapped = jax.vmap(lambda *x: gradient(blocked(5), *x))(*batch)
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
        expected = jax.grad(one_after_the_other, argnums=(0, 1, 2))(*arguments)
        assert_trees_close(found, expected, "gradient over devices")


def test_temporary_memory_does_not_grow_with_the_edges():
    """The derivative of a force loss: its largest arrays are those that go in and come out."""

    def temporary(edges):
        gradient = jax.jit(lambda *x: jax.grad(force_loss, argnums=1)(blocked(16), *x))
        shapes = jax.eval_shape(lambda: inputs("float32", edges))
        return gradient.lower(*shapes).compile().memory_analysis().temp_size_in_bytes / edges

    # Four arrays [edges] are the plain derivatives and padding; messages would be dozens.
    assert temporary(8000) < 80


def test_forward_mode_is_refused_rather_than_wrong():
    params, *rest = inputs("float32")
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda p: energy(blocked(5), p, *rest), (params,), (params,))
