"""Tables of the elements."""

import numpy as np

from equipot.data import elements


def test_covalent_radii_are_those_of_cordero():
    found = elements.COVALENT_RADII[[1, 6, 7, 8, 14, 92, 96]]
    np.testing.assert_array_equal(found, [0.31, 0.76, 0.71, 0.66, 1.11, 1.96, 1.69])


def test_every_element_has_a_covalent_radius():
    assert elements.COVALENT_RADII.shape == (119,)
    assert np.all(elements.COVALENT_RADII[1:] >= 0.28)
