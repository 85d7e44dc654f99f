"""Positions in, energy, forces and stress out, for one system after another, as fast as possible.

It holds what every driver of a potential shares (the ASE calculator here, other programs
elsewhere): a neighbor list that is valid for many steps, padding to stable sizes, parameters that
are put on the device once, and one compiled program.
"""

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipot import errors
from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.graphs.graph import Graph
from equipot.inference import batches, devices, neighbors, out_of_range
from equipot.potential import artefact, evaluate, probe, summands
from equipot.potential.bound import Bound
from equipot.potential.potential import Potential
from equipot.potential.summands import Summand
from equipot.store import host_graph


class Engine:
    """Evaluates a potential for one structure at a time, from any thread.

    Within a process, engines of the same specification share the program. An engine can be pickled:
    arrays and settings are sent along, and the receiving process compiles the program.

    Attributes:
      outside: Everything in the last structure that is outside the distances of training; empty if
        the potential does not state them.
      strict: Whether such a structure is refused.
    """

    def __init__(
        self,
        source: Potential | artefact.Artefact,
        *,
        dtype: str | None = None,
        skin: float = 0.5,
        head: str | None = None,
        strict: bool = False,
        plus: Sequence[Summand] = (),
        device: str | None = None,
    ) -> None:
        """Puts the parameters on the device; compiles nothing yet.

        Args:
          source: A potential, or the contents of a file. The probe stored in a file is checked
            after the first evaluation, in the program that was compiled for it.
          dtype: "float32" or "float64"; None for the potential's own.
          skin: Width in Å by which the neighbor list exceeds the cutoff.
          head: Level of theory; required if the potential has several.
          strict: Whether a structure outside the distances of training is refused.
          plus: Terms added to the potential, each with its own pairs.
          device: "cpu", "gpu", "gpu:1", …; None for jax's default device.

        Raises:
          ConfigError: If the precision, the skin, the head, a summand or the device is invalid, or
            strict is requested and the potential does not state the distances.
        """
        plus = summands.check(plus)
        self._made_of = {
            "source": source,
            "dtype": dtype,
            "skin": skin,
            "head": head,
            "strict": strict,
            "plus": plus,
            "device": device,
        }
        self._lock = threading.Lock()
        self._unchecked = source if isinstance(source, artefact.Artefact) else None
        potential = source.potential if isinstance(source, artefact.Artefact) else source
        cast = evaluate.cast(potential, dtype or potential.spec.dtype)
        self._bound = Bound(cast, devices.find(device), plus)
        if strict:
            out_of_range.check_known(self.potential.distance_range)
        self.strict = strict
        self.outside: tuple[out_of_range.Finding, ...] = ()
        spec = self.potential.spec
        self._references = spec.references
        self._cutoffs = (spec.cutoff, *(summand.cutoff for summand in plus))
        self._skin, self._head = skin, head_index(spec.heads, head)
        self._room = (probe.MAX_ATOMS, probe.MAX_EDGES) if self._unchecked else (1, 1)
        self._begin()

    def _begin(self) -> None:
        self._neighbors = neighbors.NeighborCache(self._cutoffs[0], self._skin, self._cutoffs[1:])
        self._batches = [
            batches.Batches(self._bound, cutoff, self._head, self._room) for cutoff in self._cutoffs
        ]
        self._elements = np.zeros(0, int), np.zeros(0, np.int32)

    def forget(self) -> None:
        """Forgets neighbor lists and padded sizes, but neither programs nor parameters."""
        with self._lock:
            searches = self._neighbors.n_searches
            self._begin()
            self._neighbors.n_searches = searches

    def __getstate__(self) -> dict[str, Any]:
        source = self._made_of["source"]
        if isinstance(source, Potential):  # its parameters may lie on a device
            source = evaluate.cast(source, source.spec.dtype)
        return {**self._made_of, "source": source}

    def __setstate__(self, made_of: dict[str, Any]) -> None:
        Engine.__init__(self, **made_of)

    @property
    def potential(self) -> Potential:
        """The potential that is evaluated, in the engine's precision."""
        return self._bound.potential

    @property
    def head(self) -> str:
        """The level of theory."""
        return self.potential.spec.heads[self._head]

    @property
    def plus(self) -> tuple[Summand, ...]:
        """What is added to the potential."""
        return self._bound.plus

    @property
    def n_compilations(self) -> int:
        """Number of programs compiled for this engine, or fetched from the persistent cache."""
        return self._bound.n_compilations

    @property
    def n_neighbor_searches(self) -> int:
        """Number of neighbor searches."""
        return self._neighbors.n_searches

    def compute(
        self,
        positions: np.ndarray,
        atomic_numbers: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        charge: float = 0.0,
    ) -> evaluate.HostPrediction:
        """Evaluates one structure.

        Args:
          positions: Å, [nodes, 3]; atoms may lie outside the cell.
          atomic_numbers: Z of every atom, [nodes].
          cell: Lattice vectors in rows, Å, [3, 3].
          pbc: Which directions are periodic, [3].
          charge: Total charge, in elementary charges.

        Raises:
          UnknownElementError: If the potential does not know an element.
          DataError: If two atoms lie at the same place, the cell is singular, or a number is not
            finite.
          OutOfRangeError: If the engine is strict and the structure is out of range.
          NonFiniteError: If the prediction is not finite.
          ArtefactError: If the stored probe is not reproduced, after the first evaluation.
        """
        with self._lock:
            return self._compute(positions, atomic_numbers, cell, pbc, charge)

    def _compute(
        self,
        positions: np.ndarray,
        atomic_numbers: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        charge: float,
    ) -> evaluate.HostPrediction:
        self.outside = ()
        if len(atomic_numbers) == 0:
            raise errors.DataError("expected at least one atom, received an empty structure")
        species = self._species_of(atomic_numbers)
        lists = self._neighbors.find_all(positions, cell, pbc)
        if self.potential.distance_range is not None:
            span = self.potential.distance_range
            radius = self.potential.spec.cutoff
            self.outside = out_of_range.find(span, atomic_numbers, lists[0], radius)
            if self.strict:
                out_of_range.refuse(self.outside)
        refills = [
            own.batch_of(pairs, species, cell, pbc, charge)
            for own, pairs in zip(self._batches, lists, strict=True)
        ]
        graphs = [own.fill(pairs) for own, pairs in zip(refills, lists, strict=True)]
        found = self._run(graphs, refills[0].graph, bool(pbc.all()))
        if self._unchecked is not None:
            self._check_probe(self._unchecked, [own.budget for own in refills])
            self._unchecked = None
        evaluate.check_finite(found, f"structure of {len(positions)} atoms")
        return found

    def _species_of(self, atomic_numbers: np.ndarray) -> np.ndarray:
        if not np.array_equal(atomic_numbers, self._elements[0]):
            origin = np.zeros((len(atomic_numbers), 3))
            structure = Structure(positions=origin, atomic_numbers=atomic_numbers)
            species = host_graph.species_of(structure, self.potential.spec.species_table)
            self._elements = atomic_numbers.copy(), species
        return self._elements[1]

    def _run(
        self, graphs: Sequence[Graph], graph: batching.HostGraph, has_stress: bool
    ) -> evaluate.HostPrediction:
        with self._bound.entered():
            prediction = self._bound.predict(self._bound.params, *graphs)
            quantities = self.potential.spec.quantities
            table, periodic = self._references, [has_stress]
            return evaluate.split_prediction(prediction, [graph], table, periodic, quantities)[0]

    def _check_probe(self, stored: artefact.Artefact, budgets: Sequence[batching.Budget]) -> None:
        """Runs the stored probe through the program just compiled: it fits by construction.

        Summands get no pairs and therefore add nothing.
        """
        spec, structure = self.potential.spec, stored.probe.structure
        table = spec.species_table
        graph = batching.build_graph(structure, spec.cutoff, table, self._references, spec.heads)
        bare = dataclasses.replace(
            graph,
            senders=graph.senders[:0],
            receivers=graph.receivers[:0],
            cell_shifts=graph.cell_shifts[:0],
        )
        filled = [
            batching.collate([graph if i == 0 else bare], budget, own.cutoff, spec.dtype)
            for i, (own, budget) in enumerate(zip(self._batches, budgets, strict=True))
        ]
        stored.check(self._run(filled, graph, has_stress=True), spec)


def head_index(heads: tuple[str, ...], head: str | None) -> int:
    """Place of a level of theory among those of a potential.

    Args:
      heads: Their names.
      head: The one that is asked for; None where there is only one.

    Raises:
      ConfigError: If there is no such one, or none is named of several.
    """
    if head is None and len(heads) == 1:
        return 0
    if head not in heads:
        received = "none" if head is None else f"'{head}'.{errors.did_you_mean(head, heads)}"
        raise errors.ConfigError(
            f"head: expected one of {', '.join(heads)}, the levels of theory of the potential,"
            f" received {received}"
        )
    return heads.index(head)
