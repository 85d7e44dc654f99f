import numpy as np
import pytest
from ase.io.extxyz import key_val_str_to_dict

from equipot.data.formats import xyz_header


@pytest.mark.parametrize(
    "line",
    [
        'Lattice="1 2 3 4 5 6 7 8 9" pbc="T F T" energy=-1.5 name="a b" count=3 is_relaxed',
        "energy = -3.5 step = 7 forces_unit=eV/A",
        " i =        5, time =        2.500, E =       -17.1",
        'data="_JSON {\\"a\\": [1, 2]}" rows="_JSON [[1, 2], [3, 4]]" none="_JSON null"',
        'a={1 2 3} b=[4.5 6] c=\'T T\' d=x=y=z uid=123 q="say \\"it\\""',
        "Bob's water, step 4",
        "huge=99999999999999999999 small=1e-300 minus=-0.0",
    ],
)
def test_values_are_those_of_ase(line):
    found, expected = xyz_header.parse(line), key_val_str_to_dict(line)
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert np.array_equal(np.asarray(found[key]), np.asarray(value)), key
        assert type(found[key]) is type(value)


@pytest.mark.parametrize(
    "line", ["T= energy=-1", "T = energy = -1", "T= energy =-1", "T =energy =-1"]
)
def test_a_key_without_a_value_does_not_take_the_next_pair(line):
    with pytest.raises(ValueError, match="has 'T=' without a value before 'energy='"):
        xyz_header.parse(line)
