import itertools
import time

import ase
import ase.build
import numpy as np
import pytest

from equipot import errors
from equipot.data import distances, structure


def _structure(atoms):
    return structure.Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.array(atoms.cell),
        pbc=np.array(atoms.pbc),
    )


def _brute_force(atoms, images=9):
    """Shortest distance of each pair of elements over all images."""
    reach = [range(-images, images + 1) if p else (0,) for p in atoms.pbc]
    found = {}
    for shift in itertools.product(*reach):
        vectors = atoms.positions[None] - atoms.positions[:, None] + shift @ np.array(atoms.cell)
        lengths = np.linalg.norm(vectors, axis=-1)
        for i, j in np.ndindex(lengths.shape):
            if i != j or any(shift):
                pair = tuple(sorted((atoms.numbers[i], atoms.numbers[j])))
                found[pair] = min(found.get(pair, np.inf), lengths[i, j])
    return found


def _systems():
    skewed = ase.Atoms("NaCl", cell=[[3.0, 0, 0], [2.4, 2.5, 0], [1.9, 1.2, 3.1]], pbc=True)
    skewed.positions[1] = [0.4, 7.0, -9.0]  # outside of the cell
    slab = ase.build.fcc111("Cu", (2, 2, 2), vacuum=None)
    slab.cell[2] = 0.0
    wire = ase.Atoms("CH", positions=[[0, 0, 0], [1.0, 0, 0.2]], cell=[2.2, 0, 0], pbc=(1, 0, 0))
    return {
        "one atom": ase.build.bulk("Cu"),
        "skewed": skewed,
        "slab without a third vector": slab,
        "wire": wire,
        "molecule": ase.build.molecule("CH3CH2OH"),
        "tilted": ase.Atoms(
            "NaCl",
            [[0, 0, 0], [1.0, 2.0, 0.5]],
            cell=[[4.0, 0, 0], [20.3, 3.5, 0], [3, 31, 4]],
            pbc=1,
        ),
        "tiny": ase.Atoms("HO", [[0, 0, 0], [0.1, 0.1, 0.1]], cell=[0.5, 0.6, 0.4], pbc=True),
        "left-handed": ase.Atoms("OH", [[0, 0, 0], [0, 0, 3.0]], cell=[-3.0, 3, 4], pbc=True),
    }


@pytest.mark.parametrize("name", _systems())
def test_shortest_distances_agree_with_brute_force(name):
    atoms = _systems()[name]
    found = distances.contacts(_structure(atoms))
    expected = _brute_force(atoms)
    for pair, value in found.shortest.items():
        assert value == pytest.approx(expected[pair], abs=1e-9)
    missing = set(expected) - set(found.shortest)
    assert all(expected[pair] > distances.RADII[0] for pair in missing)
    assert found.closest == pytest.approx(min(expected.values()), abs=1e-9)


def test_the_closest_atoms_are_named():
    atoms = ase.Atoms("OHO", positions=[[0, 0, 0], [0, 0, 2.0], [0, 0, 9.5]], cell=[10] * 3, pbc=1)
    found = distances.contacts(_structure(atoms))
    assert found.closest == pytest.approx(0.5) and sorted(found.atoms) == [0, 2]


def test_distant_atoms_are_found_with_a_larger_radius_and_a_lone_atom_has_none():
    far = distances.contacts(_structure(ase.Atoms("Ar2", positions=[[0, 0, 0], [0, 0, 6.5]])))
    assert far.shortest == {(18, 18): pytest.approx(6.5)}
    alone = distances.contacts(_structure(ase.Atoms("Ar")))
    assert alone.shortest == {} and alone.closest == np.inf


@pytest.mark.parametrize("tilt", [100.0, 300.0, 1e5])
def test_a_tilted_cell_takes_no_longer_than_a_compact_one(tilt):
    compact = ase.Atoms("NaCl", [[0, 0, 0], [1.0, 2.0, 0.5]], cell=[4.0, 3.5, 4.2], pbc=True)
    tilted = compact.copy()
    tilted.cell[1] += tilt * compact.cell[0]
    tilted.cell[2] -= np.round(0.7 * tilt) * compact.cell[1]
    start = time.process_time()
    found = distances.contacts(_structure(tilted))
    assert time.process_time() - start < 0.5
    assert found.shortest == pytest.approx(distances.contacts(_structure(compact)).shortest)


@pytest.mark.parametrize("length", [1e-9, 1e-4, 0.005])
@pytest.mark.parametrize("flags", [(1, 1, 1), (1, 1, 0), (1, 0, 0)])
def test_a_lattice_vector_of_almost_no_length_puts_an_atom_onto_its_own_image(length, flags):
    atoms = ase.Atoms("H2", [[0, 0, 0], [0, 0, 9.0]], cell=[length, 9.0, 20.0], pbc=flags)
    found = distances.contacts(_structure(atoms))
    assert found.closest == pytest.approx(length) and found.atoms == (0, 0)


def test_more_images_than_memory_holds_are_refused_before_they_are_made():
    atoms = ase.Atoms(
        "H50", np.linspace(0, 30, 150).reshape(50, 3), cell=[0.02, 0.02, 9], pbc=(1, 1, 0)
    )
    message = (
        r"about \d.\de\+06 periodic images of its atoms lie within 3.5 Å of the cell, expected"
    )
    with pytest.raises(errors.DataError, match=message):
        distances.contacts(_structure(atoms))
