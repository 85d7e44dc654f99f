import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from equipot import e3
from equipot.e3.so3.spherical_harmonics import spherical_harmonics_components

legendre = jax.jit(e3.legendre, static_argnums=(0, 2, 3))


def test_frozen_functions():
    p = legendre(3, jnp.array([0.3]), 1)[..., 0]
    expected = [[1, 0, 0, 0], [0.3, 0.9539, 0, 0], [-0.365, 0.8585, 2.73, 0]]
    np.testing.assert_allclose(p[:3], expected, atol=5e-5)
    np.testing.assert_allclose(p[3], [-0.3825, -0.7870, 4.095, 13.0213], atol=5e-4)
    signed = legendre(3, jnp.array([0.3]), -1)[..., 0]
    np.testing.assert_allclose(signed, p * np.array([[1.0, -1, 1, -1]], np.float32))
    normalized = legendre(3, jnp.array([0.3]), 1, True)[..., 0]
    np.testing.assert_allclose(normalized[3], [-0.2855, -0.1696, 0.279, 0.3622], atol=5e-5)


def test_functions_are_those_of_scipy_with_the_sign_of_condon_and_shortley():
    with jax.enable_x64(True):
        x = jnp.linspace(-1.0, 1.0, 11)
        p = legendre(11, x, -1)
        expected = np.array([[special.lpmv(m, l, x) for m in range(12)] for l in range(12)])
        scale = np.maximum(1.0, np.max(np.abs(expected), axis=-1, keepdims=True))
        np.testing.assert_allclose(p / scale, expected / scale, atol=1e-13)


def test_normalised_functions_are_the_polar_part_of_the_harmonics():
    with jax.enable_x64(True):
        v = np.array([[0.0, 0.6, 0.8]])  # azimuth 0: cosines are 1 and sines 0
        harmonics = spherical_harmonics_components(v, 5)
        p = np.asarray(legendre(5, v[:, 1], 1, True))
        for l in range(6):
            y = np.array(harmonics[l])[l:] / np.sqrt(4 * np.pi)
            np.testing.assert_allclose(
                y, p[l, : l + 1] * np.sqrt([[1.0]] + [[2.0]] * l), atol=1e-12
            )


def test_derivatives_of_every_order_exist_in_reverse_mode():
    with jax.enable_x64(True):

        def f(x):
            return e3.legendre(4, x, 1)[4, 2]

        third = jax.jit(jax.grad(jax.grad(jax.grad(f))))
        x = 0.3  # P = (15/2)(7x²-1)(1-x²)
        np.testing.assert_allclose(third(x), 15 / 2 * -7 * 24 * x, rtol=1e-12)
        slopes = jax.jit(jax.vmap(jax.jacrev(lambda x: e3.legendre(3, x, 1))))
        poles = slopes(jnp.array([-1.0, 1.0]))
        assert np.all(np.isfinite(poles))
        np.testing.assert_allclose(poles[1, :, 0], [0, 1, 3, 6], atol=1e-12)


def test_wrong_degrees_and_phases_are_refused():
    for lmax, phase in ((-1, 1), (2, 0)):
        with pytest.raises(ValueError, match="lmax >= 0 and a phase"):
            e3.legendre(lmax, jnp.ones(2), phase)
