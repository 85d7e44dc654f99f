"""Sums that are divided last: errors of a prediction as (weighted sum, weight).

A mean over structures that are spread over batches and devices is exact only when sums and weights
are added up first and divided once, at the end.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from equipot.graphs import geometry
from equipot.graphs.graph import Batch
from equipot.potential.potential import Prediction
from equipot.quantities import DERIVED, Quantity
from equipot.typing import AnyArray, Array, Float, Int


@no_type_check
@struct.dataclass
class Sum:
    """A weighted sum and the weight to divide it by.

    Attributes:
      total: Σ w x.
      weight: What is counted: labels, or steps.
    """

    total: Float[AnyArray, ""] | float
    weight: Float[AnyArray, ""] | float

    @property
    def mean(self) -> Array:
        """The sum over its weight, and 0 where nothing was counted."""
        some = self.weight > 0
        return jnp.where(some, self.total / jnp.where(some, self.weight, 1), 0)


Sums = dict[str, Sum]


@no_type_check
@struct.dataclass
class Tally:
    """What is counted on the device between two lines of the log.

    Attributes:
      sums: Sums of errors, and of ``loss`` and ``grad_norm`` over steps.
      bad_step: First step at which the loss or the gradient was not finite; -1 for none; int32.
      bad_terms: The weighted terms of the loss at that step, by name; 0 for none.
    """

    sums: Sums
    bad_step: Int[Array, ""]
    bad_terms: dict[str, Float[Array, ""]]

    def counted(self) -> dict[str, tuple[float, ...]]:
        """The sums on the host as (total, weight), exactly; empty where no step was counted."""
        found = {name: (float(own.total), float(own.weight)) for name, own in self.sums.items()}
        some = found["loss"][1] > 0 and all(map(math.isfinite, itertools.chain(*found.values())))
        return found if some else {}

    def plus(self, counted: Mapping[str, tuple[float, ...]]) -> "Tally":
        """Adds the sums that ``counted`` returned, if they are of the same quantities."""
        if counted.keys() != self.sums.keys():
            return self
        before = {name: Sum(*counted[name]) for name in self.sums}
        return dataclasses.replace(self, sums=jax.tree.map(jnp.add, self.sums, before))


class Residual(NamedTuple):
    """Differences between prediction and label, 0 where there is none, with the weights of labels.

    Attributes:
      difference: In the unit of the quantity, energies per atom, [nodes, ...] or [graphs, ...].
      weight: [nodes] or [graphs].
      label: As in the batch, [nodes, ...] or [graphs, ...].
    """

    difference: Float[Array, "rows ..."]
    weight: Float[Array, " rows"]
    label: Float[Array, "rows ..."]


Residuals: TypeAlias = dict[str, Residual]


def residuals(
    prediction: Prediction, batch: Batch, quantities: Mapping[str, Quantity] = DERIVED
) -> Residuals:
    """Compares a prediction with the labels of its batch.

    Args:
      prediction: Of the graphs of the batch.
      batch: Has labels of all quantities.
      quantities: What is compared, by name.
    """
    n_node = jnp.asarray(batch.graph.n_node)
    owner = geometry.node_graph_index(n_node, batch.graph.nodes.species.shape[0])
    atoms = jnp.maximum(n_node, 1).astype(prediction.energy.dtype)
    found: Residuals = {}
    for name, quantity in quantities.items():
        label = batch.labels[name]
        difference = prediction.value(name) - label.value
        if quantity.is_extensive:
            difference = difference / atoms.reshape(-1, *(1 for _ in quantity.shape))
        weight = jnp.asarray(label.weight)
        weight = weight[owner] if quantity.per == "atom" else weight
        # Masked before anything is squared: a label that is missing may stand beside any number.
        mask = weight.reshape(-1, *(1 for _ in quantity.shape)) > 0
        found[name] = Residual(jnp.where(mask, difference, 0), weight, jnp.asarray(label.value))
    return found


def error_sums(found: Residuals) -> Sums:
    """Sums of squares and magnitudes of the residuals of all labels, each label counting once.

    Returns:
      ``energy_squared``, ``energy_absolute``, and likewise for each other quantity, per component.
    """
    sums: Sums = {}
    for name, (error, weight, _) in found.items():
        components = error.size // error.shape[0]
        count = components * jnp.sum((weight > 0).astype(error.dtype))
        sums[f"{name}_squared"] = Sum(total=jnp.sum(error**2), weight=count)
        sums[f"{name}_absolute"] = Sum(total=jnp.sum(jnp.abs(error)), weight=count)
    return sums


def errors(sums: Mapping[str, Sum], quantities: Iterable[str]) -> dict[str, float | int]:
    """MAE and RMSE of the quantities that have labels, on the host.

    Args:
      sums: As ``error_sums`` gives them, added up.
      quantities: Names.
    """
    found: dict[str, float | int] = {}
    for name in quantities:
        squared, absolute = sums[f"{name}_squared"], sums[f"{name}_absolute"]
        if squared.weight > 0:
            found[f"{name}_mae"], found[f"{name}_rmse"] = _mae_and_rmse(absolute, squared)
    return found


def mae_and_rmse(difference: np.ndarray) -> tuple[float, float]:
    """MAE and RMSE of numbers on the host, at least one of them."""
    count = difference.size
    absolute = Sum(total=np.sum(np.abs(difference)), weight=count)
    return _mae_and_rmse(absolute, Sum(total=np.sum(difference**2), weight=count))


def mean(term: Sum) -> float:
    """As ``Sum.mean``, on the host."""
    return float(term.total) / float(term.weight) if term.weight > 0 else 0.0


def _mae_and_rmse(absolute: Sum, squared: Sum) -> tuple[float, float]:
    return mean(absolute), mean(squared) ** 0.5
