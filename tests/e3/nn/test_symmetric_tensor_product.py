import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.nn import SymmetricTensorProduct
from equipot.e3.nn.symmetric_tensor_product import polynomial_maps
from tests.e3.layers import assert_equivariant, random_array, random_variables, shapes

KEY = jax.random.key(0)


def test_powers_of_a_vector_are_its_length_and_its_harmonics():
    v = np.array([0.3, -1.2, 0.7], np.float32)
    length = float(v @ v)
    layer, x = SymmetricTensorProduct((2, 3)), e3.IrrepsArray("1o", v[None])
    variables = random_variables(layer, x)
    y = jax.jit(layer.apply)(variables, x)
    weights = jax.tree.map(lambda w: float(w[0, 0]), variables["params"])
    assert set(weights) == {"w2_0e", "w2_2e", "w3_1o", "w3_3o"}
    harmonics = jax.jit(lambda v: e3.spherical_harmonics([2, 3], v, False))(x)
    harmonics = np.abs(np.ravel(harmonics.array))
    # For a normal vector ⟨r⁴⟩ = 15, ⟨r⁶⟩ = 105, ⟨r⁶ cos²⟩ = 35; |Y_l|² = (2l+1) r²ˡ.
    expected = {
        "0e": abs(weights["w2_0e"]) * length / math.sqrt(15),
        "1o": abs(weights["w3_1o"]) * np.abs(v) * length / math.sqrt(35),
        "2e": abs(weights["w2_2e"]) * harmonics[:5] / math.sqrt(15),
        "3o": abs(weights["w3_3o"]) * harmonics[5:] / math.sqrt(105),
    }
    assert y.irreps == "0e+1o+2e+3o"
    values = np.concatenate([np.ravel(value) for value in expected.values()])
    np.testing.assert_allclose(np.abs(y.array[0]), values, rtol=1e-4)


def test_maps_give_unit_variance_in_exact_moments():
    polynomial_maps.cache_clear()  # maps are exact even if they are first needed in float32
    shapes(SymmetricTensorProduct((1, 2, 3)), random_array("0e+1o", (2,)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    weights = weights / weights.sum()
    x = np.array(list(itertools.product(nodes, repeat=4)))
    density = np.prod(list(itertools.product(weights, repeat=4)), axis=1)
    letters = "abc"
    for order in (1, 2, 3):
        indices = letters[:order]
        powers = ",".join(f"n{letter}" for letter in indices)
        for maps in polynomial_maps(e3.Irreps("0e+1o"), order, None).values():
            y = np.einsum(f"{indices}pk,{powers}->npk", maps, *[x] * order)
            moments = np.einsum("n,npk->pk", density, y**2)
            np.testing.assert_allclose(moments.mean(axis=-1), 1.0, rtol=1e-10)


def test_products_are_polynomials_of_each_channel_alone():
    x = random_array("0e+1o", (5, 3))
    layer = SymmetricTensorProduct((1, 2, 3), "0e+1o+2e")
    assert shapes(layer, x) == {
        "w1_0e": (1, 3),
        "w1_1o": (1, 3),
        "w2_0e": (2, 3),
        "w2_1o": (1, 3),
        "w2_2e": (1, 3),
        "w3_0e": (2, 3),
        "w3_1o": (2, 3),
        "w3_2e": (1, 3),
    }
    variables = random_variables(layer, x)
    y = jax.jit(layer.apply)(variables, x)
    assert y.irreps == "0e+1o+2e" and y.shape == (5, 3, 9)
    maps = {n: polynomial_maps(x.irreps, n, e3.Irreps("1o"))[e3.Irrep("1o")] for n in (1, 2, 3)}
    w = {n: np.asarray(variables["params"][f"w{n}_1o"])[:, 2] for n in maps}
    v = np.asarray(x.array, np.float64)[4, 2]
    expected = (
        np.einsum("apk,p,a->k", maps[1], w[1], v)
        + np.einsum("abpk,p,a,b->k", maps[2], w[2], v, v)
        + np.einsum("abcpk,p,a,b,c->k", maps[3], w[3], v, v, v)
    ) / math.sqrt(1 + 1 + 2)
    np.testing.assert_allclose(np.asarray(y.array)[4, 2, 1:4], expected, atol=1e-5)


def test_products_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("0e+0o+1o+2e", (2, 2), dtype="float64")
        layer = SymmetricTensorProduct((1, 3), "0e+0o+1e+1o")
        variables = random_variables(layer, x)
        assert_equivariant(lambda x: layer.apply(variables, x), x)


def test_the_variance_of_components_is_kept():
    x = random_array("0e+1o", (300, 200))
    layer = SymmetricTensorProduct((1, 2, 3), "0e+1o")
    y = jax.jit(layer.apply)(random_variables(layer, x), x)
    # Over 200 channels the squares of 4 or 5 weights each deviate by 0.1, powers of x by less.
    variances = [np.mean(np.square(y.array)[..., where]) for where in y.irreps.slices()]
    np.testing.assert_allclose(variances, 1.0, atol=0.25)


def test_gradients_by_differences_and_at_zero():
    with jax.enable_x64(True):
        x = random_array("0e+1o", (1, 2), dtype="float64")
        layer = SymmetricTensorProduct((1, 2, 3), "0e+1o")
        variables = random_variables(layer, x)

        @jax.jit
        @jax.value_and_grad
        def f(array):
            return jnp.sum(layer.apply(variables, e3.IrrepsArray(x.irreps, array)).array)

        place, step = np.asarray(x.array), 1e-5 * np.random.default_rng(1).normal(size=x.shape)
        difference = (f(place + step)[0] - f(place - step)[0]) / 2
        np.testing.assert_allclose(np.sum(f(place)[1] * step), difference, rtol=1e-7)
        assert np.all(np.isfinite(f(0 * place)[1]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_of_the_input_is_kept(dtype):
    with jax.enable_x64(True):
        x = random_array("0e+1o", (1, 2), dtype=dtype)
        outputs = jax.eval_shape(SymmetricTensorProduct((1, 2)).init_with_output, KEY, x)
        assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {np.dtype(dtype)}


def test_wrong_requests_are_refused():
    for orders in ((), (0, 1), (2, 2)):
        with pytest.raises(ValueError, match="expected distinct orders of at least 1, received"):
            SymmetricTensorProduct(orders).init(KEY, random_array("0e+1o", (2,)))
    with pytest.raises(ValueError, match="expected an axis of channels before the irreps"):
        SymmetricTensorProduct((1,)).init(KEY, random_array("0e+1o"))
