"""Sums that are divided last: errors of a prediction as (weighted sum, weight).

A mean over structures that are spread over batches and devices is exact only when sums and weights
are added up first and divided once, at the end.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from equipot.graphs import geometry
from equipot.graphs.graph import Graph
from equipot.potential.potential import Prediction
from equipot.typing import Array, Float

Leaf: TypeAlias = Any
"""An array on the device or on the host, or what ``jax.tree.map`` puts into its place."""


@struct.dataclass
class Sum:
    """A weighted sum and what it is to be divided by.

    Attributes:
      total: Σ w x, [].
      weight: What is counted: labels, or steps, [].
    """

    total: Leaf
    weight: Leaf

    @property
    def mean(self) -> Array:
        """The sum over its weight, and 0 where nothing was counted."""
        some = self.weight > 0
        return jnp.where(some, self.total / jnp.where(some, self.weight, 1), 0)


Sums = dict[str, Sum]


@struct.dataclass
class Tally:
    """What is counted on the device between two lines of the log.

    Attributes:
      sums: Sums of errors, and of ``loss`` and ``grad_norm`` over steps.
      bad_step: First step at which the loss or the gradient was not finite; -1 for none; int32, [].
      bad_terms: The weighted terms of the loss at that step, by name; 0 for none, [].
    """

    sums: Sums
    bad_step: Leaf
    bad_terms: dict[str, Leaf]

    def counted(self) -> dict[str, tuple[float, ...]]:
        """The sums on the host as (total, weight), exactly; empty where no step was counted."""
        found = {name: (float(own.total), float(own.weight)) for name, own in self.sums.items()}
        some = found["loss"][1] > 0 and all(map(math.isfinite, itertools.chain(*found.values())))
        return found if some else {}

    def plus(self, counted: Mapping[str, tuple[float, ...]]) -> "Tally":
        """With the sums that ``counted`` gave, where they are of the same quantities."""
        if counted.keys() != self.sums.keys():
            return self
        before = {name: Sum(*counted[name]) for name in self.sums}
        return dataclasses.replace(self, sums=jax.tree.map(jnp.add, self.sums, before))


@struct.dataclass
class Residuals:
    """Differences between prediction and label, with the weights of the labels; 0 where unlabelled.

    Attributes:
      energy: Per atom, eV, [graphs].
      forces: eV/Å, [nodes, 3].
      stress: eV/Å³, [graphs, 3, 3].
      energy_weight: [graphs].
      forces_weight: [nodes].
      stress_weight: [graphs].
    """

    energy: Float[Array, " graphs"]
    forces: Float[Array, "nodes 3"]
    stress: Float[Array, "graphs 3 3"]
    energy_weight: Float[Array, " graphs"]
    forces_weight: Float[Array, " nodes"]
    stress_weight: Float[Array, " graphs"]


def residuals(prediction: Prediction, graph: Graph) -> Residuals:
    """Compares a prediction with the labels of its batch."""
    labels = graph.globals
    num_nodes = graph.nodes.species.shape[0]
    owner = geometry.node_graph_index(graph.n_node, num_nodes)
    forces_weight = labels.forces_weight[owner]
    atoms = jnp.maximum(graph.n_node, 1).astype(prediction.energy.dtype)
    # Masked before anything is squared: a label that is missing may stand beside any number.
    energy = jnp.where(labels.energy_weight > 0, (prediction.energy - labels.energy) / atoms, 0)
    forces = jnp.where(forces_weight[:, None] > 0, prediction.forces - graph.nodes.forces, 0)
    stress = jnp.where(
        labels.stress_weight[:, None, None] > 0, prediction.stress - labels.stress, 0
    )
    return Residuals(
        energy=energy,
        forces=forces,
        stress=stress,
        energy_weight=labels.energy_weight,
        forces_weight=forces_weight,
        stress_weight=labels.stress_weight,
    )


def error_sums(residual: Residuals) -> Sums:
    """Sums of squares and magnitudes of the residuals of all labels, each label counting once.

    Returns:
      ``energy_squared``, ``energy_absolute``, and likewise for forces and stress, per component.
    """
    sums: Sums = {}
    for name, components in {"energy": 1, "forces": 3, "stress": 9}.items():
        error = getattr(residual, name)
        labelled = (getattr(residual, f"{name}_weight") > 0).astype(error.dtype)
        count = components * jnp.sum(labelled)
        sums[f"{name}_squared"] = Sum(total=jnp.sum(error**2), weight=count)
        sums[f"{name}_absolute"] = Sum(total=jnp.sum(jnp.abs(error)), weight=count)
    return sums
