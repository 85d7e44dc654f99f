"""Lattices: the shortest vectors that span the same one, and how many points lie within a radius.

A skewed cell describes the same crystal as a compact one, but has to be repeated many more times
to fill a sphere.
"""

import itertools
import math

import numpy as np

_SHORTER = 1e-9  # relative; what is gained by less is rounding


def reduce(cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds a Minkowski-reduced basis of the periodic lattice vectors.

    A cell that is reduced stays as it is, rows of directions that are not periodic always do.

    Args:
      cell: Lattice vectors in rows, Å, [3, 3]; those that are periodic span a volume.
      pbc: Which directions are periodic, [3].

    Returns:
      The reduced cell, Å, [3, 3], and the integers that make it: ``reduced = integers @ cell``,
      int64, of determinant 1, [3, 3].

    Reference: Nguyen and Stehlé 2009, ACM Trans. Algorithms 5(4), 46. DOI 10.1145/1597036.1597050
    """
    integers = np.eye(3, dtype=np.int64)
    rows = np.flatnonzero(pbc).tolist()
    reduced = np.array(cell, np.float64)
    shortened = len(rows) > 1
    while shortened:
        shortened = False
        for row in sorted(rows, key=lambda k: -float(reduced[k] @ reduced[k])):
            others = [k for k in rows if k != row]
            change = _nearest_multiple(reduced[row], reduced[others])
            if not change.any():
                continue
            new = integers[row] - change @ integers[others]
            vector = new @ cell
            if vector @ vector < (1.0 - _SHORTER) * (reduced[row] @ reduced[row]):
                integers[row], reduced[row], shortened = new, vector, True
    return reduced, integers


def num_points(cell: np.ndarray, pbc: np.ndarray, radius: float) -> float:
    """Roughly how many lattice points lie within a radius of one: volume over volume, at least 1.

    Args:
      cell: Lattice vectors in rows, Å, [3, 3].
      pbc: Which directions are periodic, [3].
      radius: Å.
    """
    vectors = cell[pbc]
    if not len(vectors):
        return 1.0
    ball = (2.0, math.pi, 4.0 / 3.0 * math.pi)[len(vectors) - 1] * radius ** len(vectors)
    spanned = math.sqrt(max(float(np.linalg.det(vectors @ vectors.T)), 0.0))
    return max(1.0, ball / spanned) if spanned > 0.0 else math.inf


def _nearest_multiple(vector: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whole multiples of the others whose sum is nearest to a vector, int64, [others]."""
    middle = np.rint(np.linalg.lstsq(others.T, vector, rcond=None)[0])
    choices = middle + np.array(list(itertools.product((0, -1, 1), repeat=len(others))))
    rest = vector - choices @ others
    return choices[int(np.argmin(np.einsum("ij,ij->i", rest, rest)))].astype(np.int64)
