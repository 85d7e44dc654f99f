"""Positions in, energy, forces and stress out, as fast as one system after another allows.

What every driver of a potential shares (the ASE calculator here, other programs elsewhere): a
neighbor list that outlives many steps, padding to sizes that stay, parameters on the device once,
one compiled program.
"""

import threading
from typing import Any

import numpy as np

from equipot import errors
from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.graphs.graph import Graph
from equipot.inference import buckets, neighbors, out_of_range, refill
from equipot.potential import artefact, evaluate, probe
from equipot.potential.bound import Bound
from equipot.potential.potential import Potential
from equipot.store import host_graph


class Engine:
    """Evaluates a potential for one structure at a time, whichever thread asks.

    Engines of one specification share the program in a process. An engine can be pickled: arrays
    and settings travel, the program is compiled where they arrive.

    Attributes:
      outside: What of the last structure lies outside of the distances of training; nothing where
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
    ) -> None:
        """Puts the parameters on the device; compiles nothing yet.

        Args:
          source: A potential, or a file's contents; of these the stored probe is checked after the
            first evaluation, in the program that was compiled for it.
          dtype: "float32" or "float64"; None for the potential's own.
          skin: Å that the neighbor list is wider than the cutoff.
          head: Which level of theory; needed where the potential has several.
          strict: Whether a structure outside of the distances of training is refused.

        Raises:
          ConfigError: If the precision, the skin or the head is not what it should be, or strict is
            asked for and the potential does not state the distances.
        """
        self._made_of = {
            "source": source,
            "dtype": dtype,
            "skin": skin,
            "head": head,
            "strict": strict,
        }
        self._lock = threading.Lock()
        self._unchecked = source if isinstance(source, artefact.Artefact) else None
        potential = source.potential if isinstance(source, artefact.Artefact) else source
        self._bound = Bound(evaluate.cast(potential, dtype or potential.spec.dtype))
        if strict and self.potential.distance_range is None:
            raise errors.ConfigError(
                "strict: expected a potential that states the distances it was trained on, this one"
                " does not: it was made by an earlier version, or converted; leave strict out"
            )
        self.strict = strict
        self.outside: tuple[out_of_range.Finding, ...] = ()
        spec = self.potential.spec
        self._references, self._head = spec.references, _head_index(spec.heads, head)
        self._neighbors = neighbors.NeighborCache(spec.cutoff, skin)
        room = (probe.MAX_ATOMS, probe.MAX_EDGES) if self._unchecked else (1, 1)
        self._bucket = buckets.Bucket(room)
        self._elements = np.zeros(0, int), np.zeros(0, np.int32)
        self._batch: tuple[neighbors.Found, refill.Refill] | None = None

    def __getstate__(self) -> dict[str, Any]:
        source = self._made_of["source"]
        if isinstance(source, Potential):  # its parameters may lie on a device
            source = evaluate.cast(source, source.spec.dtype)
        return {**self._made_of, "source": source}

    def __setstate__(self, made_of: dict[str, Any]) -> None:
        Engine.__init__(self, **made_of)

    @property
    def potential(self) -> Potential:
        """What is evaluated, in the engine's precision."""
        return self._bound.potential

    @property
    def n_compilations(self) -> int:
        """How many programs this engine has had compiled, or fetched from the persistent cache."""
        return self._bound.n_compilations

    @property
    def n_neighbor_searches(self) -> int:
        """How often the neighbor list was searched for."""
        return self._neighbors.n_searches

    def compute(
        self, positions: np.ndarray, atomic_numbers: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> evaluate.HostPrediction:
        """Evaluates one structure.

        Args:
          positions: Å, [nodes, 3]; atoms may lie outside the cell.
          atomic_numbers: Z of every atom, [nodes].
          cell: Lattice vectors in rows, Å, [3, 3].
          pbc: Which directions are periodic, [3].

        Raises:
          UnknownElementError: If the potential does not know an element.
          DataError: If two atoms lie at the same place, the cell is singular, or a number is not
            finite.
          OutOfRangeError: If the engine is strict and the structure outside.
          NonFiniteError: If the prediction is not finite.
          ArtefactError: If the stored probe is not reproduced, after the first evaluation.
        """
        with self._lock:
            return self._compute(positions, atomic_numbers, cell, pbc)

    def _compute(
        self, positions: np.ndarray, atomic_numbers: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> evaluate.HostPrediction:
        self.outside = ()
        if len(atomic_numbers) == 0:
            raise errors.DataError("expected at least one atom, received an empty structure")
        species = self._species_of(atomic_numbers)
        pairs = self._neighbors.find(positions, cell, pbc)
        if self.potential.distance_range is not None:
            span = self.potential.distance_range
            radius = self.potential.spec.cutoff
            self.outside = out_of_range.find(span, atomic_numbers, pairs, radius)
            if self.strict:
                out_of_range.refuse(self.outside)
        batch = self._batch_of(pairs, species, cell, pbc)
        found = self._run(batch.fill(pairs), batch.graph, bool(pbc.all()))
        if self._unchecked is not None:
            self._check_probe(self._unchecked, batch.budget)
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

    def _batch_of(
        self, pairs: neighbors.Neighbors, species: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> refill.Refill:
        """The batch that pairs go into: the last one, if they are of the same search and fit."""
        spec, num_atoms, num_pairs = self.potential.spec, len(species), pairs.num_pairs
        if self._batch is not None:
            found, batch = self._batch
            same = found is pairs.found and batch.graph.species is species
            if same and batch.budget.holds(num_atoms, num_pairs):
                return batch
        volume = float(abs(np.linalg.det(cell))) if pbc.all() else 0.0
        likely = _homogeneous_pairs(num_atoms, volume, spec.cutoff) if volume else 0.0
        budget = self._bucket.fit(num_atoms, num_pairs, likely)
        graph = _host_graph(pairs, species, volume or 1.0, self._head)
        with self._bound.entered():
            batch = refill.Refill(graph, budget, spec.cutoff, spec.dtype)
        self._batch = pairs.found, batch
        return batch

    def _run(
        self, batch: Graph, graph: batching.HostGraph, has_stress: bool
    ) -> evaluate.HostPrediction:
        with self._bound.entered():
            prediction = self._bound.predict(self._bound.params, batch)
            return evaluate.split_prediction(prediction, [graph], self._references, [has_stress])[0]

    def _check_probe(self, stored: artefact.Artefact, budget: batching.Budget) -> None:
        """Runs the stored probe through the program just compiled: it fits by construction."""
        spec, structure = self.potential.spec, stored.probe.structure
        table = spec.species_table
        graph = batching.build_graph(structure, spec.cutoff, table, self._references, spec.heads)
        batch = batching.collate([graph], budget, spec.cutoff, spec.dtype)
        stored.check(self._run(batch, graph, has_stress=True), spec)


def _head_index(heads: tuple[str, ...], head: str | None) -> int:
    if head is None and len(heads) == 1:
        return 0
    if head not in heads:
        received = "none" if head is None else f"'{head}'.{errors.did_you_mean(head, heads)}"
        raise errors.ConfigError(
            f"head: expected one of {', '.join(heads)}, the levels of theory of the potential,"
            f" received {received}"
        )
    return heads.index(head)


def _host_graph(
    pairs: neighbors.Neighbors, species: np.ndarray, volume: float, head: int
) -> batching.HostGraph:
    """A graph without labels."""
    return batching.HostGraph(
        positions=pairs.positions,
        species=species,
        forces=np.zeros((len(species), 3)),
        cell=pairs.cell,
        volume=volume,
        energy=0.0,
        stress=np.zeros((3, 3)),
        energy_weight=0.0,
        forces_weight=0.0,
        stress_weight=0.0,
        senders=pairs.senders,
        receivers=pairs.receivers,
        cell_shifts=pairs.cell_shifts,
        head=head,
    )


def _homogeneous_pairs(num_nodes: int, volume: float, cutoff: float) -> float:
    """Pairs of as many atoms in as much room, if they were spread evenly."""
    return 0.5 * num_nodes**2 / volume * 4 / 3 * np.pi * cutoff**3
