import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.graphs import geometry
from equipot.inference import device_neighbors
from equipot.store import neighbors
from tests.store.test_neighbors import SYSTEMS, periodic

CUTOFF = 2.9


def planned(positions, cell, pbc, capacity=None):
    if capacity is None:
        capacity = max(num_pairs(positions, cell, pbc) + 7, 8)
    return device_neighbors.plan([cell], [pbc], CUTOFF, capacity)


def num_pairs(*system):
    return len(neighbors.placed_list(*system, CUTOFF).senders)


def search(plan, positions, cell, pbc, dtype="float64"):
    return search_all(plan, [positions], [cell], [pbc], dtype)


def search_all(plan, positions, cells, pbcs, dtype="float64"):
    """Of systems side by side, each with padding up to the largest."""
    size = max(map(len, positions))
    padded = np.stack([np.pad(own, ((0, size - len(own)), (0, 0))) for own in positions])
    present = np.arange(size)[None] < np.array([len(own) for own in positions])[:, None]
    whole = [device_neighbors.complete(*own) for own in zip(cells, pbcs, strict=True)]
    with jax.enable_x64(dtype == "float64"):
        find = jax.jit(functools.partial(device_neighbors.search, plan))
        arrays = jnp.asarray(padded, dtype), jnp.asarray(np.stack(whole), dtype)
        return jax.device_get(find(*arrays, jnp.asarray(np.stack(pbcs)), jnp.asarray(present)))


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
    plan = planned(positions, cell, pbc)
    found = search(plan, positions, cell, pbc)
    count = int(found.num_pairs)
    assert not found.overflow and count <= plan.capacity
    pairs = found.senders[:count], found.receivers[:count], found.cell_shifts[:count]
    assert rows(*pairs) == expected(positions, cell, pbc)
    assert (found.senders[count:] == len(positions)).all()
    assert (found.receivers[count:] == len(positions)).all()
    assert (found.cell_shifts[count:] == (1, 0, 0)).all()


def test_many_blocks_of_rows_find_what_one_does(monkeypatch):
    positions, cell, flags = SYSTEMS["a box of many atoms"]
    pbc = periodic(flags)
    plan = planned(positions, cell, pbc)
    whole = search(plan, positions, cell, pbc)
    monkeypatch.setattr(device_neighbors, "_BLOCK", 7 * len(positions) * plan.num_images)
    parts = search(plan, positions, cell, pbc)
    for name in ("senders", "receivers", "cell_shifts", "num_pairs"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_in_single_precision_only_pairs_at_the_cutoff_may_differ():
    positions, cell, flags = SYSTEMS["atoms far outside the cell"]
    pbc = periodic(flags)
    borderline = positions[:1] + np.array([0, 0, CUTOFF + 1e-7])
    positions = np.concatenate([positions, borderline])
    plan = planned(positions, cell, pbc)
    found = search(plan, positions, cell, pbc, "float32")
    count = int(found.num_pairs)
    pairs = found.senders[:count], found.receivers[:count], found.cell_shifts[:count]
    differing = set(map(tuple, rows(*pairs))) ^ set(map(tuple, expected(positions, cell, pbc)))
    for sender, receiver, *shift in differing:
        vector = positions[receiver] - positions[sender] + np.array(shift) @ cell
        assert abs(np.linalg.norm(vector) - CUTOFF) < 1e-5


def test_vectors_of_the_pairs_are_within_the_cutoff_and_padding_is_left_alone():
    positions, cell, flags = SYSTEMS["a tilted slab"]
    pbc = periodic(flags)
    plan = planned(positions, cell, pbc)
    found = search(plan, positions, cell, pbc)
    padded = np.concatenate([positions, np.zeros((1, 3))])
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
    full = search(planned(positions, cell, pbc), positions, cell, pbc)
    count = int(full.num_pairs)
    for capacity, lacking in ((count, False), (count - 1, True)):
        plan = planned(positions, cell, pbc, capacity)
        found = search(plan, positions, cell, pbc)
        assert bool(found.overflow) == lacking and int(found.num_pairs) == count
    roomy = planned(positions, cell, pbc, 10_000)
    assert not search(roomy, positions, 1.01 * cell, pbc).overflow
    assert search(roomy, 0.5 * positions, 0.5 * cell, pbc).overflow


def test_systems_side_by_side_have_each_its_own_pairs():
    names = [name for name in SYSTEMS if 1 < len(SYSTEMS[name][0]) < 40]
    systems = [(SYSTEMS[n][0], SYSTEMS[n][1], periodic(SYSTEMS[n][2])) for n in names]
    positions, cells, pbcs = map(list, zip(*systems, strict=True))
    assert len({tuple(pbc) for pbc in pbcs}) > 2 and len(set(map(len, positions))) > 2
    capacity = sum(num_pairs(*system) for system in systems) + 7
    plan = device_neighbors.plan(cells, pbcs, CUTOFF, capacity)
    found = search_all(plan, positions, cells, pbcs)
    size, count = max(map(len, positions)), int(found.num_pairs)
    assert not found.overflow
    owner = found.senders[:count] // size
    assert (np.diff(owner) >= 0).all() and (owner == found.receivers[:count] // size).all()
    for k, system in enumerate(systems):
        own = np.flatnonzero(owner == k)
        ends = found.senders[own] - k * size, found.receivers[own] - k * size
        assert rows(*ends, found.cell_shifts[own]) == expected(*system), names[k]


@pytest.mark.parametrize("flags", ["TTT", "TFT", "FTF", "FFF"])
def test_a_completed_cell_spans_a_volume_and_keeps_its_periodic_vectors(flags):
    pbc = np.array([flag == "T" for flag in flags])
    cell = np.array([[3.0, 0.1, 0.0], [1.0, 4.0, 0.2], [0.5, -0.3, 5.0]])
    whole = device_neighbors.complete(np.where(pbc[:, None], cell, 0.0), pbc)
    np.testing.assert_array_equal(whole[pbc], cell[pbc])
    gram = whole @ whole.T
    np.testing.assert_allclose(gram[~pbc], np.eye(3)[~pbc], atol=1e-12)
