import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.store import statistics


def test_species_table_lists_each_element_once_in_order(molecule_structures, water_structures):
    assert statistics.species_table(molecule_structures) == (1, 6, 8)
    assert statistics.species_table(water_structures) == (1, 8)


def test_average_counts_both_atoms_of_a_pair_over_all_atoms(molecules):
    edges = 2 * sum(len(g.senders) for g in molecules)
    atoms = sum(len(g.species) for g in molecules)
    assert statistics.average_num_neighbors(molecules) == pytest.approx(edges / atoms)


def test_average_of_lone_atoms_is_one(molecules):
    assert statistics.average_num_neighbors([molecules[5]]) == 1.0


def test_neighbors_of_a_dense_box_match_its_density(water, water_structures):
    density = 24 / abs(np.linalg.det(water_structures[0].cell))
    expected = density * 4 / 3 * np.pi * 3.5**3
    assert statistics.average_num_neighbors(water) == pytest.approx(expected, rel=0.15)


def test_elements_of_nothing_cannot_be_found():
    with pytest.raises(errors.DataError, match="expected at least one structure"):
        statistics.species_table([])


def test_levels_of_theory_are_those_of_the_structures_in_order(molecule_structures):
    named = [
        dataclasses.replace(molecule_structures[0], head=head) for head in ("xtb", "dft", "xtb")
    ]
    assert statistics.heads(named) == ("dft", "xtb")
    assert statistics.heads(molecule_structures) == ("default",)
