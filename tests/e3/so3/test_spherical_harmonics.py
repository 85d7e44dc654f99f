import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3 import dense
from equipot.e3.so3.spherical_harmonics import _recurrence, spherical_harmonics_components
from tests.e3.layers import assert_equivariant

VECTOR = e3.IrrepsArray("1o", jnp.array([1.0, 2.0, 3.0]))


def unit_vectors(number):
    v = np.random.default_rng(0).normal(size=(number, 3))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def test_frozen_values():
    y = e3.spherical_harmonics(2, e3.IrrepsArray("1o", jnp.array([0.0, 0.0, 1.0])), normalize=True)
    assert y.irreps == "2e"
    np.testing.assert_allclose(y.array, [0, 0, -math.sqrt(5) / 2, 0, math.sqrt(15) / 2], atol=1e-6)
    y2 = e3.spherical_harmonics("2e", VECTOR, False).array
    np.testing.assert_allclose(y2, [11.619, 7.746, -2.236, 23.238, 15.492], atol=5e-4)
    y3 = e3.spherical_harmonics("3o", VECTOR, False).array
    expected = [54.3829, 61.4817, 9.7211, -58.2065, 29.1633, 81.9756, 37.6497]
    np.testing.assert_allclose(y3, expected, atol=1e-4)
    y3 = e3.spherical_harmonics("3o", VECTOR, True).array
    np.testing.assert_allclose(
        y3, [1.0382, 1.1737, 0.1856, -1.1112, 0.5567, 1.5649, 0.7187], atol=5e-5
    )
    y1 = e3.spherical_harmonics("1o", VECTOR, False).array
    np.testing.assert_allclose(y1, np.sqrt(3) * VECTOR.array, rtol=1e-6)


def test_normalisations_by_name():
    z = jnp.array([0.0, 0.0, 1.0])
    integral = e3.spherical_harmonics("2e", z, True, "integral").array
    np.testing.assert_allclose(integral, [0, 0, -0.3154, 0, 0.5463], atol=5e-5)
    norm = e3.spherical_harmonics("2e", z, True, "norm").array
    np.testing.assert_allclose(norm, [0, 0, -0.5, 0, 0.8660], atol=5e-5)


def test_degrees_are_homogeneous_polynomials():
    a = 3.5
    y = e3.spherical_harmonics(2, VECTOR, False)
    scaled = e3.spherical_harmonics(2, a * VECTOR, False)
    np.testing.assert_allclose(scaled.array, a**2 * y.array, rtol=1e-6)


def test_components_have_unit_mean_square_and_degrees_constant_length():
    v = unit_vectors(50)
    for l, components in enumerate(spherical_harmonics_components(v, 11)):
        squares = np.sum(np.square(components), axis=0)
        np.testing.assert_allclose(squares, 2 * l + 1, rtol=1e-12)


def test_addition_theorem_holds_to_degree_11():
    v, w = unit_vectors(8)[:4], unit_vectors(8)[4:]
    cosine = np.sum(v * w, axis=-1)
    pairs = zip(
        spherical_harmonics_components(v, 11), spherical_harmonics_components(w, 11), strict=True
    )
    for l, (y, z) in enumerate(pairs):
        legendre = np.polynomial.legendre.legval(cosine, [0] * l + [2 * l + 1])
        np.testing.assert_allclose(np.sum(np.multiply(y, z), axis=0), legendre, atol=1e-11)


def test_the_recurrence_continues_the_closed_polynomials():
    v = 2.0 * unit_vectors(5)
    one = np.ones(5)
    by_recurrence = _recurrence(*v.T, one, [[one]], 3)
    for closed, other in zip(spherical_harmonics_components(v, 3), by_recurrence, strict=True):
        np.testing.assert_allclose(closed, other, rtol=1e-12, atol=1e-12)


def test_harmonics_rotate_and_reflect_with_the_vector():
    vectors = e3.IrrepsArray("1o", jnp.asarray(unit_vectors(4), jnp.float32))
    degrees = [1, 2, 3, 5, 8]
    assert_equivariant(lambda v: e3.spherical_harmonics(degrees, v, True), vectors, tolerance=5e-6)


def test_zero_vectors_give_zero_and_finite_derivatives():
    def f(v):
        return jnp.sum(e3.spherical_harmonics("0e + 1o + 2e + 4e", v, True).array)

    zero = jnp.zeros(3)

    @jax.jit
    def derivatives(v):
        y = e3.spherical_harmonics("0e + 1o + 2e", v, True)
        return y, jax.grad(f)(v), jax.hessian(f)(v)

    y, *rest = derivatives(zero)
    np.testing.assert_array_equal(y.array, [1.0] + [0.0] * 8)
    assert all(np.all(np.isfinite(each)) for each in rest)


def test_precision_of_the_input_is_kept():
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            vectors = jnp.ones((2, 3), dtype)
            y = jax.eval_shape(lambda v: e3.sh("0e + 1o + 5o", v, True, "integral"), vectors)
            assert y.dtype == dtype


def test_degrees_lists_and_repeated_irreps():
    assert e3.spherical_harmonics([0, 1, 2], VECTOR, False).irreps == "0e+1o+2e"
    pseudo = e3.IrrepsArray("1e", VECTOR.array)
    assert e3.spherical_harmonics([1, 2], pseudo, False).irreps == "1e+2e"
    double = e3.spherical_harmonics("2x1o", VECTOR, False)
    np.testing.assert_array_equal(double.array[:3], double.array[3:])
    assert e3.sh(2, jnp.ones((4, 3)), True).shape == (4, 5)


def test_wrong_parities_and_inputs_are_refused():
    with pytest.raises(ValueError, match="parities"):
        e3.spherical_harmonics("1e", VECTOR, False)
    with pytest.raises(ValueError, match="one vector"):
        e3.spherical_harmonics(1, e3.ones("2x1o"), False)
    with pytest.raises(ValueError, match="degrees alone"):
        e3.spherical_harmonics(1, jnp.ones(3), False)
    with pytest.raises(ValueError, match="lmax"):
        spherical_harmonics_components(np.ones(3), -1)


def test_irreps_and_whole_numbers_are_read_as_such():
    def both(vector):
        irrep = e3.spherical_harmonics(e3.Irrep("2e"), vector, False)
        degrees = e3.spherical_harmonics([np.int64(2)], vector, False)
        assert irrep.irreps == degrees.irreps == "2e"
        return irrep.array, degrees.array, e3.spherical_harmonics(2, vector, True).array

    whole = e3.IrrepsArray("1o", np.array([1, 2, 3], np.int32))
    for ours, expected in zip(*jax.jit(lambda: (both(whole), both(VECTOR)))(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    with pytest.raises(ValueError, match=r"3 components, received shape \(\)"):
        e3.spherical_harmonics("1o", np.ones((), np.float32), True)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 2e19, 1e30])
def test_directions_do_not_depend_on_the_unit_of_length(size):
    v = jnp.array([3.0, -4.0, 12.0])
    expected = e3.spherical_harmonics("1o + 2e", v, normalize=True)
    actual = e3.spherical_harmonics("1o + 2e", size * v, normalize=True)
    np.testing.assert_allclose(actual.array, expected.array, rtol=1e-5, atol=1e-6)
    expected = dense.spherical_harmonics(v, 2)
    np.testing.assert_allclose(dense.spherical_harmonics(size * v, 2), expected, atol=1e-6)


@pytest.mark.parametrize("nothing", ["", e3.Irreps(), [], range(0)])
def test_no_harmonics_are_asked_for(nothing):
    for vectors in (jnp.ones((4, 3)), e3.ones("1e", (4,))):
        y = e3.spherical_harmonics(nothing, vectors, normalize=True)
        assert y.irreps == "" and y.shape == (4, 0)
