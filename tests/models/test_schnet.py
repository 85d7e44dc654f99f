"""SchNet's settings, and what a network on distances can and cannot tell apart."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.models import schnet
from tests.models.molecules import ALIKE, FAR, NEAR, bonds, context, quick_jit

SMALL = schnet.Config(
    cutoff=3.0,
    num_layers=1,
    num_channels=4,
    num_radial_basis=6,
    radial_widths=(5,),
    readout_widths=(4,),
)


def initialise(config, vectors, senders=NEAR, receivers=FAR):
    """Parameters without zeros, and the energies of a graph."""
    model = schnet.Model(config=config, context=context())
    edges = ALIKE, senders, receivers
    params = quick_jit(model.init)(jax.random.key(0), vectors, *edges)
    params = jax.tree.map(lambda x: x + 0.1, params)
    return params, quick_jit(lambda p, v: model.apply(p, v, *edges).energies[:, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_layers": 0}, r"model\.num_layers: expected at least 1, received 0"),
        ({"num_radial_basis": 1}, r"model\.num_radial_basis: expected at least 2, received 1"),
        ({"cutoff": -1.0}, r"model\.cutoff: expected a positive length, received -1"),
    ],
)
def test_wrong_setting_is_explained(wrong, message):
    with pytest.raises(errors.ConfigError, match=message):
        schnet.Config(**wrong)


@pytest.mark.slow
def test_angles_between_bonds_do_not_matter_where_all_distances_are_the_same():
    """The outer atoms do not see each other."""
    with jax.enable_x64(True):
        params, energy = initialise(dataclasses.replace(SMALL, num_layers=2), bonds(1.0))
        expected = energy(params, bonds(1.0))
        assert np.ptp(expected) > 1e-3
        for angle in (2.0, 3.0):
            found = energy(params, bonds(angle))
            testing.assert_close(found, expected, testing.F64_EXACT, "energies")


@pytest.mark.slow
def test_a_second_layer_sees_the_neighbors_of_neighbors():
    """In a chain of three the first atom learns how far the last is from the middle."""
    senders, receivers = (jnp.asarray(x, jnp.int32) for x in ([0, 1, 1, 2], [1, 0, 2, 1]))

    def chain(last):
        return jnp.asarray([[1.0, 0, 0], [-1.0, 0, 0], [last, 0, 0], [-last, 0, 0]])

    changes = []
    for num_layers in (1, 2):
        config = dataclasses.replace(SMALL, num_layers=num_layers)
        params, energy = initialise(config, chain(1.2), senders, receivers)
        changes.append(jnp.abs(energy(params, chain(1.4)) - energy(params, chain(1.2))))
    assert changes[0][0] == 0
    assert changes[1][0] > 1e-4
    assert min(changes[0][1], changes[0][2]) > 1e-4


def test_biases_of_the_filters_end_at_the_cutoff():
    with jax.enable_x64(True):
        params, energy = initialise(SMALL, bonds(1.0))
        alone = energy(params, 10.0 * bonds(1.0))
        np.testing.assert_array_equal(energy(params, 3.0 * bonds(1.0)), alone)
        near = np.abs(energy(params, 2.999 * bonds(1.0)) - alone).max()
        assert 0 < near < 1e-6


def test_dtype_follows_the_edge_vectors():
    vectors = jnp.asarray(bonds(1.0), jnp.float32)
    params, energy = initialise(SMALL, vectors)
    assert all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params))
    assert jax.eval_shape(energy, params, vectors).dtype == "float32"
