"""The closest pairs of each two elements in a set of graphs: how near they are, how they push."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from equipot.store.host_graph import HostGraph

WINDOW = 1.05  # of the shortest distance: pairs up to it are asked for their push
MOST = 64  # pairs of two elements that are asked
_BLOCK = 1_000_000  # pairs that are looked at together


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Closest:
    """What the closest pairs say, as symmetric tables of the species.

    Attributes:
      nearest: Shortest distance in Å, infinite where no pair lies within the cutoff,
        [species, species].
      pushes: Half of what the forces on two atoms differ by along the line from one to the other,
        positive where they part: the median of up to 64 pairs within 5 % of the shortest distance,
        eV/Å. NaN where no such pair has forces, [species, species].
      usual: Root mean square of the components of all forces, eV/Å; 0 without any.
    """

    nearest: np.ndarray
    pushes: np.ndarray
    usual: float


def closest_pairs(graphs: Sequence[HostGraph], num_species: int) -> Closest:
    """Looks at every pair of every graph.

    Args:
      graphs: The graphs of a training set.
      num_species: How many species there are.
    """
    nearest = np.full(num_species**2, np.inf)
    kept = [np.zeros((0, 3))]
    for block in _blocks(graphs):
        kinds, lengths, pushes = _pairs(block, num_species)
        np.minimum.at(nearest, kinds, lengths)
        near = lengths <= WINDOW * nearest[kinds]
        kept.append(np.stack([kinds[near], lengths[near], pushes[near]], axis=1))
    return from_rows(nearest, np.concatenate(kept), num_species, _usual(graphs))


def rows(
    graphs: Sequence[HostGraph], num_species: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of all pairs of some graphs: index of the graph, species, length, and push or NaN.

    Args:
      graphs: The graphs.
      num_species: How many species there are; those of a pair (a, b), a ≤ b, are a · this + b.
    """
    parts = [_pairs(block, num_species) for block in _blocks(graphs)]
    owners = np.repeat(np.arange(len(graphs)), [graph.num_edges for graph in graphs])
    empty = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    kinds, lengths, pushes = (np.concatenate(own) for own in zip(empty, *parts, strict=True))
    return owners, kinds, lengths, pushes


def from_rows(nearest: np.ndarray, kept: np.ndarray, num_species: int, usual: float) -> Closest:
    """The tables, from the nearest distances and the pairs near them.

    Args:
      nearest: Shortest distance of each two species, Å, [species²].
      kept: Species as one number, length, and push or NaN of pairs, in order, [rows, 3].
      num_species: How many species there are.
      usual: Root mean square of the components of all forces, eV/Å.
    """
    kinds = kept[:, 0].astype(np.int64)
    own_rows = kept[(kept[:, 1] <= WINDOW * nearest[kinds]) & np.isfinite(kept[:, 2])]
    own_rows = own_rows[np.lexsort((own_rows[:, 1], own_rows[:, 0]))]
    middle = np.full(num_species**2, np.nan)
    for kind, first in zip(*np.unique(own_rows[:, 0], return_index=True), strict=True):
        own = own_rows[first : first + MOST]
        middle[int(kind)] = np.median(own[own[:, 0] == kind, 2])
    shape = (num_species, num_species)
    upper = np.triu_indices(num_species)
    tables = [table.reshape(shape) for table in (nearest, middle)]
    for table in tables:
        table.T[upper] = table[upper]
    return Closest(nearest=tables[0], pushes=tables[1], usual=usual)


def _blocks(graphs: Sequence[HostGraph]) -> Iterator[list[HostGraph]]:
    block: list[HostGraph] = []
    count = 0
    for graph in graphs:
        if graph.num_edges:
            block.append(graph)
            count += graph.num_edges
        if count >= _BLOCK:
            yield block
            block, count = [], 0
    if block:
        yield block


def _pairs(
    block: Sequence[HostGraph], num_species: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all pairs of some graphs: the two species as one number, length, and push or NaN."""
    first = np.cumsum([0, *(graph.num_nodes for graph in block[:-1])])
    counts = [graph.num_edges for graph in block]
    start = np.repeat(first, counts)
    senders = start + np.concatenate([graph.senders for graph in block])
    receivers = start + np.concatenate([graph.receivers for graph in block])
    positions = np.concatenate([graph.positions for graph in block])
    species = np.concatenate([graph.species for graph in block]).astype(np.int64)
    forces = np.concatenate([_forces(graph) for graph in block])
    shifts = [graph.cell_shifts @ graph.cell for graph in block]
    vectors = positions[receivers] - positions[senders] + np.concatenate(shifts)
    lengths = np.linalg.norm(vectors, axis=1)
    parting = np.sum((forces[receivers] - forces[senders]) * vectors, axis=1)
    pushes = np.where(senders == receivers, np.nan, 0.5 * parting / lengths)
    ends = species[senders], species[receivers]
    return np.minimum(*ends) * num_species + np.maximum(*ends), lengths, pushes


def _forces(graph: HostGraph) -> np.ndarray:
    label = graph.labels.get("forces")
    return np.full((graph.num_nodes, 3), np.nan) if label is None else label.value


def _usual(graphs: Sequence[HostGraph]) -> float:
    labels = [graph.labels["forces"].value for graph in graphs if "forces" in graph.labels]
    squares = sum(float(np.sum(np.square(value))) for value in labels)
    return (squares / max(sum(value.size for value in labels), 1)) ** 0.5
