"""The structures that the audit looks at: of the data, and made ones that no data hold."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from equipot.data import elements
from equipot.data.distance_range import DistanceRange
from equipot.data.structure import Structure
from equipot.potential import probe
from equipot.testing import structures

LARGEST = 100
"""Atoms beyond which a frame of the data is not taken where there are smaller ones."""

_PER_ATOM = 0.64  # volume of an atom in units of the cube of twice its covalent radius
_SMALLEST = 9.0  # Å³, of an atom of hydrogen in anything condensed
_TRIES = 2000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Structures without labels, but those of ``data``.

    Attributes:
      made: A skewed crystal, a slab and a cluster in units of the cutoff, and the probe of a saved
        potential: several elements, no symmetry, cells shorter than the cutoff.
      frames: Some of the data, of different composition, the smallest of each.
      box: The system that dynamics run on.
      data: Everything that was given.
      temperatures: K, of those groups of the data that are temperatures.
    """

    made: tuple[Structure, ...]
    frames: tuple[Structure, ...]
    box: Structure
    data: tuple[Structure, ...] = ()
    temperatures: tuple[float, ...] = ()

    @property
    def every(self) -> tuple[Structure, ...]:
        """Those that symmetries and derivatives are tried on."""
        return self.made + self.frames

    @property
    def has_data(self) -> bool:
        """Whether there were data to choose from."""
        return bool(self.data)


def choose(
    data: Sequence[Structure],
    species_table: tuple[int, ...],
    cutoff: float,
    span: DistanceRange | None,
) -> Samples:
    """Chooses structures.

    Args:
      data: Labelled frames; may be none.
      species_table: Atomic numbers that the potential knows.
      cutoff: Å.
      span: The distances of its training.
    """
    makers = structures.crystal, structures.slab, structures.cluster
    made = (
        *(make(cutoff, species_table) for make in makers),
        dataclasses.replace(probe.make_structure(species_table, cutoff), source="probe"),
    )
    frames = smallest_frames(data)
    rng = np.random.default_rng(0)
    box = box_of(data) if data else dense_box(rng, _composition(species_table), span)
    return Samples(
        made=made,
        frames=frames,
        box=box,
        data=tuple(data),
        temperatures=tuple(sorted({float(s.group) for s in data if _is_number(s.group)})),
    )


def bare(structure: Structure) -> Structure:
    """Atoms and cell alone, without labels, as for one level of theory."""
    return Structure(
        positions=np.asarray(structure.positions, np.float64),
        atomic_numbers=structure.atomic_numbers,
        cell=np.asarray(structure.cell, np.float64),
        pbc=structure.pbc,
        charge=structure.charge,
        source=structure.source,
        group=structure.group,
    )


def smallest_frames(data: Sequence[Structure], count: int = 2) -> tuple[Structure, ...]:
    """The smallest frames of the data of more than one atom, one of each composition."""
    chosen: dict[str, Structure] = {}
    for structure in sorted(data, key=lambda own: len(own.positions)):
        if 1 < len(structure.positions) and structure.formula not in chosen:
            chosen[structure.formula] = bare(structure)
    found = list(chosen.values())
    return tuple(own for i, own in enumerate(found[:count]) if i == 0 or _is_small(own))


def box_of(data: Sequence[Structure]) -> Structure:
    """The frame that dynamics run on: the largest of at most a hundred atoms, the coolest of it.

    Args:
      data: Frames, one of them of several atoms.
    """
    several = [s for s in data if len(s.positions) > 1]
    small = [s for s in several if _is_small(s)] or [min(several, key=lambda s: len(s.positions))]
    size = max(len(s.positions) for s in small)
    largest = [s for s in small if len(s.positions) == size]
    cool = [s for s in largest if _is_number(s.group)]
    return bare(min(cool, key=lambda s: float(s.group)) if cool else largest[0])


def dense_box(
    rng: np.random.Generator,
    atomic_numbers: np.ndarray,
    span: DistanceRange | None,
    volume: float | None = None,
    share: float = 0.8,
) -> Structure:
    """Atoms at random places of a periodic cube, none nearer than a share of what is trained.

    Args:
      rng: Random numbers.
      atomic_numbers: Of the atoms.
      span: Shortest distances; those of covalent radii where it is None.
      volume: Å³; by default one that is typical of the elements.
      share: Of the shortest distance of a pair; less where there is no room.
    """
    radii = elements.COVALENT_RADII[atomic_numbers]
    volume = volume or float(np.maximum(_PER_ATOM * (2 * radii) ** 3, _SMALLEST).sum())
    edge = volume ** (1 / 3)
    least = shortest_table(span, atomic_numbers)
    while True:
        places = _place(rng, edge, share * least)
        if places is not None:
            return Structure(
                positions=places,
                atomic_numbers=atomic_numbers,
                cell=edge * np.eye(3),
                pbc=np.ones(3, bool),
                source="atoms at random",
            )
        share *= 0.95


def shortest(span: DistanceRange | None, first: int, second: int) -> float:
    """Shortest trained distance of a pair in Å; 0.9 times its covalent radii if not known.

    Args:
      span: What training had.
      first: Atomic number.
      second: Atomic number.
    """
    pair = min(first, second), max(first, second)
    if span is not None and pair in span.shortest:
        return span.shortest[pair]
    return 0.9 * float(elements.COVALENT_RADII[first] + elements.COVALENT_RADII[second])


def shortest_table(span: DistanceRange | None, atomic_numbers: np.ndarray) -> np.ndarray:
    """The same for all pairs of some atoms, [nodes, nodes]."""
    kinds, own = np.unique(atomic_numbers, return_inverse=True)
    table = np.array([[shortest(span, int(a), int(b)) for b in kinds] for a in kinds])
    return table[own[:, None], own[None, :]]


def _place(rng: np.random.Generator, edge: float, least: np.ndarray) -> np.ndarray | None:
    """Random places in a periodic cube, one after another; None where no room is left."""
    places = np.zeros((0, 3))
    for i in range(len(least)):
        trial = edge * rng.random((_TRIES, 3))
        vectors = trial[:, None] - places[None]
        vectors -= edge * np.round(vectors / edge)
        free = (np.linalg.norm(vectors, axis=-1) >= least[i, :i]).all(axis=1)
        if not free.any() or edge < least[i, i]:
            return None
        places = np.concatenate([places, trial[np.argmax(free)][None]])
    return places


def _composition(species_table: tuple[int, ...]) -> np.ndarray:
    """About two dozen atoms, as many of each element, of at most eight elements."""
    stride = max(1, len(species_table) // 8)
    some = species_table[::stride][:8]
    return np.array([some[i % len(some)] for i in range(24)])


def _is_small(structure: Structure) -> bool:
    return len(structure.positions) <= LARGEST


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
