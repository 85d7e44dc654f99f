"""Maps multiplied beforehand do what they do one after the other."""

import jax.numpy as jnp
import numpy as np

from equipot import testing
from equipot.models.allegro import composed


def drawn(name, shape, fan_in):
    """The same matrix for the same name."""
    seed = sum(map(ord, name))
    return normal(shape, seed) / fan_in**0.5


def normal(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_a_linear_map_of_features_side_by_side_is_one_of_hidden_layers():
    hidden = {0: normal((5, 3)), 1: normal((5, 4))}
    a, b = normal((3, 2), 1), normal((4, 2), 2)
    inputs = [composed.Linear({0: a, 1: b}, 2), composed.Linear({1: None}, 4)]
    result = composed.linear(drawn, "map", inputs, 6)
    side_by_side = jnp.concatenate([hidden[0] @ a + hidden[1] @ b, hidden[1]], axis=1)
    expected = side_by_side @ drawn("map", (6, 6), 6)
    assert result.width == 6 and composed.count(inputs) == 6
    found = composed.mix(result.matrices, hidden)
    testing.assert_close(found, expected, testing.F32, "features")


def test_a_perceptron_reads_hidden_layers_and_makes_one():
    hidden = {0: normal((5, 3))}
    inputs = [composed.Linear({0: None}, 3)]
    layer, outputs = composed.perceptron(drawn, "net", inputs, (4, 2), 1)
    expected = jnp.tanh(hidden[0] @ drawn("net_0", (3, 4), 3))
    expected = jnp.tanh(expected @ drawn("net_1", (4, 2), 4))
    found = composed.evaluate(jnp.tanh, layer, hidden)
    testing.assert_close(found, expected, testing.F32, "hidden layer")
    assert outputs == [composed.Linear({1: None}, 2)]


def test_a_perceptron_without_hidden_layers_is_its_input():
    inputs = [composed.Linear({0: None}, 3)]
    layer, outputs = composed.perceptron(drawn, "net", inputs, (), 1)
    assert layer == composed.Perceptron({}, []) and outputs == inputs
