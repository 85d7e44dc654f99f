"""What does not change in a simulation: systems side by side, each padded to the largest."""

import dataclasses
from collections.abc import Sequence
from typing import no_type_check

import numpy as np
from flax import struct

from equipot.data.structure import Structure
from equipot.inference import device_neighbors
from equipot.potential.potential import PotentialSpec
from equipot.store import host_graph
from equipot.typing import AnyArray, Bool, Float, Int


@no_type_check
@struct.dataclass
class Systems:
    """Some systems. Masses are in amu, and padding atoms weigh 1.

    Attributes:
      species: Index into the potential's species table; 0 in padding.
      present: Which atoms there are.
      movable: Which of them move; no padding atom does.
      masses: amu.
      pbc: Which directions are periodic.
      references: Sum of the reference energies of a system, eV.
      freedom: Number of momenta that a thermostat acts on, those that are conserved left out.
      temperature: Wanted, K.
      stream: Which random numbers are a system's own.
      head: Which level of theory.
    """

    species: Int[AnyArray, "systems atoms"]
    present: Bool[AnyArray, "systems atoms"]
    movable: Bool[AnyArray, "systems atoms"]
    masses: Float[AnyArray, "systems atoms"]
    pbc: Bool[AnyArray, "systems 3"]
    references: Float[AnyArray, " systems"]
    freedom: Float[AnyArray, " systems"]
    temperature: Float[AnyArray, " systems"]
    stream: Int[AnyArray, " systems"]
    head: Int[AnyArray, " systems"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """One system at its start.

    Attributes:
      positions: Å, [nodes, 3].
      numbers: Atomic numbers, [nodes].
      cell: Lattice vectors in rows, Å, [3, 3].
      pbc: Which directions are periodic, [3].
      masses: amu, [nodes].
      fixed: Which atoms do not move, [nodes].
      temperature: K, wanted.
      stream: Which random numbers are its own.
      conserved: Momenta that the dynamics conserves and that are zero: 3, or 0.
    """

    positions: np.ndarray
    numbers: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    masses: np.ndarray
    fixed: np.ndarray
    temperature: float = 0.0
    stream: int = 0
    conserved: int = 0


def build(starts: Sequence[Start], spec: PotentialSpec, head: int, num_atoms: int = 0) -> Systems:
    """Puts systems side by side.

    Args:
      starts: The systems.
      spec: Of the potential.
      head: Index of the level of theory.
      num_atoms: Atoms that each has room for; at least those of the largest are taken.

    Raises:
      UnknownElementError: If the potential does not know an element.
    """
    size = max(num_atoms, *(len(start.numbers) for start in starts))
    species = [species_of(start.positions, start.numbers, spec) for start in starts]
    table = spec.references[head]
    free = [3 * int(np.count_nonzero(~start.fixed)) for start in starts]
    return Systems(
        species=padded(species, size).astype(np.int32),
        present=padded([np.ones(len(start.numbers), bool) for start in starts], size),
        movable=padded([~start.fixed for start in starts], size),
        masses=padded([start.masses for start in starts], size, 1.0),
        pbc=np.stack([start.pbc for start in starts]),
        references=np.array([table[own].sum() for own in species]),
        freedom=np.array(
            [float(max(n - s.conserved, 0)) for n, s in zip(free, starts, strict=True)]
        ),
        temperature=np.array([start.temperature for start in starts], np.float64),
        stream=np.array([start.stream for start in starts], np.int32),
        head=np.full(len(starts), head, np.int32),
    )


def padded(parts: Sequence[np.ndarray], size: int, filling: float = 0) -> np.ndarray:
    """Arrays of atoms side by side, [systems, size, ...].

    Args:
      parts: Of each system, [nodes, ...].
      size: Room for so many atoms.
      filling: What stands in padding.
    """
    whole = np.full((len(parts), size, *parts[0].shape[1:]), filling, parts[0].dtype)
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part
    return whole


def cells_of(starts: Sequence[Start]) -> np.ndarray:
    """Cells that span a volume, whatever is periodic, Å, [systems, 3, 3]."""
    return np.stack([device_neighbors.complete(start.cell, start.pbc) for start in starts])


def species_of(positions: np.ndarray, numbers: np.ndarray, spec: PotentialSpec) -> np.ndarray:
    """Places of atoms in the table of a potential, [nodes].

    Args:
      positions: Å, [nodes, 3], for the message.
      numbers: Atomic numbers, [nodes].
      spec: Of the potential.

    Raises:
      UnknownElementError: If the potential does not know an element.
    """
    structure = Structure(positions=positions, atomic_numbers=numbers)
    return host_graph.species_of(structure, spec.species_table)
