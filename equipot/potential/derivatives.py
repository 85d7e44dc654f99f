"""What a potential predicts: the energy and, in one backward pass, its derivatives."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
from flax import struct

from equipot.graphs import geometry, masks
from equipot.graphs.graph import Graph
from equipot.potential import outputs
from equipot.quantities import DERIVED, Quantity
from equipot.typing import Array, Float, PyTree


@no_type_check
@struct.dataclass
class Prediction:
    """What a potential predicts for a padded batch; padding is zero, references are not included.

    Attributes:
      node_energy: Interaction energy of each atom, eV.
      energy: Their sum over each structure, eV.
      forces: −∂E/∂r, eV/Å.
      stress: (1/V) ∂E/∂ε, eV/Å³, tension positive; meaningless where a structure is not
        periodic.
      others: Values of declared quantities by name, of nodes or of graphs.
    """

    node_energy: Float[Array, " nodes"]
    energy: Float[Array, " graphs"]
    forces: Float[Array, "nodes 3"]
    stress: Float[Array, "graphs 3 3"]
    others: dict[str, Float[Array, "rows ..."]] = dataclasses.field(default_factory=dict)

    def value(self, name: str) -> Array:
        """The values of one quantity."""
        return getattr(self, name) if name in DERIVED else self.others[name]


def differentiate(
    atoms: Callable[[PyTree, Array, Graph], Any],
    matmul_precision: str,
    quantities: Sequence[Quantity] = (),
) -> Callable[[PyTree, Graph], Prediction]:
    """Makes ``predict(params, graph)`` of a function like that of ``make_energy``.

    Args:
      atoms: ``energy(params, edge_vectors, graph)``: one number per node, in eV; or one like that
        of ``make_atoms``.
      matmul_precision: Precision of matrix products on accelerators.
      quantities: Further quantities to predict; these need a function like that of ``make_atoms``.
    """

    def predict(params: PyTree, graph: Graph) -> Prediction:
        mask = masks.node_mask(graph)
        num_nodes = len(graph.nodes.species)

        def total(edge_vectors: Float[Array, "edges 3"]) -> tuple[Array, tuple[Array, Any]]:
            found = atoms(params, edge_vectors, graph)
            energy, others = found if isinstance(found, tuple) else (found, {})
            node_energy = jnp.where(mask, energy, 0.0)
            return jnp.sum(node_energy), (node_energy, others)

        with jax.default_matmul_precision(matmul_precision):
            vectors = geometry.graph_edge_vectors(graph)
            gradient, (node_energy, others) = jax.grad(total, has_aux=True)(vectors)
        return Prediction(
            node_energy=node_energy,
            energy=jax.ops.segment_sum(
                node_energy, geometry.node_graph_index(graph.n_node, num_nodes), len(graph.n_node)
            ),
            forces=_forces(gradient, graph),
            stress=_stress(gradient, vectors, graph),
            others=outputs.combine(quantities, others, graph),
        )

    return predict


def _forces(gradient: Float[Array, "edges 3"], graph: Graph) -> Float[Array, "nodes 3"]:
    num_nodes = len(graph.nodes.species)
    pushed = jax.ops.segment_sum(gradient, graph.senders, num_nodes)
    return pushed - jax.ops.segment_sum(gradient, graph.receivers, num_nodes)


def _stress(
    gradient: Float[Array, "edges 3"], vectors: Float[Array, "edges 3"], graph: Graph
) -> Float[Array, "graphs 3 3"]:
    """Σ_edges r ⊗ ∂E/∂r / V, symmetric because the energy does not change under rotation."""
    virial = jax.ops.segment_sum(
        vectors[:, :, None] * gradient[:, None, :],
        geometry.edge_graph_index(graph.n_edge, len(graph.senders)),
        len(graph.n_node),
    )
    return (virial + jnp.swapaxes(virial, 1, 2)) / (2 * graph.globals.volume[:, None, None])
