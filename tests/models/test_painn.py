"""PaiNN's settings, and what its vectors tell apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors, testing
from equipot.models import painn

SMALL = painn.Config(
    cutoff=3.0, num_layers=1, num_channels=4, num_radial_basis=4, readout_widths=(4,)
)
NEAR, FAR = jnp.asarray([1, 2, 0, 0], jnp.int32), jnp.asarray([0, 0, 1, 2], jnp.int32)
SPECIES = jnp.zeros(3, jnp.int32)
QUICK = {"xla_backend_optimization_level": 0}


def bonds(angle):
    """Edges of two atoms at 1 Å from a third, whose bonds enclose an angle."""
    first, second = [1.0, 0.0, 0.0], [np.cos(angle), np.sin(angle), 0.0]
    return jnp.asarray([first, second, [-x for x in first], [-x for x in second]])


def initialise(vectors):
    """Parameters without zeros, and the energies of a graph."""
    model = painn.Model(config=SMALL, num_species=2, avg_num_neighbors=2.0)
    edges = SPECIES, NEAR, FAR
    params = jax.jit(model.init, compiler_options=QUICK)(jax.random.key(0), vectors, *edges)
    params = jax.tree.map(lambda x: x + 0.1, params)
    return params, lambda p, v: model.apply(p, v, *edges)


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
    """The atom in the middle sees it; its neighbours, out of each other's reach, do not."""
    with jax.enable_x64(True):
        params, energy = initialise(bonds(1.0))
        energy = jax.jit(energy, compiler_options=QUICK)
        expected = energy(params, bonds(1.0))
        change = np.abs(energy(params, bonds(2.0)) - expected)
        assert change[0] > 1e-6
        assert np.all(change[1:] < testing.F64_EXACT)
        for matrix in (testing.rotation_matrix(1), -np.eye(3)):
            found = energy(params, bonds(1.0) @ matrix.T)
            testing.assert_close(found, expected, testing.F64_EXACT, "energies")


def test_energy_has_no_kink_where_vectors_vanish_by_symmetry():
    """An atom midway between two alike: its energy is even, and smooth, in its displacement."""
    with jax.enable_x64(True):
        params, energy = initialise(bonds(np.pi))
        along = jnp.asarray([[1.0, 0.0, 0.0]] * 2 + [[-1.0, 0.0, 0.0]] * 2)

        def middle(displacement):
            return energy(params, bonds(np.pi) + displacement * along)[0]

        slope = jax.jit(jax.grad(middle), compiler_options=QUICK)
        none, small, large = (float(slope(x)) for x in (0.0, 1e-4, 1e-3))
        assert none == pytest.approx(0.0, abs=1e-12)
        assert abs(small) > 1e-8
        assert large / small == pytest.approx(10.0, rel=1e-3)


def test_dtype_follows_the_edge_vectors():
    vectors = jnp.asarray(bonds(1.0), jnp.float32)
    params, energy = initialise(vectors)
    assert all(leaf.dtype == "float32" for leaf in jax.tree.leaves(params))
    assert jax.eval_shape(energy, params, vectors).dtype == "float32"
