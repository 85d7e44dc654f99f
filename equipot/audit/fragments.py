"""The molecules of a frame, and boxes in which they lie at random."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from equipot.audit import samples
from equipot.data import elements
from equipot.data.distance_range import DistanceRange
from equipot.data.structure import Structure
from equipot.testing import equivariance

_BONDED = 1.25  # of the sum of covalent radii
_TRIES = 400
_LARGEST_MOLECULE = 40  # atoms; what is larger is taken for a solid or a network
ATOMS = 24
"""In a box of atoms or molecules at random, about."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Molecule:
    """Atoms that hang together.

    Attributes:
      positions: Å, around the origin, [nodes, 3].
      atomic_numbers: Z, [nodes].
    """

    positions: np.ndarray
    atomic_numbers: np.ndarray


def molecules(structure: Structure) -> list[Molecule]:
    """The molecules of a frame, each whole; empty where a network fills the cell.

    Args:
      structure: The frame, periodic or not.
    """
    positions, numbers = structure.positions, structure.atomic_numbers
    vectors, shifts = positions[None] - positions[:, None], 0.0
    if structure.pbc.any():
        inverse = np.linalg.pinv(structure.cell)
        shifts = -np.where(structure.pbc, np.round(vectors @ inverse), 0.0) @ structure.cell
        vectors = vectors + shifts
    radii = elements.COVALENT_RADII[numbers]
    lengths = np.linalg.norm(vectors, axis=-1)
    bonded = (lengths > 0.1) & (lengths < _BONDED * (radii[:, None] + radii[None]))
    count, label = connected_components(coo_array(bonded), directed=False)
    if max(np.bincount(label)) > _LARGEST_MOLECULE:
        return []
    found = []
    for index in range(count):
        members = np.flatnonzero(label == index)
        places = _whole(members, bonded, vectors)
        if places is None:
            return []
        found.append(
            Molecule(positions=places - places.mean(axis=0), atomic_numbers=numbers[members])
        )
    return found


def random_box(
    rng: np.random.Generator,
    parts: Sequence[Molecule],
    volume: float,
    span: DistanceRange | None,
    share: float,
) -> Structure:
    """Molecules at random places and turned at random in a periodic cube.

    A cube in which one would meet its own images is made larger.

    Args:
      rng: Random numbers.
      parts: The molecules.
      volume: Å³.
      span: Shortest distances of training.
      share: Of these, how near atoms of two molecules may lie; less where there is no room.
    """
    edge = max(volume ** (1 / 3), *(_least_edge(part, span) for part in parts))
    while True:
        places = _placed(rng, parts, edge, span, share)
        if places is not None:
            return Structure(
                positions=places,
                atomic_numbers=np.concatenate([part.atomic_numbers for part in parts]),
                cell=edge * np.eye(3),
                pbc=np.ones(3, bool),
                source="molecules at random",
            )
        share *= 0.95


def _least_edge(part: Molecule, span: DistanceRange | None) -> float:
    """Å that a molecule and the shortest distance of its atoms to those of an image take up."""
    extent = np.linalg.norm(part.positions[:, None] - part.positions[None], axis=-1).max()
    return float(extent + samples.shortest_table(span, part.atomic_numbers).max())


def _placed(
    rng: np.random.Generator,
    parts: Sequence[Molecule],
    edge: float,
    span: DistanceRange | None,
    share: float,
) -> np.ndarray | None:
    every = np.concatenate([part.atomic_numbers for part in parts])
    least = share * samples.shortest_table(span, every)
    places = np.zeros((0, 3))
    for part in parts:
        start, stop = len(places), len(places) + len(part.positions)
        for _ in range(_TRIES):
            turned = part.positions @ equivariance.rotation_matrix(int(rng.integers(1 << 31))).T
            trial = turned + edge * rng.random(3)
            vectors = trial[:, None] - places[None]
            vectors -= edge * np.round(vectors / edge)
            if (np.linalg.norm(vectors, axis=-1) >= least[start:stop, :start]).all():
                places = np.concatenate([places, trial])
                break
        else:
            return None
    return places


def _whole(members: np.ndarray, bonded: np.ndarray, vectors: np.ndarray) -> np.ndarray | None:
    """Positions of the atoms of one molecule from its first, along its bonds.

    None where bonds lead to an atom on two ways that end at different images of it: a network.
    """
    places = {int(members[0]): np.zeros(3)}
    waiting = [int(members[0])]
    while waiting:
        here = waiting.pop()
        for other in np.flatnonzero(bonded[here]).tolist():
            place = places[here] + vectors[here, other]
            if other not in places:
                places[other] = place
                waiting.append(other)
            elif not np.allclose(places[other], place, atol=0.1):
                return None
    return np.array([places[int(member)] for member in members])
