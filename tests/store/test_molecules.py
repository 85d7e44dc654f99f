"""Many molecules at a time give what each gives on its own, bit for bit."""

import dataclasses

import ase.build
import numpy as np
import pytest

from equipot import errors
from equipot.data import structure as structures_
from equipot.store import host_graph, molecules, neighbors

SPECIES = (1, 6, 7, 8)
ENERGIES = np.array([-13.6, -1029.0, -1480.0, -2041.0])


def clusters(seed=0, count=60):
    """Clusters of 2 to 40 atoms, some in a cell that is not periodic, none at one place."""
    generator, made = np.random.default_rng(seed), []
    for index in range(count):
        size = int(generator.integers(2, 41))
        places = np.stack(np.unravel_index(generator.permutation(64)[:size], (4, 4, 4)), axis=1)
        positions = 1.3 * places + generator.uniform(-0.3, 0.3, (size, 3)) + 1e3 * (index % 3)
        made.append(
            structures_.Structure(
                positions=positions,
                atomic_numbers=generator.choice(SPECIES, size),
                cell=np.eye(3) * (index % 2),
                energy=-1e4 * generator.random(),
                forces=generator.normal(size=(size, 3)),
                energy_weight=1.0,
                forces_weight=1.0,
                source=f"clusters.xyz, frame {index}",
            )
        )
    return made


@pytest.mark.parametrize("cutoff", [1.6, 2.5, 5.0])
def test_graphs_of_many_molecules_are_those_built_one_by_one(cutoff):
    made = clusters()
    together = host_graph.build_graphs(made, cutoff, SPECIES, ENERGIES, 1)
    for structure, graph in zip(made, together, strict=True):
        alone = host_graph.build_graph(structure, cutoff, SPECIES, ENERGIES)
        for name, value in vars(alone).items():
            own = vars(graph)[name]
            np.testing.assert_array_equal(own, value)
            assert getattr(own, "dtype", None) == getattr(value, "dtype", None)


def test_most_of_them_are_listed_together():
    lists = molecules.placed_lists(clusters(), 5.0)
    assert sum(own is not None for own in lists) > 50


@pytest.mark.parametrize(
    "change",
    [
        {"pbc": np.array([True, False, False]), "cell": 9.0 * np.eye(3)},
        {"positions": np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 20], [0, 0, 21]])},  # two pieces
        {"positions": np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 2.0005]])},
    ],
    ids=["periodic", "in pieces", "at one place"],
)
def test_what_has_to_be_searched_alone_is_left_out(change):
    square = structures_.Structure(
        positions=np.array([[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]),
        atomic_numbers=np.array([1, 1, 8, 8]),
    )
    first, second = molecules.placed_lists([square, dataclasses.replace(square, **change)], 5.0)
    assert first is not None and second is None


def test_pairs_exactly_at_the_cutoff_are_left_out_by_both():
    pair = structures_.Structure(
        positions=np.array([[0.0, 0, 0], [3.0, 4.0, 0], [1.5, 2.0, 0]]),
        atomic_numbers=np.array([1, 1, 8]),
    )
    (together,) = molecules.placed_lists([pair], 5.0)
    alone = neighbors.placed_list(pair.positions, pair.cell, pair.pbc, 5.0)
    assert len(together.senders) == len(alone.senders) == 2


def test_of_several_wrong_structures_the_first_is_named():
    atoms = ase.build.molecule("CH4")
    methane = structures_.Structure(
        positions=atoms.positions, atomic_numbers=atoms.numbers, source="a.xyz, frame 0"
    )
    flat = dataclasses.replace(methane, positions=np.zeros((5, 3)), source="a.xyz, frame 1")
    silane = dataclasses.replace(
        methane, atomic_numbers=np.array([14, 1, 1, 1, 1]), source="a.xyz, frame 2"
    )
    with pytest.raises(errors.DataError, match=r"frame 1 \(CH4\): atoms . and . are 0 Å apart"):
        host_graph.build_graphs([methane, flat, silane], 5.0, SPECIES, ENERGIES)
    with pytest.raises(errors.UnknownElementError, match=r"frame 2 \(H4Si\): holds Si"):
        host_graph.build_graphs([methane, silane, flat], 5.0, SPECIES, ENERGIES)
