import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

X = e3.IrrepsArray(
    "2x0e + 1o",
    jnp.array([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]]),
)
Y = e3.IrrepsArray("0o + 2x0e", jnp.array([[1.5, 0.0, 1.0], [0.5, -1.0, 2.0], [0.5, 1.0, 1.5]]))


def check(x, irreps, values, atol=1e-6):
    assert x.irreps == irreps
    np.testing.assert_allclose(x.array, values, atol=atol)


def test_printing_shows_irreps_then_numbers():
    with np.printoptions(precision=3):
        assert repr(X[0]) == "2x0e+1x1o [1. 0. 0. 0. 0.]"
        assert repr(X) == f"2x0e+1x1o\n{X.array}"
        assert repr(e3.mean(Y)) == "1x0o+1x0e [0.833 0.75 ]"


def test_the_last_axis_must_fit_the_irreps():
    assert X.irreps.dim == X.shape[-1]
    with pytest.raises(ValueError, match="expected a last axis of length 3"):
        e3.IrrepsArray("1o", jnp.ones((3, 4)))
    with pytest.raises(ValueError, match="zero_flags"):
        e3.IrrepsArray("1o", jnp.ones((4, 3)), zero_flags=(True, False))
    with pytest.raises(AttributeError, match="immutable"):
        X.irreps = e3.Irreps("5x0e")


def test_sums_and_differences():
    x = e3.IrrepsArray("1o", jnp.array([1.0, 1.0, 2.0]))
    y = e3.IrrepsArray("1o", jnp.array([0.0, 0.0, 2.0]))
    check(x + y, "1o", [1, 1, 4])
    check(x - y, "1o", [1, 1, 0])
    check(3 * x, "1o", [3, 3, 6])
    check(-x, "1o", [-1, -1, -2])
    check(sum([x, y, y]), "1o", [1, 1, 6])
    check(X + X, X.irreps, 2 * X.array)
    check(2.0 * X, X.irreps, 2 * X.array)
    check(X / 2.0, X.irreps, X.array / 2)


def test_a_vector_and_a_pseudovector_never_add():
    x, y = e3.ones("1o"), e3.ones("1e")
    with pytest.raises(
        ValueError, match=r"IrrepsArray\(1x1o.*\) \+ IrrepsArray\(1x1e\) is not equivariant"
    ):
        x + y
    with pytest.raises(ValueError, match=r"- IrrepsArray\(1x1e\) is not equivariant"):
        x - y


def test_numbers_add_to_even_scalars_only():
    check(e3.ones("2x0e") + 1.0, "2x0e", [2, 2])
    check(1.0 - e3.ones("2x0e"), "2x0e", [0, 0])
    check(e3.ones("1o") + 0, "1o", [1, 1, 1])
    for irreps in ("0o", "1o"):
        with pytest.raises(ValueError, match=r"\+ scalar is not equivariant"):
            e3.ones(irreps) + 1.0


def test_arrays_scale_one_factor_for_each_irrep():
    x = e3.ones("2x0e + 2x1o", (2,))
    expected = np.repeat([1.0, 2.0, 3.0, 4.0], [1, 1, 3, 3])
    for factors in (jnp.arange(1.0, 5.0), np.arange(1.0, 5.0, dtype=np.float32)):
        check(x * factors, x.irreps, [expected, expected])
        check(factors * x, x.irreps, [expected, expected])
    check(x / jnp.arange(1.0, 5.0), x.irreps, [1 / expected, 1 / expected])
    check(jnp.array([[2.0], [3.0]]) * x, x.irreps, [[2.0] * 8, [3.0] * 8])
    for shape in ((8,), (2, 8), (3,)):
        with pytest.raises(ValueError, match=r"\* scalar\(shape=.*\) is not equivariant"):
            x * jnp.ones(shape)


def test_products_pair_irreps_with_scalars():
    check(X * Y, "0o+0e+1o", [[1.5, 0, 0, 0, 0], [0, -1, 2, 0, 0], [0, 0, 0, 1.5, 0]])
    with pytest.raises(ValueError, match=r"is not equivariant\. Use tensor_product"):
        e3.ones("2x1o") * e3.ones("2x1o")
    with pytest.raises(ValueError, match="is not equivariant"):
        e3.ones("2x1o") * e3.ones("0e")


def test_quotients_divide_by_scalars():
    inverse, quotient = jax.jit(lambda x, y: (1.0 / y, x / y))(X, Y)
    with np.errstate(all="ignore"):
        check(inverse, "0o+2x0e", 1.0 / np.asarray(Y.array))
    expected = [[2 / 3, np.nan, 0, 0, 0], [0, -1, 0.5, 0, 0], [0, 0, 0, 2 / 3, 0]]
    check(quotient, "0o+0e+1o", expected)
    assert np.isinf(inverse.array)[0, 1]
    for bad in (lambda: Y / X, lambda: 1.0 / X, lambda: Y / e3.zeros("3x0e")):
        with pytest.raises(ValueError, match="is not equivariant"):
            bad()


def test_powers_are_for_scalars():
    odd = e3.IrrepsArray("0o", jnp.array([3.0]))
    check(odd**2, "0e", [9])
    check(odd**3, "0o", [27])
    check(e3.IrrepsArray("0e", jnp.array([4.0])) ** 0.5, "0e", [2])
    for bad in (lambda: odd**0.5, lambda: e3.ones("1o") ** 2):
        with pytest.raises(ValueError, match=r"\*\* scalar.* is not equivariant"):
            bad()


def test_equality_is_judged_for_each_irrep():
    equal = X == X
    assert equal.irreps == "2x0e+0e" and equal.shape == (3, 3) and equal.array.all()
    moved = X == e3.IrrepsArray(X.irreps, X.array.at[0, 4].set(9.0))
    np.testing.assert_array_equal(moved.array[0], [True, True, False])
    with pytest.raises(ValueError, match="=="):
        X == Y  # noqa: B015


def test_indexing():
    check(X[0], "2x0e+1o", [1, 0, 0, 0, 0])
    check(X[1, "1o"], "1o", [1, 0, 0])
    check(X[..., "1o"], "1o", [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    check(X[..., "2x0e + 1o"], "2x0e+1o", X.array)
    check(X[..., 2:], "1o", X.array[:, 2:])
    check(X[..., 1:], "0e+1o", X.array[:, 1:])
    check(X[0]["2x0e"], "2x0e", [1, 0])
    check(X[:, "1o"], "1o", X.array[:, 2:])
    check(e3.ones("2x1e")[3:], "1e", [1, 1, 1])
    check(X[jnp.array([2, 0])], X.irreps, X.array[jnp.array([2, 0])])
    check(X[np.array([True, False, True])], X.irreps, X.array[::2])
    assert X[:, None].shape == (3, 1, 5)
    assert X[None].shape == (1, 3, 5)
    assert X[..., None, :].shape == (3, 1, 5)
    assert X[0, :, ...].shape == (5,)


@pytest.mark.parametrize(
    "index",
    [
        (..., None),
        (..., 0),
        (0, 0),
        (..., slice(3, None)),
        (..., slice(None, None, 2)),
        (..., "2e"),
        (..., "0e"),
        "1o",
        ("1o", 0),
    ],
)
def test_indices_that_would_break_irreps_are_refused(index):
    with pytest.raises(IndexError, match="expected"):
        X[index]


BATCHED = e3.IrrepsArray("2x0e + 1o", jnp.arange(120.0, dtype=jnp.float32).reshape(2, 3, 4, 5))
LEADS = [
    (..., 0),
    (..., -1),
    (0, ..., 1),
    (..., slice(1, 3)),
    (..., None),
    (None, ..., 0),
    (slice(None), 2, slice(None)),
    (0, 1, 2),
    (..., 0, 1, 2),
    (..., np.array([2, 0])),
    (..., jnp.array([[1], [0]]), 1),
    (np.array([0, 1]), ..., np.array([2, 3])),
    (..., np.array([True, False, True, False])),
    (..., np.arange(12).reshape(3, 4) % 2 == 0),
    (np.array([[True, False, True], [False, False, True]]), slice(None)),
    (True, ...),
    (..., slice(None)),
]


LASTS = ("1o", e3.Irrep("1o"), e3.MulIrrep(1, e3.Irrep("1o")), e3.Irreps("1o"), slice(2, None))


def test_batch_axes_are_indexed_as_in_numpy_whatever_chooses_the_irreps():
    everything = (*LASTS, slice(None), slice(1, 2))
    chosen = jax.jit(lambda x: [[x[(*index, last)] for last in everything] for index in LEADS])
    for index, results in zip(LEADS, chosen(BATCHED), strict=True):
        *vectors, whole, scalar = results
        expected = np.asarray(BATCHED.array)[(*index, slice(None))]
        check(whole, BATCHED.irreps, expected)
        check(scalar, "0e", expected[..., 1:2])
        for vector in vectors:
            check(vector, "1o", expected[..., 2:])


def test_updates_and_indices_agree_on_what_they_choose():
    updated = jax.jit(lambda x: [x.at[(*index, slice(None))].set(0) for index in LEADS])
    for index, result in zip(LEADS, updated(BATCHED), strict=True):
        expected = np.array(BATCHED.array)
        expected[(*index, slice(None))] = 0
        check(result, BATCHED.irreps, expected)


def test_more_indices_than_axes_are_refused_by_their_number():
    with pytest.raises(IndexError, match="at most 2 indices, received 3"):
        X[0, 0, "1o"]


def test_irreps_that_appear_twice_cannot_be_chosen():
    with pytest.raises(IndexError, match="2 times"):
        e3.ones("1o + 0e + 1o")["1o"]


def test_iteration_runs_over_the_first_axis():
    first, second, third = X
    check(first, X.irreps, X.array[0])
    check(third, X.irreps, X.array[2])
    assert len(X) == 3
    with pytest.raises(ValueError, match="batch axis"):
        iter(second)


def test_updates_take_equal_irreps_or_zero():
    check(X.at[0].set(0), X.irreps, X.array.at[0].set(0))
    check(X.at[0].add(X[1]), X.irreps, X.array.at[0].add(X.array[1]))
    with pytest.raises(ValueError, match="IrrepsArray"):
        X.at[0].set(1.0)
    with pytest.raises(ValueError, match="expected values"):
        X.at[0].set(e3.ones("5x0e"))
    with pytest.raises(IndexError, match="batch axes"):
        X.at[..., "1o"].set(0)


def test_updates_know_what_stays_zero():
    x = e3.zeros("0e + 1o", (2,))
    half = e3.from_chunks("0e + 1o", [jnp.ones((1, 1)), None], ())
    for method in ("set", "add"):
        for values, flags in [(half, (False, True)), (0, (True, True)), (x[0], (True, True))]:
            updated = getattr(x.at[0], method)(values)
            assert updated.zero_flags == flags
            assert bool(updated.array.any()) == (values is half)
        assert getattr(e3.ones_like(x).at[0], method)(x[0]).zero_flags == (False, False)
        assert getattr(x.at[0], method)(e3.ones("0e + 1o")).zero_flags == (False, False)
    split = e3.from_chunks("0e + 0e", [None, jnp.ones((1, 1))], ())
    assert e3.zeros("2x0e", (1,)).at[0].set(split).zero_flags == (False,)


def test_numbers_that_are_traced_are_no_zero_to_update_by():
    with pytest.raises(ValueError, match="IrrepsArray of 2x0e"):
        jax.jit(lambda zero: X.at[0].set(zero))(0.0)


def test_reshaping_keeps_the_last_axis():
    check(X.reshape((1, 3, -1)), X.irreps, X.array[None])
    assert X[0].broadcast_to((4, 2, 5)).shape == (4, 2, 5)
    assert X.astype(jnp.float16).dtype == jnp.float16
    with pytest.raises(ValueError, match="ends in -1 or 5"):
        X.reshape((5, 3))


def test_sorting_and_merging_move_the_data():
    z = e3.concatenate([X, Y], axis=1)
    expected = [
        [1, 0, 0, 1, 1.5, 0, 0, 0],
        [0, 1, -1, 2, 0.5, 1, 0, 0],
        [0, 0, 1, 1.5, 0.5, 0, 1, 0],
    ]
    assert z.irreps == "2x0e+1o+0o+2x0e"
    check(z.sort().simplify(), "4x0e+0o+1o", expected)
    check(z.regroup(), "4x0e+0o+1o", expected)
    assert e3.ones("0e+0e+0x1o").unify().irreps == "2x0e+0x1o"
    assert e3.ones("2x0e+1o").rechunk("0e+0e+1o").irreps == "0e+0e+1o"
    with pytest.raises(ValueError, match="simplify"):
        X.rechunk("1o+2x0e")


def test_selecting_and_extending():
    check(X.filter("1o"), "1o", X.array[:, 2:])
    check(X.slice_by_mul[1:3], "0e+1o", X.array[:, 1:])
    check(X.slice_by_chunk[:1], "2x0e", X.array[:, :2])
    check(X[0].extend_with_zeros("2x0e + 0o + 1o"), "2x0e+0o+1o", [1, 0, 0, 0, 0, 0])
    with pytest.raises(ValueError, match="contain"):
        X.extend_with_zeros("1o + 2x0e")


def test_zero_chunks_are_known_and_merge_only_with_zeros():
    x = e3.from_chunks("0e + 1o", [None, jnp.ones((1, 3))], ())
    check(x, "0e+1o", [0, 1, 1, 1])
    assert x.zero_flags == (True, False) and x.chunks[0] is None
    assert x.remove_zero_chunks().irreps == "1o"
    merged = e3.from_chunks("1o + 1o + 0e", [None, jnp.ones((1, 3)), None], ()).regroup()
    assert merged.irreps == "0e+2x1o" and merged.zero_flags == (True, False)
    assert (x + x).zero_flags == (x * 2.0).zero_flags == (True, False)
    assert (x + e3.ones("0e + 1o")).zero_flags == (False, False)
    with pytest.raises(ValueError, match="chunk of shape"):
        e3.from_chunks("1o", [jnp.ones(3)], ())
    with pytest.raises(ValueError, match="2 chunks"):
        e3.from_chunks("0e + 1o", [None], ())


def test_the_data_are_the_only_leaf_of_the_pytree():
    assert len(jax.tree.leaves(X)) == 1
    assert jax.tree.structure(X) == jax.tree.structure(X + X)
    zero = e3.zeros("0e + 1o", (2,))
    assert jax.jit(lambda x: x)(zero).zero_flags == (False, False)
    check(jax.vmap(lambda x: 2.0 * x)(X), X.irreps, 2 * X.array)
    gradient = jax.grad(lambda x: jnp.sum(x.array**2))(X)
    check(gradient, X.irreps, 2 * X.array)


@pytest.mark.parametrize("axis", [0, 1, -2, -3])
def test_channels_turn_into_multiplicity_and_back(axis):
    array = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
    number = array.shape[axis]

    @jax.jit
    def functions(x):
        merged = x.axis_to_mul(axis)
        part = merged.slice_by_mul[:2]
        return merged, part, merged.mul_to_axis(number, axis), x.axis_to_irreps(axis)

    x = e3.IrrepsArray("2x0e + 1o", array)
    merged, part, again, repeated = functions(x)
    assert merged.irreps == e3.Irreps("2x0e + 1o") * number
    first, *_ = np.moveaxis(array, axis, 0)
    np.testing.assert_array_equal(part.array, first[..., :2])
    check(again, x.irreps, array)
    assert repeated.irreps == x.irreps.repeat(number)
    np.testing.assert_array_equal(np.asarray(repeated.array)[..., :5], first)


def test_axes_that_hold_irreps_are_refused():
    with pytest.raises(ValueError, match="batch axis"):
        X.axis_to_mul(-1)
    with pytest.raises(ValueError, match="divisor"):
        X.mul_to_axis(2)
    check(e3.ones("4x0e + 2x1o").mul_to_axis(), "2x0e+1o", np.ones((2, 5)))


def test_rotations_and_inversion_act_on_data():
    v = e3.IrrepsArray("1o + 1e", jnp.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0]))
    about_y = np.array([0.0, 0.4, 0.0], np.float32)

    @jax.jit
    def transformed(v):
        turn = e3.matrix_to_quaternion(e3.matrix_y(0.4))
        same = (
            v.transform_by_angles(0.4, 0.0, 0.0),
            v.transform_by_quaternion(turn),
            v.transform_by_log_coordinates(about_y),
            v.transform_by_axis_angle(about_y, 0.4),
        )
        proper, improper = (v.transform_by_angles(0.3, 0.5, 0.7, k=k) for k in (0, 1))
        return e3.angles_to_matrix(0.3, 0.5, 0.7), proper, improper, same

    matrix, proper, improper, (first, *others) = transformed(v)
    expected = np.tile(np.asarray(matrix) @ [1.0, 2.0, 3.0], 2)
    check(proper, v.irreps, expected)
    check(improper, v.irreps, expected * [-1, -1, -1, 1, 1, 1])
    for other in others:
        check(other, v.irreps, first.array)
    move = jax.jit(e3.IrrepsArray.transform_by_matrix)
    check(move(v, -np.eye(3, dtype=np.float32)), v.irreps, [-1, -2, -3, 1, 2, 3])
    check(v.transform_by_matrix(np.eye(3)), v.irreps, v.array)


def test_older_names_still_work():
    x = e3.IrrepsData.from_contiguous("1o", jnp.array([2.0, 0.0, 0.0]))
    y = e3.IrrepsData.from_list("1o", [jnp.array([[0.0, 2.0, 0.0]])], ())
    out = jax.jit(e3.full_tensor_product)(x, y)
    np.testing.assert_allclose(out.contiguous, [0, 0, 0, 8**0.5, 0, 8**0.5, 0, 0, 0], atol=1e-6)
    assert [chunk.shape for chunk in out.list] == [(1, 1), (1, 3), (1, 5)]


def test_whole_numbers_become_floating_point_where_they_must():
    x = e3.IrrepsArray("0e + 1o", np.array([2, 1, 0, 2]))
    real = e3.IrrepsArray(x.irreps, x.array.astype(jnp.float32))
    assert (x + x).dtype == x.dtype == jnp.int32
    for function in (
        e3.norm,
        e3.tensor_square,
        lambda x: e3.tensor_product(x, x),
        lambda x: e3.elementwise_tensor_product(x, x),
        lambda x: x.transform_by_angles(0.3, 0.5, 0.7),
        lambda x: e3.scalar_activation(x, [jnp.tanh, None]),
        lambda x: e3.soft_normalization(x, 1.0),
    ):
        ours, expected = jax.jit(lambda f=function: (f(x), f(real)))()
        check(ours, expected.irreps, expected.array)


def test_derivatives_are_finite_at_zero_irreps():
    irreps = e3.Irreps("0e + 0o + 1o")

    @jax.jit
    def derivatives(array):
        def values(array):
            x = e3.IrrepsArray(irreps, array)
            functions = (
                e3.norm(x),
                e3.norm(x, per_irrep=False),
                e3.gate(x),
                e3.soft_normalization(x, 1.0),
                e3.norm_activation(x, [jnp.tanh] * 3),
                e3.tensor_square(x),
                e3.cross(x["1o"], x["1o"]),
                e3.grad(e3.norm)(x["1o"]),
                x["0o"] ** 2,
            )
            return jnp.concatenate([y.array for y in functions])

        return jax.jacfwd(jax.jacfwd(values))(array)

    assert np.all(np.isfinite(derivatives(jnp.zeros(irreps.dim))))


def test_copies_and_pickles_are_the_same_array():
    x = e3.from_chunks("0e + 1o", [None, np.ones((1, 3), np.float32)], ())
    table = e3.reduced_tensor_product_basis("ij=-ji", i="1o")
    for original in (x, table):
        for other in (copy.copy(original), copy.deepcopy(original)):
            check(other, original.irreps, original.array)
        other = pickle.loads(pickle.dumps(original))
        check(other, original.irreps, original.array)
        assert other.zero_flags == original.zero_flags and other.dtype == original.dtype


def test_inequality_is_judged_for_each_irrep_and_has_no_truth_of_its_own():
    x = e3.IrrepsArray("0e + 1o", np.array([1.0, 2.0, 3.0, 4.0], np.float32))
    differs = x != e3.IrrepsArray(x.irreps, np.array([1.0, 2.0, 0.0, 4.0], np.float32))
    assert differs.irreps == "0e+0e"
    np.testing.assert_array_equal(differs.array, [False, True])
    assert not (x["0e"] != x["0e"])
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x == x)


def test_missing_copies_known_zeros_and_plain_updates_are_refused_by_name():
    v = e3.IrrepsArray("1o", np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"1x1o.*\* IrrepsArray\(0x0e\) is not equivariant"):
        v * e3.IrrepsArray("0x0e", np.ones(0, np.float32))
    with pytest.raises(ValueError, match="known to be zero"):
        v / e3.zeros("0e")
    with pytest.raises(ValueError, match=r"or 0, received Array\("):
        X.at[0].set(jnp.zeros(5))
