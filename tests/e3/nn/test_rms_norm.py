import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.nn import RMSNorm
from equipot.testing import equivariance

KEY = jax.random.key(0)


def random_array(irreps, lead=(), seed=0, dtype=np.float32):
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, data.astype(dtype))


def test_every_irrep_has_the_same_share_in_the_norm():
    x = e3.IrrepsArray("2x0e + 1o", jnp.array([3.0, 5.0, 2.0, 4.0, 6.0]))
    mean_square = ((9 + 25) / 2 + (4 + 16 + 36) / 3) / 2
    y, variables = RMSNorm(epsilon=0.5).init_with_output(KEY, x)
    np.testing.assert_allclose(y.array, x.array / np.sqrt(mean_square + 0.5), rtol=1e-6)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "scale[0] 2x0e": (2,),
        "scale[1] 1x1o": (1,),
    }
    parts = e3.IrrepsArray("0e + 1o + 0e", jnp.array([3.0, 2.0, 4.0, 6.0, 5.0]))
    z, _ = RMSNorm(epsilon=0.5).init_with_output(KEY, parts)
    np.testing.assert_allclose(z.regroup().array, y.array, rtol=1e-6)


def test_components_of_the_output_have_mean_square_one():
    x = random_array("16x0e + 8x1o + 4x2e", (50,)) * 37.0
    y, _ = RMSNorm().init_with_output(KEY, x)
    means = [jnp.mean(y.array[:, s] ** 2, axis=1) for s in y.irreps.slices()]
    np.testing.assert_allclose(sum(means) / 3, 1.0, rtol=1e-4)


def test_copies_have_scales_and_even_scalars_biases():
    x = e3.IrrepsArray("2x0e + 2x1o", jnp.arange(8.0))
    layer = RMSNorm(biases=True)
    y, variables = layer.init_with_output(KEY, x)
    variables["params"]["scale[1] 2x1o"] = jnp.array([2.0, 3.0])
    variables["params"]["bias[0] 2x0e"] = jnp.array([10.0, 20.0])
    factors, shifts = np.array([1, 1, 2, 2, 2, 3, 3, 3]), np.array([10, 20, 0, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(
        layer.apply(variables, x).array, np.asarray(y.array) * factors + shifts, rtol=1e-6
    )
    assert set(variables["params"]) == {"scale[0] 2x0e", "scale[1] 2x1o", "bias[0] 2x0e"}


def test_centering_subtracts_the_mean_of_even_scalars_alone():
    x = e3.IrrepsArray("2x0e + 0o + 0e + 1o", jnp.array([1.0, 2.0, 7.0, 6.0, 1.0, 1.0, 1.0]))
    layer = RMSNorm(centering=True, scale=False)
    y = layer.apply({}, x)
    centred = np.array([-2.0, -1.0, 7.0, 3.0, 1.0, 1.0, 1.0])
    mean_square = ((4 + 1 + 9) / 3 + 49 + 1) / 3
    np.testing.assert_allclose(y.array, centred / np.sqrt(mean_square), rtol=1e-5)


def test_norms_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("3x0e + 2x0o + 2x1o + 1e + 2e", (4,), dtype=np.float64)
        layer = RMSNorm(centering=True, biases=True)
        variables = jax.tree.map(
            lambda w: w + jnp.arange(w.size, dtype=w.dtype), layer.init(KEY, x)
        )
        equivariance.assert_equivariant(lambda x: layer.apply(variables, x), x)


def test_first_and_second_derivatives_at_zero_are_finite():
    with jax.enable_x64(True):
        x = e3.zeros("2x0e + 1o", (), np.float64).array

        def f(x):
            return jnp.sum(RMSNorm(scale=False).apply({}, e3.IrrepsArray("2x0e + 1o", x)).array)

        np.testing.assert_allclose(jax.grad(f)(x), np.full(5, 1e-5**-0.5))
        np.testing.assert_allclose(jax.hessian(f)(x), np.zeros((5, 5)), atol=1e-8)


def test_known_zeros_count_as_zeros():
    x = e3.from_chunks("0e + 1o + 2x0e", [None, jnp.ones((1, 3)), None], ())
    layer = RMSNorm(epsilon=1e-12, biases=True, centering=True)
    y, variables = layer.init_with_output(KEY, x)
    np.testing.assert_allclose(y.array, [0, *[2**0.5] * 3, 0, 0], rtol=1e-5)
    assert set(variables["params"]) == {"scale[1] 1x1o", "bias[0] 1x0e", "bias[2] 2x0e"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        layer = RMSNorm(centering=True, biases=True)
        y, variables = layer.init_with_output(KEY, random_array("2x0e + 1o", (2,), dtype=dtype))
        assert {y.dtype, *(w.dtype for w in jax.tree.leaves(variables))} == {np.dtype(dtype)}
