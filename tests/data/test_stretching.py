"""Stretched bonds: how far, which atoms move, and what keeps its place."""

import ase.build
import numpy as np
import pytest

from equipot import errors
from equipot.data import distances, readers, stretching
from equipot.data.stretching import Plan
from equipot.data.structure import Structure


def of_atoms(atoms, source="here, frame 0"):
    return Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=atoms.pbc,
        source=source,
    )


@pytest.fixture(scope="module")
def boxes():
    return readers.read_structures("equipot://data/water/valid.extxyz.xz")[:12]


@pytest.fixture(scope="module")
def made(boxes):
    return stretching.stretch(boxes, Plan(whole=8, molecules=16, neighbors=0, seed=3))


def bond_lengths(one):
    """Stated and measured length of each stretched bond."""
    for words in one.bonds:
        ends, stated = words.split()
        i, j = (int(end.lstrip("OH")) for end in ends.split("-"))
        vector = one.structure.positions[j] - one.structure.positions[i]
        cell = one.structure.cell
        if one.structure.pbc.any():
            vector -= np.round(vector @ np.linalg.inv(cell)) @ cell
        yield float(stated), float(np.linalg.norm(vector))


def test_bonds_have_the_lengths_that_are_stated_and_these_fill_the_range(made):
    found = np.array([pair for one in made for pair in bond_lengths(one)])
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=0.0051)
    lengths = found[:, 1]
    assert len(lengths) > 30
    assert 0.8 < lengths.min() < 1.0 and 2.2 < lengths.max() < 2.5 * 0.99
    assert np.histogram(lengths, [0.8, 1.2, 1.6, 2.0, 2.5])[0].min() >= 3


def test_only_hydrogens_move_and_each_molecule_is_stretched_once(boxes, made):
    sources = {item.source: item for item in boxes}
    for one in made[:8]:
        before = sources[one.source]
        moved = np.flatnonzero((one.structure.positions != before.positions).any(axis=1))
        assert len(moved) == len(one.bonds) == 3  # a tenth of 32 molecules
        assert set(before.atomic_numbers[moved]) == {1}
        assert len(set(moved // 3)) == 3


def test_single_molecules_are_whole_and_alone(made):
    for one in made[8:]:
        assert sorted(one.structure.atomic_numbers.tolist()) == [1, 1, 8]
        assert not one.structure.pbc.any() and len(one.bonds) == 1
        both = np.linalg.norm(one.structure.positions[1:] - one.structure.positions[0], axis=1)
        assert 0.8 < both.min() < 1.2 and both.max() < 2.5


def test_neighbors_come_along_where_they_were(boxes):
    sources = {item.source: item for item in boxes}
    made = stretching.stretch(boxes, Plan(whole=0, molecules=20, neighbors=4, seed=4))
    counts = [len(one.structure.atomic_numbers) // 3 for one in made]
    assert set(counts) == {1, 2, 3, 4, 5}
    for one in made:
        assert len(one.bonds) == 1 and not one.structure.pbc.any()
        stated, measured = next(bond_lengths(one))
        assert stated == pytest.approx(measured, abs=0.0051)
        # But for the pulled hydrogen all distances are those of the box, images included.
        pulled = int(one.bonds[0].split()[0].split("-")[1].lstrip("OH"))
        kept = np.delete(one.structure.positions, pulled, axis=0)
        found = np.linalg.norm(kept[:, None] - kept[None], axis=-1)
        before = sources[one.source]
        vectors = before.positions[:, None] - before.positions[None]
        vectors -= np.round(vectors @ np.linalg.inv(before.cell)) @ before.cell
        there = np.sort(np.linalg.norm(vectors, axis=-1).ravel())
        for value in found[found < 4.0]:
            place = np.searchsorted(there, value)
            assert abs(there[max(place - 1, 0) : place + 1] - value).min() < 1e-6


def test_no_atoms_come_nearer_than_in_the_dataset(boxes, made):
    def shortest(items):
        found = {}
        for item in items:
            for pair, value in distances.contacts(item).shortest.items():
                found[pair] = min(value, found.get(pair, np.inf))
        return found

    before, after = shortest(boxes), shortest([one.structure for one in made])
    assert all(after[pair] >= before[pair] - 1e-6 for pair in after)


def test_seeds_decide(boxes):
    plan = Plan(whole=2, molecules=3, seed=5)
    first, again = (stretching.stretch(boxes, plan) for _ in range(2))
    assert [one.bonds for one in first] == [one.bonds for one in again]
    other = stretching.stretch(boxes, Plan(whole=2, molecules=3, seed=6))
    assert [one.bonds for one in other] != [one.bonds for one in first]


def test_the_smaller_part_moves_as_it_is():
    ethanol = of_atoms(ase.build.molecule("CH3CH2OH"))
    made = stretching.stretch([ethanol], Plan(whole=60, molecules=0, seed=1))
    parts = set()
    for one in made:
        shift = one.structure.positions - ethanol.positions
        moved = np.flatnonzero(np.linalg.norm(shift, axis=1) > 1e-9)
        np.testing.assert_allclose(shift[moved], shift[moved][:1].repeat(len(moved), 0), atol=1e-12)
        assert 2 * len(moved) <= 9
        parts.add("".join(sorted("CHO"[(6, 1, 8).index(z)] for z in ethanol.atomic_numbers[moved])))
    assert {"H", "HO", "CHHH"} <= parts


@pytest.mark.parametrize(
    "atoms", [ase.build.bulk("Cu", cubic=True), ase.build.molecule("Be")], ids=["crystal", "atom"]
)
def test_what_has_no_bond_with_two_sides_is_one_sentence(atoms):
    with pytest.raises(errors.DataError, match="nothing to stretch"):
        stretching.stretch([of_atoms(atoms)], Plan())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"neighbors": -1}, "neighbors: expected a number of molecules, received -1"),
        ({"whole": 0, "molecules": 0}, "together at least 1, received 0 and 0"),
        ({"share": 0.0}, "share: expected a part of the molecules, up to 1, received 0"),
        ({"longest": 1.0}, "longest: expected a multiple of the bond length, above 1"),
    ],
)
def test_impossible_plans_are_refused(settings, sentence):
    with pytest.raises(errors.ConfigError, match=sentence):
        Plan(**settings)
