import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

KEY = jax.random.key(0)


def test_functions_that_commute_pass():
    norm = jax.jit(e3.norm)
    e3.assert_equivariant(norm, KEY, e3.IrrepsArray("1e", jnp.array([0.0, 4.0, 3.0])))
    e3.assert_equivariant(norm, KEY, "1e")
    cross = jax.jit(lambda x, y, scale: {"z": scale * e3.cross(x, y)})
    e3.assert_equivariant(cross, KEY, "1o", "1e", 2.0)


def test_both_sides_are_returned_for_a_rotation_with_inversion():
    left, right = e3.equivariance_test(e3.norm, KEY, e3.IrrepsArray("1o", jnp.array([0.0, 4, 3])))
    assert left.irreps == right.irreps == "0e"
    np.testing.assert_allclose([left.array[0], right.array[0]], 5.0, rtol=1e-6)
    left, right = e3.equivariance_test(lambda x: x, KEY, "0o")
    np.testing.assert_array_equal(left.array, right.array)


def test_broken_functions_are_named_with_their_error():
    def shifted(x):
        return e3.IrrepsArray(x.irreps, x.array + jnp.array([0.5, 0.0, 0.0]))

    with pytest.raises(AssertionError, match=r"a rotation: the largest error is 0\.\d"):
        e3.assert_equivariant(shifted, KEY, "1o")
    with pytest.raises(AssertionError, match="commute with inversion"):
        e3.assert_equivariant(
            lambda x, y: e3.IrrepsArray("1o", e3.cross(x, y).array), KEY, "1o", "1o"
        )
    with pytest.raises(AssertionError, match="largest error is nan"):
        e3.assert_equivariant(lambda x: x * jnp.nan, KEY, "1o")
    with pytest.raises(AssertionError, match="expected 1 outputs after a rotation, received 2"):
        parts = iter(range(1, 9))
        e3.assert_equivariant(lambda x: [x] * next(parts), KEY, "0e")
    kinds = iter(["1o", "1e", "1e", "1e"])
    with pytest.raises(AssertionError, match="its irreps change from 1x1o to 1x1e"):
        e3.assert_equivariant(lambda x: e3.IrrepsArray(next(kinds), x.array), KEY, "1o")


def test_small_errors_can_be_allowed():
    def nearly(x):
        return e3.IrrepsArray(x.irreps, x.array + jnp.array([1e-3, 0.0, 0.0]))

    with pytest.raises(AssertionError, match="largest error"):
        e3.assert_equivariant(nearly, KEY, "1o")
    e3.assert_equivariant(nearly, KEY, "1o", atol=1e-2)


def test_normalised_functions_pass_and_others_do_not():
    @jax.jit
    def product(x, y):
        return e3.tensor_product(x, y)

    e3.assert_normalized(product, KEY, "0e + 1o", "1o")
    with pytest.raises(AssertionError, match=r"of 1 to within 0\.2: 1x.* of output 0 has"):
        e3.assert_normalized(lambda x, y: 2.0 * product(x, y), KEY, "0e + 1o", "1o")
    with pytest.raises(AssertionError, match="has 0"):
        e3.assert_normalized(lambda x: 0.0 * x, KEY, "1o", number=16)
    with pytest.raises(AssertionError, match="has nan"):
        e3.assert_normalized(lambda x: jnp.nan * x, KEY, "1o", number=16)


def test_outputs_must_have_the_precision_of_the_inputs():
    e3.assert_output_dtype_matches_input_dtype(e3.tensor_product, "0e + 1o", "1o")
    e3.assert_output_dtype_matches_input_dtype(
        lambda r, n: e3.bessel(r, 4, 5.0) * n, jnp.ones(3), 2
    )
    with pytest.raises(AssertionError, match=r"expected float16 .* received float32"):
        e3.assert_output_dtype_matches_input_dtype(lambda x: x.astype(jnp.float32), "1o")


@pytest.mark.parametrize(
    "function",
    [
        e3.gate,
        e3.tensor_square,
        e3.scalar_activation,
        lambda x: e3.soft_normalization(x, 1.0),
        lambda x: e3.norm(x, squared=True),
        lambda x: e3.sum(x, axis=-1),
        lambda x: x.transform_by_matrix(np.eye(3)),
    ],
)
def test_every_kind_of_function_keeps_precision_and_commutes(function):
    irreps = e3.Irreps("2x0e + 0o + 1o + 2e")
    if function is e3.scalar_activation:
        irreps = e3.Irreps("2x0e + 0o")
    e3.assert_output_dtype_matches_input_dtype(function, irreps)


def test_functions_of_vectors_keep_precision():
    def harmonics(v):
        return e3.spherical_harmonics(range(5), v, True, "integral")

    for function in (harmonics, lambda v: e3.tensor_product_with_spherical_harmonics(v, v, 2)):
        e3.assert_output_dtype_matches_input_dtype(function, "1o")
    for function in (
        lambda r: e3.legendre(3, r, 1),
        lambda r: e3.soft_envelope(r, 2.0),
        lambda r: e3.poly_envelope(5, 2)(r),
        lambda r: e3.scatter_mean(r, dst=jnp.array([0, 1, 0]), output_size=3),
    ):
        e3.assert_output_dtype_matches_input_dtype(function, jnp.ones(3))
