"""The shortest distance of each pair of elements in each of many structures, and of its bonds."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii

from equipot import errors
from equipot.data import distances, molecules, structure

ELEMENTS = 128
"""Atomic numbers are below: a pair of elements (a, b) is the number 128 a + b."""

_NOBLE_GASES = frozenset({2, 10, 18, 36, 54, 86})

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Index of a structure, pair of elements as one number, and distance in Å, [rows] each."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contacts:
    """Distances of some structures, as ``distances.contacts`` finds them in each.

    Attributes:
      owners: Index of the structure, [rows].
      kinds: Pair of elements as one number, [rows].
      lengths: Shortest distance in that structure, Å, [rows].
      bonds: Shortest distance of each structure relative to a bond of the same elements; infinite
        where none could be one, [structures].
    """

    owners: np.ndarray
    kinds: np.ndarray
    lengths: np.ndarray
    bonds: np.ndarray

    def shortest(self) -> dict[tuple[int, int], float]:
        """Shortest distance in Å of each pair of elements, smaller Z first."""
        kinds, lengths = smallest(self.kinds, self.lengths)
        return {pair(int(k)): float(d) for k, d in zip(kinds, lengths, strict=True)}


def measure(structures: Sequence[structure.Structure]) -> Contacts:
    """Measures all structures.

    Raises:
      DataError: If two atoms of one are at the same place.
    """
    rows, bonds = [], np.full(len(structures), np.inf)
    left = np.ones(len(structures), bool)
    for block in molecules.blocks(structures):
        sound, own = _of_block(block, bonds)
        rows.append(own)
        left[block.indices[sound]] = False
    for index in np.flatnonzero(left).tolist():
        near = distances.contacts(structures[index])
        if near.closest < distances.SAME_PLACE:
            raise at_one_place(structures[index], near)
        kinds = np.array([ELEMENTS * a + b for a, b in near.shortest], np.int64)
        found = np.array(list(near.shortest.values()), np.float64)
        rows.append((np.full(len(kinds), index), kinds, found))
        ratios = [d / bond_length(p) for p, d in near.shortest.items() if not _NOBLE_GASES & {*p}]
        bonds[index] = min(ratios, default=np.inf)
    owners, kinds, lengths = joined(rows)
    return Contacts(owners=owners, kinds=kinds, lengths=lengths, bonds=bonds)


def _of_block(block: molecules.Block, bonds: np.ndarray) -> tuple[np.ndarray, Rows]:
    """Rows of molecules of one size; those with two atoms at one place are no part of it.

    Returns:
      Which molecules they are of, [molecules], and the rows.
    """
    closest = block.squares.min(axis=0)
    sound = closest >= distances.SAME_PLACE**2
    limits = np.square(distances.RADII)
    radii = limits[np.minimum(np.searchsorted(limits, closest, side="right"), len(limits) - 1)]
    found = block.shortest(radii)[sound]
    lengths = np.array([bond_length(own) for own in block.pairs])
    noble = [bool(_NOBLE_GASES & set(own)) for own in block.pairs]
    ratios = np.where(noble, np.inf, found / lengths)
    bonds[block.indices[sound]] = ratios.min(axis=1, initial=np.inf)
    return sound, rows_of_block(block, block.indices[sound], found)


def rows_of_block(block: molecules.Block, owners: np.ndarray, found: np.ndarray) -> Rows:
    """The finite distances of a table [molecules, pairs of elements] as rows."""
    kinds = np.array([ELEMENTS * a + b for a, b in block.pairs], np.int64)
    which, column = np.nonzero(np.isfinite(found))
    return owners[which], kinds[column], found[which, column]


def joined(rows: Sequence[Rows]) -> Rows:
    """Rows after one another."""
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    owners, kinds, values = (np.concatenate(parts) for parts in zip(empty, *rows, strict=True))
    return owners, kinds, values


def smallest(kinds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every kind there is, ascending, and its smallest value."""
    found, places = np.unique(kinds, return_inverse=True)
    least = np.full(len(found), np.inf)
    np.minimum.at(least, places, values)
    return found, least


def pair(kind: int) -> tuple[int, int]:
    """The two elements of a pair that is one number."""
    return kind // ELEMENTS, kind % ELEMENTS


def bond_length(pair: tuple[int, int]) -> float:
    """Sum of the covalent radii of two elements, Å."""
    return float(covalent_radii[pair[0]] + covalent_radii[pair[1]])


def at_one_place(item: structure.Structure, near: distances.Contacts) -> errors.DataError:
    """The error for two atoms at the same place."""
    first, second = sorted(near.atoms)
    pair = f"atoms {first} and {second} are at the same place ({near.closest:.4f} Å apart)"
    if first == second:
        pair = f"a lattice vector puts atom {first} onto its own image, {near.closest:.2g} Å"
        pair += f" apart (cell {item.cell[item.pbc].tolist()})"
    return errors.DataError(f"{item.where}: {pair}; mend or remove the frame")
