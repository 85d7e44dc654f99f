"""The same numbers in every form of a graph: pairs in any order, directed edges, two domains.

Directed edges carry messages one way only (``equipot.graphs.pairs``). In both directions they are
the pairs. Of a box that is cut in two, each half holds its own atoms, which receive, and copies of
the atoms around them, which send what is exchanged with their owners.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from equipot.graphs import batching
from equipot.potential.evaluate import HostPrediction
from equipot.store import neighbors
from equipot.testing import structures, symmetry
from equipot.testing.subject import Subject
from equipot.testing.tolerances import F64, assert_close

Graph = batching.HostGraph


def check_order_of_pairs(subject: Subject) -> None:
    """Nothing changes when pairs come in another order, and some of them in the other direction."""
    chosen = symmetry.general(subject)
    graphs = subject.graphs(chosen)
    shuffled = [_shuffled(graph, seed) for seed, graph in enumerate(graphs)]
    found = subject.observe_graphs(shuffled, chosen)
    for after, before in zip(found, subject.observe(*chosen), strict=True):
        symmetry.assert_same(after, before, "another order and direction of pairs")


def check_directed_edges(subject: Subject) -> None:
    """Each pair as two directed edges is predicted like the pair."""
    for structure in symmetry.general(subject):
        graph = _directed(subject.graphs([structure])[0])
        found = subject.observe_directed(graph, np.arange(graph.num_nodes), structure)
        symmetry.assert_same(found, subject.observe(structure)[0], "directed edges")


def check_domains(subject: Subject) -> None:
    """A box that is cut into two halves, each with copies of atoms around it, is what it was."""
    crystal = structures.crystal(subject.cutoff, subject.species_table)
    for whole in (
        structures.repeated(crystal, (2, 1, 1)),
        structures.cluster(subject.cutoff, subject.species_table),
    ):
        graph = _directed(subject.graphs([whole])[0])
        before = subject.observe_directed(graph, np.arange(graph.num_nodes), whole)
        halves = _halves(graph)
        after = subject.observe_directed(halves.graph, halves.owners, whole)
        found = HostPrediction(
            energy=after.energy,
            energies=after.energies[halves.places],
            forces=after.forces[halves.places],
            stress=after.stress,
            has_stress=after.has_stress,
        )
        for name in ("energy", "energies", "forces", "stress"):
            what = f"{name} of the {whole.source} survive a cut into two domains"
            assert_close(getattr(found, name), getattr(before, name), F64, what)


class _Halves(NamedTuple):
    """Two domains in one graph: the atoms of one and the copies around it, then the other.

    ``owners`` has for each node the one whose features it is to have, ``places`` for each atom of
    the whole the node that is not a copy.
    """

    graph: Graph
    owners: np.ndarray
    places: np.ndarray


def _shuffled(graph: Graph, seed: int) -> Graph:
    generator = np.random.default_rng(seed)
    order = generator.permutation(graph.num_edges)
    turned = generator.random(graph.num_edges) < 0.5
    ends = graph.senders[order], graph.receivers[order]
    shifts = graph.cell_shifts[order]
    return dataclasses.replace(
        graph,
        senders=np.where(turned, *ends[::-1]),
        receivers=np.where(turned, *ends),
        cell_shifts=np.where(turned[:, None], -shifts, shifts),
    )


def _directed(graph: Graph) -> Graph:
    """Both directions of every pair."""
    names = ("senders", "receivers", "cell_shifts")
    edges = neighbors.both_ways(graph.senders, graph.receivers, graph.cell_shifts)
    return dataclasses.replace(graph, **dict(zip(names, edges, strict=True)))


def _halves(graph: Graph) -> _Halves:
    """Cuts a graph of directed edges after the first half of its atoms.

    An edge goes to the half of its receiver. If its sender is of the other half, or a periodic
    image, a copy stands for it, at the place from which it is seen, so that no edge has a shift.
    """
    count, half = graph.num_nodes, graph.num_nodes // 2
    domain_of = np.arange(count) // half
    away = (domain_of[graph.senders] != domain_of[graph.receivers]) | graph.cell_shifts.any(axis=1)
    seen = np.column_stack([domain_of[graph.receivers], graph.senders, graph.cell_shifts])
    copies, index = np.unique(seen[away], axis=0, return_inverse=True)
    first = int((copies[:, 0] == 0).sum())
    places = np.where(domain_of == 0, np.arange(count), np.arange(count) + first)
    own_copies = np.arange(len(copies)) + np.where(copies[:, 0] == 0, half, count)
    senders = places[graph.senders]
    senders[away] = own_copies[index.ravel()]
    total = count + len(copies)
    atoms, owners = np.zeros(total, np.int32), np.arange(total)
    atoms[places], atoms[own_copies] = np.arange(count), copies[:, 1]
    owners[own_copies] = places[copies[:, 1]]
    positions = graph.positions[atoms]
    positions[own_copies] -= copies[:, 2:] @ graph.cell
    made = dataclasses.replace(
        graph,
        positions=positions,
        species=graph.species[atoms],
        senders=senders.astype(np.int32),
        receivers=places[graph.receivers].astype(np.int32),
        cell_shifts=np.zeros_like(graph.cell_shifts),
        labels={},
    )
    return _Halves(made, owners, places)
