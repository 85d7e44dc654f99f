"""The range of distances that a training set covers, and what of a structure lies outside of it.

A potential is interpolation: two atoms nearer than any two of their elements in training, or an
atom farther from all others than any of its element was, are where its numbers mean nothing.
"""

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

import numpy as np

from equipot import errors
from equipot.data import contacts, distance_rows, structure

TOLERANCE = 1e-3
"""Å beyond the range that is not counted: positions are printed and rounded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Violation:
    """One distance outside of the range.

    Attributes:
      kind: "close": two atoms nearer than in training; "far": an atom whose nearest atom is
        farther than in training; "alone": an atom that has none within the radius of the search.
      atoms: Indices of the two atoms, or of the one.
      elements: Their atomic numbers.
      distance: Å; infinite where there is none.
      bound: The end of the range, Å; infinite for an element that was always alone.
    """

    kind: Literal["close", "far", "alone"]
    atoms: tuple[int, ...]
    elements: tuple[int, ...]
    distance: float
    bound: float

    def __str__(self) -> str:
        names = [
            f"atom {atom} ({structure.symbol(number)})"
            for atom, number in zip(self.atoms, self.elements, strict=True)
        ]
        if self.kind == "close":
            pair = "-".join(structure.symbol(number) for number in sorted(self.elements))
            return (
                f"{names[0]} and {names[1]} are {self.distance:.3f} Å apart; the shortest {pair} "
                f"distance in training is {self.bound:.3f} Å"
            )
        place = "has no other atom within" if self.kind == "alone" else "has its nearest atom at"
        distance = self.bound if self.kind == "alone" else self.distance
        symbol = structure.symbol(self.elements[0])
        if self.bound == np.inf:
            return f"{names[0]} {place} {distance:.3f} Å; every {symbol} of training was alone"
        seen = "" if self.kind == "alone" else f", at most {self.bound:.3f} Å away"
        return f"{names[0]} {place} {distance:.3f} Å; every {symbol} of training has one{seen}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistanceRange:
    """The distances of a training set, by elements.

    Attributes:
      radius: How far was searched, Å.
      shortest: Shortest distance in Å of each pair of elements, smaller Z first; pairs that never
        came within the radius are absent.
      longest: For each element, the longest distance in Å of one of its atoms to its nearest atom;
        atoms without any within the radius are not part of it, and elements without others absent.
      isolated: For each element with such atoms, how many there are.
    """

    radius: float
    shortest: Mapping[tuple[int, int], float]
    longest: Mapping[int, float]
    isolated: Mapping[int, int]

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON: pairs and elements become words such as ``"1-8"`` and ``"8"``."""
        return {
            "radius": self.radius,
            "shortest": {f"{a}-{b}": value for (a, b), value in sorted(self.shortest.items())},
            "longest": {str(z): value for z, value in sorted(self.longest.items())},
            "isolated": {str(z): count for z, count in sorted(self.isolated.items())},
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "DistanceRange":
        """The inverse of ``to_mapping``.

        Raises:
          DataError: If the mapping is not one that ``to_mapping`` gives.
        """
        try:
            shortest = {_pair(key): _length(v) for key, v in mapping["shortest"].items()}
            made = cls(
                radius=_length(mapping["radius"]),
                shortest=shortest,
                longest={_number(key): _length(v) for key, v in mapping["longest"].items()},
                isolated={_number(key): _number(v) for key, v in mapping["isolated"].items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise errors.DataError(
                "range of distances: expected radius, shortest, longest and isolated, with lengths"
                f" in Å by elements; {type(error).__name__}: {errors.brief(error)}"
            ) from None
        unknown = {z for pair in shortest for z in pair} - set(made.elements)
        if unknown:
            raise errors.DataError(
                f"range of distances: pairs with Z = {sorted(unknown)}, but no nearest atoms of it"
            )
        return made

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers in the training set, ascending."""
        return tuple(sorted({*self.longest, *self.isolated}))

    def violations(
        self, atomic_numbers: np.ndarray, i: np.ndarray, j: np.ndarray, distances: np.ndarray
    ) -> list[Violation]:
        """What of a structure lies outside of the range: pairs too close, then atoms too far.

        Args:
          atomic_numbers: Z of every atom, [nodes].
          i: First atom of each pair within some radius, [pairs]; each pair once or both ways.
          j: Second atom of each pair; the same where an atom meets its own image.
          distances: Å, [pairs]. Pairs beyond the radius of the training set count as none; if all
            within a shorter radius are given, atoms with none there are taken to have none at all.

        Raises:
          UnknownElementError: If an element is not in the training set.
        """
        species = self._table.take(atomic_numbers, mode="clip")
        if (species < 0).any():
            number = int(atomic_numbers[int(np.argmax(species < 0))])
            raise errors.UnknownElementError(
                f"range of distances: {structure.symbol(number)} (Z = {number}) is none of the "
                f"elements of training, {', '.join(map(structure.symbol, self.elements))}"
            )
        near = np.flatnonzero(distances <= self.reach)  # the others change nothing
        first, second = i.take(near), j.take(near)
        lengths, kinds = distances.take(near), (species.take(first), species.take(second))
        bounds = self._nearest.take(kinds[0] * len(self.elements) + kinds[1])
        close = near[lengths < bounds]
        kept = np.zeros(len(species), bool)
        kept[first[lengths <= self._farthest.take(kinds[0])]] = True
        kept[second[lengths <= self._farthest.take(kinds[1])]] = True
        if not len(close) and kept.all():
            return []
        found = [
            *self._close(atomic_numbers, i[close], j[close], distances[close]),
            *self._strays(atomic_numbers, np.flatnonzero(~kept), i, j, distances),
        ]
        return sorted(found, key=_order)

    def _close(
        self, numbers: np.ndarray, i: np.ndarray, j: np.ndarray, lengths: np.ndarray
    ) -> list[Violation]:
        made: dict[tuple[int, int], Violation] = {}
        for k in np.argsort(lengths, kind="stable").tolist():
            atoms = min(int(i[k]), int(j[k])), max(int(i[k]), int(j[k]))
            elements = int(numbers[atoms[0]]), int(numbers[atoms[1]])
            bound = self.shortest.get((min(elements), max(elements)), self.radius)
            distance = float(lengths[k])
            new = Violation(
                kind="close", atoms=atoms, elements=elements, distance=distance, bound=bound
            )
            made.setdefault(atoms, new)
        return list(made.values())

    def _strays(
        self,
        numbers: np.ndarray,
        atoms: np.ndarray,
        i: np.ndarray,
        j: np.ndarray,
        lengths: np.ndarray,
    ) -> list[Violation]:
        nearest = np.full(len(numbers), np.inf)
        for ends in (i, j):
            np.minimum.at(nearest, ends, np.where(lengths < self.radius, lengths, np.inf))
        made = []
        for atom in atoms.tolist():
            number, distance = int(numbers[atom]), float(nearest[atom])
            alone = not np.isfinite(distance)
            if alone and number in self.isolated:
                continue
            bound = self.radius if alone else self.longest.get(number, np.inf)
            new = Violation(
                kind="alone" if alone else "far",
                atoms=(atom,),
                elements=(number,),
                distance=distance,
                bound=bound,
            )
            made.append(new)
        return made

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """Place of each atomic number among the elements, −1 for others."""
        table = np.full(max(*self.elements, 118) + 2, -1)
        table[list(self.elements)] = np.arange(len(self.elements))
        return table

    @functools.cached_property
    def _nearest(self) -> np.ndarray:
        """Least distance of two elements, [elements · elements]."""
        bounds = [
            self.shortest.get((min(a, b), max(a, b)), self.radius) - TOLERANCE
            for a in self.elements
            for b in self.elements
        ]
        return np.array(bounds)

    @functools.cached_property
    def _farthest(self) -> np.ndarray:
        """Largest distance of an atom of each element to its nearest atom, [elements]."""
        known = [self.longest.get(z, -np.inf) + TOLERANCE for z in self.elements]
        return np.minimum(known, self.radius)

    @functools.cached_property
    def reach(self) -> float:
        """Å; longer pairs are neither too close nor the nearest of an atom, in any element."""
        return max(self._nearest.max(), self._farthest.max())


def measure(
    structures: Iterable[structure.Structure],
    radius: float,
    isolated_elements: Collection[int] = (),
) -> DistanceRange:
    """Measures the distances of a training set, periodic images included.

    Args:
      structures: The training set.
      radius: How far is searched, Å: the cutoff of the potential.
      isolated_elements: Elements whose isolated atom was part of the training otherwise, as
        reference energies that the potential keeps exactly.
    """
    found = distance_rows.measure(list(structures), radius)
    kinds, shortest = contacts.smallest(found.pairs[1], found.pairs[2])
    numbers, longest = contacts.smallest(found.nearest[1], -found.nearest[2])
    return made_of(
        radius, (kinds, shortest), (numbers, -longest), found.alone[1:], isolated_elements
    )


def made_of(
    radius: float,
    shortest: tuple[np.ndarray, np.ndarray],
    longest: tuple[np.ndarray, np.ndarray],
    alone: tuple[np.ndarray, np.ndarray],
    isolated_elements: Collection[int] = (),
) -> DistanceRange:
    """The range from tables.

    Args:
      radius: How far was searched, Å.
      shortest: Pairs of elements as numbers, and distances in Å.
      longest: Atomic numbers, and distances in Å of atoms to their nearest.
      alone: Atomic numbers, and numbers of atoms that have no other within the radius; an element
        may be there several times.
      isolated_elements: Elements whose isolated atom was part of the training otherwise.
    """
    isolated = {int(z): 1 for z in isolated_elements}
    for number, count in zip(alone[0].tolist(), alone[1].tolist(), strict=True):
        isolated[number] = isolated.get(number, 0) + int(count)
    return DistanceRange(
        radius=radius,
        shortest={contacts.pair(int(k)): float(d) for k, d in zip(*shortest, strict=True)},
        longest={int(z): float(d) for z, d in zip(*longest, strict=True)},
        isolated=isolated,
    )


def _order(violation: Violation) -> tuple[float, tuple[int, ...]]:
    """Pairs too close for the range come first, by how much; then atoms too far from others."""
    return violation.distance / violation.bound if violation.kind == "close" else (
        1.0 + violation.bound / violation.distance
    ), violation.atoms


def _pair(key: str) -> tuple[int, int]:
    first, second = map(_number, key.split("-"))
    if first > second:
        raise ValueError(f"the pair {key}, expected the smaller Z first")
    return first, second


def _number(value: str | int) -> int:
    number = int(value)
    if isinstance(value, float | bool) or number < 1:
        raise ValueError(f"{value!r}, expected a positive whole number")
    return number


def _length(value: float) -> float:
    if isinstance(value, bool | str) or not 0.0 <= value < np.inf:
        raise ValueError(f"{value!r}, expected a length in Å")
    return float(value)
