import dataclasses

import ase.build
import numpy as np
import pytest

from equipot import errors
from equipot.data import structure as structures
from equipot.store import host_graph

SPECIES = (1, 6, 8)
ATOMIC_ENERGIES = np.array([-13.6, -1029.0, -2041.0])


def test_energy_is_the_label_minus_the_reference_energies(water_structures, build):
    structure = water_structures[0]
    expected = structure.energy - (16 * -13.6 + 8 * -2041.0)
    assert build(structure).labels["energy"].value == pytest.approx(expected, abs=1e-12)


def test_a_graph_holds_the_labels_of_its_structure_that_have_a_weight(water_structures, build):
    graph = build(dataclasses.replace(water_structures[0], energy=0.0, energy_weight=0.0))
    assert list(graph.labels) == ["forces", "stress"]
    assert graph.labels["forces"].weight == 2.0


def test_species_are_places_in_the_table(water_structures, build):
    structure = water_structures[0]
    species = build(structure).species
    np.testing.assert_array_equal(np.array(SPECIES)[species], structure.atomic_numbers)
    assert species.dtype == np.int32


def test_species_follow_a_table_in_any_order(water_structures):
    structure = water_structures[0]
    species = host_graph.species_of(structure, (8, 54, 1))
    np.testing.assert_array_equal(np.array([8, 54, 1])[species], structure.atomic_numbers)


def test_volume_and_stress_exist_only_where_all_directions_are_periodic(water_structures, build):
    bulk = build(water_structures[0])
    assert bulk.volume == pytest.approx(8 * 3.1 * 3.2 * 3.3) and bulk.labels["stress"].weight == 0.5
    slab = build(dataclasses.replace(water_structures[0], pbc=np.array([True, True, False])))
    assert slab.volume == 1.0 and "stress" not in slab.labels


def test_edges_survive_the_move_to_the_origin(water_structures, build):
    structure = water_structures[0]
    far = structure.positions + 1e4 * np.array([1.0, -2.0, 3.0])
    far[::3] += structure.cell[1] * 12
    graphs = [build(structure), build(dataclasses.replace(structure, positions=far))]
    lengths = []
    for graph in graphs:
        images = graph.cell_shifts.astype(float) @ graph.cell
        ends = graph.positions[graph.receivers] - graph.positions[graph.senders]
        lengths.append(np.sort(np.linalg.norm(ends + images, axis=1)))
        assert np.abs(graph.positions).max() < 7.0
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-9)


def test_shifts_too_large_for_one_byte_are_kept(build):
    chain = structures.Structure(
        positions=np.zeros((1, 3)),
        atomic_numbers=np.array([1]),
        cell=np.diag([0.02, 9.0, 9.0]),
        pbc=np.array([True, False, False]),
    )
    graph = build(chain)
    assert graph.cell_shifts.dtype == np.int32 and graph.cell_shifts[:, 0].max() == 174
    assert graph.num_edges == 174


def test_graphs_built_on_threads_are_those_built_one_by_one(water_structures, water):
    built = host_graph.build_graphs(water_structures, 3.5, SPECIES, ATOMIC_ENERGIES, 3)
    for one, other in zip(built, water, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name))


def test_unknown_element_is_named_with_its_place_and_the_known_ones():
    atoms = ase.build.molecule("SiH4")
    structure = structures.Structure(
        positions=atoms.positions, atomic_numbers=atoms.numbers, source="silane.xyz, frame 3"
    )
    message = r"silane.xyz, frame 3 \(H4Si\): holds Si \(Z = 14\), .* knows: H, C, O;"
    with pytest.raises(errors.UnknownElementError, match=message):
        host_graph.build_graph(structure, 3.5, SPECIES, ATOMIC_ENERGIES)


def test_two_atoms_at_one_place_are_named_with_the_file():
    structure = structures.Structure(
        positions=np.zeros((2, 3)), atomic_numbers=np.array([1, 1]), source="bad.xyz, frame 8"
    )
    message = r"bad.xyz, frame 8 \(H2\): atoms . and . are 0 Å apart"
    with pytest.raises(errors.DataError, match=message):
        host_graph.build_graph(structure, 3.5, SPECIES, ATOMIC_ENERGIES)


def test_the_first_wrong_structure_of_many_is_reported(water_structures):
    bad = [dataclasses.replace(s, pbc=s.pbc, cell=np.zeros((3, 3))) for s in water_structures[3:5]]
    with pytest.raises(errors.DataError, match=r"water.xyz, frame 3 .*span no volume"):
        host_graph.build_graphs([*water_structures[:3], *bad], 3.5, SPECIES, ATOMIC_ENERGIES)


def test_a_frame_without_atoms_is_refused():
    empty = structures.Structure(
        positions=np.zeros((0, 3)), atomic_numbers=np.zeros(0, int), source="x.xyz, frame 0"
    )
    with pytest.raises(errors.DataError, match=r"x.xyz, frame 0: holds no atoms"):
        host_graph.build_graph(empty, 3.5, SPECIES, ATOMIC_ENERGIES)
