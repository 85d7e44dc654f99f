"""What is asked of all structures of a split at once, in memory or in a store.

Of structures in a store no function here makes one: the numbers come from the arrays on the disk.
Those of structures in memory are the same to the last bit, unless something else is said.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from equipot.data import structure
from equipot.data.stored.structures import StoredStructures
from equipot.quantities import Quantity

Structures = Sequence[structure.Structure]
T = TypeVar("T", bound=Structures)

_LEAF = 1 << 16  # numbers summed at once


def num_atoms(structures: Structures) -> np.ndarray:
    """Number of atoms of each structure, int64, [structures]."""
    if isinstance(structures, StoredStructures):
        return structures.num_atoms
    return np.array([len(s.positions) for s in structures], np.int64)


def energies(structures: Structures) -> np.ndarray:
    """Energies in eV, 0 where there is no label, [structures]."""
    if isinstance(structures, StoredStructures):
        return structures.column("energy")
    return np.asarray([s.energy for s in structures])


def is_labelled(structures: Structures, name: str) -> np.ndarray:
    """Whether each structure has a label of a quantity, bool, [structures]."""
    if isinstance(structures, StoredStructures):
        return structures.weights(name) > 0.0
    return np.array([s.label(name) is not None for s in structures], bool)


def any_labelled(structures: Structures, name: str) -> bool:
    """Whether any structure has a label of a quantity."""
    if isinstance(structures, StoredStructures):
        return bool(is_labelled(structures, name).any())
    return any(s.label(name) is not None for s in structures)


def labelled(structures: Structures, name: str) -> Structures:
    """Those structures that have a label of a quantity."""
    if isinstance(structures, StoredStructures):
        which = is_labelled(structures, name)
        return structures if which.all() else structures.taken(np.flatnonzero(which))
    return [s for s in structures if s.label(name) is not None]


def heads(structures: Structures) -> set[str]:
    """The levels of theory that occur; "" where structures name none."""
    if isinstance(structures, StoredStructures):
        places, known = structures.texts("head")
        return {known[i] for i in np.unique(places).tolist()}
    return {s.head for s in structures}


def groups(structures: Structures) -> list[str]:
    """The group of each structure."""
    if isinstance(structures, StoredStructures):
        places, known = structures.texts("group")
        return [known[i] for i in places.tolist()]
    return [s.group for s in structures]


def of_head(structures: Structures, head: str) -> Structures:
    """The structures of one level of theory."""
    if isinstance(structures, StoredStructures):
        places, known = structures.texts("head")
        wanted = known.index(head) if head in known else -1
        return structures.taken(np.flatnonzero(places == wanted))
    return [s for s in structures if s.head == head]


def chosen(structures: Structures, indices: Sequence[int] | np.ndarray) -> Structures:
    """Some structures, by their places, ascending."""
    if isinstance(structures, StoredStructures):
        return structures.taken(np.asarray(indices, np.int64))
    return tuple(structures[i] for i in indices)


def drawn(structures: Structures, most: int) -> Structures:
    """All structures in memory; of those in a store so many at random, or all if there are fewer.

    They are the same each time, and in their order.
    """
    if not isinstance(structures, StoredStructures) or len(structures) <= most:
        return structures
    places = np.random.default_rng(0).permutation(len(structures))[:most]
    return structures.taken(np.sort(places))


def label_values(structures: Structures, quantity: Quantity) -> np.ndarray:
    """Labels of structures that all have one, float64, [structures or nodes, ...]."""
    if isinstance(structures, StoredStructures):
        return structures.label_values(quantity.name)
    found = [np.asarray(s.others[quantity.name].value, np.float64) for s in structures]
    if quantity.per == "atom":
        return np.concatenate([value.reshape(-1, *quantity.shape) for value in found])
    return np.stack(found)


def atomic_numbers(structures: Structures) -> np.ndarray:
    """Z of all atoms, int64, [nodes]."""
    if isinstance(structures, StoredStructures):
        return np.concatenate(list(structures.atoms("atomic_numbers"))).astype(np.int64)
    return np.concatenate([s.atomic_numbers for s in structures])


def mean_force(structures: Structures, kind: str) -> float:
    """The mean length of the forces, or the root mean square of their components, eV/Å.

    Args:
      structures: At least one; all have forces.
      kind: "length" or "rms".
    """
    if not isinstance(structures, StoredStructures):
        forces = np.concatenate([s.forces for s in structures])
        if kind == "rms":
            return float(np.sqrt(np.mean(np.square(forces))))
        return float(np.mean(np.linalg.norm(forces, axis=1)))
    blocks = structures.atoms("forces")
    count = int(structures.num_atoms.sum())
    if kind == "rms":
        squares = _Stream(np.square(block).ravel() for block in blocks)
        return float(np.sqrt(pairwise_sum(3 * count, squares.take) / (3 * count)))
    lengths = _Stream(np.linalg.norm(block, axis=1) for block in blocks)
    return float(pairwise_sum(count, lengths.take) / count)


def forces_rms(structures: Structures) -> float:
    """Root mean square of the labelled force components in eV/Å; 0 if there are none.

    Of structures in a store up to rounding.
    """
    if isinstance(structures, StoredStructures):
        own = labelled(structures, "forces")
        assert isinstance(own, StoredStructures)
        squares, count = own.column("squared_forces"), 3 * int(own.num_atoms.sum())
        return float(np.sqrt(np.sum(squares) / count)) if count else 0.0
    parts = [s.forces.ravel() for s in structures if s.forces_weight > 0.0]
    return float(np.sqrt(np.mean(np.square(np.concatenate(parts))))) if parts else 0.0


def net_forces(structures: Structures) -> np.ndarray:
    """Length of the sum of the forces of each structure that has labels of them, eV/Å."""
    if isinstance(structures, StoredStructures):
        return structures.column("net_force")[is_labelled(structures, "forces")]
    return np.array(
        [np.linalg.norm(s.forces.sum(axis=0)) for s in structures if s.forces_weight > 0.0]
    )


def pairwise_sum(count: int, take: Callable[[int], np.ndarray]) -> float:
    """The sum of a long array of numbers as NumPy adds it up, to the last bit.

    NumPy halves an array, to a multiple of eight numbers, until pieces are short.

    Args:
      count: How many numbers there are.
      take: Gives the next so many of them.
    """
    if count <= _LEAF:
        return float(np.add.reduce(take(count)))
    first = count // 2
    first -= first % 8
    return pairwise_sum(first, take) + pairwise_sum(count - first, take)


class _Stream:
    """Numbers that come in blocks and are taken in pieces of any length."""

    def __init__(self, blocks: Iterator[np.ndarray]) -> None:
        self._blocks, self._left = blocks, np.zeros(0)

    def take(self, count: int) -> np.ndarray:
        """The next numbers, contiguous."""
        parts = [self._left]
        while sum(map(len, parts)) < count:
            parts.append(next(self._blocks))
        every = np.concatenate(parts)
        self._left = every[count:]
        return every[:count]
