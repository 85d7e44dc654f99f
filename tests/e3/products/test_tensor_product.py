import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.products.tensor_product import coupling
from equipot.testing import rotation_matrix


def check(x, irreps, values, atol=1e-5):
    assert x.irreps == irreps
    np.testing.assert_allclose(x.array, values, atol=atol)


def test_frozen_products():
    product = jax.jit(e3.tensor_product)
    x = e3.IrrepsArray("1o", jnp.array([1.0, 1.0, 2.0]))
    y = e3.IrrepsArray("1o", jnp.array([0.0, 0.0, 2.0]))
    expected = [2.309, 1.414, -1.414, 0, 1.414, 0, -1.633, 1.414, 2.828]
    check(product(x, y), "0e+1e+2e", expected, atol=5e-4)
    x = e3.IrrepsArray("1e", jnp.array([-0.284, 0.937, -1.005]))
    y = e3.IrrepsArray("2e", jnp.array([-0.764, 1.43, 0.296, -0.262, 0.753]))
    expected = [1.298, 0.097, -0.336, 0.303, 0.331, -1.069, -0.206, 0.028]
    expected += [0.392, -1.2, 0.746, 0.279, -0.269, 0.794, -0.689]
    check(product(x, y), "1e+2e+3e", expected, atol=5e-3)


def test_products_of_irreps_alone():
    assert e3.tensor_product("2x1e + 2e", "2e") == "0e+3x1e+3x2e+3x3e+4e"
    assert e3.tensor_product("1o", "1o", filter_ir_out="0e + 1e") == "0e+1e"
    unmerged = e3.tensor_product("2x1o + 0e", "1o + 0e", regroup_output=False)
    assert repr(unmerged) == "2x0e+1x0e+2x1o+1x1o+2x1e+2x2e"
    with pytest.raises(ValueError, match="two IrrepsArrays or two irreps"):
        e3.tensor_product(e3.ones("1o"), "1o")


def test_the_cross_product_of_vectors_is_a_pseudovector():
    x = e3.IrrepsArray("1o", jnp.array([1.0, 2.0, 3.0]))
    y = e3.IrrepsArray("1o", jnp.array([-1.0, 0.5, 2.0]))

    @jax.jit
    def products(x, y):
        return e3.tensor_product(x, y, filter_ir_out="1e"), e3.tensor_product(x, y)["0e"]

    vector, scalar = products(x, y)
    check(vector, "1e", np.cross(x.array, y.array) / np.sqrt(2))
    check(scalar, "0e", [np.dot(x.array, y.array) / np.sqrt(3)])


def test_copies_come_in_the_order_of_the_factors():
    x = e3.IrrepsArray("2x0e", jnp.array([1.0, 2.0]))
    y = e3.IrrepsArray("3x0e", jnp.array([1.0, 10.0, 100.0]))
    check(e3.tensor_product(x, y), "6x0e", [1, 10, 100, 2, 20, 200])


def test_products_commute_with_rotations_and_inversion():
    irreps_x, irreps_y = e3.Irreps("0e + 2x1o + 2e"), e3.Irreps("0o + 1e + 3o")
    rng = np.random.default_rng(0)
    x = e3.IrrepsArray(irreps_x, jnp.asarray(rng.normal(size=(4, 12)), jnp.float32))
    y = e3.IrrepsArray(irreps_y, jnp.asarray(rng.normal(size=(4, 11)), jnp.float32))

    @jax.jit
    def both_sides(element):
        a, b = x.transform_by_matrix(element), y.transform_by_matrix(element)
        moved = e3.tensor_product(a, b), e3.tensor_square(a)
        results = e3.tensor_product(x, y), e3.tensor_square(x)
        return moved, [z.transform_by_matrix(element) for z in results]

    for element in (rotation_matrix(0), -rotation_matrix(1)):
        for moved, expected in zip(*both_sides(element), strict=True):
            np.testing.assert_allclose(moved.array, expected.array, atol=2e-5)


def test_normalisations_keep_components_or_lengths():
    rng = np.random.default_rng(0)
    x = e3.IrrepsArray("1o", rng.normal(size=(20000, 3)).astype(np.float32))
    y = e3.IrrepsArray("2e", rng.normal(size=(20000, 5)).astype(np.float32))

    @jax.jit
    def means(x, y):
        z = e3.tensor_product(x, y)
        short = e3.tensor_product(x / 3**0.5, y / 5**0.5, irrep_normalization="norm")
        lengths = e3.norm(short, squared=True)
        return jnp.mean(z.array**2, axis=0), jnp.mean(lengths.array, axis=0)

    for mean in means(x, y):
        np.testing.assert_allclose(mean, 1.0, atol=0.1)
    with pytest.raises(ValueError, match="normalisation"):
        coupling(*[e3.Irrep("0e")] * 3, "integral")
    for function in (e3.tensor_square, lambda x, **name: e3.tensor_product(x, "1o", **name)):
        with pytest.raises(ValueError, match="component, norm or none, received 'nrom'"):
            function(e3.zeros("1o"), irrep_normalization="nrom")


def test_elementwise_products_pair_copies():
    x = e3.IrrepsArray("2x1o", jnp.array([1.0, 2.0, 3.0, 1.0, 0.0, 0.0]))
    y = e3.IrrepsArray("1o + 0e", jnp.array([1.0, 1.0, 1.0, 2.0]))
    z = jax.jit(e3.elementwise_tensor_product)(x, y)
    assert z.irreps == "0e+1e+2e+1o"
    np.testing.assert_allclose(np.asarray(z.array)[0], 6 / 3**0.5, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(z.array)[9:], [2, 0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="equal numbers"):
        e3.elementwise_tensor_product(x, e3.ones("0e"))


def test_frozen_squares():
    x = e3.IrrepsArray("0e + 1o", jnp.array([10.0, 1.0, 2.0, 3.0]))
    expected = [57.735, 3.6148, 10, 20, 30, 3, 2, -0.5774, 6, 4]
    check(jax.jit(e3.tensor_square)(x), "2x0e+1o+2e", expected, atol=1e-4)


@pytest.mark.parametrize("normalized", [False, True])
def test_squares_have_unit_components(normalized):
    vectors = np.random.default_rng(0).normal(size=(20000, 2, 3)).astype(np.float32)
    if normalized:
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    x = e3.IrrepsArray("2x1o", vectors.reshape(20000, 6))
    z = jax.jit(lambda x: e3.tensor_square(x, normalized_input=normalized))(x)
    assert z.irreps == "3x0e+1e+3x2e"
    np.testing.assert_allclose(jnp.mean(z.array**2, axis=0), 1.0, atol=0.1)


def test_zero_factors_give_flagged_zeros():
    x = e3.from_chunks("0e + 1o", [None, jnp.ones((1, 3))], ())
    z = e3.tensor_product(x, e3.ones("0e"))
    assert z.irreps == "0e+1o" and z.zero_flags == (True, False)


def test_precision_of_the_factors_is_kept():
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            x = e3.ones("0e + 1o", (2,), dtype)
            assert jax.eval_shape(e3.tensor_product, x, x).dtype == dtype
            assert jax.eval_shape(e3.tensor_square, x).dtype == dtype
            scaled = jax.eval_shape(lambda x: x * e3.ones("2x0e", (2,), x.dtype), x)
            assert scaled.dtype == dtype
