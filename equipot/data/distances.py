"""Shortest distances between atoms, for the audit: by pair of elements, images included."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from ase.geometry import complete_cell
from scipy.spatial import KDTree

from equipot.data import structure

RADII = (3.5, 7.0, 14.0)  # Å; the larger ones only where a structure has no pair within the smaller


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contacts:
    """The nearest pairs of one structure.

    Attributes:
      shortest: Shortest distance in Å of each pair of elements, smaller Z first; pairs beyond the
        radius are absent.
      closest: Distance in Å of the closest two atoms; infinite if there are none within 14 Å.
      atoms: Their indices; equal if an atom is closest to its own image.
    """

    shortest: Mapping[tuple[int, int], float]
    closest: float
    atoms: tuple[int, int]


def contacts(item: structure.Structure) -> Contacts:
    """Finds the shortest distance of every pair of elements in one structure."""
    found = Contacts(shortest={}, closest=np.inf, atoms=(0, 0))
    for radius in RADII:
        found = _within(item, radius)
        if found.shortest:
            break
    return found


def _within(item: structure.Structure, radius: float) -> Contacts:
    origin, positions, index = _with_images(item, radius)
    numbers = item.atomic_numbers
    shortest: dict[tuple[int, int], float] = {}
    closest, atoms = np.inf, (0, 0)
    for number in np.unique(numbers).tolist():
        members = np.flatnonzero(numbers[index] == number)
        tree = KDTree(positions[members])
        distances, nearest = map(np.asarray, tree.query(origin, k=2, distance_upper_bound=radius))
        # The nearest atom of an atom's own element is the atom itself.
        column = (numbers == number).astype(int)
        rows = np.arange(len(numbers))
        distances = distances[rows, column]
        for other in np.unique(numbers).tolist():
            mine = np.flatnonzero(numbers == other)
            best = int(mine[np.argmin(distances[mine])])
            value = float(distances[best])
            if np.isfinite(value):
                pair = (min(number, other), max(number, other))
                shortest[pair] = min(value, shortest.get(pair, np.inf))
            if value < closest:
                partners = index[members[nearest[best, : column[best] + 1]]].tolist()
                closest, atoms = value, (best, next((p for p in partners if p != best), best))
    return Contacts(shortest=shortest, closest=closest, atoms=atoms)


def _with_images(
    item: structure.Structure, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wrapped positions, those of all images within a radius of the cell, and the atom of each."""
    count = len(item.positions)
    if not item.pbc.any():
        return item.positions, item.positions, np.arange(count)
    cell = complete_cell(np.where(item.pbc[:, None], item.cell, 0.0))
    inverse = np.linalg.inv(cell)
    fractional = item.positions @ inverse
    fractional -= np.where(item.pbc, np.floor(fractional), 0.0)
    margin = np.where(item.pbc, radius * np.linalg.norm(inverse, axis=0), 0.0)
    reach = [range(-int(np.ceil(m)), int(np.ceil(m)) + 1) for m in margin]
    shifts = np.array(list(itertools.product(*reach)), np.float64)
    images = fractional[None] + shifts[:, None]
    near = (images >= -margin) & (images <= 1.0 + margin) | ~item.pbc
    shift, atom = np.nonzero(near.all(axis=-1))
    return fractional @ cell, images[shift, atom] @ cell, atom
