import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3


def cross_product(x, y):
    return e3.tensor_product(x, y)["1e"]


def test_frozen_gradient_of_the_cross_product():
    x = e3.IrrepsArray("1o", jnp.array([1.0, 2.0, 0.0]))
    y = e3.IrrepsArray("1o", jnp.array([2.0, 2.0, 1.0]))
    gradient = jax.jit(e3.grad(cross_product))(x, y)
    assert gradient.irreps == "0o+1o+2o"
    np.testing.assert_allclose(gradient.array, [0, 2, 2, 1, 0, 0, 0, 0, 0], atol=1e-5)


def test_the_gradient_of_degree_three_is_degree_two():
    x = e3.IrrepsArray("1o", jnp.array([1.0, 2.0, 3.0]))
    gradient = jax.jit(e3.grad(lambda x: e3.spherical_harmonics("3o", x, False)))(x)
    assert gradient.irreps == "2e+3e+4e"
    expected = e3.spherical_harmonics("2e", x, False).array
    np.testing.assert_allclose((5 / 147) ** 0.5 * gradient["2e"].array, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient[5:].array, 0.0, atol=1e-3)


def test_batch_axes_of_the_result_come_before_those_of_the_argument():
    x = e3.ones("2x0e + 1o", (4,))
    derivative = e3.grad(lambda s, x: (s * e3.sum(x, axis=0), s + 1.0), 1, has_aux=True)
    gradient, aux = jax.jit(derivative)(3.0, x)
    assert gradient.shape == (4, 25) and aux == 4.0
    assert gradient.irreps == "5x0e+4x1o+1e+2e"
    unmerged = jax.jit(e3.grad(lambda x: x, regroup_output=False))(e3.ones("0e + 1o"))
    assert unmerged.irreps == "0e+1o+1o+0e+1e+2e"


def test_gradients_commute_with_rotations_and_keep_precision():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, y = (e3.IrrepsArray("1o", jnp.asarray(rng.normal(size=3))) for _ in range(2))
        matrix = -e3.matrix_x(0.3)
        gradient = e3.grad(cross_product)

        @jax.jit
        def both_sides(x, y):
            moved = gradient(x.transform_by_matrix(matrix), y.transform_by_matrix(matrix))
            return moved, gradient(x, y).transform_by_matrix(matrix)

        moved, expected = both_sides(x, y)
        np.testing.assert_allclose(moved.array, expected.array, atol=1e-12)
        single = e3.IrrepsArray("1o", jnp.ones(3, jnp.float32))
        assert jax.eval_shape(gradient, single, single).dtype == jnp.float32


def test_plain_arrays_cannot_be_differentiated_by():
    with pytest.raises(ValueError, match="IrrepsArray to differentiate"):
        e3.grad(lambda x: x)(jnp.ones(3))


def test_what_has_no_derivative_as_irreps_is_refused():
    x = e3.IrrepsArray("1o", np.array([1, 2, 3], np.int32))
    with pytest.raises(ValueError, match=r"one of 1 arguments, received argnums=1"):
        e3.grad(lambda x: x, 1)(x)
    with pytest.raises(ValueError, match="returns an IrrepsArray"):
        e3.grad(lambda x: x.array)(x)
    assert jax.eval_shape(e3.grad(e3.norm), x).dtype == np.float32


def test_known_zeros_have_the_derivatives_of_any_other_numbers():
    # A number of two invariants of a vector that is zero, alone and joined to others; within a
    # compiled function zeros stay known.
    y = e3.IrrepsArray("1o", jnp.array([1.0, -1.0, 3.0]))
    derivative = e3.grad(lambda x: e3.dot(x[-3:], y) + 2.0 * e3.norm(x[-3:], squared=True))

    @jax.jit
    def derivatives():
        zeros = e3.zeros("1o", dtype=jnp.float32)
        joined = e3.concatenate([e3.ones("0e"), zeros])
        assert any(zeros.zero_flags) and any(joined.zero_flags)
        return derivative(zeros), derivative(joined)

    for gradient in derivatives():
        np.testing.assert_allclose(gradient["1o"].array, y.array, rtol=1e-6)


def test_known_zeros_of_other_arguments_stay_zero():
    y = e3.zeros("1o", dtype=jnp.float32)
    flags = []

    @e3.grad
    def derivative(x, y):
        flags.append((x.zero_flags, y.zero_flags))
        return x

    jax.eval_shape(lambda: derivative(e3.zeros("1o"), y))
    assert flags == [((False,), (True,))]
