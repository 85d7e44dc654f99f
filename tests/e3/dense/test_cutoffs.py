import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import cutoffs


def derivatives(f, x, order):
    values = [f]
    for _ in range(order):
        values.append(
            functools.partial(lambda g, x: jax.jvp(g, (x,), (jnp.ones_like(x),))[1], values[-1])
        )
    return jax.jit(lambda x: [g(x) for g in values])(x)


def test_frozen_cutoffs():
    x = jnp.array([0.0, 0.5, 0.9, 1.0, 2.0])
    np.testing.assert_allclose(cutoffs.smooth_cutoff(x), [1, 0.7165, 0.0141, 0, 0], atol=5e-5)
    np.testing.assert_allclose(
        cutoffs.smooth_cutoff(2.5 * x, 2.5), cutoffs.smooth_cutoff(x), rtol=1e-5
    )
    cosine = cutoffs.cosine_cutoff(x)
    np.testing.assert_allclose(cosine, [1, 0.5, 0.024472, 0, 0], atol=1e-6)
    np.testing.assert_allclose(cutoffs.smooth_switch(x), [0, 0.5, 0.999546, 1, 1], atol=1e-6)
    damping = cutoffs.smooth_damping(x)
    np.testing.assert_allclose(damping, [0, 0.214061, 0.504031, 0.558793, 0.855116], atol=1e-6)


def test_frozen_windows():
    x = jnp.array([0.0, 0.3, 0.5, 0.9, 1.1])
    rectangular = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_array_equal(cutoffs.rectangular_window(x, 3), rectangular)
    triangular = [[1, 0, 0], [0.1, 0.9, 0], [0, 0.5, 0.5], [0, 0, 0.3], [0, 0, 0]]
    np.testing.assert_allclose(cutoffs.triangular_window(x, 3), triangular, atol=1e-6)
    smooth = cutoffs.smooth_window(2.0 * x, 3, 2.0)
    np.testing.assert_allclose(smooth[1], [0.000454, 0.999546, 0], atol=1e-6)
    np.testing.assert_allclose(smooth[2], [0, 0.5, 0.5], atol=1e-6)


def test_overlapping_windows_sum_to_one():
    x = jnp.linspace(0.0, 3.0, 23)  # the last of 4 windows is centered at 3
    for window in (cutoffs.triangular_window, cutoffs.smooth_window):
        np.testing.assert_allclose(jnp.sum(window(x, 4, 4.0), axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "constant"),
    [
        (cutoffs.smooth_cutoff, {1.0: 0.0, 1.5: 0.0, 1e6: 0.0}),
        (cutoffs.smooth_switch, {-1.0: 0.0, 0.0: 0.0, 1.0: 1.0, 1e6: 1.0}),
        (cutoffs.smooth_damping, {0.0: 0.0, 60.0: 1.0, 1e6: 1.0}),
        (lambda x: cutoffs.smooth_window(x, 2)[..., 1], {0.0: 0.0, 0.5: 1.0, 1.0: 0.0, 9.0: 0.0}),
    ],
)
def test_every_derivative_vanishes_where_a_smooth_function_ends(function, constant):
    x = np.array(list(constant), np.float32)
    values, *rest = derivatives(function, jnp.asarray(x), 3)
    np.testing.assert_allclose(values, list(constant.values()), atol=1e-7)
    np.testing.assert_allclose(rest, 0.0, atol=1e-6)
    # Next to these points single precision neither overflows nor makes NaN.
    near = np.concatenate([x - 1e-3, x + 1e-3, x + 1e-7, x - 1e-7, x + 0.012, x - 0.012])
    for derivative in derivatives(function, jnp.asarray(near), 2):
        assert np.all(np.isfinite(derivative))


def test_slopes_of_cutoffs():
    with jax.enable_x64(True):
        x = jnp.array([0.0, 0.5, 1.0, 1.2])
        _, slope, curvature = derivatives(cutoffs.cosine_cutoff, x, 2)
        np.testing.assert_allclose(slope, [0, -np.pi / 2, 0, 0], atol=1e-15)
        np.testing.assert_allclose(curvature, [-(np.pi**2) / 2, 0, 0, 0], atol=1e-14)
        _, slope, curvature = derivatives(cutoffs.smooth_cutoff, x, 2)
        np.testing.assert_allclose(slope[1], -(16 / 9) * np.exp(-1 / 3), rtol=1e-12)
        np.testing.assert_allclose(curvature[0], -2.0, rtol=1e-12)
        _, slope = derivatives(cutoffs.smooth_switch, x, 1)
        np.testing.assert_allclose(slope[1], np.sqrt(3.0), rtol=1e-12)


def test_cutoffs_take_traced_parameters_and_keep_precision():
    with jax.enable_x64(True):
        x = jnp.array([0.3, 1.0], jnp.float32)
        for f in (cutoffs.smooth_cutoff, cutoffs.cosine_cutoff, cutoffs.smooth_damping):
            value = jax.jit(f)(x, jnp.array(1.5))
            assert value.dtype == jnp.float32
            np.testing.assert_allclose(value, f(x, 1.5), rtol=1e-6)


def test_what_makes_no_cutoff_is_refused():
    x = jnp.ones(2)
    with pytest.raises(ValueError, match=r"expected cutoff larger than 0, received 0\.0"):
        cutoffs.smooth_cutoff(x, 0.0)
    with pytest.raises(ValueError, match="expected cutoff larger than 0, received -1"):
        cutoffs.cosine_cutoff(x, -1)
    with pytest.raises(ValueError, match=r"expected x1 larger than x0, received x0=1\.0"):
        cutoffs.smooth_switch(x, 1.0, 0.5)
    with pytest.raises(ValueError, match="expected num of at least 1, received 0"):
        cutoffs.triangular_window(x, 0)
