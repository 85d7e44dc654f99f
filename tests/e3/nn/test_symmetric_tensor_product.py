import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.nn import SymmetricTensorProduct
from equipot.e3.nn.symmetric_tensor_product import polynomial_maps
from equipot.testing import equivariance

KEY = jax.random.key(0)


def random_array(irreps, lead=(), seed=0, dtype=np.float32):
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, data.astype(dtype))


def test_powers_of_a_vector_are_its_length_and_its_harmonics():
    v = np.array([0.3, -1.2, 0.7], np.float32)
    length = float(v @ v)
    y, variables = SymmetricTensorProduct((2, 3)).init_with_output(
        KEY, e3.IrrepsArray("1o", v[None, :])
    )
    weights = jax.tree.map(float, jax.tree.map(jnp.squeeze, variables["params"]))
    assert set(weights) == {"w2_0e", "w2_2e", "w3_1o", "w3_3o"}
    harmonics = e3.spherical_harmonics([1, 2, 3], e3.IrrepsArray("1o", v), False)
    # For a normal vector ⟨r⁴⟩ = 15, ⟨r⁶⟩ = 105, ⟨r⁶ cos²⟩ = 35; |Y_l|² = (2l+1) r²ˡ.
    expected = {
        "0e": abs(weights["w2_0e"]) * length / math.sqrt(15),
        "2e": abs(weights["w2_2e"]) * np.abs(harmonics["2e"].array) / math.sqrt(15),
        "1o": abs(weights["w3_1o"]) * np.abs(v) * length / math.sqrt(35),
        "3o": abs(weights["w3_3o"]) * np.abs(harmonics["3o"].array) / math.sqrt(105),
    }
    assert y.irreps == "0e+1o+2e+3o"
    for ir, value in expected.items():
        np.testing.assert_allclose(np.abs(y[0, ir].array), np.ravel(value), rtol=1e-4)


def test_maps_give_unit_variance_in_exact_moments():
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
    y, variables = layer.init_with_output(KEY, x)
    assert y.irreps == "0e+1o+2e" and y.shape == (5, 3, 9)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "w1_0e": (1, 3),
        "w1_1o": (1, 3),
        "w2_0e": (2, 3),
        "w2_1o": (1, 3),
        "w2_2e": (1, 3),
        "w3_0e": (2, 3),
        "w3_1o": (2, 3),
        "w3_2e": (1, 3),
    }
    maps = {n: polynomial_maps(x.irreps, n, e3.Irreps("1o"))[e3.Irrep("1o")] for n in (1, 2, 3)}
    w = {n: variables["params"][f"w{n}_1o"][:, 2] for n in maps}
    v = np.asarray(x.array[4, 2], np.float64)
    expected = (
        np.einsum("apk,p,a->k", maps[1], w[1], v)
        + np.einsum("abpk,p,a,b->k", maps[2], w[2], v, v)
        + np.einsum("abcpk,p,a,b,c->k", maps[3], w[3], v, v, v)
    ) / math.sqrt(1 + 1 + 2)
    np.testing.assert_allclose(y[4, 2, "1o"].array, expected, atol=1e-5)
    one = layer.apply(jax.tree.map(lambda w: w[:, 2:], variables), x[4, 2:])
    np.testing.assert_allclose(y[4, 2].array, one[0].array, atol=1e-5)


def test_products_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("0e+0o+1o+2e", (2, 2), dtype=np.float64)
        layer = SymmetricTensorProduct((1, 3), "0e+0o+1e+1o")
        y, variables = layer.init_with_output(KEY, x)
        assert np.all(y.array != 0) and y.dtype == np.float64
        apply = jax.jit(layer.apply)
        equivariance.assert_equivariant(lambda x: apply(variables, x), x)


def test_the_variance_of_components_is_kept():
    x = random_array("0e+1o", (300, 200))
    y, _ = SymmetricTensorProduct((1, 2, 3), "0e+1o").init_with_output(KEY, x)
    for where in y.irreps.slices():
        # Powers have heavy tails: over 200 channels the mean of w² y² deviates by about 0.1.
        np.testing.assert_allclose(np.mean(np.square(y.array[..., where])), 1.0, atol=0.4)


def test_gradients_by_differences_and_at_zero():
    with jax.enable_x64(True):
        x = random_array("0e+1o", (1, 2), dtype=np.float64)
        layer = SymmetricTensorProduct((1, 2, 3), "0e+1o")
        variables = layer.init(KEY, x)

        @jax.jit
        def f(array):
            return jnp.sum(layer.apply(variables, e3.IrrepsArray(x.irreps, array)).array)

        slope = jax.grad(f)
        step = np.random.default_rng(1).normal(size=x.shape)
        difference = (f(x.array + 1e-5 * step) - f(x.array - 1e-5 * step)) / 2e-5
        np.testing.assert_allclose(np.sum(slope(x.array) * step), difference, rtol=1e-8)
        assert np.all(np.isfinite(slope(0 * x.array)))


def test_precision_does_not_depend_on_what_came_before():
    x = random_array("0e+1o", (1, 2))
    layer = SymmetricTensorProduct((2,))
    assert jax.jit(layer.init_with_output)(KEY, x)[0].dtype == np.float32
    with jax.enable_x64(True):
        y, variables = layer.init_with_output(KEY, x.astype(np.float64))
        assert {y.dtype, *(w.dtype for w in jax.tree.leaves(variables))} == {np.dtype("float64")}


def test_wrong_requests_are_refused():
    for orders in ((), (0, 1), (2, 2)):
        with pytest.raises(ValueError, match="expected distinct orders of at least 1, received"):
            SymmetricTensorProduct(orders).init(KEY, e3.ones("0e+1o", (2,)))
    with pytest.raises(ValueError, match="expected an axis of channels before the irreps"):
        SymmetricTensorProduct((1,)).init(KEY, e3.ones("0e+1o"))
