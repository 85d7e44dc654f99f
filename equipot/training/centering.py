"""The mean output of an untrained network, subtracted from the shift.

The shift is the mean binding energy of an element's atoms in the labels, so that the network has
only deviations to learn. A network with random parameters gives numbers that have a mean of their
own, some eV for an unlucky seed, and the first steps would go into getting rid of it: they leave
parameters that end with forces up to a third worse.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from equipot.potential import isolated
from equipot.potential.potential import Potential
from equipot.store.graph_store import GraphStore
from equipot.training.preparation import Preparation

_STRUCTURES = 16
_PAIRS = 200_000  # of all of them, but one structure is always taken


def centered(parts: Preparation) -> Preparation:
    """Subtracts the mean output for the atoms of each element from its shift.

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
    chosen = [graphs[i] for i in _sample(graphs)]
    output = isolated.interactions(Potential(spec=spec, params=params), chosen)
    species = np.concatenate([graph.species for graph in chosen])
    head = np.repeat([graph.head for graph in chosen], [graph.num_nodes for graph in chosen])
    shift = np.asarray(params["shift"], np.float64)
    excess = output - np.atleast_2d(shift)[head, species]
    mean = mean_of_each(excess, head * spec.num_species + species, shift.size)
    params = {**params, "shift": jnp.asarray(shift - mean.reshape(shift.shape), spec.dtype)}
    note = (
        f"Taken off the shift: what the untrained model gives for an atom, {excess.mean():.2f} eV"
    )
    return dataclasses.replace(parts, params=params, notes=(*parts.notes, note))


def mean_of_each(values: np.ndarray, kinds: np.ndarray, count: int) -> np.ndarray:
    """The mean of the values of each kind, [count]; of all values for a kind without any.

    Args:
      values: Numbers, [n].
      kinds: Of each of them, from 0, [n].
      count: How many kinds there are.
    """
    number, total = (np.bincount(kinds, w, minlength=count) for w in (None, values))
    return np.where(number > 0, total / np.maximum(number, 1), values.mean())


def _sample(graphs: GraphStore) -> list[int]:
    """Indices of structures, evenly spaced."""
    every = np.unique(np.linspace(0, len(graphs) - 1, _STRUCTURES).round().astype(int))
    fits = np.cumsum(graphs.sizes[every, 1]) <= _PAIRS
    fits[0] = True
    return every[fits].tolist()
