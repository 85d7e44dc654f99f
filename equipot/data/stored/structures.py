"""A sequence of structures that stay in a store, each made when it is asked for."""

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from equipot.data import structure
from equipot.data.stored import folder, packing, shards
from equipot.quantities import DERIVED

_TOGETHER = 16_384  # structures whose atoms are looked at together


class StoredStructures(structure.LazyStructures):
    """Some structures of a store, in the order of their indices.

    What is asked of all of them comes from columns of the store, without making any.

    Attributes:
      folder: The store.
      indices: Which of its structures, ascending, [structures].
    """

    def __init__(self, own: folder.Folder, indices: np.ndarray) -> None:
        self.folder, self.indices = own, indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> structure.Structure: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredStructures": ...

    def __getitem__(self, index: int | slice) -> "structure.Structure | StoredStructures":
        """One structure, or a sequence of several."""
        if isinstance(index, slice):
            return self.taken(np.arange(len(self))[index])
        return self.folder.structure(int(self.indices[index]))

    def __iter__(self) -> Iterator[structure.Structure]:
        return (self.folder.structure(index) for index in self.indices.tolist())

    def taken(self, places: np.ndarray) -> "StoredStructures":
        """Some of these structures, by their places."""
        return StoredStructures(self.folder, self.indices[places])

    def column(self, name: str) -> np.ndarray:
        """A column of the store for these structures, [structures, ...]."""
        return self.folder.column(name)[self.indices]

    def texts(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Index of each structure's group or head in a list, and the list."""
        places, known = self.folder.texts(name)
        return places[self.indices], known

    @functools.cached_property
    def num_atoms(self) -> np.ndarray:
        """Number of atoms of each structure, int64, [structures]."""
        return self.folder.num_atoms[self.indices]

    @functools.cached_property
    def members(self) -> np.ndarray:
        """Whether each structure of the store is among these, [structures of the store]."""
        found = np.zeros(len(self.folder), bool)
        found[self.indices] = True
        return found

    def weights(self, name: str) -> np.ndarray:
        """Weights of the labels of a quantity, 0 where there is none, [structures]."""
        if name not in DERIVED and name not in self.folder.quantities:
            return np.zeros(len(self))
        return self.column(packing.column_of_weights(name))

    def atoms(self, name: str) -> Iterator[np.ndarray]:
        """A column with a row for each atom, some thousand structures at a time, in order."""
        for shard, _, own in self._by_shard():
            for begin in range(0, len(own), _TOGETHER):
                yield _rows(shard[name], shard["ends"], own[begin : begin + _TOGETHER])

    def _by_shard(self) -> Iterator[tuple[shards.Shard, slice, np.ndarray]]:
        """Each shard with structures of these, which of these they are, and their places there."""
        bounds = np.searchsorted(self.indices, self.folder.starts)
        starts = self.folder.starts.tolist()
        for number, shard in enumerate(self.folder.shards):
            places = slice(int(bounds[number]), int(bounds[number + 1]))
            if places.start < places.stop:
                yield shard, places, self.indices[places] - starts[number]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the store and of the indices."""
        own = np.ascontiguousarray(self.indices, "<i8").tobytes()
        return hashlib.sha256(self.folder.fingerprint.encode() + own).hexdigest()

    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return packing.elements(self.column("elements")) if len(self) else []

    def compositions(self, numbers: Sequence[int]) -> np.ndarray:
        """How many atoms of each of some elements each has, int64, [structures, elements]."""
        counts = np.zeros((len(self), len(numbers)), np.int64)
        for shard, places, own in self._by_shard():
            elements = shard["composition_elements"].tolist()
            table = np.zeros((len(shard["composition_counts"]), len(numbers)), np.int64)
            for column, number in enumerate(numbers):
                if number in elements:
                    table[:, column] = shard["composition_counts"][:, elements.index(number)]
            counts[places] = table[shard["composition"][own]]
        return counts

    def label_values(self, name: str) -> np.ndarray:
        """Labels of a declared quantity, one after another, of these structures."""
        column = packing.column_of_values(name)
        if self.folder.quantities[name].per == "atom":
            return np.concatenate(list(self.atoms(column)))
        return self.column(column)


def _rows(array: np.ndarray, ends: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The rows of some pieces of an array."""
    if len(places) and places[-1] - places[0] + 1 == len(places):
        return array[ends[places[0]] : ends[places[-1] + 1]]
    lengths = ends[places + 1] - ends[places]
    kept = np.zeros(len(array), bool)
    within = np.repeat(ends[places] - np.cumsum(lengths) + lengths, lengths)
    kept[within + np.arange(len(within))] = True
    return array[kept]
