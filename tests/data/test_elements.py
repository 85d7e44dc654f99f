"""Tables of the elements."""

import numpy as np
import pytest
from ase.data import atomic_numbers

from equipot.data import elements

EVERY = tuple(range(1, 119))


def test_covalent_radii_are_those_of_cordero():
    found = elements.COVALENT_RADII[[1, 6, 7, 8, 14, 92, 96]]
    np.testing.assert_array_equal(found, [0.31, 0.76, 0.71, 0.66, 1.11, 1.96, 1.69])


def test_every_element_has_a_covalent_radius():
    assert elements.COVALENT_RADII.shape == (119,)
    assert np.all(elements.COVALENT_RADII[1:] >= 0.28)


@pytest.mark.parametrize(
    "element, near, far",
    [
        ("Fe", "Co", "O"),
        ("O", "S", "Na"),
        ("Na", "K", "Ne"),
        ("Zr", "Hf", "Ce"),
        ("Ce", "Pr", "Hf"),
        ("La", "Lu", "Ba"),
        ("He", "Ne", "H"),
        ("H", "Li", "F"),
    ],
)
def test_elements_are_like_their_neighbors_in_the_periodic_table(element, near, far):
    table = elements.similarity(EVERY)
    row = table[atomic_numbers[element] - 1]
    assert row[atomic_numbers[near] - 1] > row[atomic_numbers[far] - 1]


def test_similarity_is_that_of_a_distribution():
    table = elements.similarity(EVERY)
    np.testing.assert_array_equal(np.diag(table), 1)
    np.testing.assert_array_equal(table, table.T)
    assert np.linalg.eigvalsh(table)[0] > 0.05
    assert np.all(table - np.eye(118) < 0.9)
    part = elements.similarity([8, 16, 26])
    np.testing.assert_allclose(part, table[np.ix_([7, 15, 25], [7, 15, 25])])
