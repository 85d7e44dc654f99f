import dataclasses

import numpy as np
import pytest

from equipot.store import graph_store, host_graph, packing, statistics
from equipot.store.graph_store import GraphStore

SETTINGS = graph_store.Settings(
    cutoff=3.5, species_table=(1, 6, 8), atomic_energies=np.array([-13.6, -1029.0, -2041.0])
)


@pytest.fixture(scope="module")
def store(water_structures, molecule_structures):
    return GraphStore.build([*water_structures, *molecule_structures], SETTINGS)


def test_a_store_is_the_sequence_of_its_graphs(store, water_structures, water):
    assert len(store) == len(store.structures) == 17
    assert isinstance(store[3], host_graph.HostGraph)
    np.testing.assert_array_equal(store[3].senders, water[3].senders)
    assert store[3].labels["energy"] == water[3].labels["energy"]
    assert [graph.source for graph in store] == list(store.names)
    assert store.names[3] == water_structures[3].where
    assert store[2:4] == (store[2], store[3])


def test_what_is_asked_of_it_often_is_there(store):
    np.testing.assert_array_equal(store.sizes, packing.size_table(list(store)))
    assert store.avg_num_neighbors == statistics.average_num_neighbors(list(store))
    assert store.has_stress == (True,) * 7 + (False,) * 10
    with pytest.raises(ValueError, match="read-only"):
        store.sizes[0, 0] = 1


def test_stores_are_joined_without_building_again(store, water_structures):
    first = GraphStore.build(water_structures[:2], SETTINGS)
    joined = GraphStore.joined([first, store])
    assert len(joined) == 19 and joined[0] is first[0] and joined[2] is store[0]
    np.testing.assert_array_equal(joined.sizes, np.concatenate([first.sizes, store.sizes]))
    assert joined.structures[2] is store.structures[0]


def test_other_reference_energies_need_no_other_neighbors(store):
    others = dataclasses.replace(SETTINGS, atomic_energies=np.array([-1.0, -2.0, -3.0]))
    found, expected = store.relabelled(others), GraphStore.build(store.structures, others)
    assert found.settings is others
    for own, built, before in zip(found, expected, store, strict=True):
        assert own.senders is before.senders
        assert own.labels["energy"] == built.labels["energy"] != before.labels["energy"]
        assert own.labels.keys() == built.labels.keys()
    with pytest.raises(ValueError, match="expected graphs of cutoff 4"):
        store.relabelled(dataclasses.replace(SETTINGS, cutoff=4.0))


def test_graphs_of_other_settings_are_not_joined(store, water_structures):
    other = dataclasses.replace(SETTINGS, cutoff=3.0)
    with pytest.raises(ValueError, match=r"graphs of cutoff 3\.5, received those of 3\.0"):
        GraphStore.joined([store, GraphStore.build(water_structures[:1], other)])


def test_a_graph_is_needed_for_each_structure(store, water_structures):
    with pytest.raises(ValueError, match="one graph for each of 7 structures, received 1"):
        GraphStore(water_structures, store[:1], SETTINGS)
