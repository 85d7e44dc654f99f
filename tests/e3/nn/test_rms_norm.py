import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.nn import RMSNorm
from tests.e3.layers import assert_equivariant, random_array, random_variables, shapes


def run(layer, x):
    """The output with the initial parameters, which are ones and zeros."""
    return jax.jit(layer.init_with_output)(jax.random.key(0), x)[0]


def test_every_irrep_has_the_same_share_in_the_norm():
    x = e3.IrrepsArray("2x0e + 1o", np.array([3, 5, 2, 4, 6], "f"))
    mean_square = ((9 + 25) / 2 + (4 + 16 + 36) / 3) / 2
    expected = np.asarray(x.array) / np.sqrt(mean_square + 0.5)
    layer = RMSNorm(epsilon=0.5)
    np.testing.assert_allclose(run(layer, x).array, expected, rtol=1e-6)
    assert shapes(layer, x) == {"scale[0] 2x0e": (2,), "scale[1] 1x1o": (1,)}
    order = [0, 2, 3, 4, 1]
    parts = e3.IrrepsArray("0e + 1o + 0e", np.asarray(x.array)[order])
    np.testing.assert_allclose(run(layer, parts).array, expected[order], rtol=1e-6)


def test_components_of_the_output_have_mean_square_one():
    x = random_array("16x0e + 8x1o + 4x2e", (50,))
    y = run(RMSNorm(), e3.IrrepsArray(x.irreps, 37 * np.asarray(x.array)))
    means = [np.mean(np.asarray(y.array)[:, s] ** 2, axis=1) for s in y.irreps.slices()]
    np.testing.assert_allclose(sum(means) / 3, 1.0, rtol=1e-4)


def test_copies_have_scales_and_even_scalars_biases():
    x = e3.IrrepsArray("2x0e + 2x1o", np.arange(8, dtype="f"))
    layer = RMSNorm(biases=True)
    assert set(shapes(layer, x)) == {"scale[0] 2x0e", "scale[1] 2x1o", "bias[0] 2x0e"}
    params = {
        "scale[0] 2x0e": np.array([1, 1], "f"),
        "scale[1] 2x1o": np.array([2, 3], "f"),
        "bias[0] 2x0e": np.array([10, 20], "f"),
    }
    y = jax.jit(layer.apply)({"params": params}, x)
    factors, shifts = np.array([1, 1, 2, 2, 2, 3, 3, 3]), np.array([10, 20, 0, 0, 0, 0, 0, 0])
    expected = np.asarray(run(layer, x).array) * factors + shifts
    np.testing.assert_allclose(y.array, expected, rtol=1e-6)


def test_centering_subtracts_the_mean_of_even_scalars_alone():
    x = e3.IrrepsArray("2x0e + 0o + 0e + 1o", np.array([1, 2, 7, 6, 1, 1, 1], "f"))
    y = run(RMSNorm(centering=True, scale=False), x)
    centered = np.array([-2.0, -1.0, 7.0, 3.0, 1.0, 1.0, 1.0])
    mean_square = ((4 + 1 + 9) / 3 + 49 + 1) / 3
    np.testing.assert_allclose(y.array, centered / np.sqrt(mean_square), rtol=1e-5)


def test_norms_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("3x0e + 2x0o + 2x1o + 1e + 2e", (4,), dtype="float64")
        layer = RMSNorm(centering=True, biases=True)
        variables = random_variables(layer, x)
        assert_equivariant(lambda x: layer.apply(variables, x), x)


def test_first_and_second_derivatives_at_zero_are_finite():
    with jax.enable_x64(True):

        def f(x):
            return jnp.sum(RMSNorm(scale=False).apply({}, e3.IrrepsArray("2x0e + 1o", x)).array)

        slope, curvature = jax.jit(lambda x: (jax.grad(f)(x), jax.hessian(f)(x)))(np.zeros(5))
        np.testing.assert_allclose(slope, np.full(5, 1e-5**-0.5))
        np.testing.assert_allclose(curvature, np.zeros((5, 5)), atol=1e-8)


def test_known_zeros_count_as_zeros():
    x = e3.from_chunks("0e + 1o + 2x0e", [None, np.ones((1, 3), "f"), None], ())
    layer = RMSNorm(epsilon=1e-12, biases=True, centering=True)
    y, variables = layer.init_with_output(jax.random.key(0), x)
    np.testing.assert_allclose(y.array, [0, *[2**0.5] * 3, 0, 0], rtol=1e-5)
    assert set(variables["params"]) == {"scale[1] 1x1o", "bias[0] 1x0e", "bias[2] 2x0e"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        layer = RMSNorm(centering=True, biases=True)
        x = random_array("2x0e + 1o", (2,), dtype=dtype)
        outputs = jax.eval_shape(layer.init_with_output, jax.random.key(0), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {np.dtype(dtype)}


def test_squares_of_half_precision_do_not_overflow():
    x = e3.IrrepsArray("128x1o", jnp.full(384, 15.0, jnp.float16))
    found = RMSNorm(scale=False).apply({}, x)
    assert found.dtype == jnp.float16
    np.testing.assert_allclose(found.array.astype(jnp.float32), np.ones(384), rtol=1e-2)
