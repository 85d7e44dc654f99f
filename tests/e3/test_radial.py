import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3 import radial


def nth_derivative(f, n):
    for _ in range(n):
        f = jax.grad(f)
    return f


def test_frozen_bessel_functions():
    values = e3.bessel(jnp.array([1.0, 0.0]), 3, 5.0)
    expected = [[0.3717, 0.6015, 0.6015], [0.397, 0.795, 1.192]]
    np.testing.assert_allclose(values, expected, atol=5e-4)


def test_bessel_functions_vanish_at_the_cutoff_and_are_orthonormal():
    with jax.enable_x64(True):
        r = jnp.linspace(0.0, 5.0, 2001)
        b = e3.bessel(r, 8, 5.0)
        np.testing.assert_allclose(b[-1], 0.0, atol=1e-14)
        gram = jnp.einsum("ri,rj,r->ij", b, b, r**2) * 5.0 / 2000
        np.testing.assert_allclose(gram, np.eye(8), atol=1e-3)


def test_bessel_functions_have_exact_derivatives_at_zero():
    with jax.enable_x64(True):
        first = jax.jacfwd(lambda r: e3.bessel(r, 3, 5.0))
        second = jax.jacfwd(first)
        np.testing.assert_array_equal(first(0.0), 0.0)
        k = np.arange(1, 4) * np.pi / 5
        np.testing.assert_allclose(second(0.0), -np.sqrt(2 / 5) * k**3 / 3, rtol=1e-12)
        np.testing.assert_allclose(second(1e-3), second(0.0), rtol=1e-5)


def test_frozen_envelopes():
    x = jnp.array([0.0, 0.5, 0.9, 1.0, 1.2])
    expected = [1, 0.8555, 0.0381, 0, 0]
    np.testing.assert_allclose(e3.poly_envelope(5, 2)(x), expected, atol=5e-5)
    np.testing.assert_allclose(e3.polynomial_cutoff(x, 1.0, 6), expected, atol=5e-5)
    np.testing.assert_allclose(e3.sus(jnp.array([2.0, 0.0, -1.0])), [0.6065, 0, 0], atol=5e-5)
    soft = e3.soft_envelope(jnp.array([0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_allclose(soft, [1.2, 0.7278, 0, 0], atol=5e-5)


@pytest.mark.parametrize("p", [2, 5, 6, 20])
def test_the_polynomial_cutoff_is_that_of_the_paper(p):
    with jax.enable_x64(True):
        x = jnp.linspace(0.0, 0.999, 40)
        paper = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1)
        paper = paper - p * (p + 1) / 2 * x ** (p + 2)
        np.testing.assert_allclose(e3.polynomial_cutoff(4.0 * x, 4.0, p), paper, atol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_value_slope_and_curvature_vanish_at_the_cutoff_and_beyond(n):
    f = nth_derivative(lambda r: e3.polynomial_cutoff(r, 4.0, 6), n)
    assert all(f(jnp.array(r)) == 0.0 for r in (4.0, 4.0001, 8.0, 1e30))
    assert abs(f(jnp.array(3.9999))) < 1e-3
    assert f(jnp.array(0.0)) == (1.0 if n == 0 else 0.0)


def test_the_general_envelope_is_flat_at_both_ends():
    with jax.enable_x64(True):
        for n in range(1, 4):
            f = nth_derivative(e3.poly_envelope(3, 4, 2.0), n)
            assert abs(f(0.0)) < 1e-12 and abs(f(2.0 - 1e-9)) < 1e-6
        assert abs(nth_derivative(e3.poly_envelope(3, 4, 2.0), 4)(0.0)) > 1


def test_soft_functions_are_smooth_at_the_cutoff():
    for f in (e3.sus, lambda x: e3.soft_envelope(1.0 - 0.5 * x)):
        for n in range(4):
            derivative = jax.vmap(nth_derivative(f, n))
            x = jnp.array([-1.0, 0.0, 1e-30, 1e-7, 1e-3, 2e-2])
            np.testing.assert_allclose(derivative(x), 0.0, atol=1e-10)


@pytest.mark.parametrize("basis", ["gaussian", "cosine", "smooth_finite", "fourier", "bessel"])
@pytest.mark.parametrize("cutoff", [True, False])
def test_soft_one_hot_functions_stay_in_range(basis, cutoff):
    r = jnp.array([-0.1, 0.0, 0.3, 1.0, 1.2])
    values = e3.soft_one_hot_linspace(r, start=0.0, end=1.0, number=3, basis=basis, cutoff=cutoff)
    assert values.shape == (5, 3) and np.all(np.isfinite(values))
    if cutoff and basis != "gaussian":
        np.testing.assert_array_equal(values[jnp.array([0, 1, 3, 4])], 0.0)


def test_frozen_soft_one_hot_functions():
    def at(r, basis, cutoff):
        return e3.soft_one_hot_linspace(
            jnp.array(r), start=0, end=1, number=3, basis=basis, cutoff=cutoff
        )

    np.testing.assert_allclose(at(0.3, "smooth_finite", True), [1.0501, 0.0326, 0], atol=5e-5)
    np.testing.assert_allclose(at(0.3, "cosine", True), [0.9511, 0.3090, 0], atol=5e-5)
    np.testing.assert_allclose(at(0.3, "gaussian", True), [0.8578, 0.4708, 0.0350], atol=5e-5)
    np.testing.assert_allclose(at(0.3, "fourier", True), [0.6116, 0.7189, 0.2336], atol=5e-5)
    np.testing.assert_allclose(at(0.3, "fourier", False), [0.7559, 0.4443, -0.2336], atol=5e-5)
    with pytest.raises(ValueError, match="expected a basis"):
        at(0.3, "triangle", True)


def test_lengths_of_vectors_have_finite_derivatives_at_zero():
    zero = jnp.zeros(3)
    assert e3.safe_norm(zero) == 0.0
    np.testing.assert_array_equal(jax.grad(e3.safe_norm)(zero), 0.0)
    assert np.all(np.isfinite(jax.hessian(e3.safe_norm)(zero)))
    v = jnp.array([3.0, 0.0, -4.0])
    np.testing.assert_allclose(e3.safe_norm(v), 5.0)
    np.testing.assert_allclose(jax.grad(e3.safe_norm)(v), v / 5.0, rtol=1e-6)


def test_precision_of_distances_is_kept():
    with jax.enable_x64(True):
        r = jnp.array([0.5, 0.0], jnp.float32)
        assert e3.bessel(r, 4, 5.0).dtype == jnp.float32
        assert e3.polynomial_cutoff(r, 5.0).dtype == jnp.float32
        assert e3.soft_envelope(r, 5.0).dtype == jnp.float32
        for basis in ("gaussian", "cosine", "smooth_finite", "fourier", "bessel"):
            functions = e3.soft_one_hot_linspace(
                r, start=0.0, end=1.0, number=3, basis=basis, cutoff=True
            )
            assert functions.dtype == jnp.float32


@pytest.mark.parametrize("r", [0.0, 1e-30, 1e-20, 1e-3, 0.3, 0.99, 1.01, 3.0])
def test_derivatives_of_bessel_functions_neither_cancel_nor_overflow_at_short_distances(r):
    def values_slopes_curvatures(dtype):
        f = lambda r: e3.bessel(r, 2, 3.0)  # noqa: E731
        return jax.jit(lambda r: (f(r), jax.jacfwd(f)(r), jax.jacfwd(jax.jacfwd(f))(r)))(dtype(r))

    single = values_slopes_curvatures(np.float32)
    k = np.pi / 3 * np.arange(1, 3)
    y, scale = np.maximum(k * r, 1e-30), np.sqrt(2 / 3) * k  # f = scale sin(y)/y
    series = y < 1e-2
    slope = np.where(series, -y / 3, (np.cos(y) - np.sin(y) / y) / y)
    curvature = np.where(series, -1 / 3, -np.sin(y) / y - 2 * slope / y)
    exact = scale * np.sin(y) / y, scale * k * slope, scale * k**2 * curvature
    for ours, expected in zip(single, exact, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_the_sine_quotient_is_smooth_where_its_series_ends():
    with jax.enable_x64(True):
        y = np.array([0.0, 0.5, 1.0 - 1e-9, 1.0 + 1e-9, 2.0, 40.0])
        slope = jax.jit(jax.vmap(jax.grad(radial.sine_quotient)))(y)
        values = jax.jit(radial.sine_quotient)(y)
        np.testing.assert_allclose(values, np.sinc(y / np.pi), atol=1e-15)
        z = np.maximum(y, 1e-9)
        np.testing.assert_allclose(slope, np.cos(z) / z - np.sin(z) / z**2, atol=1e-6)
        np.testing.assert_allclose(slope[2], slope[3], atol=1e-8)


def test_constants_have_the_precision_of_distances_or_a_floating_one_for_whole_numbers():
    assert radial.row(np.array([0.5, 1.5]), jnp.ones((2,), jnp.bfloat16)).dtype == jnp.bfloat16
    row = radial.row(np.array([0.5, 1.5]), jnp.ones((2,), jnp.int32))
    np.testing.assert_array_equal(row, [[0.5, 1.5]])


def test_one_function_cannot_reach_both_ends_of_a_range():
    with pytest.raises(ValueError, match="at least 2 functions"):
        e3.soft_one_hot_linspace(
            jnp.ones(2), start=0, end=1, number=1, basis="gaussian", cutoff=False
        )
