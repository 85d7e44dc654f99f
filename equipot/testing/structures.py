"""Structures that reveal errors: several elements, no symmetry, cells smaller than the cutoff.

All lengths are in units of the cutoff, so that numbers of edges are the same for every model. The
numbers of atoms are even.
"""

import dataclasses

import numpy as np

from equipot.data.structure import Structure

# No two atoms are within 0.4 % of the cutoff, which derivatives by differences must not cross.
_CELL = np.array([[0.83, 0.05, -0.03], [0.21, 0.91, 0.07], [-0.17, 0.11, 0.77]]) / 1.0123
_FRACTIONS = np.array(
    [[0.03, 0.07, 0.11], [0.52, 0.38, 0.09], [0.21, 0.66, 0.58], [0.81, 0.12, 0.63]]
)
_CLUSTER = np.array(
    [
        [0.00, 0.00, 0.00],
        [0.41, 0.13, -0.07],
        [-0.22, 0.52, 0.19],
        [0.13, -0.31, 0.57],
        [0.94, 0.35, 0.28],
        [-0.47, -0.41, -0.62],
    ]
)
_ROTATED = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])


def crystal(
    cutoff: float, species_table: tuple[int, ...], pbc: tuple[bool, bool, bool] = (True, True, True)
) -> Structure:
    """Four atoms in a skewed cell, each of whose edges is shorter than the cutoff."""
    return Structure(
        positions=cutoff * _FRACTIONS @ _CELL,
        atomic_numbers=_elements(4, species_table),
        cell=cutoff * _CELL,
        pbc=np.array(pbc),
        source="crystal" if all(pbc) else "slab",
    )


def slab(cutoff: float, species_table: tuple[int, ...]) -> Structure:
    """The crystal, periodic in two directions only."""
    return crystal(cutoff, species_table, (True, True, False))


def cluster(cutoff: float, species_table: tuple[int, ...]) -> Structure:
    """Six atoms without a cell, not all of them within the cutoff of each other."""
    return Structure(
        positions=cutoff * _CLUSTER,
        atomic_numbers=_elements(6, species_table),
        source="cluster",
    )


def fragment(cutoff: float, species_table: tuple[int, ...]) -> Structure:
    """Four atoms without a cell, other ones than those of the cluster."""
    return Structure(
        positions=cutoff * 0.8 * _CLUSTER[:4] @ _ROTATED,
        atomic_numbers=_elements(5, species_table)[1:],
        source="fragment",
    )


def atom(atomic_number: int) -> Structure:
    """One atom alone."""
    return Structure(
        positions=np.zeros((1, 3)), atomic_numbers=np.array([atomic_number]), source="atom"
    )


def boxed_atom(cutoff: float, atomic_number: int, edge: float) -> Structure:
    """One atom in a cubic cell whose edge is given in units of the cutoff."""
    return Structure(
        positions=np.full((1, 3), 0.1),
        atomic_numbers=np.array([atomic_number]),
        cell=edge * cutoff * np.eye(3),
        pbc=np.ones(3, bool),
        source="boxed atom",
    )


def pair(distance: float, first: int, second: int) -> Structure:
    """Two atoms at a distance in Å, in a general direction."""
    return extended(atom(first), second, 0, distance)


def extended(structure: Structure, atomic_number: int, anchor: int, distance: float) -> Structure:
    """One atom more, at a distance in Å from an atom, in a general direction."""
    direction = np.array([-0.36, -0.48, 0.80])
    place = structure.positions[anchor] + distance * direction
    return dataclasses.replace(
        structure,
        positions=np.concatenate([structure.positions, place[None]]),
        atomic_numbers=np.append(structure.atomic_numbers, atomic_number),
        forces=np.zeros((0, 3)),
        source=f"{structure.source}, one more atom",
    )


def rotated(structure: Structure, matrix: np.ndarray) -> Structure:
    """Positions and cell under x → R x; R may be improper."""
    return dataclasses.replace(
        structure, positions=structure.positions @ matrix.T, cell=structure.cell @ matrix.T
    )


def displaced(structure: Structure, displacements: np.ndarray) -> Structure:
    """Positions moved by vectors in Å that broadcast against them."""
    return dataclasses.replace(structure, positions=structure.positions + displacements)


def permuted(structure: Structure, order: np.ndarray) -> Structure:
    """The same atoms in another order."""
    return dataclasses.replace(
        structure,
        positions=structure.positions[order],
        atomic_numbers=structure.atomic_numbers[order],
    )


def strained(structure: Structure, strain: np.ndarray) -> Structure:
    """Positions and cell under x → (1 + ε) x."""
    return rotated(structure, np.eye(3) + strain)


def repeated(structure: Structure, repeats: tuple[int, int, int]) -> Structure:
    """A supercell; whole copies follow each other."""
    shifts = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 3)
    positions = structure.positions[None] + (shifts @ structure.cell)[:, None]
    return dataclasses.replace(
        structure,
        positions=positions.reshape(-1, 3),
        atomic_numbers=np.tile(structure.atomic_numbers, len(shifts)),
        cell=structure.cell * np.array(repeats)[:, None],
        forces=np.zeros((0, 3)),
    )


def joined(first: Structure, second: Structure, offset: np.ndarray) -> Structure:
    """Two structures without a cell as one, the second moved by an offset in Å."""
    return Structure(
        positions=np.concatenate([first.positions, second.positions + offset]),
        atomic_numbers=np.concatenate([first.atomic_numbers, second.atomic_numbers]),
        source=f"{first.source} and {second.source}",
    )


def _elements(count: int, species_table: tuple[int, ...]) -> np.ndarray:
    return np.array([species_table[i % len(species_table)] for i in range(count)])
