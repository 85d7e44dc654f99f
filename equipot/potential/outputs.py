"""From model outputs for each atom to quantities: units, Cartesian form, sums over structures.

With m_i the output of the model for atom i of species s, in components of irreps, a quantity is

    x_i = scale m_i + shift[s]

in the units of its labels. Where values are to add up to the charge Q of a structure of N atoms,
(Q − Σ_j x_j) / N is added to each. A quantity of structures is Σ_i x_i, and a dipole that names the
charges q also has Σ_i q_i (r_i − r̄), with r̄ the mean of the positions; that term is left out
where a direction is periodic, since it has no meaning there.
"""

import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.graphs import geometry, masks
from equipot.graphs.graph import Graph
from equipot.quantities import Quantity, irreps_of
from equipot.typing import Array, Float, Int, PyTree

SCALE, SHIFT = "quantity_scale", "quantity_shift"
"""Keys of a potential's parameters, each ``{name: array}``; there are none without quantities.

Only quantities with invariant components have a shift.
"""

SYMMETRIC_MATRIX = "0e+2e"


def layout(quantities: Sequence[Quantity]) -> tuple[tuple[str, str], ...]:
    """Names and irreps, as a ``ModelContext`` has them."""
    return tuple((quantity.name, quantity.irreps) for quantity in quantities)


def invariants(quantity: Quantity) -> np.ndarray:
    """Which components of a quantity's irreps are 0e, and so may have a mean; int64, [n]."""
    places, start = [], 0
    for multiplicity, degree, parity in irreps_of(quantity.irreps, quantity.name):
        size = multiplicity * (2 * degree + 1)
        if degree == 0 and parity == 1:
            places += range(start, start + size)
        start += size
    return np.array(places, np.int64)


def init_params(
    quantities: Sequence[Quantity],
    num_species: int,
    scales: Mapping[str, tuple[float, np.ndarray]],
    dtype: str,
) -> dict[str, dict[str, Array]]:
    """What a potential's parameters hold for its quantities.

    Args:
      quantities: What it predicts.
      num_species: Number of species.
      scales: Scale, and shift [species, components of 0e], see ``scales.quantity_scales``; 1 and 0
        for a quantity that is not there.
      dtype: Precision.
    """
    if not quantities:
        return {}
    found: dict[str, dict[str, Array]] = {SCALE: {}, SHIFT: {}}
    for quantity in quantities:
        zeros = np.zeros((num_species, len(invariants(quantity))))
        scale, shift = scales.get(quantity.name, (1.0, zeros))
        found[SCALE][quantity.name] = jnp.asarray(scale, dtype)
        if zeros.size:  # checkpoints hold no arrays without numbers
            found[SHIFT][quantity.name] = jnp.asarray(shift, dtype)
    return {name: own for name, own in found.items() if own}


def of_atoms(
    quantities: Sequence[Quantity],
    params: PyTree,
    outputs: Mapping[str, Float[Array, "nodes components"]],
    species: Int[Array, " nodes"],
) -> dict[str, Array]:
    """Each atom's own value of each quantity, Cartesian, in the units of labels; {name: x}.

    Args:
      quantities: What the potential predicts.
      params: Of the potential.
      outputs: Of the model.
      species: Index of each atom's species.
    """
    found = {}
    for quantity in quantities:
        name, places = quantity.name, invariants(quantity)
        scale = jax.lax.stop_gradient(params[SCALE][name])
        value = scale * outputs[name]
        if len(places):
            shift = jax.lax.stop_gradient(params[SHIFT][name])
            value = value.at[:, places].add(shift[species])
        found[name] = cartesian(value, quantity)
    return found


def cartesian(components: Float[Array, "nodes components"], quantity: Quantity) -> Array:
    """Values in the shape of their quantity, [nodes, *shape]."""
    if quantity.irreps == SYMMETRIC_MATRIX:
        basis = jnp.asarray(_symmetric_basis(), components.dtype)
        return jnp.tensordot(components, basis, axes=1, precision="highest")
    return components.reshape(len(components), *quantity.shape)


def components(values: np.ndarray, quantity: Quantity) -> np.ndarray:
    """The inverse of ``cartesian`` in NumPy: [n, *shape] to [n, components]."""
    if quantity.irreps == SYMMETRIC_MATRIX:
        return np.einsum("nij,kij->nk", values, _symmetric_basis())
    return values.reshape(len(values), -1)


def combine(
    quantities: Sequence[Quantity], values: Mapping[str, Array], graph: Graph
) -> dict[str, Array]:
    """Quantities of atoms and structures, zero in padding: {name: [nodes, ...] or [graphs, ...]}.

    Args:
      quantities: What the potential predicts.
      values: Of each atom on its own, as ``of_atoms`` gives them.
      graph: The padded batch.
    """
    if not quantities:
        return {}
    owner = geometry.node_graph_index(graph.n_node, len(graph.nodes.species))
    mask, real = masks.node_mask(graph), masks.graph_mask(graph)

    def total(value: Array) -> Array:
        return jax.ops.segment_sum(value, owner, len(graph.n_node))

    found = {quantity.name: _where(mask, values[quantity.name]) for quantity in quantities}
    for quantity in quantities:
        if quantity.sums_to_charge:
            value = found[quantity.name]
            atoms = jnp.maximum(jnp.asarray(graph.n_node), 1).astype(value.dtype)
            missing = (jnp.asarray(graph.globals.charge) - total(value)) / atoms
            found[quantity.name] = _where(mask, value + missing[owner])
    for quantity in quantities:
        if quantity.charges:
            moment = _moments(found[quantity.charges], graph, owner)
            found[quantity.name] = found[quantity.name] + _where(mask, moment)
    return {
        quantity.name: found[quantity.name]
        if quantity.per == "atom"
        else _where(real, total(found[quantity.name]))
        for quantity in quantities
    }


def _moments(
    charges: Float[Array, " nodes"], graph: Graph, owner: Int[Array, " nodes"]
) -> Float[Array, "nodes 3"]:
    """Q (r − r̄) of each atom of a structure without periodicity, else zero."""
    positions = jnp.asarray(graph.nodes.positions) + jnp.asarray(graph.nodes.offsets)
    atoms = jnp.maximum(jnp.asarray(graph.n_node), 1).astype(positions.dtype)
    sums = jax.ops.segment_sum(positions, owner, len(graph.n_node))
    middle = sums / atoms[:, None]
    free = jnp.all(jnp.asarray(graph.globals.cell) == 0, axis=(1, 2))
    moments = charges[:, None] * (positions - middle[owner])
    return _where(free[owner], moments)


def _where(mask: Array, value: Array) -> Array:
    """The value where the mask holds, along the first axis, else zero."""
    return jnp.where(mask.reshape(mask.shape + (1,) * (value.ndim - 1)), value, 0.0)


@functools.cache
def _symmetric_basis() -> np.ndarray:
    """Orthonormal symmetric matrices, that of 0e and those of 2e, float64 [6, 3, 3]."""
    trace = np.eye(3)[None] / 3**0.5
    table = clebsch_gordan(1, 1, 2)
    traceless = np.moveaxis(table, -1, 0) / np.linalg.norm(table, axis=(0, 1))[:, None, None]
    return np.concatenate([trace, traceless])
