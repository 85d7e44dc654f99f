"""The product basis: its parameters, its symmetry, its order, and what belongs to a species."""

import jax
import jax.numpy as jnp
import numpy as np

from equipot import testing
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.nn.many_body import ProductBasis
from tests.e3.layers import assert_equivariant, random_variables, shapes

SCALAR, VECTOR, TENSOR = map(Irrep, ("0e", "1o", "2e"))
SPECIES = jnp.asarray([0, 1, 1, 0], jnp.int32)


def features(width=3, dtype="float64"):
    rng = np.random.default_rng(0)
    return {
        irrep: jnp.asarray(rng.standard_normal((len(SPECIES), irrep.dim, width)), dtype)
        for irrep in (SCALAR, VECTOR, TENSOR)
    }


def test_weights_are_those_of_all_couplings_for_each_species():
    layer = ProductBasis({SCALAR: 3, VECTOR: 5}, 2, 2)
    found = shapes(layer, features(dtype="float32"), SPECIES)
    assert found["linear"] == {"0e": (3, 3), "1o": (3, 5)}
    assert {k: v for k, v in found.items() if k != "linear"} == {
        "order_1_0e": (2, 1, 3),
        "order_2_0e": (2, 3, 3),
        "order_1_1o": (2, 1, 3),
        "order_2_1o": (2, 2, 3),
    }


def test_it_commutes_with_rotations_and_inversion():
    with jax.enable_x64(True):
        layer = ProductBasis({SCALAR: 2, VECTOR: 2}, 2, 2)
        params = random_variables(layer, features(), SPECIES)
        assert_equivariant(lambda x: layer.apply(params, x, SPECIES), features())


def test_order_one_is_a_linear_map_with_weights_of_the_species():
    with jax.enable_x64(True):
        x, layer = features(), ProductBasis({VECTOR: 2}, 2, 1)
        variables = random_variables(layer, x, SPECIES)
        params = variables["params"]
        own = np.asarray(params["order_1_1o"])[np.asarray(SPECIES)]
        expected = (np.asarray(x[VECTOR]) * own) @ params["linear"]["1o"] / np.sqrt(3)
        found = layer.apply(variables, x, SPECIES)[VECTOR]
        testing.assert_close(found, expected, testing.F64_EXACT, "features")


def test_highest_power_of_the_features_is_the_correlation():
    """Third differences of a polynomial of order two vanish, second ones do not."""
    with jax.enable_x64(True):
        layer = ProductBasis({SCALAR: 2}, 2, 2)
        params = random_variables(layer, features(), SPECIES)

        def value(factor):
            scaled = {irrep: factor * x for irrep, x in features().items()}
            return np.asarray(layer.apply(params, scaled, SPECIES)[SCALAR])

        third = value(3.0) - 3.0 * value(2.0) + 3.0 * value(1.0)
        testing.assert_close(third, np.zeros_like(third), testing.F64, "third differences")
        second = value(2.0) - 2.0 * value(1.0)
        assert np.abs(second).min() > 1e-3
