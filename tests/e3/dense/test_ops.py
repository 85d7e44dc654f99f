import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import ops


def test_lengths_are_those_of_numpy_along_any_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    for axis in (None, 0, -1, (0, 2), (2, 1)):
        for keepdims in (True, False):
            expected = np.sqrt(np.sum(x**2, axis=axis, keepdims=keepdims))
            unit, length = ops.normalize_and_return_norm(jnp.asarray(x), axis, keepdims)
            np.testing.assert_allclose(length, expected, rtol=1e-6)
            np.testing.assert_allclose(ops.norm(jnp.asarray(x), axis, keepdims), length)
        np.testing.assert_allclose(
            ops.norm(ops.normalize(jnp.asarray(x), axis), axis), 1.0, rtol=1e-6
        )
        np.testing.assert_allclose(
            unit * np.sqrt(np.sum(x**2, axis=axis, keepdims=True)), x, rtol=1e-5
        )


def test_zero_vectors_have_finite_derivatives_to_second_order():
    zero = jnp.zeros(3)
    assert ops.norm(zero) == 0.0
    np.testing.assert_array_equal(jax.grad(ops.norm)(zero), 0.0)
    np.testing.assert_array_equal(jax.jacobian(ops.normalize)(zero), np.eye(3))
    assert np.all(np.isfinite(jax.hessian(ops.norm)(zero)))


def test_a_huge_vector_does_not_spoil_a_small_one_beside_it():
    x = jnp.array([[3e18, 4e18], [3e-18, 4e-18], [0.0, 0.0]])
    unit, length = ops.normalize_and_return_norm(x, axis=-1)
    np.testing.assert_allclose(length, [5e18, 5e-18, 0.0], rtol=1e-6)
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)


def test_vectors_whose_squares_are_no_numbers_have_their_length_and_its_derivatives():
    # The squares of these numbers overflow, or vanish; their lengths 5s do not.
    direction = np.array([3.0, 4.0, 0.0])
    project = np.eye(3) - np.outer(direction, direction) / 25
    everything = jax.jit(
        jax.vmap(
            lambda v: (
                *ops.normalize_and_return_norm(v, -1),
                jax.grad(ops.norm)(v),
                jax.jacobian(ops.normalize)(v),
                jax.jacfwd(jax.grad(ops.norm))(v),
            )
        )
    )
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            sizes = [1e-36, 1e-20, 1.0, 2e19, 1e34]
            sizes = np.array([*sizes, 1e-300, 1e-200, 1e200, 1e300] if "64" in dtype else sizes)
            vectors = jnp.asarray(sizes[:, None] * direction, dtype)
            unit, length, slope, turning, curvature = map(np.asarray, everything(vectors))
            assert length.dtype == dtype
            np.testing.assert_allclose(length / sizes, 5.0, rtol=1e-6)
            for values in (unit, slope):
                np.testing.assert_allclose(values, np.tile(direction / 5, (len(sizes), 1)), 1e-6)
            scale = 5.0 * sizes[:, None, None]
            for values in (turning, curvature):
                expected = np.broadcast_to(project, values.shape)
                np.testing.assert_allclose(scale * values, expected, atol=1e-6)


def test_infinite_vectors_have_infinite_lengths_and_nan_stays():
    x = jnp.array([[jnp.inf, 1.0], [jnp.nan, 1.0]])
    np.testing.assert_array_equal(ops.norm(x, -1), [jnp.inf, jnp.nan])


def test_no_vectors_have_no_lengths():
    unit, length = ops.normalize_and_return_norm(jnp.zeros((0, 3)), axis=-1)
    assert (unit.shape, length.shape) == ((0, 3), (0,))


def test_softplus_is_undone():
    with jax.enable_x64(True):
        x = jnp.array([1e-8, 0.3, 1.0, 50.0])
        np.testing.assert_allclose(jax.nn.softplus(ops.inverse_softplus(x)), x, rtol=1e-12)
        np.testing.assert_allclose(ops.inverse_softplus(x)[2:], [0.541324854612918, 50], rtol=1e-12)


def test_derivatives_of_a_power():
    x = jnp.array([1.0, 2.0])
    values = ops.evaluate_derivatives(lambda x: jnp.stack([x**3, 2.0 * x], axis=-1), x, 2)
    expected = [[[1, 2], [8, 4]], [[3, 2], [12, 2]], [[6, 0], [12, 0]]]
    np.testing.assert_allclose(values, expected)
    with pytest.raises(ValueError, match="expected max_order of at least 0, received -1"):
        ops.evaluate_derivatives(jnp.sin, x, -1)
