import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from tests.e3.layers import assert_equivariant, random_array

ROWS = jnp.array([[1.0, -1.0], [2.0, 5.0], [4.0, 0.5], [8.0, 3.0]])
HALF = ROWS.astype(jnp.bfloat16)
DST = jnp.array([2, 0, 2, 0])


def test_rows_are_summed_averaged_and_compared_over_groups():
    @jax.jit
    def functions(rows, dst):
        return (
            e3.scatter_sum(rows, dst=dst, output_size=4),
            e3.index_add(dst, rows, out_dim=4),
            e3.scatter_mean(rows, dst=dst, output_size=4),
            e3.scatter_max(rows, dst=dst, output_size=3),
            e3.scatter_max(rows, dst=dst, output_size=3, initial=1.0),
        )

    total, old, mean, largest, bounded = functions(ROWS, DST)
    np.testing.assert_allclose(total, [[10, 8], [0, 0], [5, -0.5], [0, 0]])
    np.testing.assert_array_equal(old, total)
    np.testing.assert_allclose(mean, [[5, 4], [0, 0], [2.5, -0.25], [0, 0]])
    np.testing.assert_allclose(largest, [[8, 5], [-np.inf, -np.inf], [4, 0.5]])
    np.testing.assert_allclose(bounded[1:], [[1, 1], [4, 1]])


@pytest.mark.parametrize("scatter", [e3.scatter_sum, e3.scatter_mean, e3.scatter_max])
def test_padding_goes_nowhere(scatter):
    @jax.jit
    def both(rows, dst):
        reduced = scatter(rows, dst=dst, output_size=3)
        return reduced, scatter(rows, dst=dst, output_size=3, map_back=True)

    expected, _ = map(np.asarray, both(ROWS, DST))
    padded = np.concatenate([ROWS, np.full((2, 2), np.nan, np.float32)])
    for padding in (3, 100, -1, -4, 2**31 - 1, -(2**31)):
        dst = np.concatenate([DST, np.array([padding, padding])]).astype(np.int32)
        reduced, back = map(np.asarray, both(padded, dst))
        np.testing.assert_array_equal(reduced, expected)
        np.testing.assert_array_equal(back[4:], 0.0)
        np.testing.assert_array_equal(back[:4], expected[np.asarray(DST)])


def test_groups_by_their_number_of_rows():
    nel = np.array([0, 1, 2])
    both = jax.jit(
        lambda rows: (e3.scatter_sum(rows, nel=nel), e3.scatter_mean(rows, nel=nel, map_back=True))
    )
    total, mean = both(ROWS)
    np.testing.assert_allclose(total, [[0, 0], [1, -1], [6, 5.5]])
    np.testing.assert_allclose(mean, [[1, -1], [3, 2.75], [3, 2.75], [0, 0]])


def test_results_return_to_the_rows_without_a_number_of_groups():
    dst = jnp.array([7, -3, 7, 10**6])
    total = jax.jit(lambda rows, dst: e3.scatter_sum(rows, dst=dst, map_back=True))(ROWS, dst)
    np.testing.assert_allclose(total, [[5, -0.5], [2, 5], [5, -0.5], [8, 3]])


def test_irreps_and_several_axes_of_rows_are_kept():
    x = e3.IrrepsArray("0e + 1o", jnp.arange(24.0).reshape(2, 3, 4))
    dst = np.array([[0, 1, 1], [1, 0, 5]])
    total = jax.jit(lambda x: e3.scatter_sum(x, dst=dst, output_size=2))(x)
    assert total.irreps == "0e+1o"
    rows = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(
        total.array, [rows[0, 0] + rows[1, 1], rows[0, 1:].sum(0) + rows[1, 0]]
    )
    back = jax.eval_shape(lambda x: e3.scatter_sum(x, dst=dst, output_size=2, map_back=True), x)
    assert back.shape == (2, 3, 4)
    assert e3.scatter_mean(e3.zeros("1o", (3,)), dst=DST[:3], output_size=3).zero_flags == (True,)
    scalars = e3.IrrepsArray("2x0e", ROWS)
    largest = jax.eval_shape(lambda x: e3.scatter_max(x, dst=DST, output_size=3), scalars)
    assert largest.irreps == "2x0e"


def test_sums_over_groups_commute_with_rotations():
    x = random_array("0e + 1o + 2e", (4,))
    assert_equivariant(lambda x: e3.scatter_sum(x, dst=DST, output_size=3), x, tolerance=1e-5)


def test_derivatives_are_finite_with_empty_groups_and_padding():
    def squares(scatter):
        return jax.grad(lambda x: jnp.sum(scatter(x, dst=DST, output_size=2) ** 2))

    both = jax.jit(lambda x: [squares(f)(x) for f in (e3.scatter_sum, e3.scatter_mean)])
    for gradient in map(np.asarray, both(ROWS)):
        assert np.all(np.isfinite(gradient))
        np.testing.assert_array_equal(gradient[[0, 2]], 0.0)


def test_the_promise_gives_the_same_numbers_within_bounds_under_jit():
    @jax.jit
    def both(x, dst):
        promised = e3.scatter_mean(x, dst=dst, output_size=3, mode="promise_in_bounds")
        return promised, e3.scatter_mean(x, dst=dst, output_size=3)

    np.testing.assert_allclose(*both(ROWS, DST))
    with jax.enable_x64(True):
        assert all(half.dtype == jnp.bfloat16 for half in jax.eval_shape(both, HALF, DST))


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="one of dst and nel"):
        e3.scatter_sum(ROWS)
    with pytest.raises(ValueError, match="output_size"):
        e3.scatter_sum(ROWS, dst=DST)
    with pytest.raises(ValueError, match="output_size of 2"):
        e3.scatter_sum(ROWS, nel=jnp.array([1, 2]), output_size=3)
    with pytest.raises(ValueError, match="leading axes"):
        e3.scatter_sum(ROWS, dst=DST[:3], output_size=3)
    with pytest.raises(ValueError, match="mode"):
        e3.scatter_sum(ROWS, dst=DST, output_size=3, mode="clip")
    with pytest.raises(ValueError, match="expected scalars 0e"):
        e3.scatter_max(e3.ones("1o", (4,)), dst=DST, output_size=3)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.int8])
def test_means_of_many_rows_of_few_bits_are_right(dtype):
    rows = jnp.concatenate([jnp.zeros(4000, dtype), jnp.ones(200, dtype)])
    found = e3.scatter_mean(rows, dst=jnp.zeros(4200, jnp.int8), output_size=1)
    np.testing.assert_allclose(found.astype(jnp.float32), [200 / 4200], rtol=1e-2)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int16])
def test_narrow_counts_and_indices_do_not_wrap(dtype):
    found = e3.scatter_sum(jnp.ones((300, 1)), nel=jnp.full(3, 100, dtype))
    np.testing.assert_array_equal(found[:, 0], [100, 100, 100])
    index = jnp.arange(100, dtype=dtype)
    found = e3.scatter_sum(jnp.ones(100), dst=index, output_size=200)
    np.testing.assert_array_equal(found, np.repeat([1, 0], 100))
    rows = jnp.arange(200.0).reshape(200, 1, 1, 1)
    gathered = e3.dense.gather_src(rows, dst_idx=index, src_idx=index)
    np.testing.assert_array_equal(gathered.ravel(), np.arange(100.0))
