import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import cutoffs, indexed, indices

# Row 1 has no neighbors, the last places are padding.
ADJ_IDX = jnp.array([[1, 2, 3], [4, 4, 4], [0, 1, 4], [1, 4, 4]])
DENSE = {"adj_idx": ADJ_IDX, "where": ADJ_IDX < 4}
SPARSE = {
    "dst_idx": jnp.array([0, 0, 0, 2, 2, 3, 4, 4]),
    "src_idx": jnp.array([1, 2, 3, 0, 1, 1, 4, 4]),
    "num_segments": 4,
    "indices_are_sorted": True,
}
PLACES = (np.array([0, 0, 0, 2, 2, 3]), np.array([0, 1, 2, 0, 1, 0]))


def as_sparse(dense, fill=np.nan):
    """The same values in sparse form, with something bad at padding."""
    values = np.asarray(dense)[PLACES]
    return jnp.asarray(
        np.concatenate([values, np.full((2, *values.shape[1:]), fill, values.dtype)])
    )


def values(*rest, dtype=np.float32):
    x = np.random.default_rng(0).normal(size=(4, 3, *rest)).astype(dtype)
    x[~np.asarray(DENSE["where"])] = np.nan
    return jnp.asarray(x)


def both(reduce, x, *mask, **options):
    """Results of the dense and of the sparse list, which must be equal."""
    dense = jax.jit(lambda *args: reduce(*args, **options, **DENSE))(x, *mask)
    flat = as_sparse(x), *(as_sparse(m, 0) for m in mask)
    return dense, jax.jit(lambda *args: reduce(*args, **options, **SPARSE))(*flat)


def test_sums_and_extremes_are_those_of_the_neighbors():
    x = values(2)
    for reduce, over, empty in (
        (indexed.indexed_sum, np.sum, 0.0),
        (indexed.indexed_min, np.min, np.inf),
        (indexed.indexed_max, np.max, -np.inf),
    ):
        expected = np.full((4, 2), empty, np.float32)
        for row, count in ((0, 3), (2, 2), (3, 1)):
            expected[row] = over(np.asarray(x)[row, :count], axis=0)
        for result in both(reduce, x):
            np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_integers_keep_their_type():
    x = jnp.arange(12).reshape(4, 3)
    for reduce, expected in (
        (indexed.indexed_sum, [3, 0, 13, 9]),
        (indexed.indexed_min, [0, 2**31 - 1, 6, 9]),
        (indexed.indexed_max, [2, -(2**31), 7, 9]),
    ):
        for result in (reduce(x, **DENSE), reduce(as_sparse(x, 7), **SPARSE)):
            assert result.dtype == x.dtype
            np.testing.assert_array_equal(result, expected)


def test_kept_dimensions_broadcast_against_the_entries():
    dense, sparse = both(indexed.indexed_sum, values(), keepdims=True)
    assert dense.shape == (4, 1)
    np.testing.assert_allclose(sparse[:6], dense[PLACES[0], 0], rtol=1e-6)
    np.testing.assert_array_equal(sparse[6:], 0.0)


def test_a_softmax_sums_to_one_over_neighbors_and_is_zero_elsewhere():
    x = values(2)
    dense, sparse = both(indexed.indexed_softmax, x)
    np.testing.assert_allclose(jnp.sum(dense, axis=1)[:, 0], [1, 0, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(dense[~DENSE["where"]], 0.0)
    np.testing.assert_allclose(dense[0], jax.nn.softmax(x[0], axis=0), rtol=1e-6)
    np.testing.assert_allclose(sparse, as_sparse(dense, 0), rtol=1e-6)


def test_a_mask_multiplies_the_exponentials_before_they_are_normalised():
    x = values()
    mask = jnp.array([[0.5, 0.0, 1.0], [1, 1, 1], [0.2, 1.0, 1.0], [0.0, 1, 1]])
    dense, sparse = both(indexed.indexed_softmax, x, mask)
    weights = np.asarray(mask[0] * jnp.exp(x[0]))
    np.testing.assert_allclose(dense[0], weights / weights.sum(), rtol=1e-6)
    np.testing.assert_allclose(jnp.sum(dense, axis=1), [1, 0, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(sparse, as_sparse(dense, 0), rtol=1e-5)


def test_gradients_are_finite_without_neighbors_and_at_padding():
    mask = jnp.zeros((4, 3)).at[0, 0].set(0.3)
    weight = jnp.arange(12.0).reshape(4, 3)

    @jax.jit
    def losses(x, mask):
        def dense(x, mask):
            return jnp.sum(weight * indexed.indexed_softmax(x, mask, **DENSE))

        def sparse(x, mask):
            index = {k: SPARSE[k] for k in ("num_segments", "indices_are_sorted")}
            index["dst_idx"] = SPARSE["dst_idx"]
            return jnp.sum(weight[0, 1] * indexed.indexed_softmax(x[:8], mask[:8], **index))

        flat = (x.reshape(-1), mask.reshape(-1))
        return jax.grad(dense, (0, 1))(x, mask), jax.grad(sparse, (0, 1))(*flat)

    for leaf in jax.tree.leaves(losses(jnp.zeros((4, 3)), mask)):
        assert np.all(np.isfinite(leaf))


def test_neighbors_leave_smoothly_when_each_is_its_own_neighbor():
    index = {"dst_idx": jnp.zeros(3, int), "num_segments": 1}

    def leaving(distance):
        mask = cutoffs.smooth_cutoff(
            jnp.stack([jnp.zeros_like(distance), distance, 0.4 * distance])
        )
        return indexed.indexed_softmax(jnp.array([-9.0, 30.0, 1.0]), mask, **index)

    with_slope = jax.jit(lambda x: jax.jvp(leaving, (x,), (jnp.ones_like(x),)))
    for distance in (0.99, 0.9999, 1.0, 1.1):
        x = jnp.array(distance)
        weights, slope = with_slope(x)
        np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-6)
        assert np.all(np.isfinite(slope))
        if distance >= 0.9999:
            assert weights[1] == 0.0 and slope[1] == 0.0
            np.testing.assert_allclose(weights[2], 1.0, atol=1e-4)


def test_large_exponents_do_not_overflow():
    index = {"dst_idx": jnp.array([0, 0, 1]), "num_segments": 2}
    x, mask = jnp.array([1e4, -1e4, 2e4]), jnp.array([0.0, 1.0, 1e-30])
    np.testing.assert_allclose(indexed.indexed_softmax(x, mask, **index), [0, 1, 1])


def test_items_of_a_batch_are_reduced_by_themselves():
    x = values(2)[None] * jnp.array([1.0, 3.0])[:, None, None, None]
    dense = {k: jnp.stack([v, v]) for k, v in DENSE.items()}
    sparse = {k: jnp.stack([v, v]) if k.endswith("idx") else v for k, v in SPARSE.items()}
    flat = jnp.stack([as_sparse(x[0]), as_sparse(x[1])])
    for reduce in (indexed.indexed_sum, indexed.indexed_max, indexed.indexed_softmax):
        one = jax.jit(functools.partial(reduce, **DENSE))
        expected = jnp.stack([one(item) for item in x])
        every = jax.jit(functools.partial(reduce, **dense))(x)
        np.testing.assert_allclose(every, expected, rtol=1e-6)
        if reduce is not indexed.indexed_softmax:
            every = jax.jit(functools.partial(reduce, **sparse))(flat)
            np.testing.assert_allclose(every, expected, rtol=1e-6)


def test_the_order_of_unsorted_entries_does_not_matter():
    x, order = as_sparse(values(2)), np.random.default_rng(1).permutation(8)
    index = {"dst_idx": SPARSE["dst_idx"][order], "num_segments": 4}
    np.testing.assert_allclose(
        indexed.indexed_sum(x[order], **index), indexed.indexed_sum(x, **SPARSE), rtol=1e-6
    )


def test_what_does_not_fit_is_refused():
    x = values()
    with pytest.raises(ValueError, match="expected where for this kind of index list"):
        indexed.indexed_sum(x, adj_idx=ADJ_IDX)
    with pytest.raises(ValueError, match="expected num_segments"):
        indexed.indexed_max(as_sparse(x), dst_idx=SPARSE["dst_idx"])
    with pytest.raises(ValueError, match=r"those of adj_idx, \(4, 3\), received shape \(3, 3\)"):
        indexed.indexed_sum(x[:3], **DENSE)
    with pytest.raises(ValueError, match="expected integers or floating-point numbers"):
        indexed.indexed_min(x > 0, **DENSE)
    with pytest.raises(ValueError, match="expected floating-point inputs, received int32"):
        indexed.indexed_softmax.__wrapped__(jnp.ones((4, 3), jnp.int32), **DENSE)
    with pytest.raises(ValueError, match=r"multiplicative_mask, \(4,\)|mask.*\(2, 3\)"):
        indexed.indexed_softmax(x, jnp.ones((2, 3)), **DENSE)
    with pytest.raises(ValueError, match="received neither"):
        indexed.indexed_sum(x)
    assert indices.Neighbors(**SPARSE).checked().adj_idx is None
