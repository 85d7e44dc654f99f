"""Layers that act on channels alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from equipot.e3 import dense

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def shapes(layer, *inputs):
    """Shapes of the parameters, by name."""
    params = jax.eval_shape(layer.init, KEY, *inputs)["params"]
    return jax.tree.map(lambda leaf: leaf.shape, params)


def test_dense_has_one_matrix_for_each_irrep_and_a_bias_on_even_scalars():
    kernel = {"kernel": (8, 16)}
    both = {"0+": kernel | {"bias": (16,)}, "0-": kernel, "1+": kernel, "1-": kernel}
    layer = dense.Dense(16)
    assert shapes(layer, jnp.zeros((2, 4, 8))) == both
    assert shapes(layer, jnp.zeros((1, 4, 8))) == {"0+": both["0+"], "1-": kernel}
    assert shapes(layer, jnp.zeros((1, 1, 8))) == {"0+": both["0+"]}
    assert shapes(dense.Dense(16, use_bias=False), jnp.zeros((1, 1, 8))) == {"0+": kernel}


def test_dense_of_scalars_is_the_ordinary_layer_bit_for_bit():
    x = normal(50, 1, 1, 8).astype(jnp.float32)
    ours, theirs = dense.Dense(16), nn.Dense(16, precision="highest")
    params = ours.init(KEY, x)["params"]
    expected = theirs.apply({"params": params["0+"]}, x)
    np.testing.assert_array_equal(ours.apply({"params": params}, x), expected)


def test_dense_mixes_channels_of_each_irrep_by_its_own_matrix():
    with jax.enable_x64(True):
        x = normal(3, 2, 9, 4)
        layer = dense.Dense(5, bias_init=nn.initializers.ones)
        params = layer.init(KEY, x)["params"]
        y = layer.apply({"params": params}, x)
        assert y.dtype == jnp.float64 and y.shape == (3, 2, 9, 5)
        expected = x[:, 1, 4:] @ params["2-"]["kernel"]
        np.testing.assert_allclose(y[:, 1, 4:], expected, atol=1e-14)
        expected = x[:, 0, 0] @ params["0+"]["kernel"] + 1.0
        np.testing.assert_allclose(y[:, 0, 0], expected, atol=1e-14)


@pytest.mark.parametrize("num_parity", [1, 2])
def test_dense_commutes_with_rotations_and_reflection(num_parity):
    with jax.enable_x64(True):
        x = normal(3, num_parity, 16, 4)
        layer = dense.Dense(5, bias_init=nn.initializers.ones)
        variables = jax.jit(layer.init)(KEY, x)
        d = jax.jit(lambda: dense.wigner_d(dense.rotation(np.array([1.0, -2.0, 0.5]), 0.7), 3))()
        turn = jax.jit(lambda x, d: dense.reflect(dense.rotate(x, d)))
        apply = jax.jit(layer.apply)
        of_turned = apply(variables, turn(x, d))
        np.testing.assert_allclose(of_turned, turn(apply(variables, x), d), atol=1e-12)


def test_embed_looks_scalars_up():
    layer = dense.Embed(num_embeddings=3, features=4)
    index = jnp.asarray([[2, 0], [1, 1]])
    variables = layer.init(KEY, index)
    table = variables["params"]["embedding"]
    assert table.shape == (3, 1, 1, 4)
    y = layer.apply(variables, index)
    assert y.shape == (2, 2, 1, 1, 4)
    np.testing.assert_array_equal(y[0, 0], table[2])
    assert np.all(np.isnan(layer.apply(variables, jnp.asarray([3, 99]))))
    half = dense.Embed(3, 4, dtype=jnp.bfloat16).apply(variables, index)
    assert half.dtype == jnp.bfloat16


def test_inputs_of_the_wrong_kind_are_refused():
    with pytest.raises(ValueError, match="components on axis -2, received 3"):
        dense.Dense(2).init(KEY, jnp.zeros((1, 3, 4)))
    with pytest.raises(ValueError, match="Embed: expected integers, received float32"):
        dense.Embed(2, 3).init(KEY, jnp.zeros(2))
