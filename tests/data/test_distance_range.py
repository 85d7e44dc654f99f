import json
import time

import ase
import ase.build
import numpy as np
import pytest

from equipot import errors
from equipot.data import distance_range, readers, structure

RADIUS = 5.0


def _structure(atoms):
    return structure.Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.array(atoms.cell),
        pbc=np.array(atoms.pbc),
    )


def _pairs(atoms, radius=RADIUS):
    """All pairs of atoms that are not periodic, each once."""
    lengths = atoms.get_all_distances()
    i, j = np.nonzero(np.triu(lengths < radius, 1))
    return i, j, lengths[i, j]


@pytest.fixture(scope="module")
def water_range():
    frames = readers.read_structures("equipot://data/water/valid.extxyz.xz")[:20]
    return distance_range.measure(frames, RADIUS)


def _named(span, atoms):
    return span.violations(atoms.numbers, *_pairs(atoms))


def test_the_range_holds_the_shortest_pairs_and_the_farthest_nearest_atoms():
    wire = ase.Atoms("HF", [[0, 0, 0], [0.9, 0, 0]], cell=[2.5, 0, 0], pbc=(1, 0, 0))
    molecule = ase.Atoms("HFHe", [[0, 0, 0], [1.1, 0, 0], [0, 30, 0]])
    span = distance_range.measure([_structure(wire), _structure(molecule)], RADIUS)
    assert span.shortest == pytest.approx({(1, 1): 2.5, (1, 9): 0.9, (9, 9): 2.5})
    assert span.longest == pytest.approx({1: 1.1, 9: 1.1})
    assert span.isolated == {2: 1} and span.elements == (1, 2, 9)


def test_training_structures_lie_within_their_own_range(water_range):
    for item in readers.read_structures("equipot://data/water/valid.extxyz.xz")[:3]:
        atoms = ase.Atoms(item.atomic_numbers, item.positions, cell=item.cell, pbc=item.pbc)
        lengths = atoms.get_all_distances(mic=True)
        i, j = np.nonzero(~np.eye(len(atoms), dtype=bool) & (lengths < RADIUS))
        assert water_range.violations(atoms.numbers, i, j, lengths[i, j]) == []


def test_a_relaxed_molecule_of_water_lies_within_the_range_of_liquid_water(water_range):
    assert _named(water_range, ase.build.molecule("H2O")) == []


def test_a_stretched_bond_is_named_with_its_atom_and_the_range(water_range):
    atoms = ase.build.molecule("H2O")
    atoms.set_distance(0, 1, 1.3, fix=0)
    (found,) = _named(water_range, atoms)
    assert (found.kind, found.atoms, found.elements) == ("far", (1,), (1,))
    assert found.distance == pytest.approx(1.3) and 1.05 < found.bound < 1.2
    assert str(found) == (
        "atom 1 (H) has its nearest atom at 1.300 Å; every H of training has one, at most "
        f"{found.bound:.3f} Å away"
    )


def test_two_atoms_too_close_are_named_once_with_the_range(water_range):
    first, second = ase.build.molecule("H2O"), ase.build.molecule("H2O")
    second.positions[:, 2] *= -1
    second.translate([0, 0, first.positions[0, 2] + 1.5 - second.positions[0, 2]])
    i, j, lengths = _pairs(first + second)
    both = np.r_[i, j], np.r_[j, i], np.r_[lengths, lengths]
    found = water_range.violations((first + second).numbers, *both)
    named = {v.atoms: v for v in found}
    assert named[0, 3].kind == "close" and named[0, 3].distance == pytest.approx(1.5)
    assert str(named[0, 3]).startswith(
        "atom 0 (O) and atom 3 (O) are 1.500 Å apart; the shortest O-O distance in training is 2."
    )
    assert len(found) == len(named)


def test_an_atom_alone_is_named_unless_isolated_atoms_were_trained_on(water_range):
    (found,) = _named(water_range, ase.Atoms("O"))
    assert str(found) == (
        "atom 0 (O) has no other atom within 5.000 Å; every O of training has one"
    )
    trained = distance_range.measure(
        [_structure(ase.build.molecule("H2O"))], RADIUS, isolated_elements=[8]
    )
    assert _named(trained, ase.Atoms("O")) == []
    far = ase.Atoms("OH", positions=[[0, 0, 0], [0, 0, 3.0]])
    assert [v.kind for v in _named(trained, far)] == ["far", "far"]


def test_a_pair_never_seen_within_the_radius_is_too_close_at_any_distance():
    span = distance_range.measure(
        [_structure(ase.Atoms("He2", [[0, 0, 0], [2, 0, 0]])), _structure(ase.Atoms("Ne"))], RADIUS
    )
    close, far = _named(span, ase.Atoms("HeNe", [[0, 0, 0], [0, 0, 4.0]]))[:2]
    assert (close.kind, close.bound, far.kind, far.bound) == ("close", RADIUS, "far", 2.0)
    alone = _named(span, ase.Atoms("HeNe", [[0, 0, 0], [0, 0, 4.0]]))[2]
    assert (
        str(alone) == "atom 1 (Ne) has its nearest atom at 4.000 Å; every Ne of training was alone"
    )


def test_the_range_survives_json(water_range):
    text = json.dumps(water_range.to_mapping(), allow_nan=False)
    assert distance_range.DistanceRange.from_mapping(json.loads(text)) == water_range


@pytest.mark.parametrize(
    "change",
    [
        {"radius": None},
        {"shortest": {"8-1": 0.9}},
        {"shortest": {"1-8": float("nan")}},
        {"shortest": {"1-9": 0.9}},
        {"longest": [1.0]},
        {"isolated": {"1": -2}},
    ],
)
def test_a_damaged_range_is_refused(water_range, change):
    with pytest.raises(errors.DataError, match="range of distances"):
        distance_range.DistanceRange.from_mapping(water_range.to_mapping() | change)


def test_an_element_not_trained_on_is_refused(water_range):
    with pytest.raises(errors.UnknownElementError, match=r"He \(Z = 2\) is none of the elements"):
        _named(water_range, ase.Atoms("HeO", [[0, 0, 0], [2, 0, 0]]))


def test_looking_for_violations_takes_a_fraction_of_a_millisecond(water_range):
    item = readers.read_structures("equipot://data/water/valid.extxyz.xz")[0]
    atoms = ase.Atoms(item.atomic_numbers, item.positions, cell=item.cell, pbc=item.pbc)
    lengths = atoms.get_all_distances(mic=True)
    i, j = np.nonzero(np.triu(lengths < RADIUS, 1))
    i, j, lengths = np.tile(i, 8)[:5200], np.tile(j, 8)[:5200], np.tile(lengths[i, j], 8)[:5200]
    times = []
    for _ in range(20):
        start = time.process_time()
        water_range.violations(atoms.numbers, i, j, lengths)
        times.append(time.process_time() - start)
    assert min(times) < 3e-4
