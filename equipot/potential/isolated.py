"""What a potential predicts for an atom without neighbors: a constant for each element."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from equipot.data.structure import Structure
from equipot.e3.kernels import platforms
from equipot.graphs import batching, geometry
from equipot.graphs.graph import Graph
from equipot.potential import potential as potentials
from equipot.potential.bound import Bound
from equipot.potential.potential import Potential, PotentialSpec
from equipot.typing import Array, PyTree


def isolated_energies(potential: Potential) -> np.ndarray:
    """Energy in eV of an atom of each species without neighbors, [heads, species].

    The reference energy where the potential is anchored; else that and the shift and what the model
    says of such an atom, which compiles a small program.
    """
    spec = potential.spec
    if spec.anchor_isolated:
        return spec.references
    return spec.references + _interactions(potential)


def _interactions(potential: Potential) -> np.ndarray:
    """Interaction energy in eV of an atom of each species without neighbors, [heads, species]."""
    spec = potential.spec
    shape = (len(spec.heads), len(spec.species_table))
    atoms = [_atom(number, head) for head in spec.heads for number in spec.species_table]
    zeros = np.zeros(shape if shape[0] > 1 else shape[1])
    graphs = batching.build_graphs(atoms, spec.cutoff, spec.species_table, zeros, heads=spec.heads)
    return interactions(potential, graphs).reshape(shape)


def interactions(potential: Potential, graphs: Sequence[batching.HostGraph]) -> np.ndarray:
    """Interaction energy in eV of each atom of some graphs in one batch, float64, [nodes].

    Args:
      potential: The potential.
      graphs: With its cutoff, species and heads; labels are not looked at.
    """
    spec, bound = potential.spec, Bound(potential)
    budget = batching.plan_budget(graphs, len(graphs))
    with bound.entered():
        batch = batching.collate(graphs, budget, spec.cutoff, spec.dtype)
        found = np.asarray(_program(spec, bound.platform)(bound.params, batch), np.float64)
    return found[: sum(graph.num_nodes for graph in graphs)]


@functools.lru_cache(maxsize=8)
def _program(spec: PotentialSpec, platform: str) -> Callable[[PyTree, Graph], Array]:
    """Interaction energies of all atoms, without derivatives: it compiles in less time."""
    energy = potentials.make_energy(spec)

    def of_atoms(params: PyTree, batch: Graph) -> Array:
        precise = jax.default_matmul_precision(spec.matmul_precision)
        with platforms.traced_for(platform), precise:
            return energy(params, geometry.graph_edge_vectors(batch), batch)

    return jax.jit(of_atoms, compiler_options=potentials.RUN_ONCE)


def _atom(atomic_number: int, head: str) -> Structure:
    return Structure(
        positions=np.zeros((1, 3)),
        atomic_numbers=np.array([atomic_number]),
        cell=np.zeros((3, 3)),
        pbc=np.zeros(3, bool),
        source="an atom on its own",
        head=head,
    )
