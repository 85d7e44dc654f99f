"""Positions in, energy, forces and stress out, as fast as one system after another allows.

What every driver of a potential shares (the ASE calculator here, other programs elsewhere): a
neighbour list that outlives many steps, padding to sizes that stay, parameters on the device once,
one compiled program.
"""

import contextlib

import jax
import numpy as np

from equipot import errors
from equipot.calculators import buckets, compilations, neighbours
from equipot.data.structure import Structure
from equipot.graphs import batching, host_graph
from equipot.potential import artefact, evaluate, probe
from equipot.potential import potential as potentials
from equipot.potential.potential import Potential


class Engine:
    """Evaluates a potential for one structure at a time.

    Attributes:
      potential: What is evaluated, in the engine's precision.
    """

    def __init__(
        self,
        source: Potential | artefact.Artefact,
        *,
        dtype: str | None = None,
        skin: float = 0.5,
        head: str | None = None,
    ) -> None:
        """Puts the parameters on the device; compiles nothing yet.

        Args:
          source: A potential, or a file's contents; of these the stored probe is checked after the
            first evaluation, in the program that was compiled for it.
          dtype: "float32" or "float64"; None for the potential's own.
          skin: Å that the neighbour list is wider than the cutoff.
          head: Which level of theory; needed where the potential has several.

        Raises:
          ConfigError: If the precision, the skin or the head is not what it should be.
        """
        self._unchecked = source if isinstance(source, artefact.Artefact) else None
        potential = source.potential if isinstance(source, artefact.Artefact) else source
        self.potential = evaluate.cast(potential, dtype or potential.spec.dtype)
        spec = self.potential.spec
        self._references, self._head = spec.references, _head_index(spec.heads, head)
        self._neighbours = neighbours.NeighbourCache(spec.cutoff, skin)
        room = (probe.MAX_ATOMS, probe.MAX_EDGES) if self._unchecked else (1, 1)
        self._bucket = buckets.Bucket(room)
        self._counter = compilations.CompilationCounter()
        self._numbers = np.zeros(0, int)
        self._species = np.zeros(0, np.int32)
        with self._precision():
            self._predict = jax.jit(potentials.make_predict(spec))
            self._params = jax.device_put(self.potential.params)

    @property
    def n_compilations(self) -> int:
        """How many programs this engine has had compiled, or fetched from the persistent cache."""
        return self._counter.count

    @property
    def n_neighbour_searches(self) -> int:
        """How often the neighbour list was searched for."""
        return self._neighbours.n_searches

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
          NonFiniteError: If the prediction is not finite.
          ArtefactError: If the stored probe is not reproduced, after the first evaluation.
        """
        if len(atomic_numbers) == 0:
            raise errors.DataError("expected at least one atom, received an empty structure")
        if not np.array_equal(atomic_numbers, self._numbers):
            self._set_species(positions, atomic_numbers)
        pairs = self._neighbours.find(positions, cell, pbc)
        graph = _host_graph(pairs, self._species, cell, pbc, self._head)
        likely = _homogeneous_edges(graph, self.potential.spec.cutoff) if pbc.all() else 0.0
        budget = self._bucket.fit(graph.num_nodes, graph.num_edges, likely)
        found = self._run(graph, budget, bool(pbc.all()))
        if self._unchecked is not None:
            self._check_probe(self._unchecked, budget)
            self._unchecked = None
        evaluate.check_finite(found, f"structure of {len(positions)} atoms")
        return found

    def _set_species(self, positions: np.ndarray, atomic_numbers: np.ndarray) -> None:
        structure = Structure(positions=np.zeros_like(positions), atomic_numbers=atomic_numbers)
        self._species = host_graph.species_of(structure, self.potential.spec.species_table)
        self._numbers = atomic_numbers.copy()

    def _run(
        self, graph: batching.HostGraph, budget: batching.Budget, has_stress: bool
    ) -> evaluate.HostPrediction:
        spec = self.potential.spec
        batch = batching.collate([graph], budget, spec.cutoff, spec.dtype)
        with self._precision(), self._counter:
            prediction = self._predict(self._params, batch)
            return evaluate.split_prediction(prediction, [graph], self._references, [has_stress])[0]

    def _check_probe(self, stored: artefact.Artefact, budget: batching.Budget) -> None:
        """Runs the stored probe through the program just compiled: it fits by construction."""
        spec, structure = self.potential.spec, stored.probe.structure
        table = spec.species_table
        graph = batching.build_graph(structure, spec.cutoff, table, self._references, spec.heads)
        stored.check(self._run(graph, budget, has_stress=True), spec)

    def _precision(self) -> contextlib.AbstractContextManager[None]:
        return jax.enable_x64(self.potential.spec.dtype == "float64")


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
    pairs: neighbours.Neighbours, species: np.ndarray, cell: np.ndarray, pbc: np.ndarray, head: int
) -> batching.HostGraph:
    """A graph without labels."""
    return batching.HostGraph(
        positions=pairs.positions,
        species=species,
        forces=np.zeros((len(species), 3)),
        cell=pairs.cell,
        volume=float(abs(np.linalg.det(cell))) if pbc.all() else 1.0,
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


def _homogeneous_edges(graph: batching.HostGraph, cutoff: float) -> float:
    """Edges of as many atoms in as much room, if they were spread evenly."""
    return graph.num_nodes**2 / graph.volume * 4 / 3 * np.pi * cutoff**3
