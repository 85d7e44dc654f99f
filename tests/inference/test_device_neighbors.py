import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.graphs import geometry
from equipot.inference import device_neighbors
from equipot.store import neighbors
from tests.store.test_neighbors import SYSTEMS, periodic

CUTOFF = 2.9


def search(plan, positions, cell, dtype="float64"):
    with jax.enable_x64(dtype == "float64"):
        find = jax.jit(functools.partial(device_neighbors.search, plan))
        return jax.device_get(find(jnp.asarray(positions, dtype), jnp.asarray(cell, dtype)))


def rows(senders, receivers, shifts):
    """Pairs in one order and one direction."""
    edges = np.column_stack(neighbors.both_ways(senders, receivers, shifts))
    return sorted(edges.tolist())


def expected(positions, cell, pbc, cutoff=CUTOFF):
    return sorted(np.column_stack(neighbors.neighbor_list(positions, cell, pbc, cutoff)).tolist())


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_search_on_a_device_finds_what_the_host_finds(name):
    positions, cell, flags = SYSTEMS[name]
    pbc = periodic(flags)
    plan = device_neighbors.plan(positions, cell, pbc, CUTOFF)
    found = search(plan, positions, cell)
    count = int(found.num_pairs)
    assert not found.overflow and count <= plan.capacity
    pairs = found.senders[:count], found.receivers[:count], found.cell_shifts[:count]
    assert rows(*pairs) == expected(positions, cell, pbc)
    assert (found.senders[count:] == len(positions)).all()
    assert (found.receivers[count:] == len(positions)).all()
    assert (found.cell_shifts[count:] == (1, 0, 0)).all()


def test_many_blocks_of_rows_find_what_one_does(monkeypatch):
    positions, cell, flags = SYSTEMS["a box of many atoms"]
    plan = device_neighbors.plan(positions, cell, periodic(flags), CUTOFF)
    whole = search(plan, positions, cell)
    monkeypatch.setattr(device_neighbors, "_BLOCK", 7 * len(positions) * plan.num_images)
    parts = search(plan, positions, cell)
    for name in ("senders", "receivers", "cell_shifts", "num_pairs"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_in_single_precision_only_pairs_at_the_cutoff_may_differ():
    positions, cell, flags = SYSTEMS["atoms far outside the cell"]
    pbc = periodic(flags)
    borderline = positions[:1] + np.array([0, 0, CUTOFF + 1e-7])
    positions = np.concatenate([positions, borderline])
    plan = device_neighbors.plan(positions, cell, pbc, CUTOFF)
    found = search(plan, positions, cell, "float32")
    count = int(found.num_pairs)
    pairs = found.senders[:count], found.receivers[:count], found.cell_shifts[:count]
    differing = set(map(tuple, rows(*pairs))) ^ set(map(tuple, expected(positions, cell, pbc)))
    for sender, receiver, *shift in differing:
        vector = positions[receiver] - positions[sender] + np.array(shift) @ cell
        assert abs(np.linalg.norm(vector) - CUTOFF) < 1e-5


def test_vectors_of_the_pairs_are_within_the_cutoff_and_padding_is_left_alone():
    positions, cell, flags = SYSTEMS["a tilted slab"]
    plan = device_neighbors.plan(positions, cell, periodic(flags), CUTOFF)
    padded = np.concatenate([positions, np.zeros((2, 3))])
    found = search(plan, padded, cell)
    count = int(found.num_pairs)
    with jax.enable_x64(True):
        vectors = geometry.edge_vectors(
            padded,
            cell[None],
            found.cell_shifts,
            found.senders,
            found.receivers,
            np.zeros(plan.capacity, np.int32),
        )
    lengths = np.linalg.norm(vectors, axis=1)[:count]
    assert count > 0 and lengths.max() < CUTOFF


def test_want_of_room_and_a_cell_that_shrinks_are_flagged():
    positions, cell, flags = SYSTEMS["a triclinic cell much smaller than the cutoff"]
    pbc = periodic(flags)
    full = search(device_neighbors.plan(positions, cell, pbc, CUTOFF), positions, cell)
    count = int(full.num_pairs)
    for capacity, lacking in ((count, False), (count - 1, True)):
        plan = device_neighbors.plan(positions, cell, pbc, CUTOFF, capacity)
        found = search(plan, positions, cell)
        assert bool(found.overflow) == lacking and int(found.num_pairs) == count
    roomy = device_neighbors.plan(positions, cell, pbc, CUTOFF, 10_000)
    assert not search(roomy, positions, 1.01 * cell).overflow
    assert search(roomy, 0.5 * positions, 0.5 * cell).overflow


def test_too_many_atoms_for_an_index_are_refused():
    with pytest.raises(errors.ConfigError, match="received 50000 atoms and 1 images"):
        device_neighbors.Plan(
            cutoff=3.0, pbc=(False,) * 3, reach=(0, 0, 0), num_atoms=50_000, capacity=8
        )
