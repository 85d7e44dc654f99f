"""A small energy model of the dense layers, as a user would write it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense

SPECIES = jnp.array([0, 1, 1, 2])
DST_IDX, SRC_IDX = dense.sparse_pairwise_indices(4)


def basis(positions, max_degree, num=4):
    return dense.basis(
        positions[SRC_IDX] - positions[DST_IDX],
        max_degree=max_degree,
        num=num,
        radial_fn=dense.exponential_bernstein,
        cutoff_fn=functools.partial(dense.smooth_cutoff, cutoff=4.0),
    )


class Energy(nn.Module):
    """Two rounds of messages; the energy is the sum of even scalars."""

    max_degree: int = 1
    num_features: int = 4

    @nn.compact
    def __call__(self, positions):
        index = {"dst_idx": DST_IDX, "src_idx": SRC_IDX, "indices_are_sorted": True}
        b = basis(positions, self.max_degree)
        x = dense.Embed(3, self.num_features, param_dtype=positions.dtype)(SPECIES)
        for _ in range(2):
            y = dense.MessagePass(max_degree=self.max_degree)(x, b, **index)
            y = dense.add(x, y)
            y = dense.Dense(self.num_features)(y)
            y = dense.silu(y)
            if self.max_degree:
                y = dense.TensorDense(self.num_features, self.max_degree)(y)
            x = dense.add(x, y)
        x = dense.change_max_degree_or_type(x, 0, include_pseudotensors=False)
        return jnp.sum(dense.Dense(1)(x))


class PlainEnergy(nn.Module):
    """The same network for degree 0, of the layers of flax alone."""

    @nn.compact
    def __call__(self, positions):
        b = basis(positions, 0)[:, 0, 0]
        x = nn.Embed(3, 4, param_dtype=positions.dtype)(SPECIES)
        for i in range(2):
            kernel = self.param(f"kernel_{i}", nn.initializers.ones, (4,))
            filters = nn.Dense(4, use_bias=False, precision="highest")(b)
            y = x + jax.ops.segment_sum(filters * x[SRC_IDX] * kernel[None], DST_IDX, 4)
            x = x + nn.silu(nn.Dense(4, precision="highest")(y))
        return jnp.sum(nn.Dense(1, precision="highest")(x))


def parameters(model, positions, seed=0):
    shapes = jax.eval_shape(model.init, jax.random.key(0), positions)
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda w: jnp.asarray(0.7 * rng.normal(size=w.shape), w.dtype), shapes)


@pytest.fixture(scope="module")
def potential():
    """Energy and forces of a model of degree 1, in double precision."""
    with jax.enable_x64(True):
        positions = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)))
        model = Energy()
        variables = parameters(model, positions)
        energy_and_gradient = jax.jit(jax.value_and_grad(lambda r: model.apply(variables, r)))
        yield np.asarray(positions), lambda r: energy_and_gradient(jnp.asarray(r))


def test_energy_and_forces_turn_with_atoms(potential):
    positions, model = potential
    matrix = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    with jax.enable_x64(True):
        energy, gradient = model(positions)
        assert np.max(np.abs(gradient)) > 1e-2
        for rotation in (matrix, -matrix):
            turned, turned_gradient = model(positions @ rotation + 3.0)
            np.testing.assert_allclose(turned, energy, rtol=1e-10)
            np.testing.assert_allclose(turned_gradient, gradient @ rotation, atol=1e-10)


def test_forces_are_the_gradient_of_the_energy(potential):
    positions, model = potential
    with jax.enable_x64(True):
        _, gradient = model(positions)
        for i, j in ((0, 0), (1, 2), (3, 1)):
            step = np.zeros((4, 3))
            step[i, j] = 1e-4
            ahead, behind = model(positions + step)[0], model(positions - step)[0]
            np.testing.assert_allclose(gradient[i, j], (ahead - behind) / 2e-4, rtol=1e-5)


def test_coincident_atoms_have_finite_forces(potential):
    positions, model = potential
    with jax.enable_x64(True):
        energy, gradient = model(np.concatenate([positions[:1], positions[:1], positions[2:]]))
        assert np.isfinite(energy) and np.all(np.isfinite(gradient))


@pytest.mark.slow
def test_degree_zero_is_a_network_of_plain_layers_bit_for_bit():
    positions = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    ours, plain = Energy(max_degree=0), PlainEnergy()
    params = parameters(ours, positions)["params"]
    translated = {"Embed_0": {"embedding": params["Embed_0"]["embedding"][:, 0, 0]}}
    for i in range(2):
        message = params[f"MessagePass_{i}"]
        translated[f"kernel_{i}"] = message["tensor"]["kernel"].reshape(4)
        translated[f"Dense_{2 * i}"] = message["filter"]["0+"]
        translated[f"Dense_{2 * i + 1}"] = params[f"Dense_{i}"]["0+"]
    translated["Dense_4"] = params["Dense_2"]["0+"]
    expected = plain.apply({"params": translated}, positions)
    np.testing.assert_array_equal(ours.apply({"params": params}, positions), expected)
