"""Shortest distances between atoms: of each pair of elements for the audit, images included."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
from ase.geometry import complete_cell
from scipy.spatial import KDTree

from equipot import errors
from equipot.data import lattice, structure

MAX_IMAGES = 5_000_000
"""Atoms and images beyond which a cell is taken for a mistake."""

SAME_PLACE = 0.01
"""Å below which two atoms, or an atom and its own image, are taken for a mistake."""

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


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """For every atom of one structure, the nearest atom of each element.

    Attributes:
      elements: Atomic numbers in the structure, ascending, [elements].
      lengths: Distance in Å from each atom to the nearest other one, or image, of each element;
        infinite where there is none within the radius, [elements, nodes].
      partners: Index of that atom; without meaning where there is none, [elements, nodes].
    """

    elements: np.ndarray
    lengths: np.ndarray
    partners: np.ndarray


def contacts(item: structure.Structure) -> Contacts:
    """Finds the shortest distance of every pair of elements in one structure.

    Raises:
      DataError: If the cell is so small that more images than ``MAX_IMAGES`` would be looked at.
    """
    if (own := own_image(item)) < SAME_PLACE:
        number = int(item.atomic_numbers[0])
        return Contacts(shortest={(number, number): own}, closest=own, atoms=(0, 0))
    for radius in RADII:
        found = nearest(item, radius)
        if np.isfinite(found.lengths).any():
            break
    element, atom = np.unravel_index(int(np.argmin(found.lengths)), found.lengths.shape)
    closest = float(found.lengths[element, atom])
    pair = (int(atom), int(found.partners[element, atom])) if np.isfinite(closest) else (0, 0)
    return Contacts(shortest=shortest_of_pairs(item, found), closest=closest, atoms=pair)


def shortest_of_pairs(item: structure.Structure, found: Nearest) -> dict[tuple[int, int], float]:
    """Shortest distance in Å of each pair of elements, smaller Z first, within the radius."""
    shortest: dict[tuple[int, int], float] = {}
    for other in found.elements.tolist():
        values = found.lengths[:, item.atomic_numbers == other].min(axis=1)
        for number, value in zip(found.elements.tolist(), values.tolist(), strict=True):
            if np.isfinite(value):
                pair = (min(number, other), max(number, other))
                shortest[pair] = min(value, shortest.get(pair, np.inf))
    return shortest


def nearest(item: structure.Structure, radius: float) -> Nearest:
    """Finds the nearest atom of each element for every atom of a structure.

    Args:
      item: The structure.
      radius: Å, how far is searched.

    Raises:
      DataError: If the cell is so small that more images than ``MAX_IMAGES`` would be looked at.
    """
    origin, positions, index = _with_images(item, radius)
    numbers = item.atomic_numbers
    elements = np.unique(numbers)
    rows = np.arange(len(numbers))
    lengths = np.full((len(elements), len(numbers)), np.inf)
    partners = np.zeros(lengths.shape, np.int64)
    for i, number in enumerate(elements.tolist()):
        members = np.flatnonzero(numbers[index] == number)
        tree = KDTree(positions[members])
        found, place = map(np.asarray, tree.query(origin, k=2, distance_upper_bound=radius))
        # The nearest atom of an atom's own element is the atom itself; at one place, either is.
        itself = index[members.take(place, mode="clip")] == rows[:, None]
        column = ((numbers == number) & ~(~itself[:, 0] & itself[:, 1])).astype(int)
        lengths[i] = np.where(numbers == number, found[:, 1], found[:, 0])
        partners[i] = index[members.take(place[rows, column], mode="clip")]
    return Nearest(elements=elements, lengths=lengths, partners=partners)


def _with_images(
    item: structure.Structure, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wrapped positions, those of all images within a radius of the cell, and the atom of each."""
    count = len(item.positions)
    if not item.pbc.any():
        return item.positions, item.positions, np.arange(count)
    cell, _ = lattice.reduce(item.cell, item.pbc)
    radius = min(radius, _covering(cell, item.pbc))
    cell = complete_cell(np.where(item.pbc[:, None], cell, 0.0))
    inverse = np.linalg.inv(cell)
    fractional = item.positions @ inverse
    fractional -= np.where(item.pbc, np.floor(fractional), 0.0)
    margin = np.where(item.pbc, radius * np.linalg.norm(inverse, axis=0), 0.0)
    expected = count * np.prod(1.0 + 2.0 * margin)
    if expected > MAX_IMAGES:
        raise errors.DataError(
            f"{item.where}: about {expected:.1e} periodic images of its atoms lie within "
            f"{radius:.3g} Å of the cell, expected at most {MAX_IMAGES:.0e}; its lattice vectors "
            f"{item.cell[item.pbc].tolist()} (Å) are too short, mend the cell or its unit"
        )
    reach = [range(-int(np.ceil(m)), int(np.ceil(m)) + 1) for m in margin]
    shifts = np.array(list(itertools.product(*reach)), np.float64)
    images = fractional[None] + shifts[:, None]
    near = (images >= -margin) & (images <= 1.0 + margin) | ~item.pbc
    shift, atom = np.nonzero(near.all(axis=-1))
    return fractional @ cell, images[shift, atom] @ cell, atom


def own_image(item: structure.Structure) -> float:
    """Distance in Å of an atom to its nearest image, infinite without periodicity."""
    vectors = lattice.reduce(item.cell, item.pbc)[0][item.pbc]
    return float(np.linalg.norm(vectors, axis=1).min(initial=np.inf))


def _covering(cell: np.ndarray, pbc: np.ndarray) -> float:
    """Å within which every point has an image of each atom, and each atom one of itself."""
    if not pbc.all():
        return np.inf
    lengths = np.linalg.norm(cell, axis=1)
    return float(max(0.5 * lengths.sum(), lengths.min())) * (1.0 + 1e-6)
