"""What is measured of many molecules at a time is what is measured of each."""

import dataclasses

import numpy as np
import pytest
from ase.data import chemical_symbols
from ase.formula import Formula

from equipot import errors
from equipot.data import audit, dataset, distance_range, fingerprint, molecules, structure


def random_molecules(seed=0, count=40, elements=(1, 6, 8, 18)):
    """Molecules of one to nine atoms, dense and sparse, with no two atoms at one place."""
    generator, made = np.random.default_rng(seed), []
    for index in range(count):
        size = int(generator.integers(1, 10))
        places = np.stack(np.unravel_index(generator.permutation(27)[:size], (3, 3, 3)), axis=1)
        spread = (1.5, 4.0, 9.0)[index % 3]
        made.append(
            structure.Structure(
                positions=spread * places + generator.uniform(-0.2, 0.2, (size, 3)),
                atomic_numbers=generator.choice(elements, size),
                energy=-10.0,
                energy_weight=1.0,
                forces=generator.normal(size=(size, 3)),
                forces_weight=1.0,
                source=f"m.xyz, frame {index}",
            )
        )
    return made


def alike(count=10):
    """Molecules of the same elements in the same order, as those of one trajectory."""
    generator = np.random.default_rng(1)
    first = next(s for s in random_molecules() if len(s.positions) > 5)
    shapes = generator.normal(scale=0.1, size=(count, *first.positions.shape))
    return [dataclasses.replace(first, positions=first.positions + s) for s in shapes]


def none(*_):
    return iter(())


def dataset_of(train):
    return dataset.Dataset(
        train=tuple(train),
        valid=tuple(train[:1]),
        test=(),
        isolated_atoms={},
        fingerprint="",
        found=(),
        length_unit_given=True,
    )


@pytest.mark.parametrize("made", [random_molecules(), alike()], ids=["all kinds", "alike"])
@pytest.mark.parametrize("radius", [3.0, 6.0])
def test_the_range_of_distances_is_that_of_the_molecules_one_by_one(made, radius, monkeypatch):
    together = distance_range.measure(made, radius)
    assert sum(len(block.indices) for block in molecules.blocks(made)) > 0.5 * len(made)
    monkeypatch.setattr(molecules, "blocks", none)
    assert together == distance_range.measure(made, radius)


@pytest.mark.parametrize("made", [random_molecules(), alike()], ids=["all kinds", "alike"])
def test_the_audit_measures_what_it_measures_one_by_one(made, monkeypatch):
    shortest, relative = audit._shortest_distances(dataset_of(made))
    monkeypatch.setattr(molecules, "blocks", none)
    expected, expected_relative = audit._shortest_distances(dataset_of(made))
    assert shortest == expected
    np.testing.assert_array_equal(np.sort(relative), np.sort(expected_relative))


def test_the_first_of_several_molecules_with_atoms_at_one_place_is_named():
    made = random_molecules()
    large = [i for i, s in enumerate(made) if len(s.positions) > 4]
    for index in (large[3], large[1]):
        positions = made[index].positions.copy()
        positions[1] = positions[3] + 1e-4
        made[index] = dataclasses.replace(made[index], positions=positions)
    with pytest.raises(errors.DataError, match=f"frame {large[1]} .*atoms 1 and 3 are at the same"):
        audit._shortest_distances(dataset_of(made))


def test_digests_of_many_are_those_of_each():
    made = [*random_molecules(), *alike()]
    made[3] = dataclasses.replace(made[3], cell=np.eye(3), pbc=np.array([True, False, False]))
    assert fingerprint.configurations(made) == [fingerprint.configuration(s) for s in made]


def test_formulas_are_those_of_ase():
    generator = np.random.default_rng(2)
    for index in range(50):
        numbers = generator.integers(1, 12 + index, generator.integers(1, 9))
        made = structure.Structure(positions=np.zeros((len(numbers), 3)), atomic_numbers=numbers)
        symbols = [chemical_symbols[z] for z in numbers]
        assert made.formula == Formula.from_list(symbols).format("hill")


def test_compositions_are_counted():
    made = random_molecules()
    counts = structure.compositions(made, (8, 1))
    expected = [[np.sum(s.atomic_numbers == z) for z in (8, 1)] for s in made]
    np.testing.assert_array_equal(counts, expected)
    assert structure.compositions([], (1, 8)).shape == (0, 2)
