import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.nn import MultiLayerPerceptron
from tests.e3.layers import random_array, random_variables

KEY = jax.random.key(0)


def normal(shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def test_layers_are_the_equation_written_out():
    def silu(x):
        return x / (1 + np.exp(-x)) * 1.676532  # of unit second moment

    x = normal((3, 4))
    layer = MultiLayerPerceptron((5, 2), jax.nn.silu, with_bias=True)
    variables = random_variables(layer, x)
    first, last = jax.tree.map(np.asarray, [variables["params"][f"Dense_{i}"] for i in (0, 1)])
    hidden = silu((np.asarray(x) @ first["kernel"] + first["bias"]) / 2)
    expected = (hidden @ last["kernel"] + last["bias"]) / np.sqrt(5)
    for output_activation, act in (
        (False, lambda y: y),
        (True, silu),
        (jnp.tanh, lambda y: 1.592537 * np.tanh(y)),
    ):
        y = jax.jit(layer.clone(output_activation=output_activation).apply)(variables, x)
        np.testing.assert_allclose(y, act(expected), atol=1e-5)


@pytest.mark.parametrize("gradient", ["element", 0.5])
def test_the_variance_is_kept_through_the_layers(gradient):
    x = normal((400, 300))
    layer = MultiLayerPerceptron((300, 300), jnp.tanh, gradient)
    y, variables = jax.jit(layer.init_with_output)(KEY, x)
    # Means over 300 outputs, each of which deviates by less than sqrt(2) from 1.
    np.testing.assert_allclose(np.mean(np.square(y)), 1.0, atol=0.1)
    (w, *_) = jax.tree.leaves(variables)
    expected = {"element": 300**-0.5, 0.5: 300**-0.25}[gradient]
    np.testing.assert_allclose(np.std(w), expected, rtol=0.02)


def test_even_scalars_give_even_scalars():
    x = e3.IrrepsArray("3x0e + 0e", normal((2, 4)))
    layer = MultiLayerPerceptron((5, 2), jax.nn.silu)
    variables = random_variables(layer, x)
    y = jax.jit(layer.apply)(variables, x)
    assert y.irreps == "2x0e"
    np.testing.assert_array_equal(y.array, jax.jit(layer.apply)(variables, x.array))


def test_zero_stays_zero_without_biases():
    layer = MultiLayerPerceptron((5, 2), jax.nn.silu)
    x = np.zeros((2, 4), "f")
    assert not np.any(jax.jit(layer.apply)(random_variables(layer, x), x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        layer = MultiLayerPerceptron((5, 2), jax.nn.silu, with_bias=True)
        outputs = jax.eval_shape(layer.init_with_output, KEY, normal((2, 4), dtype))
        assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {np.dtype(dtype)}


@pytest.mark.parametrize("irreps", ["4x0o", "0e + 1o"])
def test_other_irreps_are_refused(irreps):
    with pytest.raises(ValueError, match="MultiLayerPerceptron: expected even scalars"):
        MultiLayerPerceptron((5,)).init(KEY, random_array(irreps))
