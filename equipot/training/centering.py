"""The mean output of a network that knows nothing yet, taken off the shift.

The shift is the mean binding energy of an element's atoms in the labels, so that the network has
only deviations to learn. A network with random parameters gives numbers that have a mean of their
own, some eV for an unlucky seed, and the first steps would go into getting rid of it: they leave
parameters that end with forces up to a third worse.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from equipot.graphs import batching, geometry
from equipot.graphs.graph import Graph
from equipot.potential import potential as potentials
from equipot.potential.potential import PotentialSpec
from equipot.store import packing
from equipot.store.graph_store import GraphStore
from equipot.training.preparation import Preparation
from equipot.typing import Array, PyTree

_STRUCTURES = 16
_PAIRS = 200_000  # of all of them, but one structure is always taken


def centered(parts: Preparation) -> Preparation:
    """Takes the mean output for each element's atoms off the element's shift.

    Structures are taken evenly from the training split, whatever the seed and the devices. Elements
    that these do not hold get the mean of all atoms. An anchored potential is left as it is: an
    atom without neighbors has no energy there, and a constant has no place.

    In float64 this must be called inside ``potential.precision.of``.

    Args:
      parts: A run before its first step, with parameters at random.

    Returns:
      The same with another shift, and a sentence on it.
    """
    spec, params, graphs = parts.spec, parts.params, parts.graphs["train"]
    if spec.anchor_isolated:
        return parts
    output, head, species = _outputs(spec, params, [graphs[i] for i in _sample(graphs)])
    shift = np.asarray(params["shift"], np.float64)
    excess = output - np.atleast_2d(shift)[head, species]
    place = head * spec.num_species + species
    count, total = (np.bincount(place, w, minlength=shift.size) for w in (None, excess))
    mean = np.where(count > 0, total / np.maximum(count, 1), excess.mean())
    params = {**params, "shift": jnp.asarray(shift - mean.reshape(shift.shape), spec.dtype)}
    note = (
        f"Taken off the shift: what the untrained model gives for an atom, {excess.mean():.2f} eV"
    )
    return dataclasses.replace(parts, params=params, notes=(*parts.notes, note))


def _sample(graphs: GraphStore) -> list[int]:
    """Indices of structures, evenly spaced."""
    every = np.unique(np.linspace(0, len(graphs) - 1, _STRUCTURES).round().astype(int))
    fits = np.cumsum(graphs.sizes[every, 1]) <= _PAIRS
    fits[0] = True
    return every[fits].tolist()


def _outputs(
    spec: PotentialSpec, params: PyTree, graphs: list[batching.HostGraph]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Interaction energy of each atom in eV, with its level of theory and its species."""
    energy = potentials.make_energy(spec)
    budget = packing.plan_budget(graphs, len(graphs))
    batch = batching.collate(graphs, budget, spec.cutoff, spec.dtype)

    def outputs(params: PyTree, graph: Graph) -> Array:
        return energy(params, geometry.graph_edge_vectors(graph), graph)

    species = np.concatenate([graph.species for graph in graphs])
    head = np.repeat([graph.head for graph in graphs], [graph.num_nodes for graph in graphs])
    found = np.asarray(jax.jit(outputs)(params, batch), np.float64)
    return found[: len(species)], head, species
