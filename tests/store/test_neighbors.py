import itertools
import time

import numpy as np
import pytest

from equipot import errors
from equipot.store import neighbors, pair_search

RNG = np.random.default_rng(7)
FCC = 1.8 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
TRICLINIC = np.array([[1.9, 0, 0], [0.4, 1.9, 0], [-0.3, 0.5, 1.9]])
SKEWED = np.array([[3.0, 0, 0], [14.0, 3.0, 0], [-11.0, 13.0, 3.0]])
SLAB = np.array([[4.0, 0, 0], [1.0, 4.2, 0], [0, 0, 0]])
BOX = np.diag([6.0, 7.0, 8.0])
ABOVE = 1e5 * np.cross(SKEWED[1], SKEWED[2]) / 27.0
CLUSTER = 5 * RNG.random((5, 3))


def _apart(x, y, z):
    """Two clusters at a distance."""
    return np.concatenate([CLUSTER, CLUSTER + np.array([x, y, z])])


SYSTEMS = {
    "one atom in a primitive cell": (np.zeros((1, 3)), FCC, "TTT"),
    "a triclinic cell much smaller than the cutoff": (RNG.random((2, 3)), TRICLINIC, "TTT"),
    "atoms far outside the cell": (60 * RNG.random((6, 3)) - 30, BOX, "TTT"),
    "a slab": (RNG.random((8, 3)) @ BOX, BOX, "TTF"),
    "a wire across the second axis": (RNG.random((8, 3)) @ BOX, BOX, "FTF"),
    "a molecule without a cell": (4 * RNG.random((9, 3)), np.zeros((3, 3)), "FFF"),
    "a molecule in a cell that is not periodic": (4 * RNG.random((9, 3)), BOX / 3, "FFF"),
    "a slab with a zero vector": (4 * RNG.random((5, 3)), SLAB, "TTF"),
    "a left-handed cell": (RNG.random((6, 3)) @ BOX, BOX[[1, 0, 2]], "TTT"),
    "a tilted slab": (RNG.random((3, 3)) @ SKEWED, SKEWED, "TTF"),
    "a tilted wall": (RNG.random((3, 3)) @ SKEWED, SKEWED, "FTT"),
    "a long row beside a zero one": (RNG.random((3, 3)), np.diag([0.0, 1e9, 0.0]), "FFF"),
    "two clusters far apart": (_apart(0, 1e6, 0), np.zeros((3, 3)), "FFF"),
    "clusters far from a wire": (_apart(0, 1e4, -1e5), BOX, "TFF"),
    "clusters far above a slab": (_apart(3, 0, 1e5), SLAB, "TTF"),
    "clusters far above a tilted wall": (_apart(*ABOVE), SKEWED, "FTT"),
    "a long thin cell": (_apart(0, 0, 1e5), np.diag([6.0, 6.0, 1e6]), "TTT"),
    "a very skewed cell": (RNG.random((4, 3)) @ SKEWED, SKEWED, "TTT"),
    "a flat cell": (RNG.random((5, 3)) @ np.diag([9, 9, 1.4]), np.diag([9, 9, 1.4]), "TTT"),
    "a box of many atoms": (13 * RNG.random((150, 3)), 13 * np.eye(3), "TTT"),
}


def periodic(flags: str) -> np.ndarray:
    return np.array([flag == "T" for flag in flags])


def brute_force(positions, cell, pbc, cutoff):
    """Every pair and every lattice shift that could possibly count, one shift at a time."""
    lattice = cell[pbc]
    inverse = np.linalg.pinv(lattice)
    spread = np.ptp(positions @ inverse, axis=0)
    reach = np.ceil(cutoff * np.linalg.norm(inverse, axis=0) + spread).astype(int) + 1
    edges = []
    for shift in itertools.product(*(range(-r, r + 1) for r in reach)):
        vectors = positions[None] - positions[:, None] + np.array(shift, float) @ lattice
        lengths = np.linalg.norm(vectors, axis=-1)
        found = lengths < cutoff
        if not any(shift):
            np.fill_diagonal(found, False)
        full = np.zeros(3, int)
        full[pbc] = shift
        edges += [(receiver, sender, *full) for sender, receiver in np.argwhere(found)]
    return np.array(sorted(edges), int).reshape(-1, 5)


@pytest.mark.parametrize("cutoff", [2.9, 4.7])
@pytest.mark.parametrize("name", SYSTEMS)
def test_list_equals_brute_force_and_is_sorted(name, cutoff):
    positions, cell, flags = SYSTEMS[name]
    pbc = periodic(flags)
    senders, receivers, shifts = neighbors.neighbor_list(positions, cell, pbc, cutoff)
    found = np.column_stack([receivers, senders, shifts]).tolist()
    assert sorted(found) == brute_force(positions, cell, pbc, cutoff).tolist()
    assert found[::2] == sorted(found[::2])
    assert senders.dtype == receivers.dtype == shifts.dtype == np.int32


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_edge_is_followed_by_its_mirror_image(name):
    positions, cell, flags = SYSTEMS[name]
    edges = neighbors.neighbor_list(positions, cell, periodic(flags), 4.0)
    senders, receivers, shifts = edges
    assert len(senders) > 0 and (receivers[::2] <= senders[::2]).all()
    np.testing.assert_array_equal(senders[1::2], receivers[::2])
    np.testing.assert_array_equal(receivers[1::2], senders[::2])
    np.testing.assert_array_equal(shifts[1::2], -shifts[::2])


def test_lists_of_many_atoms_do_not_depend_on_threads():
    positions = 28 * RNG.random((pair_search.THREADED_FROM, 3))
    cell, pbc = 28 * np.eye(3), periodic("TTT")
    first = neighbors.neighbor_list(positions, cell, pbc, 4.0)
    second = neighbors.neighbor_list(positions, cell, pbc, 4.0)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (np.diff(first[1][::2]) >= 0).all()


def test_fcc_atom_has_twelve_neighbors_at_half_the_face_diagonal():
    senders, _, shifts = neighbors.neighbor_list(np.zeros((1, 3)), FCC, periodic("TTT"), 3.0)
    assert len(senders) == 12
    np.testing.assert_allclose(np.linalg.norm(shifts @ FCC, axis=1), 1.8 * np.sqrt(2))


def test_isolated_atom_has_no_edges():
    senders, receivers, shifts = neighbors.neighbor_list(
        np.ones((1, 3)), np.zeros((3, 3)), periodic("FFF"), 5.0
    )
    assert senders.shape == receivers.shape == (0,) and shifts.shape == (0, 3)
    assert shifts.dtype == np.int32


@pytest.mark.parametrize("name", SYSTEMS)
def test_placed_atoms_have_each_pair_once_and_lie_around_the_origin(name):
    positions, cell, flags = SYSTEMS[name]
    pbc = periodic(flags)
    placed = neighbors.placed_list(positions, cell, pbc, 4.0)
    moved = (positions - placed.offsets).astype(np.float32)
    assert len(placed.senders) * 2 == len(neighbors.neighbor_list(positions, cell, pbc, 4.0)[0])
    pairs = placed.senders, placed.receivers, placed.cell_shifts
    senders, receivers, shifts = neighbors.both_ways(*pairs)
    vectors = moved[receivers] - moved[senders]
    vectors += shifts.astype(np.float32) @ placed.cell.astype(np.float32)
    edges = neighbors.neighbor_list(positions, cell, pbc, 4.0)
    expected = positions[edges[1]] - positions[edges[0]] + edges[2] @ cell
    found = np.column_stack([receivers, senders, vectors])
    wanted = np.column_stack([edges[1], edges[0], expected])
    assert found.shape == wanted.shape
    orders = [np.lexsort(rows.round(2).T[::-1]) for rows in (found, wanted)]
    np.testing.assert_allclose(found[orders[0]], wanted[orders[1]], atol=2e-5)
    assert np.abs(moved).max() < 40.0


def test_a_tilt_of_any_size_costs_nothing_and_loses_no_pair():
    positions, compact, pbc = RNG.random((6, 3)) * 4, np.diag([4.0, 4.5, 5.0]), periodic("TTT")
    expected = neighbors.neighbor_list(positions, compact, pbc, 4.0)
    lengths = np.linalg.norm(
        positions[expected[1]] - positions[expected[0]] + expected[2] @ compact, axis=1
    )
    for tilt in (100, 300, 500):
        cell = np.array([[1, 0, 0], [tilt, 1, 0], [-3 * tilt, 1 - tilt, 1]]) @ compact
        start = time.perf_counter()
        senders, receivers, shifts = neighbors.neighbor_list(positions, cell, pbc, 4.0)
        assert time.perf_counter() - start < 0.2
        found = np.linalg.norm(positions[receivers] - positions[senders] + shifts @ cell, axis=1)
        np.testing.assert_allclose(np.sort(found), np.sort(lengths), atol=1e-4)


def test_a_tree_and_a_cell_list_find_the_same_pairs(monkeypatch):
    for positions, cell, flags in SYSTEMS.values():
        if np.abs(positions).max() < 1e3:
            plain = neighbors.neighbor_list(positions, cell, periodic(flags), 3.3)
            with monkeypatch.context() as patch:
                patch.setattr(pair_search, "_EMPTY_BINS", 0.0)
                patch.setattr(pair_search, "_MAX_BINS", 0.0)
                tree = neighbors.neighbor_list(positions, cell, periodic(flags), 3.3)
            for one, other in zip(plain, tree, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.array([[0.0, 0, 0], [6.0, 0, 0]])}, "atoms 0 and 1 are .* apart"),
        ({"positions": np.array([[0.0, 0, 0], [np.nan, 0, 0]])}, r"position of atom 1 is \[nan"),
        ({"cell": np.diag([6.0, np.inf, 6.0])}, "expected finite numbers"),
        ({"cell": np.diag([6.0, 6.0, 0.0])}, "span no volume; give the cell, or turn periodicity"),
        ({"cell": np.array([[6.0, 0, 0], [6.0, 0, 0], [0, 0, 6.0]])}, "span no volume"),
        ({"cutoff": 0.0}, "cutoff must be a positive length"),
        ({"cell": np.diag([6.0, 6.0, 1e-9])}, "a lattice vector puts atom 0 1e-09 Å from its own"),
        (
            {"cell": np.diag([6.0, 2e-3, 2e-3])},
            r"about 2.2e\+07 neighbors of each atom lie with",
        ),
        (
            {"positions": np.random.default_rng(0).random((30_000, 3)), "pbc": periodic("FFF")},
            r"about 1.\de\+04 neighbors of each atom lie within the cutoff of 4 Å",
        ),
        (
            {"positions": np.array([[0.0, 0, 0], [3e11, 1.0, 0]]), "cell": np.diag([6.0, 9, 9])},
            "neighbors are more than 2 billion cells apart",
        ),
    ],
)
def test_input_without_a_neighbor_list_is_refused(change, message):
    arguments = {
        "positions": np.array([[0.0, 0, 0], [2.0, 0, 0]]),
        "cell": 6 * np.eye(3),
        "pbc": periodic("TTT"),
        "cutoff": 4.0,
    }
    with pytest.raises(errors.DataError, match=message):
        neighbors.neighbor_list(**(arguments | change))
