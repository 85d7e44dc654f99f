"""Energies, forces and stresses of many structures: padded batches of one shape, results in NumPy.

The potential runs in its own precision; energies are summed over atoms, with the reference
energies, in float64.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from equipot import errors
from equipot.data.structure import Structure
from equipot.graphs import batching
from equipot.potential.bound import Bound
from equipot.potential.potential import Potential, PotentialSpec, Prediction
from equipot.quantities import DERIVED, Quantity
from equipot.store import graph_store, packing
from equipot.store.graph_store import GraphStore
from equipot.typing import PyTree


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class HostPrediction:
    """What a potential predicts for one structure, reference energies included; float64.

    Attributes:
      energy: Total energy in eV.
      energies: Energy of each atom in eV, [nodes].
      forces: Forces in eV/Å, [nodes, 3].
      stress: (1/V) ∂E/∂ε in eV/Å³, tension positive, [3, 3]; zeros where it is not defined.
      has_stress: Whether it is: only where all three directions are periodic.
      others: Values of declared quantities by name, each of the shape of its quantity.
    """

    energy: float
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray
    has_stress: bool
    others: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def value(self, name: str) -> Any:
        """The value of one quantity."""
        return getattr(self, name) if name in DERIVED else self.others[name]


def evaluate(
    potential: Potential,
    structures: Sequence[Structure] | GraphStore,
    batch_size: int = 8,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> list[HostPrediction]:
    """Evaluates structures in padded batches of one shape, so that one program is compiled.

    Several splits are best evaluated as one sequence: then they share the program.

    Args:
      potential: The potential.
      structures: What to evaluate, or the graphs of it with this potential's cutoff, species and
        heads; labels are not looked at.
      batch_size: Structures of average size in a batch.
      on_progress: Called with the number of structures done after each batch.

    Returns:
      One prediction for each structure, in the given order.

    Raises:
      UnknownElementError: If a structure holds an element that the potential does not know.
      DataError: If a structure does not say which of several heads it asks for.
      NonFiniteError: If a prediction is not finite.
      ValueError: If graphs were built for another potential.
    """
    if not len(structures):
        return []
    spec = potential.spec
    references = spec.references
    graphs = graphs_of(spec, structures)
    budget = packing.plan_sizes(graphs.sizes, batch_size)
    has_stress = graphs.has_stress
    bins = packing.pack(graphs.sizes, np.arange(len(graphs)), budget, graphs.names)
    done: dict[int, HostPrediction] = {}
    bound = Bound(potential)
    with bound.entered():
        for batch in bins:
            members = [graphs[i] for i in batch]
            graph = batching.collate(members, budget, spec.cutoff, spec.dtype)
            periodic = [has_stress[i] for i in batch]
            found = bound.predict(bound.params, graph)
            parts = split_prediction(found, members, references, periodic, spec.quantities)
            done.update(zip(batch, parts, strict=True))
            if on_progress is not None:
                on_progress(len(done))
    for i, name in enumerate(graphs.names):
        check_finite(done[i], name)
    return [done[i] for i in range(len(graphs))]


def graphs_of(spec: PotentialSpec, structures: Sequence[Structure] | GraphStore) -> GraphStore:
    """The graphs that a potential takes, built if they are not there."""
    if isinstance(structures, GraphStore):
        structures.settings.check_edges(spec.cutoff, spec.species_table, spec.heads)
        return structures
    settings = graph_store.Settings(
        cutoff=spec.cutoff,
        species_table=spec.species_table,
        atomic_energies=spec.references,
        heads=spec.heads,
    )
    return GraphStore.build(structures, settings)


def split_prediction(
    prediction: Prediction,
    graphs: Sequence[batching.HostGraph],
    references: np.ndarray,
    has_stress: Sequence[bool],
    quantities: Sequence[Quantity] = (),
) -> list[HostPrediction]:
    """Fetches a prediction on a padded batch and cuts it into structures.

    Args:
      prediction: Of the collated graphs, which padding follows.
      graphs: In the order of collation.
      references: Reference energy of each species in eV, [species] or [heads, species].
      has_stress: Which of them are periodic in all directions.
      quantities: What else the potential predicts.
    """
    # One after another: jax.device_get takes longer than the copies do.
    fields = prediction.node_energy, prediction.forces, prediction.stress
    node_energy, forces, stresses = map(np.asarray, fields)
    others = {name: np.asarray(value) for name, value in prediction.others.items()}
    table = np.atleast_2d(references)
    results, first = [], 0
    for i, graph in enumerate(graphs):
        nodes = slice(first, first + graph.num_nodes)
        energies = node_energy[nodes].astype(np.float64) + table[graph.head][graph.species]
        stress = stresses[i].astype(np.float64) if has_stress[i] else np.zeros((3, 3))
        results.append(
            HostPrediction(
                energy=float(energies.sum()),
                energies=energies,
                forces=forces[nodes].astype(np.float64),
                stress=stress,
                has_stress=has_stress[i],
                others={
                    q.name: others[q.name][nodes if q.per == "atom" else i].astype(np.float64)
                    for q in quantities
                },
            )
        )
        first = nodes.stop
    return results


def check_finite(prediction: HostPrediction, where: str) -> None:
    """Refuses NaN and infinity.

    Raises:
      NonFiniteError: Naming the structure.
    """
    values = prediction.energy, prediction.forces, prediction.stress, *prediction.others.values()
    if not all(np.isfinite(value).all() for value in values):
        *names, last = *DERIVED, *prediction.others
        raise errors.NonFiniteError(
            f"{where}: {', '.join(names)} or {last} are not finite; atoms may lie much closer"
            " together than in the potential's training data, or its parameters are damaged"
        )


def cast(potential: Potential, dtype: str) -> Potential:
    """The same potential in another precision, with parameters in NumPy.

    Args:
      potential: The potential.
      dtype: "float32" or "float64".

    Raises:
      ConfigError: If the precision is another.
    """
    if dtype not in ("float32", "float64"):
        raise errors.ConfigError(f"dtype: expected float32 or float64, received {dtype!r}")

    def convert(leaf: PyTree) -> np.ndarray:
        array = np.asarray(leaf)
        return array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array

    spec: PotentialSpec = dataclasses.replace(potential.spec, dtype=dtype)
    return dataclasses.replace(potential, spec=spec, params=jax.tree.map(convert, potential.params))
