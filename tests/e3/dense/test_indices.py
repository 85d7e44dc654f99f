import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.dense import indices

ADJACENT = np.array([[1, 2, 4], [0, 4, 4], [4, 4, 4], [2, 0, 1]], np.int32)


def test_frozen_lists_of_all_pairs():
    dst_idx, src_idx = indices.sparse_pairwise_indices(5)
    np.testing.assert_array_equal(dst_idx, np.repeat(np.arange(5), 4))
    expected = [1, 2, 3, 4, 0, 2, 3, 4, 0, 1, 3, 4, 0, 1, 2, 4, 0, 1, 2, 3]
    np.testing.assert_array_equal(src_idx, expected)
    dense = indices.dense_pairwise_indices(3)
    np.testing.assert_array_equal(dense, [[1, 2], [0, 2], [0, 1]])
    dense = indices.dense_pairwise_indices(2, mask_self=False)
    np.testing.assert_array_equal(dense, [[0, 1], [0, 1]])
    dst_idx, src_idx = indices.sparse_pairwise_indices(2, mask_self=False)
    np.testing.assert_array_equal([dst_idx, src_idx], [[0, 0, 1, 1], [0, 1, 0, 1]])
    assert indices.dense_pairwise_indices(1).shape == (1, 0)


def test_lists_are_converted_without_their_padding():
    dst_idx, src_idx = indices.dense_to_sparse_indices(ADJACENT, pad_idx=4)
    np.testing.assert_array_equal(dst_idx, [0, 0, 1, 3, 3, 3])
    np.testing.assert_array_equal(src_idx, [1, 2, 0, 2, 0, 1])
    back = indices.sparse_to_dense_indices(dst_idx, src_idx, pad_idx=4)
    np.testing.assert_array_equal(back, ADJACENT)
    # Unsorted, padded at any place: the sources of a row keep their order.
    dst_idx, src_idx = np.array([3, 4, 0, 3, -1, 0, 1, 3]), np.array([2, 4, 1, 0, 2, 2, 0, 1])
    back = indices.sparse_to_dense_indices(dst_idx, src_idx, pad_idx=4)
    np.testing.assert_array_equal(back, ADJACENT)


def test_a_list_without_padding_has_the_rows_that_occur():
    dense = indices.sparse_to_dense_indices(np.array([0, 2, 2]), np.array([1, 0, 5]))
    np.testing.assert_array_equal(dense, [[1, 6], [6, 6], [0, 5]])
    none = np.zeros(0, np.int32)
    assert indices.sparse_to_dense_indices(none, none).shape == (0, 0)
    assert indices.sparse_to_dense_indices(none, none, pad_idx=3).shape == (3, 0)


def test_the_shorter_lists_of_a_batch_are_padded():
    table = np.stack([ADJACENT, np.full((4, 3), 4, np.int32)])
    dst_idx, src_idx = indices.dense_to_sparse_indices(table, pad_idx=4)
    np.testing.assert_array_equal(dst_idx, [[0, 0, 1, 3, 3, 3], [4] * 6])
    np.testing.assert_array_equal(src_idx, [[1, 2, 0, 2, 0, 1], [4] * 6])
    back = indices.sparse_to_dense_indices(dst_idx, src_idx, pad_idx=4)
    np.testing.assert_array_equal(back, table)


def test_values_are_gathered_and_padding_is_zero():
    x = jnp.arange(8.0).reshape(4, 2) + 1.0
    padded = np.concatenate([x, np.zeros((1, 2))])
    adj_idx = jnp.asarray(ADJACENT)
    np.testing.assert_array_equal(indices.gather_src(x, adj_idx=adj_idx), padded[ADJACENT])
    np.testing.assert_array_equal(indices.gather_dst(x, adj_idx=adj_idx), x[:, None])
    index = {"dst_idx": jnp.array([0, 3, 4, -1]), "src_idx": jnp.array([2, 0, 4, 1])}
    np.testing.assert_array_equal(indices.gather_src(x, **index), padded[[2, 0, 4, 1]])
    np.testing.assert_array_equal(indices.gather_dst(x, **index), padded[[0, 3, 4, 4]])
    species = indices.gather_dst(jnp.array([1, 8, 8, 6]), **index)
    np.testing.assert_array_equal(species, [1, 6, 0, 0])


def test_padding_gives_nothing_to_the_last_element():
    def total(x):
        return jnp.sum(indices.gather_src(x, src_idx=jnp.array([0, 0, 1, 2, -1])))

    np.testing.assert_array_equal(jax.grad(total)(jnp.ones(2)), [2.0, 1.0])


def test_each_item_of_a_batch_has_its_own_list():
    x = jnp.arange(6.0).reshape(2, 3)
    adj_idx = jnp.array([[[1], [2], [0]], [[2], [0], [3]]])
    gathered = indices.gather_src(x, adj_idx=adj_idx)
    np.testing.assert_array_equal(gathered[..., 0], [[1, 2, 0], [5, 3, 0]])
    gathered = indices.gather_dst(x, dst_idx=jnp.array([[2, 2], [0, 1]]))
    np.testing.assert_array_equal(gathered, [[2, 2], [3, 4]])


def test_a_list_is_completed_from_the_numbers_of_atoms():
    neighbors = indices.Neighbors(adj_idx=jnp.asarray(ADJACENT)).completed(4, 3)
    np.testing.assert_array_equal(neighbors.where, ADJACENT < 3)
    where = jnp.zeros((4, 3), bool).at[0].set(True)
    neighbors = neighbors._replace(where=where).completed(4, 4)
    np.testing.assert_array_equal(neighbors.where, [[1, 1, 0]] + [[0] * 3] * 3)
    sparse = indices.Neighbors(dst_idx=jnp.zeros(2, int), src_idx=jnp.zeros(2, int))
    assert sparse.completed(4, 4).num_segments == 4
    assert sparse._replace(num_segments=7).completed(4, 4).num_segments == 7
    assert sparse._replace(num_segments=0).completed(4, 4).num_segments == 0


def test_without_sources_all_entries_are_padding():
    nobody = jnp.zeros((0, 2))
    gathered = indices.gather_src(nobody, src_idx=jnp.array([-1, 0, 3]), dst_idx=jnp.arange(3))
    np.testing.assert_array_equal(gathered, np.zeros((3, 2)))


def test_what_is_no_list_is_refused():
    x, idx = jnp.ones(3), jnp.array([0, 1])
    with pytest.raises(ValueError, match=r"expected either a dense list .* received neither"):
        indices.gather_src(x)
    with pytest.raises(ValueError, match="received both"):
        indices.gather_dst(x, adj_idx=idx[None], dst_idx=idx)
    with pytest.raises(ValueError, match="expected src_idx"):
        indices.gather_src(x, dst_idx=idx)
    with pytest.raises(
        ValueError, match=r"first axes are those of .*\(2,\), received shape \(3,\)"
    ):
        indices.gather_dst(x, adj_idx=jnp.zeros((2, 4), int))
    with pytest.raises(TypeError, match="adj_index"):
        indices.gather_src(x, adj_index=idx)
    with pytest.raises(ValueError, match="expected num of at least 1, received 0"):
        indices.sparse_pairwise_indices(0)
    with pytest.raises(ValueError, match=r"one shape, received \(2,\) and \(1,\)"):
        indices.sparse_to_dense_indices.__wrapped__(np.array([0, 1]), np.array([0]))
