"""The smallest numbers of each of many kinds, with the structures that they belong to.

A store is written before it is known which of its structures train. What a training set needs of
its closest pairs is the smallest among its own: that is found in a list of the smallest of all.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

MOST = 1024
"""Numbers of a kind that are kept."""
EACH = 64
"""Of these, at most so many of one structure."""
_LOOKED_AT = 4 * MOST  # numbers of a kind, before those of one structure are counted


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Extremes:
    """Rows, ordered by kind, then by value, then as they were found.

    Attributes:
      kinds: [rows].
      values: [rows].
      owners: Index of the structure, [rows].
      notes: A number that goes with each, [rows].
      cut: Kinds of which larger numbers were left out, ascending, [kinds].
    """

    kinds: np.ndarray
    values: np.ndarray
    owners: np.ndarray
    notes: np.ndarray
    cut: np.ndarray

    @classmethod
    def of(
        cls, kinds: np.ndarray, values: np.ndarray, owners: np.ndarray, notes: np.ndarray | None
    ) -> "Extremes":
        """Those among all numbers of some structures.

        Args:
          kinds: Of each number, [numbers].
          values: The numbers, [numbers].
          owners: Index of the structure of each, [numbers].
          notes: A number to go with each; None for zeros.
        """
        notes = np.zeros(len(values)) if notes is None else notes
        near, cut = _smallest(kinds, values)
        every = cls(
            kinds=kinds[near], values=values[near], owners=owners[near], notes=notes[near], cut=cut
        )
        # Beyond its first few, a structure tells nothing that is asked for.
        order = np.lexsort((every.values, every.owners, every.kinds))
        kept = np.sort(order[_rank(every.kinds[order], every.owners[order]) < EACH])
        return cls.joined([every._at(kept)])

    @classmethod
    def joined(cls, parts: Sequence["Extremes"], starts: Sequence[int] = ()) -> "Extremes":
        """The smallest of all parts.

        Args:
          parts: In the order of their structures.
          starts: What is added to the owners of each; nothing if not given.
        """
        starts = starts or [0] * len(parts)
        kinds, values, notes = (
            np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)])
            for name in ("kinds", "values", "notes")
        )
        kinds = kinds.astype(np.int64)
        moved = [part.owners + start for part, start in zip(parts, starts, strict=True)]
        owners = np.concatenate([np.zeros(0, np.int64), *moved]).astype(np.int64)
        order = np.lexsort((values, kinds))
        kept = order[_rank(kinds[order]) < MOST]
        found, counts = np.unique(kinds, return_counts=True)
        cut = np.concatenate([found[counts > MOST], *(part.cut for part in parts)])
        return cls(
            kinds=kinds[kept],
            values=values[kept],
            owners=owners[kept],
            notes=notes[kept],
            cut=np.unique(cut).astype(np.int64),
        )

    def among(self, members: np.ndarray) -> "Extremes":
        """The rows of some of the structures.

        Args:
          members: Whether each structure is one of them, [structures].
        """
        return self._at(np.flatnonzero(members[self.owners]))

    def smallest(self) -> tuple[np.ndarray, np.ndarray]:
        """Every kind there is, ascending, and its smallest number."""
        kinds, first = np.unique(self.kinds, return_index=True)
        return kinds, self.values[first]

    def is_complete(self) -> bool:
        """Whether the smallest of each kind is here, after ``among`` left rows out."""
        return bool(np.isin(self.cut, self.kinds).all())

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """For a file."""
        return {f"{prefix}/{f.name}": getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def read(cls, arrays: Any, prefix: str) -> "Extremes":
        """The inverse of ``arrays``."""
        return cls(**{f.name: arrays[f"{prefix}/{f.name}"] for f in dataclasses.fields(cls)})

    def _at(self, rows: np.ndarray) -> "Extremes":
        names = ("kinds", "values", "owners", "notes")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def _smallest(kinds: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the smallest values of each kind, in order, and the kinds that have more."""
    if not len(kinds):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(kinds.astype(np.int16), kind="stable")  # kinds are below 2¹⁵: it is fast
    found, first = np.unique(kinds[order], return_index=True)
    kept, cut = [np.zeros(0, np.int64)], []
    for kind, rows in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        if len(rows) > _LOOKED_AT:
            own = values[rows]
            rows = rows[own <= np.partition(own, _LOOKED_AT - 1)[_LOOKED_AT - 1]]
            cut.append(kind)
        kept.append(rows)
    return np.sort(np.concatenate(kept)), np.array(cut, np.int64)


def _rank(*keys: np.ndarray) -> np.ndarray:
    """Place of each row among those before it with equal keys, of rows ordered by these."""
    count = len(keys[0])
    new = np.ones(count, bool)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    places = np.arange(count)
    return places - np.maximum.accumulate(np.where(new, places, 0))
