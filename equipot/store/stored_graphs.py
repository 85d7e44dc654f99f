"""Graphs of structures in a store, each made when it is asked for."""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from equipot import errors
from equipot.data import columns, contacts, distance_range
from equipot.data.stored import folder, shards
from equipot.data.stored.structures import StoredStructures
from equipot.store import closest, host_graph, neighbors, pair_shards

if TYPE_CHECKING:
    from equipot.store.graph_store import Settings


def neighbors_folder(store: Path, cutoff: float) -> Path:
    """Where a store keeps the pairs within a cutoff."""
    return store / f"neighbors-{float(cutoff)!r}"


class Pairs:
    """The pairs of a store within one cutoff.

    Attributes:
      folder: The store.
      cutoff: Å.
      with_pairs: Whether the pairs are there, or only how many there are.
    """

    def __init__(self, own: folder.Folder, cutoff: float) -> None:
        """Reads the manifest.

        Raises:
          DataError: If it is damaged, or of another store.
        """
        path = neighbors_folder(own.path, cutoff)
        self.folder, self.cutoff = own, cutoff
        try:
            manifest = json.loads((path / folder.MANIFEST).read_text(encoding="utf-8"))
            is_own = manifest["fingerprint"] == own.fingerprint
            self.with_pairs = bool(manifest["with_pairs"])
            self._shards = [shards.Shard(path, record) for record in manifest["shards"]]
            self._facts = shards.Shard(path, manifest["facts"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise errors.DataError(
                f"{path}: expected the pairs of a store ({errors.brief(error)}); remove this folder"
            ) from error
        if not is_own:
            raise errors.DataError(f"{path}: holds the pairs of another store; remove this folder")

    @functools.cached_property
    def facts(self) -> pair_shards.Facts:
        """What the pairs of all structures say."""
        return pair_shards.Facts.read(self._facts)

    @functools.cached_property
    def num_pairs(self) -> np.ndarray:
        """Number of pairs of each structure, int64, [structures of the store]."""
        return np.concatenate([shard["num_pairs"] for shard in self._shards])

    def placed(self, index: int) -> neighbors.Placed:
        """The pairs of one structure, found now if they are not stored."""
        number, place = self.folder.place(index)
        structure = self.folder.structure(index)
        if not self.with_pairs:
            return neighbors.placed_list(
                structure.positions, structure.cell, structure.pbc, self.cutoff
            )
        return pair_shards.unpack(self._shards[number], place, structure)


class _Names(Sequence[str]):
    """File, frame and formula of each structure."""

    def __init__(self, structures: StoredStructures) -> None:
        self._structures = structures

    def __len__(self) -> int:
        return len(self._structures)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        """One name, or several."""
        if isinstance(index, slice):
            return _Names(self._structures[index])
        return self._structures[index].where


class StoredGraphs(Sequence[host_graph.HostGraph]):
    """The graphs of some structures of a store.

    Attributes:
      structures: The structures.
      settings: What graphs are built with.
      sizes: Nodes and pairs of each, int64, [structures, 2].
      names: File, frame and formula of each.
    """

    def __init__(self, structures: StoredStructures, settings: "Settings", pairs: Pairs) -> None:
        """Opens nothing yet.

        Raises:
          UnknownElementError: If an element is not in the species table.
          DataError: If a level of theory is not known.
        """
        self.structures, self.settings, self._pairs = structures, settings, pairs
        self._lookup = host_graph.lookup_of(settings.species_table)
        self._energies = np.atleast_2d(np.asarray(settings.atomic_energies, np.float64))
        self.sizes = np.stack(
            [structures.num_atoms, pairs.num_pairs[structures.indices]], axis=1
        ).astype(np.int64)
        self.names = _Names(structures)
        self._check()

    def _check(self) -> None:
        table, heads = self.settings.species_table, self.settings.heads
        unnamed = {""} if len(heads) == 1 else set()
        is_known = set(self.structures.elements()) <= set(table)
        if is_known and columns.heads(self.structures) <= {*heads, *unnamed}:
            return
        for structure in self.structures:  # one of them is refused
            host_graph.species_of(structure, table)
            host_graph.head_of(structure, heads)

    def relabelled(self, settings: "Settings") -> "StoredGraphs":
        """The same graphs with the labels of other settings."""
        return StoredGraphs(self.structures, settings, self._pairs)

    def __len__(self) -> int:
        return len(self.structures)

    @overload
    def __getitem__(self, index: int) -> host_graph.HostGraph: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredGraphs": ...

    def __getitem__(self, index: int | slice) -> "host_graph.HostGraph | StoredGraphs":
        """One graph, or a sequence of several."""
        if isinstance(index, slice):
            return StoredGraphs(self.structures[index], self.settings, self._pairs)
        structure = self.structures[index]
        head = host_graph.head_of(structure, self.settings.heads)
        return host_graph.from_placed(
            structure,
            self._pairs.placed(int(self.structures.indices[index])),
            self._lookup[structure.atomic_numbers],
            head,
            self._energies[head],
            self.settings.quantities,
        )

    def __iter__(self) -> Iterator[host_graph.HostGraph]:
        return (self[index] for index in range(len(self)))

    def closest_pairs(self, num_species: int) -> closest.Closest | None:
        """As ``closest.closest_pairs``; None if what the store keeps does not tell."""
        members, tables = self.structures.members, self._pairs.facts.tables
        every, own = tables["pushes"], tables["pushes"].among(members)
        nearest_rows = tables["nearest"].among(members)
        if not nearest_rows.is_complete():
            return None
        kinds, lengths = nearest_rows.smallest()
        nearest = np.full(num_species**2, np.inf)
        nearest[self._pair(kinds, num_species)] = lengths
        for kind in np.intersect1d(every.cut, kinds).tolist():
            window = closest.WINDOW * lengths[np.searchsorted(kinds, kind)]
            inside = int(np.sum((own.kinds == kind) & (own.values <= window)))
            if inside < closest.MOST and every.values[every.kinds == kind].max() <= window:
                return None
        rows = np.stack([self._pair(own.kinds, num_species), own.values, own.notes], axis=1)
        return closest.from_rows(nearest, rows, num_species, self._usual())

    def _pair(self, kinds: np.ndarray, num_species: int) -> np.ndarray:
        """The number of two species, smaller one first, from that of two elements."""
        a, b = (self._lookup[z].astype(np.int64) for z in np.divmod(kinds, contacts.ELEMENTS))
        return np.minimum(a, b) * num_species + np.maximum(a, b)

    def _usual(self) -> float:
        own = columns.labelled(self.structures, "forces")
        assert isinstance(own, StoredStructures)
        squares = sum(own.column("squared_forces").tolist())
        return float((squares / max(3 * int(own.num_atoms.sum()), 1)) ** 0.5)


def distance_range_of(
    structures: StoredStructures, cutoff: float, isolated_elements: Sequence[int]
) -> distance_range.DistanceRange | None:
    """As ``distance_range.measure``; None if what the store keeps does not tell.

    Args:
      structures: The training set.
      cutoff: Å, one for which the store has pairs.
      isolated_elements: Elements whose isolated atom was part of the training otherwise.
    """
    members, facts = structures.members, Pairs(structures.folder, cutoff).facts
    pairs, longest = (facts.tables[name].among(members) for name in ("pairs", "longest"))
    if not (pairs.is_complete() and longest.is_complete()):
        return None
    numbers, lengths = longest.smallest()
    alone = facts.alone[members[facts.alone[:, 0]]]
    return distance_range.made_of(
        cutoff, pairs.smallest(), (numbers, -lengths), (alone[:, 1], alone[:, 2]), isolated_elements
    )
