import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy import special

from equipot.e3.dense import radial

BASES = ("bernstein", "chebyshev", "fourier", "gaussian")
BASIC = {name: getattr(radial, f"basic_{name}") for name in BASES}


def functions():
    """Functions of one distance of which all others are made, by name, and one of these."""
    every = {name: functools.partial(f, num=4, limit=2.0) for name, f in BASIC.items()}
    every["sinc"] = functools.partial(radial.sinc, num=4, limit=2.0)
    for kind in ("damped", "cuspless"):
        every[kind] = functools.partial(radial.reciprocal_mapping, kind=kind)
    every["weighted"] = functools.partial(
        radial.exponential_bernstein, num=3, cuspless=True, use_exponential_weighting=True
    )
    return every


def test_frozen_basic_functions():
    x = jnp.array([0.0, 0.3, 1.0])
    frozen = {
        "bernstein": [[1, 0, 0], [0.49, 0.42, 0.09], [0, 0, 1]],
        "chebyshev": [[1, -1, 1], [1, -0.4, -0.68], [1, 1, 1]],
        "fourier": [[1, 1, 1], [1, 0.587785, -0.309017], [1, -1, 1]],
        "gaussian": [
            [1, 0.293833, 0.007454],
            [0.643452, 0.822046, 0.090673],
            [0.007454, 0.293833, 1],
        ],
    }
    for name, values in frozen.items():
        np.testing.assert_allclose(BASIC[name](x, 3), values, atol=2e-6)
        np.testing.assert_allclose(BASIC[name](3.0 * x, 3, limit=3.0), values, atol=2e-6)
    expected = [[1, 1, 1], [0.858394, 0.504551, 0.109292], [0, 0, 0]]
    np.testing.assert_allclose(radial.sinc(x, 3), expected, atol=1e-6)


def test_frozen_mappings():
    x = jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(radial.reciprocal_mapping(x), [1, 2 / 3, 0.5], rtol=1e-6)
    damped = radial.reciprocal_mapping(x, "damped")
    np.testing.assert_allclose(damped, [1, 0.7869387, 0.6321206], rtol=1e-6)
    cuspless = radial.reciprocal_mapping(x, "cuspless")
    np.testing.assert_allclose(cuspless, [1, 0.9037255, 0.7310586], rtol=1e-6)
    np.testing.assert_allclose(radial.exponential_mapping(x, 2.0), np.exp([0, -1, -2]), rtol=1e-6)
    cuspless = radial.exponential_mapping(x, 1.0, cuspless=True)
    np.testing.assert_allclose(cuspless, np.exp([0, 0.5 - np.exp(-0.5), -np.exp(-1)]), rtol=1e-6)


@pytest.mark.parametrize("num", [1, 2, 9, 200])
def test_basic_functions_are_the_polynomials_and_waves_of_their_names(num):
    with jax.enable_x64(True):
        t, k = np.linspace(0.0, 1.0, 7), np.arange(num)
        x = jnp.asarray(4.0 * t)
        values = {name: np.asarray(f(x, num, 4.0)) for name, f in BASIC.items()}
    binomial = special.comb(num - 1, k) * t[:, None] ** k * (1 - t[:, None]) ** (num - 1 - k)
    np.testing.assert_allclose(values["bernstein"], binomial, rtol=1e-10)
    np.testing.assert_allclose(values["bernstein"].sum(-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        values["chebyshev"], chebyshev.chebvander(2 * t - 1, num - 1), atol=1e-9
    )
    np.testing.assert_allclose(values["fourier"], np.cos(np.pi * k * t[:, None]), atol=1e-12)


def test_bernstein_polynomials_do_not_overflow_in_single_precision():
    values = radial.basic_bernstein(jnp.array([0.0, 0.3, 0.5, 1.0]), 200)
    np.testing.assert_allclose(np.sum(values, axis=-1), 1.0, rtol=1e-5)


def test_functions_are_constant_beyond_their_limit():
    x = jnp.array([2.0, 2.5, 1e6])
    for name in ("bernstein", "chebyshev"):
        values = BASIC[name](x, 4, 2.0)
        np.testing.assert_array_equal(values[1:], np.broadcast_to(values[:1], (2, 4)))
    np.testing.assert_allclose(radial.sinc(x, 4, 2.0), 0.0, atol=1e-6)


def test_derivatives_are_those_of_the_values_to_second_order():
    every = functions()
    x = np.array([0.1, 0.7, 1.3, 1.9, 2.6])
    h = 1e-5

    def derivative(f):
        return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]

    @jax.jit
    def slopes(x):
        """Values, slopes and curvatures."""
        first = {name: derivative(f) for name, f in every.items()}
        second = {name: derivative(f) for name, f in first.items()}
        return [{name: f(x) for name, f in fs.items()} for fs in (every, first, second)]

    with jax.enable_x64(True):
        below, here, above = (slopes(jnp.asarray(x + shift)) for shift in (-h, 0.0, h))
        for order in (1, 2):
            for name in every:
                difference = (above[order - 1][name] - below[order - 1][name]) / (2 * h)
                np.testing.assert_allclose(here[order][name], difference, atol=1e-7, rtol=1e-7)
    # At zero, at the limit and far away everything stays finite, also in single precision.
    for leaf in jax.tree.leaves(slopes(jnp.array([0.0, 1e-30, 1e-7, 2.0, 60.0], jnp.float32))):
        assert np.all(np.isfinite(leaf))


def test_the_damped_mapping_has_exact_derivatives_at_zero():
    with jax.enable_x64(True):
        f = functools.partial(radial.reciprocal_mapping, kind="damped")
        first, second = jax.jit(jax.grad(f)), jax.jit(jax.grad(jax.grad(f)))
        x = jnp.array(1e-6)
        np.testing.assert_allclose([f(x), first(x)], [1 - 5e-7, -0.5 + 1e-6 / 3], rtol=1e-12)
        np.testing.assert_allclose([first(0.0), second(0.0)], [-1 / 2, 1 / 3], rtol=1e-12)


def test_cuspless_mappings_have_no_slope_at_zero():
    for f in (
        functools.partial(radial.reciprocal_mapping, kind="cuspless"),
        functools.partial(radial.exponential_mapping, gamma=1.7, cuspless=True),
    ):
        zero = jnp.zeros(())
        assert f(zero) == 1.0 and jax.grad(f)(zero) == 0.0


def test_the_rate_of_exponential_functions_can_be_learned():
    def loss(gamma):
        return jnp.sum(radial.exponential_gaussian(jnp.array([0.5, 2.0]), 3, gamma))

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(loss))(jnp.array(0.9))
        value = jax.jit(loss)
        difference = (value(jnp.array(0.9 + 1e-5)) - value(jnp.array(0.9 - 1e-5))) / 2e-5
        np.testing.assert_allclose(gradient, difference, rtol=1e-8)
        half = radial.exponential_gaussian(jnp.ones(2, jnp.float32), 3, jnp.array(0.9))
        assert half.dtype == jnp.float32


def test_what_makes_no_basis_is_refused():
    x = jnp.ones(2)
    with pytest.raises(ValueError, match="expected num of at least 1, received 0"):
        radial.basic_gaussian(x, 0)
    with pytest.raises(ValueError, match=r"expected limit larger than 0, received -1\.0"):
        radial.sinc(x, 3, -1.0)
    with pytest.raises(ValueError, match="expected kind 'shifted', 'damped' or 'cuspless'"):
        radial.reciprocal_mapping.__wrapped__(x, "other")  # past the check of the annotation
