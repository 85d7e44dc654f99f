import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.nn import MultiLayerPerceptron

KEY = jax.random.key(0)


def normal(shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def test_layers_are_the_equation_written_out():
    x = normal((3, 4))
    layer = MultiLayerPerceptron((5, 2), jax.nn.silu, with_bias=True)
    variables = jax.tree.map(lambda w: w + 0.5, layer.init(KEY, x))
    first, last = variables["params"]["Dense_0"], variables["params"]["Dense_1"]
    hidden = jax.nn.silu((x @ first["kernel"] + first["bias"][None]) / 2) * 1.676532
    expected = (hidden @ last["kernel"] + last["bias"][None]) / np.sqrt(5).astype(np.float32)
    for output_activation, act in ((False, lambda y: y), (True, jax.nn.silu), (jnp.tanh, jnp.tanh)):
        scale = {True: 1.676532, False: 1.0, jnp.tanh: 1.592537}[output_activation]
        layer = layer.clone(output_activation=output_activation)
        np.testing.assert_allclose(layer.apply(variables, x), scale * act(expected), atol=1e-5)


@pytest.mark.parametrize("gradient", ["path", "element", 0.5])
def test_the_variance_is_kept_through_the_layers(gradient):
    x = normal((400, 300))
    layer = MultiLayerPerceptron((300, 300, 300), jnp.tanh, gradient)
    y, variables = layer.init_with_output(KEY, x)
    # A mean over 400 x 300 numbers that share 300 x 300 weights: 0.1 is ten deviations.
    np.testing.assert_allclose(jnp.mean(y**2), 1.0, atol=0.1)
    (w, *_) = jax.tree.leaves(variables)
    expected = {"path": 1.0, "element": 300**-0.5, 0.5: 300**-0.25}[gradient]
    np.testing.assert_allclose(jnp.std(w), expected, rtol=0.02)


def test_even_scalars_give_even_scalars():
    x = e3.IrrepsArray("3x0e + 0e", normal((2, 4)))
    layer = MultiLayerPerceptron((5, 2), jax.nn.silu)
    y, variables = layer.init_with_output(KEY, x)
    assert y.irreps == "2x0e"
    np.testing.assert_array_equal(y.array, layer.apply(variables, x.array))


def test_zero_stays_zero_without_biases():
    layer = MultiLayerPerceptron((5, 2), jax.nn.silu)
    assert not np.any(layer.init_with_output(KEY, jnp.zeros((2, 4)))[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        layer = MultiLayerPerceptron((5, 2), jax.nn.silu, with_bias=True)
        y, variables = layer.init_with_output(KEY, normal((2, 4), dtype))
        assert {y.dtype, *(w.dtype for w in jax.tree.leaves(variables))} == {np.dtype(dtype)}


@pytest.mark.parametrize("irreps", ["4x0o", "0e + 1o"])
def test_other_irreps_are_refused(irreps):
    with pytest.raises(ValueError, match="MultiLayerPerceptron: expected even scalars"):
        MultiLayerPerceptron((5,)).init(KEY, e3.ones(irreps))
