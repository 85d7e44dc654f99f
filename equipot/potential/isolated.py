"""What a potential says of an atom without neighbors: a constant for each element, to be stated."""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from equipot.data.structure import Structure
from equipot.graphs import batching, geometry, host_graph
from equipot.graphs.graph import Graph
from equipot.potential import potential as potentials
from equipot.potential.potential import Potential
from equipot.typing import Array, PyTree


def isolated_energies(potential: Potential) -> np.ndarray:
    """Energy in eV of an atom of each species without neighbors, [heads, species].

    The reference energy where the potential is anchored; else that and the shift and what the model
    says of such an atom, which compiles a small program.
    """
    spec = potential.spec
    if spec.anchor_isolated:
        return spec.references
    energy = potentials.make_energy(spec)
    alone = interactions_alone(
        energy, potential.params, spec.cutoff, spec.species_table, spec.dtype, spec.heads
    )
    return spec.references + alone


def interactions_alone(
    energy: Callable[[PyTree, Array, Graph], Array],
    params: PyTree,
    cutoff: float,
    species_table: Sequence[int],
    dtype: str,
    heads: tuple[str, ...] = host_graph.ONE_HEAD,
) -> np.ndarray:
    """Interaction energy in eV of an atom of each species without neighbors, [heads, species].

    Args:
      energy: ``energy(params, edge_vectors, graph)``: interaction energy of each atom, eV.
      params: Its parameters.
      cutoff: Å.
      species_table: Atomic numbers.
      dtype: Precision of the parameters.
      heads: Names of the levels of theory.
    """
    table, zeros = tuple(species_table), np.zeros(len(species_table))
    atoms = [_atom(number, head) for head in heads for number in table]
    references = zeros if len(heads) == 1 else np.zeros((len(heads), len(table)))
    graphs = batching.build_graphs(atoms, cutoff, table, references, heads=heads)
    with jax.enable_x64(dtype == "float64"):
        batch = batching.collate(graphs, batching.plan_budget(graphs, len(graphs)), cutoff, dtype)

        def alone(params: PyTree, batch: Graph) -> Array:
            return energy(params, geometry.graph_edge_vectors(batch), batch)

        found = np.asarray(jax.jit(alone)(params, batch), np.float64)
    return found[: len(graphs)].reshape(len(heads), len(table))


def _atom(atomic_number: int, head: str) -> Structure:
    return Structure(
        positions=np.zeros((1, 3)),
        atomic_numbers=np.array([atomic_number]),
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, bool),
        source="an atom on its own",
        head=head,
    )
