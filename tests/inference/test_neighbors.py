import numpy as np
import pytest

from equipot import errors
from equipot.inference import neighbors

CUTOFF, SKIN = 3.0, 0.6
CELL = np.array([[7.0, 0.0, 0.0], [1.5, 6.5, 0.0], [-1.0, 0.5, 7.2]])


def edge_set(pairs, cell):
    """Senders, receivers and vectors, in one order."""
    vectors = pairs.positions[pairs.receivers] - pairs.positions[pairs.senders]
    vectors = vectors + pairs.cell_shifts @ cell
    rows = np.column_stack([pairs.receivers, pairs.senders, vectors.round(6) + 0.0])
    return rows[np.lexsort(rows.T[::-1])]


def scattered(seed=0):
    """Atoms on a disturbed grid, strewn over several cells."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3) / 3
    fractions = grid + 0.06 * rng.uniform(-1, 1, grid.shape) + rng.integers(-3, 4, grid.shape)
    return fractions @ CELL


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 0, 1), (0, 0, 0)])
def test_a_walk_gives_the_same_pairs_as_a_search_at_every_step(pbc):
    rng = np.random.default_rng(1)
    pbc = np.array(pbc, bool)
    cache = neighbors.NeighborCache(CUTOFF, SKIN)
    positions = scattered()
    for _ in range(40):
        positions = positions + 0.02 * rng.normal(size=positions.shape)
        fresh = neighbors.NeighborCache(CUTOFF, 0.0).find(positions, CELL, pbc)
        np.testing.assert_allclose(
            edge_set(cache.find(positions, CELL, pbc), CELL), edge_set(fresh, CELL), atol=1e-5
        )
    assert 1 < cache.n_searches < 20


def test_each_pair_within_the_cutoff_is_there_once():
    pairs = neighbors.NeighborCache(CUTOFF, SKIN).find(scattered(), CELL, np.ones(3, bool))
    rows = edge_set(pairs, CELL)
    assert np.linalg.norm(rows[:, 2:], axis=1).max() < CUTOFF
    back = np.column_stack([rows[:, 1], rows[:, 0], -rows[:, 2:] + 0.0])
    assert len(np.unique(np.concatenate([rows, back]), axis=0)) == 2 * len(rows) > 0


def test_pairs_within_a_shorter_radius_are_those_with_that_distance():
    cache = neighbors.NeighborCache(CUTOFF, SKIN)
    cache.find(scattered(), CELL, np.ones(3, bool))
    moved = scattered() + 0.02 * np.random.default_rng(2).normal(size=(27, 3))
    pairs = cache.find(moved, CELL, np.ones(3, bool))
    vectors = pairs.positions[pairs.receivers] - pairs.positions[pairs.senders]
    lengths = np.linalg.norm(vectors + pairs.cell_shifts @ pairs.cell, axis=1)
    for radius in (2.4, CUTOFF):
        near = lengths <= radius
        senders, receivers, found = pairs.within(radius)
        np.testing.assert_array_equal(senders, pairs.senders[near])
        np.testing.assert_array_equal(receivers, pairs.receivers[near])
        np.testing.assert_allclose(found, lengths[near], rtol=1e-12)


def test_the_list_is_kept_until_an_atom_moves_by_half_the_skin():
    cache = neighbors.NeighborCache(CUTOFF, SKIN)
    positions, pbc = scattered(), np.ones(3, bool)
    cache.find(positions, CELL, pbc)
    for shift, searches in ((0.29, 1), (0.31, 2)):
        moved = positions.copy()
        moved[5, 0] += shift
        cache.find(moved, CELL, pbc)
        assert cache.n_searches == searches


@pytest.mark.parametrize("change", ["cell", "pbc", "number"])
def test_another_system_is_searched_anew(change):
    cache = neighbors.NeighborCache(CUTOFF, SKIN)
    positions, cell, pbc = scattered(), CELL, np.ones(3, bool)
    cache.find(positions, cell, pbc)
    if change == "cell":
        cell = CELL * 1.001
    if change == "pbc":
        pbc = np.array([True, True, False])
    if change == "number":
        positions = positions[:-1]
    found = cache.find(positions, cell, pbc)
    assert cache.n_searches == 2
    fresh = neighbors.NeighborCache(CUTOFF, 0.0).find(positions, cell, pbc)
    np.testing.assert_allclose(edge_set(found, cell), edge_set(fresh, cell), atol=1e-5)


def test_positions_are_brought_to_the_origin():
    far = scattered() + 1e5 * CELL.sum(axis=0)
    pairs = neighbors.NeighborCache(CUTOFF, SKIN).find(far, CELL, np.ones(3, bool))
    assert np.abs(pairs.positions).max() < 10
    molecule = np.array([[1e4, 0, 0], [1e4 + 1, 0, 0]])
    pairs = neighbors.NeighborCache(CUTOFF, SKIN).find(
        molecule, np.zeros((3, 3)), np.zeros(3, bool)
    )
    assert np.abs(pairs.positions).max() < 1


def test_atoms_that_meet_between_searches_are_named():
    cache = neighbors.NeighborCache(CUTOFF, 4.0)
    positions = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 1.5, 0]])
    cache.find(positions, np.zeros((3, 3)), np.zeros(3, bool))
    positions[1, 0] = 1e-5
    with pytest.raises(errors.DataError, match="atoms 1 and 0 are at the same place"):
        cache.find(positions, np.zeros((3, 3)), np.zeros(3, bool))
    assert cache.n_searches == 1


def test_a_negative_skin_is_refused():
    with pytest.raises(errors.ConfigError, match="skin: expected a length in Å, at least 0"):
        neighbors.NeighborCache(CUTOFF, -0.1)


def _images(count):
    """Structures a little apart from each other, farther than the skin of a list allows."""
    step = np.zeros((27, 3))
    step[0, 0] = SKIN
    return [scattered() + i * step for i in range(count)]


def test_structures_that_take_turns_are_searched_once_each():
    cache, pbc = neighbors.NeighborCache(CUTOFF, SKIN), np.ones(3, bool)
    for turn in range(3):
        for positions in _images(5):
            moved = positions + 0.02 * turn
            fresh = neighbors.NeighborCache(CUTOFF, 0.0).find(moved, CELL, pbc)
            found = cache.find(moved, CELL, pbc)
            np.testing.assert_allclose(edge_set(found, CELL), edge_set(fresh, CELL), atol=1e-5)
    assert cache.n_searches == 5


def test_lists_that_were_not_used_for_longest_are_forgotten(monkeypatch):
    pbc, images = np.ones(3, bool), _images(4)
    one = neighbors.NeighborCache(CUTOFF, SKIN)
    one.find(images[0], CELL, pbc)
    for limit, value in (("MOST_STRUCTURES", 3), ("MOST_PAIRS", int(3.5 * one.num_pairs))):
        with monkeypatch.context() as patched:
            patched.setattr(neighbors, limit, value)
            cache = neighbors.NeighborCache(CUTOFF, SKIN)
            for turn in (0, 1, 2, 0, 3, 0, 2):  # 3 puts 1 out
                cache.find(images[turn], CELL, pbc)
            assert cache.n_searches == 4
            cache.find(images[1], CELL, pbc)
            assert cache.n_searches == 5


def test_one_structure_is_kept_however_many_pairs_it_has(monkeypatch):
    monkeypatch.setattr(neighbors, "MOST_PAIRS", 1)
    cache, pbc = neighbors.NeighborCache(CUTOFF, SKIN), np.ones(3, bool)
    for _ in range(2):
        cache.find(scattered(), CELL, pbc)
    assert cache.n_searches == 1


@pytest.mark.parametrize("pbc", [(1, 1, 1), (0, 1, 0)])
def test_one_search_gives_each_cutoff_its_own_pairs(pbc):
    pbc, further = np.array(pbc, bool), (4.5, 2.0)
    cache = neighbors.NeighborCache(CUTOFF, SKIN, further)
    rng = np.random.default_rng(3)
    for _ in range(2):
        positions = scattered() + 0.05 * rng.uniform(-1, 1, (27, 3))
        lists = cache.find_all(positions, CELL, pbc)
        for cutoff, found in zip((CUTOFF, *further), lists, strict=True):
            fresh = neighbors.NeighborCache(cutoff, 0.0).find(positions, CELL, pbc)
            np.testing.assert_allclose(edge_set(found, CELL), edge_set(fresh, CELL), atol=1e-5)
    assert cache.n_searches == 1
