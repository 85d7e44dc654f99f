"""Finds what in a structure is outside the distances of training, and reports it once.

A potential gives a number for any structure. Only the distances show whether training supports that
number: ``equipot.data.distance_range`` has the bounds, and the neighbor list of a calculation has
the distances.
"""

import dataclasses
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from equipot import errors
from equipot.data.distance_range import DistanceRange, Violation
from equipot.data.structure import symbol
from equipot.inference.neighbors import NeighborCache, Neighbors
from equipot.store.host_graph import HostGraph


@dataclasses.dataclass(frozen=True, kw_only=True)
class Untrained:
    """An element that the potential knows only from a training before its last one.

    Attributes:
      kind: "untrained".
      atoms: Indices of its atoms.
      elements: Its atomic number.
    """

    kind: str = "untrained"
    atoms: tuple[int, ...]
    elements: tuple[int, ...]

    def __str__(self) -> str:
        name = symbol(self.elements[0])
        return f"atom {self.atoms[0]} is {name}; training had no {name}, and no distance is judged"


Finding = Violation | Untrained


def find(
    span: DistanceRange, atomic_numbers: np.ndarray, pairs: Neighbors, radius: float
) -> tuple[Finding, ...]:
    """Everything in one structure that is out of range, the worst first.

    Args:
      span: The range of the training set.
      atomic_numbers: Z of every atom, [nodes].
      pairs: All pairs within the radius.
      radius: Å, the cutoff.
    """
    try:
        if not span.violations(atomic_numbers, *pairs.within(span.reach)):
            return ()
        return tuple(span.violations(atomic_numbers, *pairs.within(radius)))
    except errors.UnknownElementError:
        return _untrained(span, atomic_numbers)


def _untrained(span: DistanceRange, atomic_numbers: np.ndarray) -> tuple[Untrained, ...]:
    absent = sorted(set(atomic_numbers.tolist()) - set(span.elements))
    atoms = [tuple(np.flatnonzero(atomic_numbers == number).tolist()) for number in absent]
    return tuple(Untrained(atoms=a, elements=(z,)) for a, z in zip(atoms, absent, strict=True))


class Watch:
    """Remembers what was reported: one case for each kind and each element or pair of elements."""

    def __init__(self) -> None:
        self._said: set[tuple[str, tuple[int, ...]]] = set()

    def news(self, found: Iterable[Finding]) -> list[Finding]:
        """Returns the first case of each sort not reported before, and marks it as reported."""
        fresh = []
        for finding in found:
            sort = finding.kind, tuple(sorted(finding.elements))
            if sort not in self._said:
                self._said.add(sort)
                fresh.append(finding)
        return fresh

    def warn(self, found: Iterable[Finding]) -> None:
        """Warns of what was not reported before.

        Warns:
          OutOfRangeWarning: Naming each.
        """
        if news := self.news(found):
            warnings.warn(
                "outside of what the potential was trained on, where its numbers mean little: "
                + "; ".join(map(str, news)),
                errors.OutOfRangeWarning,
                stacklevel=1,  # the caller is ASE or another program, whose lines would not help
            )


def find_in_graph(
    span: DistanceRange | None, atomic_numbers: np.ndarray, graph: HostGraph
) -> tuple[Finding, ...]:
    """Like ``find``, from the pairs of a graph; nothing without a range.

    Args:
      span: The range of the training set; None where it is not known.
      atomic_numbers: Z of every atom, [nodes].
      graph: Of the structure, with all pairs within the cutoff.
    """
    if span is None:
        return ()
    ends = graph.positions[graph.receivers] + graph.cell_shifts @ graph.cell
    lengths = np.linalg.norm(ends - graph.positions[graph.senders], axis=1)
    try:
        return tuple(span.violations(atomic_numbers, graph.senders, graph.receivers, lengths))
    except errors.UnknownElementError:
        return _untrained(span, atomic_numbers)


def find_anew(
    span: DistanceRange | None,
    atomic_numbers: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    radius: float,
) -> tuple[Finding, ...]:
    """Like ``find``, where there is no list of pairs yet; nothing without a range.

    Args:
      span: The range of the training set; None where it is not known.
      atomic_numbers: Z of every atom, [nodes].
      positions: Å, [nodes, 3].
      cell: Lattice vectors in rows, Å, [3, 3].
      pbc: Which directions are periodic, [3].
      radius: Å, the cutoff.

    Raises:
      DataError: If two atoms lie at the same place.
    """
    if span is None:
        return ()
    pairs = NeighborCache(radius, 0.0).find(positions, cell, pbc)
    return find(span, atomic_numbers, pairs, radius)


def check_known(span: DistanceRange | None) -> None:
    """Refuses to be strict about distances that a potential does not state.

    Raises:
      ConfigError: If it does not.
    """
    if span is None:
        raise errors.ConfigError(
            "strict: expected a potential that states the distances it was trained on, this one"
            " does not: it was made by an earlier version, or converted; leave strict out"
        )


def refuse(found: Sequence[Finding]) -> None:
    """Raises an error if anything is out of range.

    Raises:
      OutOfRangeError: With the worst case and the number of further ones.
    """
    if found:
        more = f" ({len(found) - 1} more such)" if len(found) > 1 else ""
        raise errors.OutOfRangeError(
            f"the structure is outside of what the potential was trained on: {found[0]}{more}."
            " Train on such structures too, or go on without being strict"
        )
