"""PaiNN's settings, and what its vectors tell apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.models import painn
from tests.models import molecules
from tests.models.molecules import ALIKE, FAR, NEAR, bonds, context, quick_jit

SMALL = painn.Config(
    cutoff=3.0, num_layers=1, num_channels=4, num_radial_basis=4, readout_widths=(4,)
)


def initialise(vectors):
    """Parameters without zeros, and the energies of a graph."""
    model = painn.Model(config=SMALL, context=context())
    edges = ALIKE, NEAR, FAR
    params = quick_jit(model.init)(jax.random.key(0), vectors, *edges)
    params = jax.tree.map(lambda x: x + 0.1, params)
    return params, lambda p, v: model.apply(p, v, *edges).energies[:, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_channels": 0}, r"model\.num_channels: expected at least 1, received 0"),
        ({"polynomial_cutoff": 1}, r"model\.polynomial_cutoff: expected at least 2, received 1"),
        ({"cutoff": 0.0}, r"model\.cutoff: expected a positive length, received 0"),
    ],
)
def test_wrong_setting_is_explained(wrong, message):
    with pytest.raises(errors.ConfigError, match=message):
        painn.Config(**wrong)


def test_one_layer_sees_the_angle_between_bonds_but_not_how_they_are_turned():
    """The atom in the middle sees it; its neighbors, out of each other's reach, do not."""
    with jax.enable_x64(True):
        params, energy = initialise(bonds(1.0))
        energy = quick_jit(energy)
        expected = energy(params, bonds(1.0))
        change = np.abs(energy(params, bonds(2.0)) - expected)
        assert change[0] > 1e-6
        assert np.all(change[1:] < testing.F64_EXACT)
        molecules.assert_energies_survive_rotation_and_inversion(
            lambda v: energy(params, v), bonds(1.0)
        )


def test_energy_has_no_kink_where_vectors_vanish_by_symmetry():
    """An atom midway between two alike: its energy is even, and smooth, in its displacement."""
    with jax.enable_x64(True):
        params, energy = initialise(bonds(np.pi))
        along = jnp.asarray([[1.0, 0.0, 0.0]] * 2 + [[-1.0, 0.0, 0.0]] * 2)

        def middle(displacement):
            return energy(params, bonds(np.pi) + displacement * along)[0]

        slope = quick_jit(jax.grad(middle))
        none, small, large = (float(slope(x)) for x in (0.0, 1e-4, 1e-3))
        assert none == pytest.approx(0.0, abs=1e-12)
        assert abs(small) > 1e-8
        assert large / small == pytest.approx(10.0, rel=1e-3)


@pytest.mark.wide
def test_dtype_follows_the_edge_vectors():
    vectors = jnp.asarray(bonds(1.0), jnp.float32)
    params, energy = initialise(vectors)
    assert all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params))
    assert jax.eval_shape(energy, params, vectors).dtype == "float32"
