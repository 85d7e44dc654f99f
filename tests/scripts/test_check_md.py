import numpy as np
import pytest
from ase import Atoms

from equipot import errors
from scripts.water import box, check_md


def test_a_box_of_water_has_its_density_and_no_close_contacts():
    for molecules in (32, 64):
        atoms = box.water_box(molecules, 0.997, seed=1)
        grams = atoms.get_masses().sum() / 6.02214e23
        assert grams / (atoms.get_volume() * 1e-24) == pytest.approx(0.997, rel=1e-3)
        distances = atoms.get_all_distances(mic=True)
        molecule = np.arange(3 * molecules) // 3
        assert distances[molecule[:, None] != molecule].min() > 1.2


def test_bonds_are_followed_across_the_boundary():
    atoms = box.water_box(32, 0.997, seed=0)
    atoms.positions += 5.0
    atoms.wrap()
    bonds = check_md.Bonds(atoms)
    bonds.look(0)
    assert bonds.longest == pytest.approx(np.hypot(0.76, 0.59))
    direction = atoms.get_distance(0, 1, mic=True, vector=True)
    atoms.positions[1] += direction * (0.6 / np.linalg.norm(direction))
    bonds.look(7)
    assert bonds.longest == pytest.approx(np.hypot(0.76, 0.59) + 0.6)
    assert bonds.step == 7


def test_what_is_not_water_is_refused():
    with pytest.raises(errors.DataError, match="expected a structure of water molecules"):
        check_md.Bonds(Atoms("OH", positions=[[0, 0, 0], [1, 0, 0]]))
