import jax
import numpy as np
import pytest

from equipot.e3.nn import FullyConnectedTensorProduct
from equipot.e3.products.functional_tensor_product import FunctionalFullyConnectedTensorProduct
from tests.e3.layers import assert_equivariant, random_array, random_variables, shapes

KEY = jax.random.key(0)


def test_parameters_are_one_array_for_each_allowed_triple_of_entries():
    x, y = random_array("1o + 0e + 2x1o"), random_array("0e + 1o + 0x2e + 2e", seed=1)
    assert shapes(FullyConnectedTensorProduct("3x0e + 2x1o + 4e"), x, y) == {
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
    variables = random_variables(layer, x, y)
    z = jax.jit(layer.apply)(variables, x, y)
    assert z.irreps == "1o+2x0e+1e" and z.shape == (4, 3, 8)
    product = FunctionalFullyConnectedTensorProduct(x.irreps, y.irreps, z.irreps)
    ws = [variables["params"][name] for name in sorted(variables["params"])]
    expected = jax.jit(product.left_right)(ws, x, y)
    np.testing.assert_allclose(z.array, expected.array, atol=1e-6)


def test_products_commute_with_rotations_and_inversion():
    with jax.enable_x64(True):
        x = random_array("2x0e + 2x1o + 1e", (3,), dtype="float64")
        y = random_array("0e + 0o + 1o + 2e", (3,), seed=1, dtype="float64")
        layer = FullyConnectedTensorProduct("3x0e + 2x1o + 0o + 2e")
        variables = random_variables(layer, x, y)
        assert_equivariant(lambda x, y: layer.apply(variables, x, y), x, y)


def test_the_variance_of_components_is_kept():
    x, y = random_array("10x0e + 8x1o", (300,)), random_array("6x0e + 6x1o", (300,), seed=1)
    layer = FullyConnectedTensorProduct("30x0e + 20x1o")
    z = jax.jit(layer.apply)(random_variables(layer, x, y), x, y)
    # Some 100 weights an output, which deviates by 0.14, and a mean over 20 or 30 of them.
    variances = [np.mean(np.square(z.array)[:, where]) for where in z.irreps.slices()]
    np.testing.assert_allclose(variances, 1.0, atol=0.15)


@pytest.mark.parametrize(("gradient", "deviation"), [("path", 1.0), ("element", 3**0.5 / 30)])
def test_initial_weights_have_the_deviation_of_the_normalisation(gradient, deviation):
    layer = FullyConnectedTensorProduct("2x1o", gradient_normalization=gradient)
    init = jax.jit(lambda key: layer.init(key, random_array("30x1o"), random_array("30x0e")))
    (w,) = init(KEY)["params"].values()
    np.testing.assert_allclose(np.std(w), deviation, rtol=0.1)


def test_outputs_that_no_product_gives_are_zero():
    layer = FullyConnectedTensorProduct("4e + 1o")
    z, _ = layer.init_with_output(KEY, random_array("1o"), random_array("0e"))
    assert z.irreps == "1x4e+1x1o" and z.zero_flags == (True, False)


def test_inputs_of_other_irreps_are_refused():
    layer = FullyConnectedTensorProduct("0e", irreps_in1="1o", irreps_in2="2x1o")
    with pytest.raises(ValueError, match="expected irreps 1o of the first factor, received 1x1e"):
        layer.init(KEY, random_array("1e"), random_array("2x1o"))
    with pytest.raises(
        ValueError, match="expected irreps 2x1o of the second factor, received 1x1o"
    ):
        layer.init(KEY, random_array("1o"), random_array("1o"))
