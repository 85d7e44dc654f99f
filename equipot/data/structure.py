"""One labelled configuration of atoms, checked when it is made and trusted afterwards."""

import abc
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers as numbers_of_symbols
from ase.data import chemical_symbols

from equipot import errors
from equipot.quantities import DERIVED, Label

# Beyond anything physical: a uranium atom with all its electrons has −8e5 eV, two bare nuclei of it
# 0.05 Å apart repel each other by 5e7 eV/Å.
LARGEST_ENERGY = 1e7
"""eV per atom beyond which an energy is considered a mistake."""

_LARGEST = {
    "positions": (1e9, "Å"),
    "cell": (1e9, "Å"),
    "forces": (1e8, "eV/Å"),
    "stress": (1e8, "eV/Å³"),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """Atoms with their labels; a missing label is zeros with a weight of zero.

    Attributes:
      positions: Cartesian positions in Å, [nodes, 3].
      atomic_numbers: Z of every atom, [nodes].
      cell: Lattice vectors in rows, Å, [3, 3]; a row is zero if there is no vector.
      pbc: Which directions are periodic, [3].
      energy: Total energy in eV.
      forces: Forces in eV/Å, [nodes, 3].
      stress: (1/V) ∂E/∂ε in eV/Å³, tension positive, [3, 3].
      energy_weight: Weight of the energy in the loss; 0 if there is no label.
      forces_weight: Likewise for the forces.
      stress_weight: Likewise for the stress.
      others: Labels of declared quantities, by name, each of the shape of its quantity.
      charge: Total charge, in elementary charges; 0 if no declared quantity adds up to it.
      source: Where it comes from, for messages: ``"water.xyz, frame 17"``.
      group: Group of the structure in tables of errors (such as a temperature); may be empty.
      head: Name of the level of theory of the labels, if there are several; otherwise empty.

    Raises:
      DataError: If shapes disagree, a number is not finite, or an atomic number is none.
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray
    cell: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((3, 3)))
    pbc: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3, bool))
    energy: float = 0.0
    forces: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))
    stress: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((3, 3)))
    energy_weight: float = 0.0
    forces_weight: float = 0.0
    stress_weight: float = 0.0
    others: Mapping[str, Label] = dataclasses.field(default_factory=dict)
    charge: float = 0.0
    source: str = ""
    group: str = ""
    head: str = ""

    def __post_init__(self) -> None:
        count = len(self.positions)
        if len(self.forces) == 0 and self.forces_weight == 0.0:
            object.__setattr__(self, "forces", np.zeros((count, 3)))
        expected = {
            "positions": (count, 3),
            "atomic_numbers": (count,),
            "cell": (3, 3),
            "pbc": (3,),
            "forces": (count, 3),
            "stress": (3, 3),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise errors.DataError(
                    f"{self.where}: {name} has shape {value.shape}, expected {shape}"
                )
            if wrong := fault(name, value):
                raise errors.DataError(f"{self.where}: {wrong}")
        for name, label in self.others.items():
            if wrong := fault(name, np.asarray(label.value, np.float64)):
                raise errors.DataError(f"{self.where}: {wrong}")
        if not np.isfinite(self.energy):
            raise errors.DataError(
                f"{self.where}: energy is {self.energy}; mend or remove the frame"
            )
        if abs(self.energy) > LARGEST_ENERGY * max(1, count):
            raise errors.DataError(
                f"{self.where}: energy is {self.energy:g} eV, beyond {LARGEST_ENERGY:g} eV for "
                f"each atom; mend or remove the frame, or give the unit of energy"
            )
        if np.any(self.atomic_numbers < 1) or np.any(self.atomic_numbers >= len(chemical_symbols)):
            raise errors.DataError(
                f"{self.source or 'structure'}: expected atomic numbers from 1 to "
                f"{len(chemical_symbols) - 1}, received {np.unique(self.atomic_numbers).tolist()}"
            )

    def label(self, name: str) -> Label | None:
        """The label of a quantity, or None if there is none to train on or to compare with.

        Args:
          name: Energy, forces, stress, or a declared quantity.
        """
        if name in DERIVED:
            weight = getattr(self, f"{name}_weight")
            return Label(getattr(self, name), weight) if weight > 0.0 else None
        label = self.others.get(name)
        return label if label is not None and label.weight > 0.0 else None

    @property
    def formula(self) -> str:
        """Chemical formula in Hill order, as in ``H64O32``."""
        return _formula(np.asarray(self.atomic_numbers).tobytes(), self.atomic_numbers.dtype)

    @property
    def where(self) -> str:
        """Source and formula, for messages."""
        return f"{self.source or 'structure'} ({self.formula})"

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³; 0 unless all three directions are periodic."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else 0.0


def assemble(**fields: Any) -> Structure:
    """A structure from fields that were already checked together with those of others.

    Args:
      fields: All of them.
    """
    made = object.__new__(Structure)
    made.__dict__.update(fields)
    return made


def check_array(name: str, value: np.ndarray, where: str) -> None:
    """Stops at NaN, infinity, and values too large to be physical.

    Args:
      name: What it is: "positions", "cell", "forces" or "stress" have a largest value.
      value: In eV and Å.
      where: File and frame, for messages.

    Raises:
      DataError: With the largest number.
    """
    if wrong := fault(name, value):
        raise errors.DataError(f"{where}: {wrong}")


def fault(name: str, value: np.ndarray) -> str:
    """The error that ``check_array`` reports; empty if nothing is wrong."""
    if value.dtype.kind != "f":
        if np.isfinite(value).all():
            return ""
        return f"{name} holds NaN or infinity; mend or remove the frame"
    limit, unit = _LARGEST.get(name, (np.inf, ""))
    largest = float(np.abs(value).max(initial=0.0))
    if not np.isfinite(largest):  # NaN goes through the maximum
        return f"{name} holds NaN or infinity; mend or remove the frame"
    if largest > limit:
        return (
            f"{name} reaches {largest:g} {unit}, beyond {limit:g} {unit}, which nothing physical "
            f"does; mend or remove the frame, or give its unit"
        )
    return ""


@functools.lru_cache(maxsize=4096)
def _formula(atomic_numbers: bytes, dtype: np.dtype) -> str:
    """Carbon, hydrogen, then the others by symbol, as ASE writes it."""
    numbers = np.frombuffer(atomic_numbers, dtype)
    if not ((numbers > 0) & (numbers < len(chemical_symbols))).all():
        return "not of elements"
    counts = np.bincount(numbers)
    found = {chemical_symbols[z]: counts[z] for z in np.flatnonzero(counts).tolist()}
    leading = [s for s in ("C", "H") if s in found]
    order = [*leading, *sorted(found.keys() - set(leading))]
    return "".join(s if found[s] == 1 else f"{s}{found[s]}" for s in order)


class LazyStructures(Sequence[Structure]):
    """Structures that are made when they are asked for, and know what is asked of them all."""

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what they are."""

    @abc.abstractmethod
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""

    @abc.abstractmethod
    def compositions(self, numbers: Sequence[int]) -> np.ndarray:
        """How many atoms of each of some elements each has, int64, [structures, elements]."""


def elements(structures: Sequence[Structure]) -> list[int]:
    """Atomic numbers that occur in any of the structures, ascending."""
    if isinstance(structures, LazyStructures):
        return structures.elements()
    if not structures:
        return []
    return np.unique(np.concatenate([s.atomic_numbers for s in structures])).tolist()


def compositions(structures: Sequence[Structure], numbers: Sequence[int]) -> np.ndarray:
    """How many atoms of each of some elements each structure has, int64, [structures, elements]."""
    if isinstance(structures, LazyStructures):
        return structures.compositions(numbers)
    if not structures:
        return np.zeros((0, len(numbers)), np.int64)
    sizes = [len(s.atomic_numbers) for s in structures]
    every = np.concatenate([s.atomic_numbers for s in structures])
    columns = np.full(max(len(chemical_symbols), *numbers, int(every.max(initial=0))) + 1, -1)
    columns[list(numbers)] = np.arange(len(numbers))
    column, row = columns[every], np.repeat(np.arange(len(sizes)), sizes)
    places = (row * len(numbers) + column)[column >= 0]
    counts = np.bincount(places, minlength=len(sizes) * len(numbers))
    return counts.reshape(len(sizes), len(numbers))


def symbol(atomic_number: int) -> str:
    """Chemical symbol of an element, as in ``Xe``; ``Z=200`` if there is no such element."""
    known = 0 < atomic_number < len(chemical_symbols)
    return chemical_symbols[atomic_number] if known else f"Z={atomic_number}"


def atomic_number(symbol: str) -> int | None:
    """Atomic number of a chemical symbol, or None if there is no such element."""
    number = numbers_of_symbols.get(symbol, 0)
    return number if number > 0 else None
