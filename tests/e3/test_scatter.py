import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

ROWS = jnp.array([[1.0, -1.0], [2.0, 5.0], [4.0, 0.5], [8.0, 3.0]])
DST = jnp.array([2, 0, 2, 0])


def test_rows_are_summed_averaged_and_compared_over_groups():
    total = e3.scatter_sum(ROWS, dst=DST, output_size=4)
    np.testing.assert_allclose(total, [[10, 8], [0, 0], [5, -0.5], [0, 0]])
    mean = e3.scatter_mean(ROWS, dst=DST, output_size=4)
    np.testing.assert_allclose(mean, [[5, 4], [0, 0], [2.5, -0.25], [0, 0]])
    largest = e3.scatter_max(ROWS, dst=DST, output_size=3)
    np.testing.assert_allclose(largest, [[8, 5], [-np.inf, -np.inf], [4, 0.5]])
    np.testing.assert_allclose(e3.scatter_max(ROWS, dst=DST, output_size=3, initial=1.0)[1:], [
        [1, 1], [4, 1]])  # fmt: skip
    old = e3.index_add(DST, ROWS, out_dim=4)
    np.testing.assert_array_equal(old, total)


@pytest.mark.parametrize("scatter", [e3.scatter_sum, e3.scatter_mean, e3.scatter_max])
def test_padding_goes_nowhere(scatter):
    for padding in (3, 100, -1, -4, 2**31 - 1, -(2**31)):
        padded = jnp.concatenate([ROWS, jnp.full((2, 2), jnp.nan)])
        dst = jnp.concatenate([DST, jnp.array([padding, padding])])
        expected = scatter(ROWS, dst=DST, output_size=3)
        np.testing.assert_array_equal(scatter(padded, dst=dst, output_size=3), expected)
        back = scatter(padded, dst=dst, output_size=3, map_back=True)
        np.testing.assert_array_equal(back[4:], 0.0)
        np.testing.assert_array_equal(back[:4], expected[DST])


def test_groups_by_their_number_of_rows():
    nel = jnp.array([0, 1, 2])
    total = e3.scatter_sum(ROWS, nel=nel)
    np.testing.assert_allclose(total, [[0, 0], [1, -1], [6, 5.5]])
    mean = e3.scatter_mean(ROWS, nel=nel, map_back=True)
    np.testing.assert_allclose(mean, [[1, -1], [3, 2.75], [3, 2.75], [0, 0]])


def test_results_return_to_the_rows_without_a_number_of_groups():
    dst = jnp.array([7, -3, 7, 10**6])
    total = e3.scatter_sum(ROWS, dst=dst, map_back=True)
    np.testing.assert_allclose(total, [[5, -0.5], [2, 5], [5, -0.5], [8, 3]])


def test_irreps_and_several_axes_of_rows_are_kept():
    x = e3.IrrepsArray("0e + 1o", jnp.arange(24.0).reshape(2, 3, 4))
    dst = jnp.array([[0, 1, 1], [1, 0, 5]])
    total = e3.scatter_sum(x, dst=dst, output_size=2)
    assert total.irreps == "0e+1o"
    np.testing.assert_allclose(total.array[0], x.array[0, 0] + x.array[1, 1])
    assert e3.scatter_sum(x, dst=dst, output_size=2, map_back=True).shape == (2, 3, 4)
    assert e3.scatter_mean(e3.zeros("1o", (3,)), dst=DST[:3], output_size=3).zero_flags == (True,)
    scalars = e3.IrrepsArray("2x0e", ROWS)
    assert e3.scatter_max(scalars, dst=DST, output_size=3).irreps == "2x0e"


def test_sums_over_groups_commute_with_rotations():
    x = e3.normal("0e + 1o + 2e", jax.random.key(0), (4,))
    e3.assert_equivariant(
        lambda x: e3.scatter_sum(x, dst=DST, output_size=3), jax.random.key(1), x, atol=1e-5
    )


def test_derivatives_are_finite_with_empty_groups_and_padding():
    for scatter in (e3.scatter_sum, e3.scatter_mean):
        gradient = jax.grad(lambda x: jnp.sum(scatter(x, dst=DST, output_size=2) ** 2))(ROWS)  # noqa: B023
        assert np.all(np.isfinite(gradient))
        np.testing.assert_array_equal(gradient[jnp.array([0, 2])], 0.0)


def test_the_promise_gives_the_same_numbers_within_bounds_under_jit():
    @jax.jit
    def promised(x, dst):
        return e3.scatter_mean(x, dst=dst, output_size=3, mode="promise_in_bounds")

    np.testing.assert_allclose(promised(ROWS, DST), e3.scatter_mean(ROWS, dst=DST, output_size=3))
    with jax.enable_x64(True):
        half = e3.scatter_mean(ROWS.astype(jnp.bfloat16), dst=DST, output_size=3)
        assert half.dtype == jnp.bfloat16


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
