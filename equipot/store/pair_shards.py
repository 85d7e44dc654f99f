"""The pairs of the structures of a store within one cutoff, kept in the store.

neighbors-5.0/manifest.json     with the record of each file of arrays
neighbors-5.0/00012-00.pairs    pairs of the structures of 00012-00.arrays, or their number alone
neighbors-5.0/facts.pairs       the closest pairs of all structures
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipot.data import contacts, distance_rows, structure
from equipot.data.elements import COVALENT_RADII
from equipot.data.stored import extremes, shards
from equipot.store import closest, host_graph, neighbors

_EVERY = tuple(range(1, len(COVALENT_RADII)))  # species tables need not be known yet
_TABLE = 1 << 20  # numbers in a table of structures and kinds of pairs
TABLES = ("pairs", "longest", "nearest", "pushes")
"""Names of the tables of extremes: shortest distances and longest to the nearest atom, as
``distance_range`` has them; nearest distances and pushes, as ``closest`` has them."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What the pairs of some structures say of them.

    Attributes:
      tables: By the names of ``TABLES``.
      alone: Index of a structure, atomic number, and how many of its atoms of that element have no
        other within the cutoff, [rows, 3].
    """

    tables: dict[str, extremes.Extremes]
    alone: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Facts"], starts: Sequence[int]) -> "Facts":
        """Those of all parts, in order; ``starts`` is what is added to indices of each."""
        alone = [p.alone + np.array([start, 0, 0]) for p, start in zip(parts, starts, strict=True)]
        tables = {
            name: extremes.Extremes.joined([part.tables[name] for part in parts], starts)
            for name in TABLES
        }
        return cls(tables=tables, alone=np.concatenate([np.zeros((0, 3), np.int64), *alone]))

    def arrays(self) -> dict[str, np.ndarray]:
        """For a file."""
        named = [own.arrays(name) for name, own in self.tables.items()]
        return {"alone": self.alone, **{k: v for own in named for k, v in own.items()}}

    @classmethod
    def read(cls, arrays: Any) -> "Facts":
        """The inverse."""
        tables = {name: extremes.Extremes.read(arrays, name) for name in TABLES}
        return cls(tables=tables, alone=arrays["alone"])


def pack(
    structures: Sequence[structure.Structure], cutoff: float, with_pairs: bool
) -> tuple[dict[str, np.ndarray], Facts]:
    """Finds the pairs of some structures.

    Args:
      structures: The structures.
      cutoff: Å.
      with_pairs: Whether the columns hold the pairs, or only how many there are.

    Raises:
      DataError: As ``host_graph.build_graph`` does.
    """
    placed = host_graph.placed_lists(structures, cutoff)
    counts = [len(own.senders) for own in placed]
    columns = {"num_pairs": np.array(counts, np.int64)}
    if with_pairs:
        columns |= _columns(structures, placed)
    lookup = host_graph.lookup_of(_EVERY)
    zeros = np.zeros(len(lookup))
    graphs = [
        host_graph.from_placed(s, own, lookup[s.atomic_numbers], 0, zeros, ("forces",))
        for s, own in zip(structures, placed, strict=True)
    ]
    return columns, _facts(structures, graphs, cutoff)


def unpack(arrays: shards.Shard, index: int, structure: structure.Structure) -> neighbors.Placed:
    """The pairs of one structure.

    Args:
      arrays: Its shard.
      index: Its place there.
      structure: The structure itself.
    """
    moved = _piece(arrays["moved"], arrays["moved_ends"], index)
    senders = _piece(arrays["senders"], arrays["pair_ends"], index)
    shape = (len(structure.positions), 3)
    cell, shifts = np.zeros((3, 3)), np.zeros((len(senders), 3), np.int8)
    if structure.pbc.any():
        cell = _piece(arrays["cells"], arrays["cell_ends"], index)[0]
        shifts = _piece(arrays["shifts"], arrays["shift_ends"], index)
    return neighbors.Placed(
        offsets=moved if len(moved) == shape[0] else np.broadcast_to(moved, shape),
        cell=cell,
        senders=senders.astype(np.int32),
        receivers=_piece(arrays["receivers"], arrays["pair_ends"], index).astype(np.int32),
        cell_shifts=shifts,
    )


def _columns(
    structures: Sequence[structure.Structure], placed: Sequence[neighbors.Placed]
) -> dict[str, np.ndarray]:
    """Pairs, and how atoms are placed; as few bytes as hold them."""
    one_vector = [bool((own.offsets == own.offsets[:1]).all()) for own in placed]
    moved = [
        own.offsets[:1] if one else own.offsets for own, one in zip(placed, one_vector, strict=True)
    ]
    periodic = [bool(s.pbc.any()) for s in structures]
    cells = [
        own.cell[None][:is_periodic] for own, is_periodic in zip(placed, periodic, strict=True)
    ]
    shifts = [
        own.cell_shifts[: len(own.cell_shifts) * is_periodic]
        for own, is_periodic in zip(placed, periodic, strict=True)
    ]
    most = max((len(s.positions) for s in structures), default=0)
    index = np.min_scalar_type(max(most - 1, 0))
    index = index if index.itemsize <= 2 else np.dtype(np.int32)
    every = np.concatenate([np.zeros((0, 3), np.int8), *shifts])
    fits = not len(every) or (every.min() >= -128 and every.max() <= 127)
    none = np.zeros(0, index)
    return {
        "pair_ends": _ends([own.senders for own in placed]),
        "senders": np.concatenate([none, *(own.senders.astype(index) for own in placed)]),
        "receivers": np.concatenate([none, *(own.receivers.astype(index) for own in placed)]),
        "moved_ends": _ends(moved),
        "moved": np.concatenate([np.zeros((0, 3)), *moved]),
        "cell_ends": _ends(cells),
        "cells": np.concatenate([np.zeros((0, 3, 3)), *cells]),
        "shift_ends": _ends(shifts),
        "shifts": every.astype(np.int8 if fits else np.int32),
    }


def _facts(
    structures: Sequence[structure.Structure],
    graphs: Sequence[host_graph.HostGraph],
    cutoff: float,
) -> Facts:
    seen = distance_rows.measure(structures, cutoff)
    owners, kinds, lengths, pushes = closest.rows(graphs, contacts.ELEMENTS)
    kinds = kinds + contacts.ELEMENTS + 1  # species begin at 0, elements at 1
    pushed = np.isfinite(pushes)
    of = extremes.Extremes.of
    return Facts(
        tables={
            "pairs": of(seen.pairs[1], seen.pairs[2], seen.pairs[0], None),
            "longest": of(seen.nearest[1], -seen.nearest[2], seen.nearest[0], None),
            "nearest": of(*_least(owners, kinds, lengths), None),
            "pushes": of(kinds[pushed], lengths[pushed], owners[pushed], pushes[pushed]),
        },
        alone=np.stack(seen.alone, axis=1).astype(np.int64).reshape(-1, 3),
    )


def _least(
    owners: np.ndarray, kinds: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind, smallest length and owner for each kind of each structure."""
    if not len(owners):
        return kinds, lengths, owners
    known = np.flatnonzero(np.bincount(kinds))
    column = np.zeros(int(kinds.max()) + 1, np.int64)
    column[known] = np.arange(len(known))
    parts, step = [], max(1, _TABLE // len(known))
    for first in range(0, int(owners[-1]) + 1, step):
        own = slice(*np.searchsorted(owners, [first, first + step]))
        table = np.full(step * len(known), np.inf)
        places = (owners[own] - first) * len(known) + column[kinds[own]]
        np.minimum.at(table, places, lengths[own])
        there = np.flatnonzero(np.isfinite(table))
        parts.append((known[there % len(known)], table[there], first + there // len(known)))
    found, least, which = (np.concatenate(own) for own in zip(*parts, strict=True))
    return found, least, which


def _ends(pieces: Sequence[np.ndarray]) -> np.ndarray:
    return np.cumsum([0, *map(len, pieces)], dtype=np.int64)


def _piece(array: np.ndarray, ends: np.ndarray, index: int) -> np.ndarray:
    return array[ends[index] : ends[index + 1]]
