import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.functions import radial


def derivatives(f, number):
    """A function and its derivatives at many places: [order, place]."""
    functions = [f]
    for _ in range(number):
        functions.append(jax.grad(functions[-1]))
    together = jax.jit(jax.vmap(lambda x: jnp.stack([g(x) for g in functions])))
    return lambda places: np.asarray(together(np.asarray(places))).T


def test_frozen_bessel_functions():
    values = e3.bessel(jnp.array([1.0, 0.0]), 3, 5.0)
    expected = [[0.3717, 0.6015, 0.6015], [0.397, 0.795, 1.192]]
    np.testing.assert_allclose(values, expected, atol=5e-4)


def test_bessel_functions_vanish_at_the_cutoff_and_are_orthonormal():
    with jax.enable_x64(True):
        r = np.linspace(0.0, 5.0, 2001)
        b = np.asarray(jax.jit(lambda r: e3.bessel(r, 8, 5.0))(r))
        np.testing.assert_allclose(b[-1], 0.0, atol=1e-14)
        gram = np.einsum("ri,rj,r->ij", b, b, r**2) * 5.0 / 2000
        np.testing.assert_allclose(gram, np.eye(8), atol=1e-3)


def test_bessel_functions_have_exact_derivatives_at_zero():
    with jax.enable_x64(True):
        first = jax.jacfwd(lambda r: e3.bessel(r, 3, 5.0))
        both = jax.jit(jax.vmap(lambda r: (first(r), jax.jacfwd(first)(r))))
        slope, curvature = map(np.asarray, both(np.array([0.0, 1e-3])))
        np.testing.assert_array_equal(slope[0], 0.0)
        k = np.arange(1, 4) * np.pi / 5
        np.testing.assert_allclose(curvature[0], -np.sqrt(2 / 5) * k**3 / 3, rtol=1e-12)
        np.testing.assert_allclose(curvature[1], curvature[0], rtol=1e-5)


def test_bessel_functions_with_other_roots_are_waves_over_the_distance():
    r = np.array([0.0, 0.4, 2.0])
    roots = np.array([1.0, 2.3])
    with jax.enable_x64(True):
        found = jax.jit(lambda r, k: radial.bessel_with_roots(r, k, 3.0))(r, roots)
    wave = np.sin(roots * np.pi / 3 * r[1:, None]) / r[1:, None]
    expected = np.sqrt(2 / 3) * np.concatenate([[roots * np.pi / 3], wave])
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_frozen_envelopes():
    @jax.jit
    def envelopes(x):
        polynomial = e3.poly_envelope(5, 2)(x), e3.polynomial_cutoff(x, 1.0, 6)
        return polynomial, e3.sus(2.0 - 3.0 * x), e3.soft_envelope(x)

    polynomial, step, soft = envelopes(np.array([0.0, 0.5, 0.9, 1.0, 1.2], np.float32))
    for values in polynomial:
        np.testing.assert_allclose(values, [1, 0.8555, 0.0381, 0, 0], atol=5e-5)
    np.testing.assert_allclose(step, [0.6065, np.exp(-2), 0, 0, 0], atol=5e-5)
    np.testing.assert_allclose(np.asarray(soft)[[0, 1, 3, 4]], [1.2, 0.7278, 0, 0], atol=5e-5)


def test_the_polynomial_cutoff_is_that_of_the_paper():
    powers, x = (2, 5, 6, 20), np.linspace(0.0, 0.999, 40)
    with jax.enable_x64(True):
        ours = jax.jit(lambda r: [e3.polynomial_cutoff(r, 4.0, p) for p in powers])(4.0 * x)
    for p, values in zip(powers, ours, strict=True):
        paper = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1)
        np.testing.assert_allclose(values, paper - p * (p + 1) / 2 * x ** (p + 2), atol=1e-12)


def test_value_slope_and_curvature_vanish_at_the_cutoff_and_beyond():
    places = np.array([4.0, 4.0001, 8.0, 1e30, 3.9999, 0.0], np.float32)
    values = derivatives(lambda r: e3.polynomial_cutoff(r, 4.0, 6), 2)(places)
    np.testing.assert_array_equal(values[:, :4], 0.0)
    np.testing.assert_allclose(values[:, 4], 0.0, atol=1e-3)
    np.testing.assert_array_equal(values[:, 5], [1.0, 0.0, 0.0])


def test_the_general_envelope_is_flat_at_both_ends():
    with jax.enable_x64(True):
        values = derivatives(e3.poly_envelope(3, 4, 2.0), 4)([0.0, 2.0 - 1e-9])
    np.testing.assert_allclose(values[1:4, 0], 0.0, atol=1e-12)
    np.testing.assert_allclose(values[1:4, 1], 0.0, atol=1e-6)
    assert abs(values[4, 0]) > 1


def test_soft_functions_are_smooth_at_the_cutoff():
    places = np.array([-1.0, 0.0, 1e-30, 1e-7, 1e-3, 2e-2], np.float32)
    for f in (e3.sus, lambda x: e3.soft_envelope(1.0 - 0.5 * x)):
        np.testing.assert_allclose(derivatives(f, 3)(places), 0.0, atol=1e-10)


def soft_one_hot(r, basis, cutoff, start=0.0):
    return e3.soft_one_hot_linspace(r, start=start, end=1, number=3, basis=basis, cutoff=cutoff)


def test_soft_one_hot_functions_stay_in_range():
    bases = ("gaussian", "cosine", "smooth_finite", "fourier", "bessel")
    kinds = [(basis, cutoff) for basis in bases for cutoff in (True, False)]
    r = np.array([-0.1, 0.0, 0.3, 1.0, 1.2], np.float32)
    every = jax.jit(lambda r: [soft_one_hot(r, *kind) for kind in kinds])(r)
    for (basis, cutoff), values in zip(kinds, every, strict=True):
        assert values.shape == (5, 3) and values.dtype == np.float32
        assert np.all(np.isfinite(values))
        if cutoff and basis != "gaussian":
            np.testing.assert_array_equal(np.asarray(values)[[0, 1, 3, 4]], 0.0)


def test_frozen_soft_one_hot_functions():
    frozen = {
        ("smooth_finite", True): [1.0501, 0.0326, 0],
        ("cosine", True): [0.9511, 0.3090, 0],
        ("gaussian", True): [0.8578, 0.4708, 0.0350],
        ("fourier", True): [0.6116, 0.7189, 0.2336],
        ("fourier", False): [0.7559, 0.4443, -0.2336],
    }
    every = jax.jit(lambda r: [soft_one_hot(r, *kind, start=0) for kind in frozen])(np.float32(0.3))
    for values, expected in zip(every, frozen.values(), strict=True):
        np.testing.assert_allclose(values, expected, atol=5e-5)
    with pytest.raises(ValueError, match="expected a basis"):
        soft_one_hot(jnp.ones(2), "triangle", True)


def test_lengths_of_vectors_have_finite_derivatives_at_zero():
    @jax.jit
    @jax.vmap
    def length(v):
        return e3.safe_norm(v), jax.grad(e3.safe_norm)(v), jax.hessian(e3.safe_norm)(v)

    v = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -4.0]], np.float32)
    values, slopes, curvatures = length(v)
    np.testing.assert_allclose(values, [0.0, 5.0])
    np.testing.assert_allclose(slopes, [[0.0] * 3, v[1] / 5.0], rtol=1e-6)
    assert np.all(np.isfinite(curvatures))


def test_precision_of_distances_is_kept():
    def functions(r):
        bases = ("gaussian", "cosine", "smooth_finite", "fourier", "bessel")
        spread = [soft_one_hot(r, basis, True) for basis in bases]
        return e3.bessel(r, 4, 5.0), e3.polynomial_cutoff(r, 5.0), e3.soft_envelope(r, 5.0), spread

    with jax.enable_x64(True):
        for leaf in jax.tree.leaves(jax.eval_shape(functions, np.ones(2, np.float32))):
            assert leaf.dtype == np.float32


def test_derivatives_of_bessel_functions_neither_cancel_nor_overflow_at_short_distances():
    def values_slopes_curvatures(r):
        first = jax.jacfwd(functions)
        return functions(r), first(r), jax.jacfwd(first)(r)

    def functions(r):
        return e3.bessel(r, 2, 3.0)

    r = np.array([0.0, 1e-30, 1e-20, 1e-10, 1e-3, 0.3, 0.99, 1.01, 3.0])
    single = jax.jit(jax.vmap(values_slopes_curvatures))(r.astype(np.float32))
    k = np.pi / 3 * np.arange(1, 3)
    y, scale = np.maximum(k * r[:, None], 1e-30), np.sqrt(2 / 3) * k  # f = scale sin(y)/y
    near = y < 1e-2
    slope = np.where(near, -y / 3, (np.cos(y) - np.sin(y) / y) / y)
    curvature = np.where(near, -1 / 3, -np.sin(y) / y - 2 * slope / y)
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


def test_scaling_changes_no_digit_of_ordinary_lengths():
    v = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    v *= np.logspace(-8, 8, 200, dtype=np.float32)[:, None]
    x, y, z = v.T
    v = jnp.asarray(v)
    expected = np.sqrt(x * x + y * y + z * z)
    np.testing.assert_allclose(radial.safe_norm(v), expected, rtol=2e-7)
    halves = 2.0 ** np.arange(-120, 121, 8)
    many = jnp.asarray((halves[:, None] * np.asarray(v[100])).astype(np.float32))
    expected = halves * float(radial.safe_norm(v[100]))
    np.testing.assert_array_equal(radial.safe_norm(many), expected.astype(np.float32))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_lengths_of_half_precision_reach_to_the_ends_of_its_range(dtype):
    size = 2.0 ** (jnp.finfo(dtype).maxexp - 4)
    for scale in (size, 1.0, 1 / size):
        v = jnp.array([3.0 * scale, 4.0 * scale], dtype)
        assert radial.safe_norm(v) == 5.0 * scale and radial.safe_norm(v).dtype == dtype


def test_one_end_may_be_zero_and_the_other_not():
    frozen = {
        ("gaussian", True): [0.7608, 0.6229, 0.0690],
        ("gaussian", False): [0.1258, 0.7608, 0.6229],
        ("cosine", True): [0.8090, 0.5878, 0.0],
        ("cosine", False): [0.0, 0.8090, 0.5878],
        ("smooth_finite", True): [0.7798, 0.3705, 0.0],
        ("smooth_finite", False): [0.0, 0.7798, 0.3705],
    }
    settings = {"start": 0.0, "end": 1.5, "number": 3}
    for (basis, start), expected in frozen.items():
        values = e3.soft_one_hot_linspace(
            jnp.array(0.7), basis=basis, start_zero=start, end_zero=not start, **settings
        )
        np.testing.assert_allclose(values, expected, atol=6e-5)
    for ends in ({}, {"start_zero": True}, {"cutoff": True, "end_zero": True}):
        with pytest.raises(ValueError, match="expected cutoff, or start_zero and end_zero"):
            e3.soft_one_hot_linspace(0.7, basis="cosine", **ends, **settings)
    with pytest.raises(ValueError, match="vanish at both ends or at none"):
        e3.soft_one_hot_linspace(0.7, basis="fourier", start_zero=True, end_zero=False, **settings)


def test_distances_may_be_plain_numbers():
    for function in (
        lambda r: e3.bessel(r, 3, 2.0),
        e3.poly_envelope(5, 2, 2.0),
        lambda r: e3.polynomial_cutoff(r, 2.0),
        lambda r: e3.soft_envelope(r, 2.0),
        e3.sus,
        lambda r: e3.soft_one_hot_linspace(
            r, start=0.0, end=2.0, number=3, basis="bessel", cutoff=True
        ),
    ):
        expected = function(jnp.array(1.0))
        for r in (1.0, 1, np.float32(1.0), np.ones((), np.int32)):
            np.testing.assert_allclose(function(r), expected, rtol=1e-6)


def test_xplor_cutoff_is_flat_then_falls_with_continuous_slope():
    with jax.enable_x64(True):
        start, cutoff = 4.5, 5.0

        def u(r):
            return radial.xplor_cutoff(r, cutoff, start)

        ends = np.array([0.0, 3.0, start, cutoff, 6.0])
        np.testing.assert_allclose(u(ends), [1.0, 1.0, 1.0, 0.0, 0.0], atol=1e-15)
        np.testing.assert_allclose(jax.vmap(jax.grad(u))(ends), 0.0, atol=1e-14)
        r = np.linspace(start, cutoff, 50)
        c, s, q = cutoff**2, start**2, r**2
        expected = (c - q) ** 2 * (c + 2 * q - 3 * s) / (c - s) ** 3
        np.testing.assert_allclose(u(r), expected, atol=1e-14)
        assert np.all(np.diff(u(r)) < 0)
