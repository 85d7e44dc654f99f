import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.functional_tensor_product import FunctionalFullyConnectedTensorProduct
from equipot.e3.nn import FullyConnectedTensorProduct
from equipot.testing import equivariance

KEY = jax.random.key(0)


def random_array(irreps, lead=(), seed=0, dtype=np.float32):
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, data.astype(dtype))


def test_parameters_are_one_array_for_each_allowed_triple_of_entries():
    x, y = random_array("1o + 0e + 2x1o"), random_array("0e + 1o + 0x2e + 2e", seed=1)
    variables = FullyConnectedTensorProduct("3x0e + 2x1o + 4e").init(KEY, x, y)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "w[0,0,1] 1x1o,1x0e,2x1o": (1, 1, 2),
        "w[0,1,0] 1x1o,1x1o,3x0e": (1, 1, 3),
        "w[0,2,1] 1x1o,1x2e,2x1o": (1, 1, 2),
        "w[1,0,0] 1x0e,1x0e,3x0e": (1, 1, 3),
        "w[1,1,1] 1x0e,1x1o,2x1o": (1, 1, 2),
        "w[2,0,1] 2x1o,1x0e,2x1o": (2, 1, 2),
        "w[2,1,0] 2x1o,1x1o,3x0e": (2, 1, 3),
        "w[2,2,1] 2x1o,1x2e,2x1o": (2, 1, 2),
    }


def test_values_are_those_of_the_function_with_the_same_weights():
    x, y = random_array("2x0e + 1o", (4, 1)), random_array("0e + 1o", (3,), seed=1)
    layer = FullyConnectedTensorProduct("1o + 2x0e + 1e")
    z, variables = layer.init_with_output(KEY, x, y)
    assert z.irreps == "1o+2x0e+1e" and z.shape == (4, 3, 8)
    product = FunctionalFullyConnectedTensorProduct(x.irreps, y.irreps, z.irreps)
    names = sorted(variables["params"])  # the order of the paths
    ws = [variables["params"][name] for name in names]
    expected = product.left_right(ws, x[2, 0], y[1])
    np.testing.assert_allclose(z[2, 1].array, expected.array, atol=1e-5)


def test_products_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("2x0e + 2x1o + 1e", (3,), dtype=np.float64)
        y = random_array("0e + 0o + 1o + 2e", (3,), seed=1, dtype=np.float64)
        layer = FullyConnectedTensorProduct("3x0e + 2x1o + 0o + 2e")
        z, variables = layer.init_with_output(KEY, x, y)
        assert z.dtype == np.float64 and np.all(np.any(z.array != 0, axis=0))
        apply = jax.jit(layer.apply)
        equivariance.assert_equivariant(lambda x, y: apply(variables, x, y), x, y)


@pytest.mark.parametrize("gradient", ["path", "element"])
def test_the_variance_of_components_is_kept(gradient):
    x, y = random_array("30x0e + 20x1o", (500,)), random_array("8x0e + 6x1o", (500,), seed=1)
    layer = FullyConnectedTensorProduct("20x0e + 10x1o", gradient_normalization=gradient)
    z, variables = layer.init_with_output(KEY, x, y)
    for where in z.irreps.slices():
        # 360 weights an output and 500 places: the mean over 10 outputs deviates by 0.05
        np.testing.assert_allclose(np.mean(np.square(z.array[:, where])), 1.0, atol=0.2)
    w = variables["params"]["w[0,0,0] 30x0e,8x0e,20x0e"]
    expected = {"path": 1.0, "element": (30 * 8 + 20 * 6) ** -0.5}[gradient]
    np.testing.assert_allclose(jnp.std(w), expected, rtol=0.05)


def test_outputs_that_no_product_gives_are_zero():
    layer = FullyConnectedTensorProduct("4e + 1o")
    z, _ = layer.init_with_output(KEY, e3.ones("1o"), e3.ones("0e"))
    assert z.irreps == "1x4e+1x1o" and z.zero_flags == (True, False)


def test_inputs_of_other_irreps_are_refused():
    layer = FullyConnectedTensorProduct("0e", irreps_in1="1o", irreps_in2="2x1o")
    with pytest.raises(ValueError, match="expected irreps 1o of the first factor, received 1x1e"):
        layer.init(KEY, e3.ones("1e"), e3.ones("2x1o"))
    with pytest.raises(
        ValueError, match="expected irreps 2x1o of the second factor, received 1x1o"
    ):
        layer.init(KEY, e3.ones("1o"), e3.ones("1o"))
