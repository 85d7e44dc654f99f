import itertools

import numpy as np
import pytest
from ase.geometry import minkowski_reduce

from equipot.data import lattice

RNG = np.random.default_rng(3)
ALL = np.array([True, True, True])


def _tilted(tilt):
    return np.array([[3.0, 0, 0], [tilt * 3.0 + 0.7, 3.1, 0], [-tilt * 2.0, tilt + 0.4, 3.3]])


@pytest.mark.parametrize("tilt", [0.0, 1.0, 7.0, 300.0, 1e5])
@pytest.mark.parametrize("flags", ["TTT", "TTF", "FTT", "TFT", "TFF", "FFF"])
def test_a_reduced_cell_spans_the_same_lattice_with_the_shortest_vectors(tilt, flags):
    cell, pbc = _tilted(tilt), np.array([flag == "T" for flag in flags])
    reduced, integers = lattice.reduce(cell, pbc)
    np.testing.assert_allclose(integers @ cell, reduced, atol=1e-9 * max(tilt, 1) ** 2)
    np.testing.assert_array_equal(reduced[~pbc], cell[~pbc])
    assert round(np.linalg.det(integers)) == 1
    rows = np.flatnonzero(pbc)
    for choice in itertools.product((-1, 0, 1), repeat=len(rows)):
        combined = np.array(choice) @ reduced[rows]
        for place, row in enumerate(rows):
            if choice[place]:
                assert np.linalg.norm(combined) > np.linalg.norm(reduced[row]) * (1 - 1e-6)


def test_random_cells_are_reduced_as_far_as_by_ase():
    for _ in range(50):
        integers = np.eye(3)
        for _ in range(6):
            i, j = RNG.permutation(3)[:2]
            integers[i] += RNG.integers(-4, 5) * integers[j]
        cell = integers @ RNG.normal(size=(3, 3))
        ours = np.sort(np.linalg.norm(lattice.reduce(cell, ALL)[0], axis=1))
        theirs = np.sort(np.linalg.norm(minkowski_reduce(cell)[0], axis=1))
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)


@pytest.mark.parametrize(
    "cell",
    [
        np.diag([9.0, 3.0, 5.0]),
        1.8 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        np.zeros((3, 3)),
    ],
)
def test_a_reduced_cell_stays_as_it_is(cell):
    reduced, integers = lattice.reduce(cell, ALL & cell.any())
    np.testing.assert_array_equal(reduced, cell)
    np.testing.assert_array_equal(integers, np.eye(3))


@pytest.mark.parametrize("flags", ["TTT", "TFT", "FTF", "FFF"])
def test_points_within_a_radius_are_estimated(flags):
    pbc = np.array([flag == "T" for flag in flags])
    cell = np.diag([0.5, 0.6, 0.7])
    reach = np.array(list(itertools.product(*(range(-20, 21) if p else (0,) for p in pbc))))
    counted = (np.linalg.norm(reach @ cell, axis=1) < 5.0).sum()
    assert lattice.num_points(cell, pbc, 5.0) == pytest.approx(counted, rel=0.1)
