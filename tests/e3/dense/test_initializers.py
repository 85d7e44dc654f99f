"""Initial weights of tensor products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import initializers

KEY = jax.random.key(0)
SHAPE = (1, 3, 1, 3, 1, 3, 3000)


@pytest.mark.parametrize("distribution", ["truncated_normal", "normal", "uniform"])
def test_variances_are_shared_among_the_paths_into_or_out_of_an_irrep(distribution):
    # Into 0+: (0,0) (1,1) (2,2). Into 2+: (0,2) (2,0) (1,1) (2,2). Out of (1,1): 0+ and 2+.
    expected = {"fan_in": (1 / 3, 1 / 4), "fan_out": (1 / 2, 1 / 2), "fan_avg": (2 / 5, 1 / 3)}
    for mode, variances in expected.items():
        init = initializers.tensor_variance_scaling(2.0, mode, distribution)
        kernel = init(KEY, SHAPE, jnp.float32)[0, :, 0, :, 0]
        drawn = np.var(kernel[1, 1], axis=-1)[::2] / 2
        np.testing.assert_allclose(drawn, variances, rtol=0.12)
        np.testing.assert_array_equal(kernel[1, 1, 1], 0.0)
        np.testing.assert_array_equal(kernel[0, 1, 2], 0.0)


def test_names_stand_for_scale_mode_and_distribution():
    for name, variance in (("lecun", 1 / 4), ("glorot", 1 / 3), ("he", 1 / 2)):
        for distribution in ("normal", "uniform"):
            init = getattr(initializers, f"tensor_{name}_{distribution}")()
            kernel = init(KEY, SHAPE, jnp.float32)
            np.testing.assert_allclose(np.var(kernel[0, 1, 0, 1, 0, 2]), variance, rtol=0.12)
    assert initializers.tensor_xavier_normal is initializers.tensor_glorot_normal
    assert initializers.tensor_kaiming_uniform is initializers.tensor_he_uniform


def test_fused_weights_are_masked_and_scaled():
    mask = np.array([[True], [False]])
    for make in (initializers.fused_tensor_normal, initializers.fused_tensor_uniform):
        kernel = make(scale=0.25, mask=mask)(KEY, (2, 3000), jnp.float32)
        np.testing.assert_allclose(np.std(kernel[0]), 0.5, rtol=0.06)
        np.testing.assert_array_equal(kernel[1], 0.0)


def test_unknown_modes_distributions_and_shapes_are_refused():
    with pytest.raises(ValueError, match="mode of fan_in, fan_out or fan_avg, received 'fan'"):
        initializers.tensor_variance_scaling(1.0, "fan", "normal")
    with pytest.raises(ValueError, match="truncated_normal, normal or uniform, received 'cauchy'"):
        initializers.tensor_variance_scaling(1.0, "fan_in", "cauchy")
    with pytest.raises(ValueError, match=r"kernel of shape \(P1, L1\+1, .* received \(2, 3\)"):
        initializers.tensor_lecun_normal()(KEY, (2, 3))
