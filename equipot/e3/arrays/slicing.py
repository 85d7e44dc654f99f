"""Where copies, components and entries of a direct sum lie: what an index or a slice selects.

Works on anything whose items have ``mul`` (copies), ``dim`` (components) and ``ir`` (the irrep).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")
S = TypeVar("S", bound="Sliceable")
Unit = Literal["mul", "dim", "chunk"]


class Piece(NamedTuple):
    """Copies ``first`` to ``last`` of the entry at ``position``."""

    position: int
    first: int
    last: int


@dataclass(frozen=True)
class Slicer(Generic[T]):
    """Turns ``slicer[start:stop]``, counted in one unit, into what ``take`` makes of the pieces."""

    entries: Sequence[Any]
    unit: Unit
    take: Callable[[list[Piece]], T]

    def __getitem__(self, index: slice) -> T:
        return self.take(pieces(self.entries, index, self.unit))


class Sliceable:
    """Slices in three units, for what has entries and knows how to take pieces of them."""

    __slots__ = ()

    def _entries(self) -> Sequence[Any]:
        """The irreps that the pieces are pieces of."""
        raise NotImplementedError

    def take(self: S, pieces: Sequence[Piece]) -> S:
        """The part that some pieces make."""
        raise NotImplementedError

    @property
    def slice_by_mul(self: S) -> Slicer[S]:
        """``x.slice_by_mul[a:b]``: copies a to b."""
        return Slicer(self._entries(), "mul", self.take)

    @property
    def slice_by_dim(self: S) -> Slicer[S]:
        """``x.slice_by_dim[a:b]``: components a to b, which must not cut an irrep."""
        return Slicer(self._entries(), "dim", self.take)

    @property
    def slice_by_chunk(self: S) -> Slicer[S]:
        """``x.slice_by_chunk[a:b]``: entries a to b."""
        return Slicer(self._entries(), "chunk", self.take)


def pieces(entries: Sequence[Any], index: slice, unit: Unit) -> list[Piece]:
    """The parts of the entries between two positions; entries outside do not appear.

    Raises:
      ValueError: The slice cuts through an irrep.
      NotImplementedError: The slice has a step.
    """
    start, stop, step = index.indices(sum(_size(entry, unit) for entry in entries))
    if step != 1:
        raise NotImplementedError(f"expected a slice without a step, received {index}")
    found, offset = [], 0
    for position, entry in enumerate(entries):
        size = _size(entry, unit)
        low, high = (min(max(bound - offset, 0), size) for bound in (start, stop))
        offset += size
        if high <= low:
            continue
        if unit == "dim" and (low % entry.ir.dim or high % entry.ir.dim):
            raise ValueError(
                f"expected a slice that keeps irreps whole, received {start}:{stop} of "
                f"{'+'.join(map(str, entries))}, which cuts {entry}"
            )
        if unit == "chunk":
            found.append(Piece(position, 0, entry.mul))
        else:
            step = entry.ir.dim if unit == "dim" else 1
            found.append(Piece(position, low // step, high // step))
    return found


def align(left: Sequence[Any], right: Sequence[Any]) -> list[tuple[Piece, Piece]]:
    """Cuts the entries of two sums with equally many copies so that they pair up one to one."""
    pairs: list[tuple[Piece, Piece]] = []
    i = j = used_left = used_right = 0
    while i < len(left) and j < len(right):
        count = min(left[i].mul - used_left, right[j].mul - used_right)
        if count:
            first = Piece(i, used_left, used_left + count)
            pairs.append((first, Piece(j, used_right, used_right + count)))
        used_left, used_right = used_left + count, used_right + count
        if used_left == left[i].mul:
            i, used_left = i + 1, 0
        if used_right == right[j].mul:
            j, used_right = j + 1, 0
    return pairs


def find_run(entries: Sequence[Any], wanted: Sequence[Any]) -> list[Piece]:
    """The contiguous entries equal to ``wanted``, which must occur exactly once.

    Raises:
      IndexError: They do not occur, or more than once.
    """
    starts = range(len(entries) - len(wanted) + 1)
    found = [i for i in starts if tuple(entries[i : i + len(wanted)]) == tuple(wanted)]
    if len(found) != 1 or not len(wanted):
        raise IndexError(
            f"expected irreps that appear exactly once in {entries}, received {wanted}, which "
            f"appears {len(found)} times: regroup() or filter() first"
        )
    return [Piece(i, 0, entries[i].mul) for i in range(found[0], found[0] + len(wanted))]


def _size(entry: Any, unit: Unit) -> int:
    return {"mul": entry.mul, "dim": entry.dim, "chunk": 1}[unit]
