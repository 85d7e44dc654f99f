"""Where the mean binding energy acts: nowhere on an atom alone, in full on a bound one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.data import covalent_radii

from equipot import testing
from equipot.potential import binding

CUTOFF = 5.0
BOND = covalent_radii[1] + covalent_radii[8]  # O–H, 0.97 Å


def switched(switch, *distances):
    """S of an oxygen with hydrogens at some distances, and of these."""
    with jax.enable_x64(True):
        count = len(distances)
        out = jnp.asarray([[0.0, 0.0, d] for d in distances]).reshape(count, 3)
        oxygen, hydrogens = jnp.zeros(count, jnp.int32), jnp.arange(1, count + 1, dtype=jnp.int32)
        species = jnp.asarray([1] + [0] * count, jnp.int32)
        return np.asarray(switch(out, species, hydrogens, oxygen))


BONDS = binding.by_bonds(binding.bond_radii((1, 8)), CUTOFF)


@pytest.mark.parametrize("switch", [BONDS, binding.by_neighbors(CUTOFF)])
def test_an_atom_alone_is_not_bound(switch):
    assert switched(switch).tolist() == [0.0]
    assert switched(switch, CUTOFF).tolist() == [0.0, 0.0]


def test_one_whole_bond_saturates_the_switch_exactly():
    np.testing.assert_array_equal(switched(BONDS, 1.25 * BOND - 1e-9), [1.0, 1.0])
    np.testing.assert_array_equal(switched(BONDS, 0.96, 0.96, 3.0), [1.0, 1.0, 1.0, 0.0])


def test_a_bond_that_is_broken_binds_nothing():
    np.testing.assert_array_equal(switched(BONDS, 1.875 * BOND + 1e-9), [0.0, 0.0])


def test_half_way_the_switch_has_the_value_of_its_equation():
    step = lambda x: x**3 * (10 - 15 * x + 6 * x**2)  # noqa: E731
    found = switched(BONDS, 1.5 * BOND)  # three fifths of the way to broken are left
    np.testing.assert_allclose(found, step(step(0.6)), rtol=1e-12)


def test_slope_and_curvature_vanish_where_a_bond_is_whole_and_where_it_is_gone():
    for distance in (1.25 * BOND, 1.875 * BOND):
        inside, at, outside = (switched(BONDS, distance + h)[0] for h in (-1e-4, 0.0, 1e-4))
        assert abs(outside - inside) < 1e-10
        assert abs(outside - 2 * at + inside) < 1e-10


def test_a_short_cutoff_ends_the_bond_at_the_cutoff():
    short = binding.by_bonds(binding.bond_radii((1, 8)), 1.5)
    assert switched(short, 1.5).tolist() == [0.0, 0.0]
    assert switched(short, 1.0 - 1e-9).tolist() == [1.0, 1.0]


def test_two_atoms_far_apart_exert_no_force_through_bonds_but_do_through_neighbors():
    def forces(switch):
        return (switched(switch, 3.5 + 1e-5) - switched(switch, 3.5 - 1e-5)) / 2e-5

    testing.assert_close(forces(BONDS), np.zeros(2), 0.0, "bonds")
    assert np.abs(forces(binding.by_neighbors(CUTOFF))).min() > 0.1


def test_the_word_for_what_a_potential_does_is_the_one_of_the_configuration():
    assert binding.name(False, None) == "constant"
    assert binding.name(True, None) == "neighbors"
    assert binding.name(True, (0.31, 0.66)) == "bonds"
