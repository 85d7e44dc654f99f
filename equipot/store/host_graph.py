"""One structure as a graph on the host: NumPy arrays, not padded, in float64."""

import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.data import structure as structures_
from equipot.data.elements import COVALENT_RADII
from equipot.quantities import DERIVED, Label
from equipot.store import molecules, neighbors

ONE_HEAD = ("default",)
"""Names of the levels of theory of a potential that does not distinguish any."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HostGraph:
    """A structure with its pairs of neighbors and the labels that a model is trained on.

    Each pair is held once, in any order and either direction; pairs are also called edges here.

    Attributes:
      positions: Å, [nodes, 3]; moved to lie around the origin, see ``neighbors.Placed``.
      species: Index into the species table, int32, [nodes].
      cell: Lattice vectors in rows, Å, [3, 3]; reduced if those of the structure are not, and zero
        in directions that are not periodic.
      volume: Å³; 1 unless all three directions are periodic.
      senders: Either atom of each pair, int32, [edges].
      receivers: The other one, int32, [edges].
      cell_shifts: Lattice shifts of the receivers, [edges, 3]; int8 if they fit, else int32.
      labels: The available labels, by quantity, with weights above zero: the energy minus the sum
        of the reference energies, and the stress only if all three directions are periodic.
      charge: Total charge, in elementary charges.
      offsets: Å, [nodes, 3]; added to the positions, they restore the relative placement of sets of
        atoms that no pairs connect. None if nothing is to be added, or the structure is periodic.
      source: File, frame and formula, for messages.
      head: Index of the level of theory of the labels.
    """

    positions: np.ndarray
    species: np.ndarray
    cell: np.ndarray
    volume: float
    senders: np.ndarray
    receivers: np.ndarray
    cell_shifts: np.ndarray
    labels: Mapping[str, Label] = dataclasses.field(default_factory=dict)
    charge: float = 0.0
    offsets: np.ndarray | None = None
    source: str = ""
    head: int = 0

    @property
    def num_nodes(self) -> int:
        """Number of atoms."""
        return len(self.species)

    @property
    def num_edges(self) -> int:
        """Number of pairs."""
        return len(self.senders)


def build_graph(
    structure: structures_.Structure,
    cutoff: float,
    species_table: tuple[int, ...],
    atomic_energies: np.ndarray,
    heads: Sequence[str] = ONE_HEAD,
    quantities: Iterable[str] = tuple(DERIVED),
) -> HostGraph:
    """Finds the neighbors of a structure and subtracts the reference energies from its label.

    Args:
      structure: Atoms, labels and weights.
      cutoff: Å, positive.
      species_table: The atomic numbers that the model knows; species are indices into it.
      atomic_energies: Reference energy of each of them, eV, [species] or [heads, species].
      heads: Names of the levels of theory that the model knows.
      quantities: Names of the quantities whose labels are held.

    Raises:
      UnknownElementError: If an element is not in the species table.
      DataError: If the structure has no atoms, an unknown head, a singular periodic cell, or two
        atoms at the same place.
    """
    if not len(structure.atomic_numbers):
        raise errors.DataError(
            f"{structure.source or 'structure'}: holds no atoms; remove the frame"
        )
    species, head = species_of(structure, species_table), head_of(structure, heads)
    placed = _placed(structure, cutoff)
    energies = np.atleast_2d(np.asarray(atomic_energies, np.float64))[head]
    return from_placed(structure, placed, species, head, energies, quantities)


def placed_lists(
    structures: Sequence[structures_.Structure], cutoff: float
) -> list[neighbors.Placed]:
    """The pairs of many structures, those of small molecules many at a time.

    Raises:
      DataError: As ``build_graph`` does, for the first structure that is wrong.
    """
    found = molecules.placed_lists(structures, cutoff)
    return [
        _placed(structure, cutoff) if placed is None else placed
        for structure, placed in zip(structures, found, strict=True)
    ]


def from_placed(
    structure: structures_.Structure,
    placed: neighbors.Placed,
    species: np.ndarray,
    head: int,
    atomic_energies: np.ndarray,
    quantities: Iterable[str],
) -> HostGraph:
    """The graph of a structure whose pairs are known.

    Args:
      structure: Atoms, labels and weights.
      placed: Its pairs.
      species: Index of every atom's element, int32, [nodes].
      head: Index of its level of theory.
      atomic_energies: Reference energy of each species at this level, eV, [species].
      quantities: Names of the quantities whose labels are held.
    """
    fields = _fields(structure, placed, species, head, structure.volume)
    return HostGraph(**fields, labels=_labels(structure, species, atomic_energies, quantities))


def _placed(structure: structures_.Structure, cutoff: float) -> neighbors.Placed:
    try:
        return neighbors.placed_list(structure.positions, structure.cell, structure.pbc, cutoff)
    except errors.DataError as error:
        raise errors.DataError(f"{structure.where}: {error}") from error


def relabelled(
    graph: HostGraph,
    structure: structures_.Structure,
    atomic_energies: np.ndarray,
    quantities: Iterable[str],
) -> HostGraph:
    """The graph of a structure with the labels that ``build_graph`` would give it now.

    Args:
      graph: The graph of this structure, whatever its labels.
      structure: The structure.
      atomic_energies: Reference energies in eV, [species] or [heads, species].
      quantities: Names of the quantities whose labels are held.
    """
    energies = np.atleast_2d(np.asarray(atomic_energies, np.float64))[graph.head]
    labels = _labels(structure, graph.species, energies, quantities)
    return dataclasses.replace(graph, labels=labels)


def _fields(
    structure: structures_.Structure,
    placed: neighbors.Placed,
    species: np.ndarray,
    head: int,
    volume: float,
) -> dict[str, Any]:
    """Fields of the graph of a structure whose neighbors are known; a volume of 0 means none."""
    return dict(
        positions=np.asarray(structure.positions, np.float64) - placed.offsets,
        species=species,
        cell=placed.cell,
        volume=volume if volume > 0 else 1.0,
        senders=placed.senders,
        receivers=placed.receivers,
        cell_shifts=_compact(placed.cell_shifts),
        charge=float(structure.charge),
        offsets=offsets_of(placed.offsets, structure.pbc),
        source=structure.where,
        head=head,
    )


def _labels(
    structure: structures_.Structure,
    species: np.ndarray,
    atomic_energies: np.ndarray,
    quantities: Iterable[str],
) -> dict[str, Label]:
    """The available labels; a stress has no meaning if the volume has none."""
    found: dict[str, Label] = {}
    for name in quantities:
        label = structure.label(name)
        if label is None or (name == "stress" and not structure.volume > 0):
            continue
        value, weight = label
        if name == "energy":
            value = float(value) - float(atomic_energies[species].sum())
        found[name] = Label(np.asarray(value, np.float64), float(weight))
    return found


def build_graphs(
    structures: Sequence[structures_.Structure],
    cutoff: float,
    species_table: tuple[int, ...],
    atomic_energies: np.ndarray,
    num_threads: int | None = None,
    heads: Sequence[str] = ONE_HEAD,
    quantities: Iterable[str] = tuple(DERIVED),
) -> list[HostGraph]:
    """Builds the graphs of many structures on several threads, in the order of the structures.

    Args:
      structures: Atoms, labels and weights.
      cutoff: Å, positive.
      species_table: The atomic numbers that the model knows.
      atomic_energies: Reference energy of each of them, eV, [species] or [heads, species].
      num_threads: Number of threads; None for one per core, at most 8.
      heads: Names of the levels of theory that the model knows.
      quantities: Names of the quantities whose labels are held.

    Raises:
      UnknownElementError: If an element is not in the species table.
      DataError: As ``build_graph`` does, for the first structure that is wrong.
    """

    def build(structure: structures_.Structure) -> HostGraph:
        return build_graph(structure, cutoff, species_table, atomic_energies, heads, names)

    names = tuple(quantities)
    found = _molecules(structures, cutoff, species_table, atomic_energies, heads, names)
    left = [i for i, graph in enumerate(found) if graph is None]
    workers = num_threads or min(os.cpu_count() or 1, 8)
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        rest = executor.map(build, [structures[i] for i in left])
        made = dict(zip(left, rest, strict=True))
    return [graph or made[i] for i, graph in enumerate(found)]


def _molecules(
    structures: Sequence[structures_.Structure],
    cutoff: float,
    species_table: tuple[int, ...],
    atomic_energies: np.ndarray,
    heads: Sequence[str],
    quantities: Sequence[str],
) -> list[HostGraph | None]:
    """The graphs of all valid small molecules; None for those left to ``build_graph``."""
    lists = molecules.placed_lists(structures, cutoff)
    energies = np.atleast_2d(np.asarray(atomic_energies, np.float64))
    lookup = lookup_of(species_table)
    places = {name: index for index, name in enumerate(heads)}
    if len(heads) == 1:
        places.setdefault("", 0)
    found: list[HostGraph | None] = []
    for structure, placed in zip(structures, lists, strict=True):
        graph, head = None, places.get(structure.head)
        if placed is not None and head is not None:
            species = lookup.take(structure.atomic_numbers)
            if species.min() >= 0:
                fields = _fields(structure, placed, species, head, 0.0)
                labels = _labels(structure, species, energies[head], quantities)
                graph = HostGraph(**fields, labels=labels)
        found.append(graph)
    return found


def offsets_of(subtracted: np.ndarray, pbc: np.ndarray) -> np.ndarray | None:
    """The ``offsets`` of a graph.

    Args:
      subtracted: Subtracted from the positions, Å, [nodes, 3], see ``neighbors.Placed``.
      pbc: Which directions are periodic, [3].
    """
    if pbc.any() or (subtracted == subtracted[:1]).all():
        return None
    return subtracted - subtracted.mean(axis=0)


def species_of(structure: structures_.Structure, species_table: tuple[int, ...]) -> np.ndarray:
    """Index of every atom's element in the species table, int32, [nodes].

    Raises:
      UnknownElementError: If an element is not in the species table.
    """
    numbers = np.asarray(structure.atomic_numbers, np.int64)
    species = _lookup(species_table, int(numbers.max(initial=0)) + 1)[numbers]
    if (species < 0).any():
        unknown = int(numbers[np.argmax(species < 0)])
        known = ", ".join(structures_.symbol(z) for z in species_table)
        raise errors.UnknownElementError(
            f"{structure.where}: holds {structures_.symbol(unknown)} (Z = {unknown}), expected "
            f"only the elements the model knows: {known}; remove the structure, or train with it"
        )
    return species


def lookup_of(species_table: tuple[int, ...]) -> np.ndarray:
    """Species of every atomic number there is, −1 for those without one, int32."""
    return _lookup(species_table, len(COVALENT_RADII))


def _lookup(species_table: tuple[int, ...], size: int) -> np.ndarray:
    """Species of each atomic number, −1 for those without one, int32, at least [size]."""
    lookup = np.full(max(*species_table, size - 1, 0) + 1, -1, np.int32)
    lookup[list(species_table)] = np.arange(len(species_table), dtype=np.int32)
    return lookup


def head_of(structure: structures_.Structure, heads: Sequence[str]) -> int:
    """Index of the level of theory of a structure; if there is only one, it need not be named.

    Raises:
      DataError: If it is none of them.
    """
    if structure.head in heads:
        return list(heads).index(structure.head)
    if len(heads) == 1 and not structure.head:
        return 0
    received = f"'{structure.head}'" if structure.head else "none"
    raise errors.DataError(
        f"{structure.where}: expected one of the heads {', '.join(heads)}, received {received};"
        " name it, for all with --head, or by a key of each frame with --head-key (data.head_key)"
    )


def _compact(shifts: np.ndarray) -> np.ndarray:
    """Shifts as int8 if they fit, to save memory with large datasets."""
    if shifts.dtype == np.int8:
        return shifts
    fits = len(shifts) == 0 or (shifts.min() >= -128 and shifts.max() <= 127)
    return shifts.astype(np.int8) if fits else shifts
