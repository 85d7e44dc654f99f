"""One labelled configuration of atoms, checked when it is made and trusted afterwards."""

import dataclasses

import numpy as np
from ase.data import atomic_numbers as numbers_of_symbols
from ase.data import chemical_symbols
from ase.formula import Formula

from equipot import errors

# Beyond anything physical: a uranium atom with all its electrons has −8e5 eV, two bare nuclei of it
# 0.05 Å apart repel each other by 5e7 eV/Å.
_LARGEST_ENERGY = 1e7  # eV per atom
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
      cell: Lattice vectors in rows, Å, [3, 3]; zero rows where there is none.
      pbc: Which directions are periodic, [3].
      energy: Total energy in eV.
      forces: Forces in eV/Å, [nodes, 3].
      stress: (1/V) ∂E/∂ε in eV/Å³, tension positive, [3, 3].
      energy_weight: Weight of the energy in the loss; 0 where there is no label.
      forces_weight: Likewise for the forces.
      stress_weight: Likewise for the stress.
      source: Where it comes from, for messages: ``"water.xyz, frame 17"``.
      group: What tables of errors are broken down by (a temperature, say); may be empty.
      head: Name of the level of theory of the labels, where there are several; else empty.

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
            check_array(name, value, self.where)
        if not np.isfinite(self.energy):
            raise errors.DataError(
                f"{self.where}: energy is {self.energy}; mend or remove the frame"
            )
        if abs(self.energy) > _LARGEST_ENERGY * max(1, count):
            raise errors.DataError(
                f"{self.where}: energy is {self.energy:g} eV, beyond {_LARGEST_ENERGY:g} eV for "
                f"each atom; mend or remove the frame, or give the unit of energy"
            )
        if np.any(self.atomic_numbers < 1) or np.any(self.atomic_numbers >= len(chemical_symbols)):
            raise errors.DataError(
                f"{self.source or 'structure'}: expected atomic numbers from 1 to "
                f"{len(chemical_symbols) - 1}, received {np.unique(self.atomic_numbers).tolist()}"
            )

    @property
    def formula(self) -> str:
        """Chemical formula in Hill order, as in ``H64O32``."""
        known = (self.atomic_numbers > 0) & (self.atomic_numbers < len(chemical_symbols))
        if not known.all():
            return "not of elements"
        return Formula.from_list([chemical_symbols[z] for z in self.atomic_numbers]).format("hill")

    @property
    def where(self) -> str:
        """Source and formula, for messages."""
        return f"{self.source or 'structure'} ({self.formula})"

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³; 0 unless all three directions are periodic."""
        return float(abs(np.linalg.det(self.cell))) if self.pbc.all() else 0.0


def check_array(name: str, value: np.ndarray, where: str) -> None:
    """Stops at NaN, infinity, and what is too large to be physical.

    Args:
      name: What it is: "positions", "cell", "forces" or "stress" have a largest value.
      value: In eV and Å.
      where: File and frame, for messages.

    Raises:
      DataError: With the largest number.
    """
    if not np.all(np.isfinite(value)):
        raise errors.DataError(f"{where}: {name} holds NaN or infinity; mend or remove the frame")
    limit, unit = _LARGEST.get(name, (np.inf, ""))
    largest = float(np.max(np.abs(value), initial=0.0)) if value.dtype.kind == "f" else 0.0
    if largest > limit:
        raise errors.DataError(
            f"{where}: {name} reaches {largest:g} {unit}, beyond {limit:g} {unit}, which nothing "
            f"physical does; mend or remove the frame, or give its unit"
        )


def symbol(atomic_number: int) -> str:
    """Chemical symbol of an element, as in ``Xe``; ``Z=200`` for what is none."""
    known = 0 < atomic_number < len(chemical_symbols)
    return chemical_symbols[atomic_number] if known else f"Z={atomic_number}"


def atomic_number(symbol: str) -> int | None:
    """Atomic number of a chemical symbol, or None for what is none."""
    number = numbers_of_symbols.get(symbol, 0)
    return number if number > 0 else None
