"""Values that the pages of e3nn-jax print, where they are not in the tests of one function.

Where a page draws random numbers, the numbers drawn stand here.
"""

import jax
import jax.numpy as jnp
import numpy as np

from equipot import e3
from tests.e3.layers import assert_equivariant, random_array

VECTORS = [
    [-0.28371066, 0.93681622, -1.00500727],
    [1.41650128, 1.05433011, 0.91081268],
    [-0.42656708, 0.98618799, -0.55753243],
    [0.01532502, -2.07856798, 0.55483711],
    [0.91423655, 0.57445961, 0.72278631],
    [0.12106175, -0.32373539, 1.62349975],
    [0.24500391, -1.38097811, -0.61112368],
    [0.1403725, 0.84100425, -1.09435785],
    [-1.07750201, -1.1396457, -0.59333801],
    [-0.15576515, -0.38321444, -1.11445153],
]
TENSORS = [
    [-0.76433897, 1.43040216, 0.29602233, -0.2620028, 0.75346959],
    [0.38421908, 1.35842931, 1.98537612, -0.5374943, -1.21446025],
    [1.14248335, 0.23388885, -0.97720402, -0.01199458, 0.6962024],
    [1.33865345, 0.35359615, 1.33690012, 1.30616546, -1.66930783],
    [-0.12277574, 0.87580872, -0.38047376, -0.80699521, 0.03505866],
    [0.10265424, 0.12381285, -1.11332572, -0.19076478, 1.42809033],
    [-0.78696334, 1.79044247, 0.60417485, -0.29894122, 1.7950747],
    [-1.43799329, 2.10746002, -0.05964555, -1.89871109, -0.50516713],
    [-0.56490016, -1.05052745, 0.39251304, 0.86643845, 1.1392976],
    [-0.3791278, 1.62228322, 0.1660295, -0.08054032, 1.63253355],
]
PRODUCTS = """
1.298 0.097 -0.336 0.303 0.331 -1.069 -0.206 0.028 0.392 -1.2 0.746 0.279 -0.269 0.794 -0.689
1.029 2.11 -1.19 -0.06 -1.281 1.413 2.249 -0.136 -0.969 0.509 2.447 0.98 0.832 -2.133 -1.167
-0.192 -0.66 -0.658 0.517 -0.033 -0.096 0.062 -0.971 -0.66 0.578 0.494 -0.705 0.496 0.458 0.07
0.012 -1.358 -2.218 2.539 -1.263 0.125 0.628 2.36 0.507 -1.482 -0.664 -2.479 -1.348 2.419 -0.669
0.319 -0.019 -0.215 0.581 0.041 0.969 -0.501 0.015 -0.04 -0.101 0.169 -0.267 -0.497 -0.787 0.097
0.017 0.067 1.882 -0.245 0.352 0.158 -0.081 0.1 0.24 0.084 -0.113 0.411 -1.524 -0.454 1.631
-1.379 -0.187 -0.364 -1.92 0.956 -0.722 1.131 -1.364 0.651 -0.047 -1.72 -0.924 0.303 -1.579 -0.639
1.874 1.268 -0.703 -1.074 -0.841 -1.442 -0.058 -0.063 1.063 -2.184 0.989 -1.1 -1.189 0.784 0.534
1.645 0.055 -0.504 -0.388 -0.211 1.101 -0.15 -0.652 -0.631 0.193 0.322 -0.623 -0.856 -1.7 -0.908
0.038 -0.129 -0.889 -0.651 0.862 -1.287 0.512 -0.852 0.119 -0.953 -0.594 0.024 0.227 -0.163 -1.328
"""


def test_ten_products_of_a_vector_and_a_degree_two_tensor():
    x1, x2 = e3.IrrepsArray("1e", np.float32(VECTORS)), e3.IrrepsArray("2e", np.float32(TENSORS))
    product = jax.jit(e3.tensor_product)(x1, x2)
    assert product.irreps == "1e+2e+3e"
    expected = np.array(PRODUCTS.split(), float).reshape(10, 15)
    np.testing.assert_allclose(product.array, expected, atol=6e-4)


def test_the_same_key_draws_the_printed_numbers_by_the_older_scheme_of_jax():
    with jax.threefry_partitionable(False):
        x1 = e3.normal("1e", jax.random.PRNGKey(0), (10,))
        x2 = e3.normal("2e", jax.random.PRNGKey(1), (10,))
    np.testing.assert_allclose(x1.array, VECTORS, atol=1e-6)
    np.testing.assert_allclose(x2.array, TENSORS, atol=1e-6)


def test_the_network_of_the_first_page():
    x = e3.IrrepsArray("1o", jnp.array([1.0, 2.0, 0.0]))
    f = random_array("4x0e + 1o + 1e", (16,))
    layer = e3.nn.Linear("0e + 0o + 1o")

    def features(x, f):
        return e3.tensor_product(e3.spherical_harmonics([0, 1, 2], x, False), f)

    assert f.shape == (16, 10)
    shapes = jax.eval_shape(lambda f: layer.init(jax.random.key(1), features(x, f)), f)
    assert jax.tree.map(lambda w: w.shape, shapes["params"]) == {
        "w[0,0] 5x0e,1x0e": (5, 1),
        "w[1,1] 1x0o,1x0o": (1, 1),
        "w[2,2] 7x1o,1x1o": (7, 1),
    }

    def network(x, f):
        weights = {name: jnp.ones(w.shape) for name, w in shapes["params"].items()}
        return layer.apply({"params": weights}, features(x, f))

    assert jax.eval_shape(network, x, f).shape == (16, 5)
    assert_equivariant(network, x, f, tolerance=1e-5)


def test_the_linear_layer_of_the_first_page():
    x = e3.IrrepsArray("2x1e", jnp.array([1.0, 0.0, 0.0, 0.0, 2.0, 0.0]))
    weights = {"params": {"w[0,0] 2x1e,1x1e": jnp.array([[-2.033], [-1.812]])}}
    y = jax.jit(e3.nn.Linear("1e").apply)(weights, x)
    assert y.irreps == "1e"
    np.testing.assert_allclose(y.array, [-1.438, -2.562, 0.0], atol=1e-3)


def test_lists_hold_the_same_numbers_as_the_contiguous_array():
    out = e3.full_tensor_product(
        e3.IrrepsData.from_contiguous("1o", jnp.array([2.0, 0.0, 0.0])),
        e3.IrrepsData.from_contiguous("1o", jnp.array([0.0, 2.0, 0.0])),
    )
    assert out.irreps == "1x0e+1x1e+1x2e"
    np.testing.assert_allclose(out.contiguous, [0, 0, 0, 2.83, 0, 2.83, 0, 0, 0], atol=2e-3)
    expected = [[[0.0]], [[0, 0, 2.83]], [[0, 2.83, 0, 0, 0]]]
    for chunk, printed in zip(out.list, expected, strict=True):
        np.testing.assert_allclose(chunk, printed, atol=2e-3)


def test_channels_are_summed_by_the_sum_of_the_package():
    """``jnp.sum`` takes arrays alone: ``e3.sum``, or the sum of ``.array``."""
    z = e3.ones("2x0e + 3x1e", (6, 7, 6))
    assert e3.sum(z, axis=(0, 1)).shape == (6, 11)
    np.testing.assert_array_equal(e3.sum(z, axis=(0, 1)).array, jnp.sum(z.array, (0, 1)))
