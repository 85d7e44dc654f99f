"""Keys that compile quickly give numbers that are spread as asked for, and differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.testing import quick_random


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_have_mean_and_deviation_and_no_two_are_alike(dtype):
    with jax.enable_x64(True):
        drawn = np.asarray(jax.random.normal(quick_random.key(3), (4000,), dtype))
    assert abs(drawn.mean()) < 0.05 and abs(drawn.std() - 1) < 0.05
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.05
    assert len(np.unique(drawn)) > 3990


def test_seeds_splits_and_folds_are_keys_of_their_own():
    key = quick_random.key(0)
    keys = [key, quick_random.key(1), *jax.random.split(key, 3)]
    keys += [jax.random.fold_in(key, data) for data in (0, 1, 2**31)]
    drawn = np.asarray([jax.random.uniform(own, (50,)) for own in keys])
    assert len(np.unique(drawn)) == drawn.size
    assert np.abs(np.corrcoef(drawn) - np.eye(len(keys))).max() < 0.5
    again = jax.random.uniform(quick_random.key(0), (50,))
    np.testing.assert_array_equal(again, drawn[0])


def test_a_scalar_is_no_special_value():
    drawn = [float(jax.random.normal(quick_random.key(seed), ())) for seed in range(20)]
    assert max(map(abs, drawn)) < 4 and 0.5 < jnp.std(jnp.asarray(drawn)) < 1.5
