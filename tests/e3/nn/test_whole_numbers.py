"""Layers take whole numbers, such as one-hot species, as floating point numbers."""

import jax
import numpy as np
import pytest

from equipot import e3
from tests.e3.layers import random_variables

SCALARS = np.array([[1, 0, 0, 1], [0, 2, 1, 0]])


@pytest.mark.parametrize(
    "layer",
    [
        e3.nn.Linear("3x0e", biases=True),
        e3.nn.RMSNorm(biases=True, centering=True),
        e3.nn.SymmetricTensorProduct((1, 2)),
        e3.nn.MultiLayerPerceptron((3,), with_bias=True),
        e3.nn.FullyConnectedTensorProduct("2x0e"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_take_whole_numbers_as_floating_point(layer):
    def apply(dtype):
        x = e3.IrrepsArray("4x0e", SCALARS.astype(dtype))
        return [x, x] if isinstance(layer, e3.nn.FullyConnectedTensorProduct) else [x]

    variables = random_variables(layer, *apply(np.int32))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(variables))
    ours, expected = jax.jit(
        lambda: [layer.apply(variables, *apply(dtype)).array for dtype in (np.int32, np.float32)]
    )()
    np.testing.assert_array_equal(ours, expected)
