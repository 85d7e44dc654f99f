"""Shapes of dense features, their sums and changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense
from equipot.e3.dense import features


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_layout_reads_parities_degree_and_channels():
    assert features.layout(normal(5, 2, 9, 4)) == (2, 2, 4)
    assert features.layout(normal(1, 1, 7)) == (1, 0, 7)


def test_sums_put_tensors_of_one_parity_where_those_of_two_have_them():
    one, two = normal(1, 4, 3), normal(2, 9, 3, seed=1)
    total = dense.add(one, two)
    assert total.shape == (2, 9, 3)
    np.testing.assert_array_equal(total[0, 0], one[0, 0] + two[0, 0])
    np.testing.assert_array_equal(total[0, 1:4], two[0, 1:4])
    np.testing.assert_array_equal(total[1, 1:4], one[0, 1:4] + two[1, 1:4])
    np.testing.assert_array_equal(total[:, 4:], two[:, 4:])


def test_dropping_what_was_padded_gives_the_features_back():
    x = normal(5, 1, 4, 3)
    wide = dense.change_max_degree_or_type(x, max_degree=3, include_pseudotensors=True)
    assert wide.shape == (5, 2, 16, 3)
    np.testing.assert_array_equal(np.sum(wide != 0), x.size)
    np.testing.assert_array_equal(dense.change_max_degree_or_type(wide, 1, False), x)
    np.testing.assert_array_equal(dense.change_max_degree_or_type(x), x)


def test_reflection_turns_odd_parities_and_twice_is_nothing():
    one, two = normal(1, 9, 3), normal(2, 9, 3)
    odd = dense.odd_degree_mask(2)
    np.testing.assert_array_equal(dense.reflect(one), jnp.where(odd, -one[0], one[0])[None])
    np.testing.assert_array_equal(dense.reflect(two)[0], two[0])
    np.testing.assert_array_equal(dense.reflect(two)[1], -two[1])
    np.testing.assert_array_equal(dense.reflect(dense.reflect(one)), one)
    np.testing.assert_array_equal(dense.even_degree_mask(2), ~odd)


def test_rotation_keeps_the_length_of_each_degree_and_follows_harmonics():
    rot = dense.rotation(np.array([1.0, -2.0, 0.5]), 0.7)
    r = normal(4, 3)
    harmonics = jax.jit(lambda r: dense.spherical_harmonics(r, 3)[:, None, :, None])
    y, turned = harmonics(r), harmonics(r @ rot)
    d = jax.jit(dense.wigner_d, static_argnums=1)(rot, 3)
    np.testing.assert_allclose(dense.rotate(y, d), turned, atol=1e-6)
    each = jnp.broadcast_to(d, (4, 16, 16))
    np.testing.assert_allclose(dense.rotate(y, each), turned, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (
            (9, 4),
            r"expected features of shape \(..., 1 or 2, \(L\+1\)\*\*2, F\), received \(9, 4\)",
        ),
        ((5, 3, 9, 4), "1 or 2 parities on axis -3, received 3: shape"),
        ((5, 2, 8, 4), r"\(L\+1\)\*\*2 components on axis -2, received 8"),
        ((5, 2, 0, 4), r"\(L\+1\)\*\*2 components on axis -2, received 0"),
    ],
)
def test_shapes_that_are_no_features_are_refused(shape, sentence):
    for function in (dense.add, dense.change_max_degree_or_type, dense.reflect, dense.relu):
        with pytest.raises(ValueError, match=sentence):
            function(jnp.zeros(shape))


def test_impossible_sums_changes_and_rotations_are_refused():
    x = normal(1, 4, 3)
    with pytest.raises(ValueError, match="at least one input to add"):
        dense.add()
    with pytest.raises(ValueError, match="equal numbers of channels to add, received shapes"):
        dense.add(x, x[..., :2])
    with pytest.raises(ValueError, match="a degree of at least 0, received -1"):
        dense.change_max_degree_or_type(x, -1)
    with pytest.raises(ValueError, match=r"shape \(..., 4, 4\) for features of degree 1, received"):
        dense.rotate(x, jnp.eye(9))
    for mask in (dense.even_degree_mask, dense.odd_degree_mask):
        with pytest.raises(ValueError, match="a degree of at least 0, received -1"):
            mask(-1)


def test_changes_keep_the_precision():
    with jax.enable_x64(True):
        x = jnp.ones((1, 4, 2), jnp.float32)
        assert dense.add(x, dense.change_max_degree_or_type(x, 2, True)).dtype == jnp.float32
        assert dense.reflect(x).dtype == jnp.float32


def test_features_of_other_batches_or_precision_are_not_added():
    x = jnp.ones((5, 1, 4, 2))
    with pytest.raises(ValueError, match=r"equal batch axes to add, received shapes \[\(5, 1"):
        dense.add(x, x[:1])
    with pytest.raises(ValueError, match="equal batch axes"):
        dense.add(x, x[0])
    with pytest.raises(ValueError, match=r"equal data types .*'float32', 'float16'\]: use astype"):
        dense.add(x, x.astype(jnp.float16))
