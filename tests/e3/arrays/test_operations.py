import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

X = e3.IrrepsArray(
    "2x0e + 1o",
    jnp.array([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]]),
)


def check(x, irreps, values):
    assert x.irreps == irreps
    np.testing.assert_allclose(x.array, values, atol=1e-6)


def test_reductions_never_mix_entries():

    @jax.jit
    def reductions(x, y):
        sums = e3.sum(x), e3.sum(x, axis=0), e3.sum(x, axis=1), e3.mean(x, axis=(0, -1))
        return *sums, e3.sum(y), e3.sum(x, axis=0, keepdims=True)

    every, rows, copies, means, entries, kept = reductions(X, e3.ones("3x0e + 2x0e"))
    check(every, "0e+1o", [2, 1, 1, 0])
    check(rows, "2x0e+1o", [1, 1, 1, 1, 0])
    check(copies, "0e+1o", [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]])
    check(means, "0e+1o", [1 / 3, 1 / 3, 1 / 3, 0])
    check(entries, "0e+0e", [3, 2])
    assert kept.shape == (1, 5)
    with pytest.raises(ValueError, match="expected an axis"):
        e3.sum(X, axis=2)


def test_channels_are_summed_over_batch_axes():
    z = e3.ones("2x0e + 3x1e", (6, 7, 6))
    assert e3.sum(z, axis=(0, 1)).shape == (6, 11)


def test_joining_along_batch_axes_needs_equal_irreps():
    check(e3.concatenate([X, X], axis=0), X.irreps, np.concatenate([X.array, X.array]))
    assert e3.concatenate([X, e3.ones("0o", (3,))]).irreps == "2x0e+1o+0o"
    assert e3.stack([X, X], axis=1).shape == (3, 2, 5)
    for bad in (
        lambda: e3.concatenate([X, e3.ones("5x0e", (3,))], axis=0),
        lambda: e3.stack([X, e3.ones("5x0e", (3,))]),
    ):
        with pytest.raises(ValueError, match="equal irreps"):
            bad()
    with pytest.raises(ValueError, match="the last"):
        e3.stack([X, X], axis=-1)
    for join in (e3.concatenate, e3.stack):
        with pytest.raises(ValueError, match="at least one"):
            join([])


def test_joining_keeps_zero_flags():
    joined = e3.concatenate([e3.zeros("1o"), e3.ones("0e")])
    assert joined.zero_flags == (True, False)
    assert e3.stack([e3.zeros("1o"), e3.zeros("1o")]).zero_flags == (True,)
    assert e3.stack([e3.zeros("1o"), e3.ones("1o")]).zero_flags == (False,)


def test_lengths_are_scalars_with_finite_derivatives_at_zero():
    x = e3.IrrepsArray("0e + 2x1o", jnp.array([-2.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0]))

    @jax.jit
    def lengths(x):
        whole = e3.norm(x, squared=True), e3.norm(x, per_irrep=False)
        return e3.norm(x), *whole, jax.grad(lambda x: jnp.sum(e3.norm(x).array))(x)

    length, squared, whole, gradient = lengths(x)
    check(length, "0e+2x0e", [2, 5, 0])
    check(squared, "0e+2x0e", [4, 25, 0])
    check(whole, "0e", [29**0.5])
    check(gradient, x.irreps, [-1, 0.6, 0, 0.8, 0, 0, 0])


def test_scalar_products():
    x, y = e3.ones("2x1o", (2,)), 2.0 * e3.ones("2x1o", (2,))
    check(e3.dot(x, y), "0e", [[12], [12]])
    check(e3.dot(x, y, per_irrep=True), "2x0e", [[6, 6], [6, 6]])


def test_plain_arrays_are_even_scalars():
    assert e3.as_irreps_array(jnp.ones((2, 3))).irreps == "3x0e"
    assert e3.as_irreps_array(X) is X
    with pytest.raises(ValueError, match="last axis"):
        e3.as_irreps_array(1.0)


def test_zeros_and_ones():
    zeros = e3.zeros("0e + 1o", (2,), jnp.float16)
    assert zeros.shape == (2, 4) and zeros.dtype == jnp.float16 and all(zeros.zero_flags)
    assert e3.zeros_like(X).shape == e3.ones_like(X).shape == X.shape


def test_random_data_have_the_scale_asked_for():
    key = jax.random.key(0)

    @jax.jit
    def draw(key):
        units = [
            e3.norm(e3.normal("1o + 2e", key, (5,), normalize=True, normalization=normalization))
            for normalization in ("component", "norm")
        ]
        short = e3.normal("2e", key, (20000,), normalization="norm")
        return e3.normal("0e + 2x2e", key, (20000,)), units, e3.norm(short, squared=True)

    x, units, squares = draw(key)
    np.testing.assert_allclose(np.mean(np.square(x.array), axis=0), 1.0, atol=0.06)
    for lengths in units:
        np.testing.assert_allclose(lengths.array, 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.mean(squares.array), 1.0, atol=0.02)


def test_unknown_normalisations_are_refused():
    with pytest.raises(ValueError, match="component or norm, received 'nrom'"):
        e3.normal("1o", normalization="nrom")


def test_random_data_without_a_key_depend_on_the_irreps_alone():
    np.testing.assert_array_equal(e3.normal("0e + 1o").array, e3.normal("0e + 1o").array)
    assert np.any(e3.normal("0e + 1o").array != e3.normal("1o + 0e").array)


def test_cross_products_pair_vectors_and_multiply_their_parities():
    x = e3.IrrepsArray("2x1o", jnp.array([1.0, 2.0, 3.0, 1.0, 0.0, 0.0]))
    y = e3.IrrepsArray("1o + 1e", jnp.array([-1.0, 0.5, 2.0, 0.0, 1.0, 0.0]))
    expected = [*np.cross([1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]), 0, 0, 1]
    check(e3.cross(x, y), "1e+1o", expected)
    assert e3.cross(x[None], y).shape == (1, 6)
    assert e3.cross(e3.zeros("1o"), e3.ones("1o")).zero_flags == (True,)
    with pytest.raises(ValueError, match="expected vectors"):
        e3.cross(e3.ones("0e"), e3.ones("1o"))
    with pytest.raises(ValueError, match="equal numbers of vectors"):
        e3.cross(x, e3.ones("1o"))


def test_masks_choose_whole_irreps():
    x, y = e3.ones("0e + 2x1o", (2,)), e3.zeros("0e + 2x1o", (2,))
    whole = e3.where(jnp.array([[True], [False]]), x, y)
    check(whole, x.irreps, [[1.0] * 7, [0.0] * 7])
    each = e3.where(np.array([[False, True, False]]), x, y)
    check(each, x.irreps, [[0, 1, 1, 1, 0, 0, 0]] * 2)
    assert e3.where(np.array([True]), y, y).zero_flags == (True, True)
    total = jax.grad(lambda a: jnp.sum(e3.where(np.array([True]), a, y).array))
    gradient = jax.jit(total)(x)
    np.testing.assert_array_equal(gradient.array, 1.0)
    with pytest.raises(ValueError, match="length 1 or 3"):
        e3.where(np.ones((2, 7), bool), x, y)
    with pytest.raises(ValueError, match="equal irreps"):
        e3.where(np.array([True]), x, e3.ones("7x0e", (2,)))


@pytest.mark.parametrize("size", [1e-20, 2e19])
def test_lengths_are_right_where_squares_are_no_numbers(size):
    x = e3.IrrepsArray("1o + 0e", size * jnp.array([3.0, 4.0, 0.0, 12.0]))
    check(e3.norm(x) / size, "0e + 0e", [5.0, 12.0])
    check(e3.norm(x, per_irrep=False) / size, "0e", [13.0])
