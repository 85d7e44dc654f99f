import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from tests.e3.layers import random_array

IRREPS = e3.Irreps("2x0e + 1o + 1e + 1o")
DIRECTIONS = np.array(
    [[1, 2, 3], [0.3, -2, 0.5], [0, 1, 0], [0, -2, 0], [0, 0, 1], [1, 0, 0], [1e-6, -1, 0]], float
)


def product(x, v, parity="1o"):
    return e3.tensor_product_with_spherical_harmonics(x, e3.IrrepsArray(parity, v), 2)


def direct(x, v, parity="1o"):
    return e3.tensor_product(
        x, e3.spherical_harmonics(range(3), e3.IrrepsArray(parity, v), normalize=True)
    )


@pytest.mark.parametrize("parity", ["1o", "1e"])
def test_the_product_is_the_direct_one_in_every_direction(parity):
    with jax.enable_x64(True):
        x = random_array(IRREPS, (len(DIRECTIONS),), dtype="float64")
        both = jax.jit(lambda x, v: (product(x, v, parity), direct(x, v, parity)))
        ours, expected = both(x, DIRECTIONS)
        assert ours.irreps == expected.irreps
        np.testing.assert_allclose(ours.array, expected.array, atol=1e-12)


def test_first_and_second_derivatives_are_the_direct_ones_at_the_poles_too():
    with jax.enable_x64(True):
        x = e3.IrrepsArray("1o", np.array([0.3, -1.0, 0.7]))
        tangents = np.array([[1.0, 0.2, -0.3], [0.1, 1.0, 0.4], [-0.2, 0.5, 1.0]])

        def derivatives(f, v, t):
            def along(s):
                return f(x, v + s * t).array

            def slope(s):
                return jax.jvp(along, (s,), (1.0,))[1]

            return jax.jvp(slope, (0.0,), (1.0,))

        def every(f):
            return jax.vmap(jax.vmap(lambda v, t: derivatives(f, v, t), (None, 0)), (0, None))

        both = jax.jit(lambda v, t: (every(product)(v, t), every(direct)(v, t)))
        for a, b in zip(*both(DIRECTIONS, tangents), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


def test_the_zero_vector_gives_what_the_direct_product_gives_and_finite_derivatives():
    x, zero = e3.ones("0e + 1o"), jnp.zeros(3)

    @jax.jit
    def values_and_derivatives(a, v):
        def values(a, v):
            return product(e3.IrrepsArray(x.irreps, a), v).array

        return values(a, v), direct(x, v).array, jax.jacrev(values, (0, 1))(a, v)

    ours, expected, (by_irreps, by_vector) = values_and_derivatives(x.array, zero)
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    np.testing.assert_array_equal(by_vector, 0.0)
    assert np.all(np.isfinite(by_irreps))


def test_zeros_and_batches_are_kept():
    x = e3.from_chunks("0e + 1o", [None, jnp.ones((2, 1, 3))], (2,))
    one, known = e3.ones("1o"), []

    def both():
        known.append(e3.tensor_product_with_spherical_harmonics(e3.zeros("0e + 1o"), one, 1))
        return e3.tensor_product_with_spherical_harmonics(x, one, 1)

    z = jax.eval_shape(both)
    assert z.irreps == "2x0e+2x1o+1e+2e" and z.shape == (2, 16)
    assert all(known[0].zero_flags)


def test_what_is_not_one_vector_is_refused():
    with pytest.raises(ValueError, match="one vector"):
        e3.tensor_product_with_spherical_harmonics(e3.ones("0e"), e3.ones("2x1o"), 1)
    with pytest.raises(ValueError, match="degree"):
        e3.tensor_product_with_spherical_harmonics(e3.ones("0e"), e3.ones("1o"), -1)


def test_whole_numbers_become_floating_point():
    def both(dtype):
        x = e3.IrrepsArray("1o", np.array([1, 2, 3], dtype))
        v = e3.IrrepsArray("1o", np.array([1, 1, 0], dtype))
        return e3.tensor_product_with_spherical_harmonics(x, v, 1).array

    ours, expected = jax.jit(lambda: (both(np.int32), both(np.float32)))()
    np.testing.assert_array_equal(ours, expected)
