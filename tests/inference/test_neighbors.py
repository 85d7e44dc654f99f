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
