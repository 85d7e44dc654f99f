"""The potential: a model with all that models share – references, scale, anchors, derivatives.

The energy of atom i of species s is

    E_i = E0[s] + scale[s] m_i + shift[s] + repulsion

where m_i is the model's output, E0 a reference energy and ``shift`` the mean binding energy of the
element. Molecules, clusters and surfaces are as good as the model; an atom without neighbors has a
constant energy, E0[s] + scale[s] m[s] + shift[s] (``isolated_energies``), which is not that of an
isolated atom unless the data say so. Anchored potentials have

    E_i = E0[s] + scale[s] (m_i − m[s]) + shift[s] S_i + repulsion

where m[s] is the model's output for an atom without neighbors and S_i a switch (``binding.py``):
such an atom has its reference energy exactly. The short-range repulsion, where there is one, is in
eV and acts on pairs (``repulsion.py``).

A potential trained on several levels of theory has a head for each: the model gives as many
numbers for an atom, and E0, scale and shift are those of the head that the structure asks for.

Everything but E0 is computed on the device in the model's precision (the interaction energy); E0
and the sum over atoms are added on the host in float64. Forces and stress are derivatives with
respect to edge vectors: one backward pass gives both.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct

from equipot import errors
from equipot.data.distance_range import DistanceRange
from equipot.e3.kernels import platforms
from equipot.graphs import geometry, masks, pairs
from equipot.graphs.graph import Graph, Leaf
from equipot.models import registry
from equipot.models.context import ModelContext
from equipot.potential import binding
from equipot.potential.repulsion import ZBL, ZBLSummand
from equipot.store import host_graph
from equipot.typing import Array, Float, Int, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class PotentialSpec:
    """Everything about a potential that is fixed before training.

    Attributes:
      model_name: Name of the model, as in ``equipot.models``.
      model_config: The model's own settings.
      species_table: Atomic number of each species, ascending.
      atomic_energies: Reference energy of each species in eV; of several heads, one after another.
      avg_num_neighbors: Mean number of neighbors in the training set.
      dtype: Precision of the model: float32 or float64.
      anchor_isolated: Whether m[s] is subtracted and the shift switched, so that an atom without
        neighbors has its reference energy exactly.
      bond_radii: Covalent radius in Å of each species, where bonds switch the shift of an anchored
        potential; None: all neighbors do, as in the first versions.
      train_shift: Whether gradients reach the shift.
      matmul_precision: Precision of matrix products on accelerators.
      repulsion: Constants of the short-range repulsion, or None for none.
      heads: Names of the levels of theory that the potential tells apart.
    """

    model_name: str
    model_config: Any
    species_table: tuple[int, ...]
    atomic_energies: tuple[float, ...]
    avg_num_neighbors: float
    dtype: str = "float32"
    anchor_isolated: bool = False
    train_shift: bool = False
    matmul_precision: str = "highest"
    repulsion: ZBL | None = None
    heads: tuple[str, ...] = host_graph.ONE_HEAD
    bond_radii: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        radii = self.bond_radii
        if radii is None:
            return
        if len(radii) != len(self.species_table) or not all(0.0 < r < math.inf for r in radii):
            raise errors.ConfigError(
                f"potential.bond_radii: expected a positive length in Å for each of"
                f" {len(self.species_table)} elements, received {radii}"
            )

    @property
    def cutoff(self) -> float:
        """Radius in Å beyond which atoms do not interact directly."""
        return self.model_config.cutoff

    @property
    def num_species(self) -> int:
        """Number of species."""
        return len(self.species_table)

    @property
    def references(self) -> np.ndarray:
        """Reference energy in eV of each species at each level of theory, [heads, species]."""
        energies = np.asarray(self.atomic_energies, np.float64)
        return energies.reshape(len(self.heads), self.num_species)

    @property
    def summands(self) -> tuple[ZBLSummand, ...]:
        """What is added to the model's energy and takes the model's pairs, see ``summands.py``."""
        if self.repulsion is None:
            return ()
        return (ZBLSummand(zbl=self.repulsion, cutoff=self.cutoff),)

    @property
    def table_shape(self) -> tuple[int, ...]:
        """Shape of scale and shift: [species], or [heads, species] with several heads."""
        shape = (len(self.heads), self.num_species)
        return shape if len(self.heads) > 1 else shape[1:]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Potential:
    """A specification with parameters: what is saved, loaded, and run.

    Attributes:
      spec: The fixed part.
      params: ``{"model": tree, "scale": [species], "shift": [species]}``, scale and shift in eV;
        with several heads these are [heads, species].
      provenance: How it was trained, as plain JSON.
      distance_range: The distances of its training set; None where they are not known.
    """

    spec: PotentialSpec
    params: PyTree
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    distance_range: DistanceRange | None = None


@struct.dataclass
class Prediction:
    """What a potential says of a padded batch; padding is zero, references are not included.

    Attributes:
      node_energy: Interaction energy of each atom, eV, Float[nodes].
      energy: Their sum over each structure, eV, Float[graphs].
      forces: −∂E/∂r, eV/Å, Float[nodes, 3].
      stress: (1/V) ∂E/∂ε, eV/Å³, tension positive, Float[graphs, 3, 3]; meaningless where a
        structure is not periodic.
    """

    node_energy: Leaf
    energy: Leaf
    forces: Leaf
    stress: Leaf


def init_params(
    spec: PotentialSpec,
    key: Array,
    scale: Float[Array, "*heads species"],
    shift: Float[Array, "*heads species"],
    model: nn.Module | None = None,
) -> PyTree:
    """Draws the model's parameters and sets scale and shift.

    In float64 this must be called inside ``potential.precision.of``.

    Args:
      spec: The fixed part.
      key: Random key.
      scale: Unit of the model's output per species, eV, of the specification's ``table_shape``.
      shift: Mean binding energy per species, eV, likewise.
      model: The module, where it is not the one that the specification names.
    """
    dtype = jnp.dtype(spec.dtype)
    species = jnp.zeros(2, jnp.int32)
    ends = jnp.asarray([0], jnp.int32), jnp.asarray([1], jnp.int32)
    vectors = jnp.asarray([[1.0, 0.0, 0.0]], dtype)
    variables = jax.jit((model or _model(spec)).init)(key, vectors, species, *ends)
    return {
        "model": variables["params"],
        "scale": jnp.asarray(scale, dtype),
        "shift": jnp.asarray(shift, dtype),
    }


def make_energy(
    spec: PotentialSpec, model: nn.Module | None = None, *, directed: bool = False
) -> Callable[..., Array]:
    """Returns ``energy(params, edge_vectors, graph)``: each atom's interaction energy in eV.

    It takes ``exchange`` as a fourth argument, where atoms stand for those of another domain; their
    own energies are then no part of the whole. See ``equipot.graphs.pairs``.

    Args:
      spec: The fixed part.
      model: The module, where it is not the one that the specification names.
      directed: Whether edges of the graph are directed; without, each is a pair.

    Raises:
      ValueError: If the module was made for the other form of graphs.
    """
    module: Any = model or _model(spec, directed=directed)
    if module.context.directed != directed:
        raise ValueError(
            f"expected a model whose context has directed={directed}, as the graphs of the energy"
            f" are, received {type(module).__name__} with directed={module.context.directed}"
        )
    learnt = _make_learnt(spec, module, directed=directed)
    if not spec.summands:
        return learnt
    table = spec.species_table
    added = [summand.make_energy(table, directed=directed) for summand in spec.summands]

    def energy(
        params: PyTree,
        edge_vectors: Float[Array, "edges 3"],
        graph: Graph,
        exchange: pairs.Exchange = pairs.keep,
    ) -> Float[Array, " nodes"]:
        ends = graph.nodes.species, graph.senders, graph.receivers
        whole = learnt(params, edge_vectors, graph, exchange)
        for summand in added:
            whole = whole + summand(edge_vectors, *ends, exchange)
        return whole

    return energy


def make_predict(
    spec: PotentialSpec, *, directed: bool = False, platform: str | None = None
) -> Callable[[PyTree, Graph], Prediction]:
    """Returns ``predict(params, graph)``: energies, forces and stress of a padded batch.

    Args:
      spec: The fixed part.
      directed: Whether edges of the graph are directed; without, each is a pair.
      platform: Whose form of the algorithms it takes: "cpu", "gpu", …; None for that of the default
        device.
    """
    predict = differentiate(make_energy(spec, directed=directed), spec.matmul_precision)

    def predict_there(params: PyTree, graph: Graph) -> Prediction:
        with platforms.traced_for(platform):
            return predict(params, graph)

    return predict_there


def differentiate(
    energy: Callable[[PyTree, Array, Graph], Array], matmul_precision: str
) -> Callable[[PyTree, Graph], Prediction]:
    """Makes ``predict(params, graph)`` of an energy like that of ``make_energy``.

    Args:
      energy: ``energy(params, edge_vectors, graph)``: one number per node, in eV.
      matmul_precision: Precision of matrix products on accelerators.
    """

    def predict(params: PyTree, graph: Graph) -> Prediction:
        mask = masks.node_mask(graph)
        num_nodes = len(graph.nodes.species)

        def total(edge_vectors: Float[Array, "edges 3"]) -> tuple[Array, Array]:
            node_energy = jnp.where(mask, energy(params, edge_vectors, graph), 0.0)
            return jnp.sum(node_energy), node_energy

        with jax.default_matmul_precision(matmul_precision):
            vectors = geometry.graph_edge_vectors(graph)
            gradient, node_energy = jax.grad(total, has_aux=True)(vectors)
        return Prediction(
            node_energy=node_energy,
            energy=jax.ops.segment_sum(
                node_energy, geometry.node_graph_index(graph.n_node, num_nodes), len(graph.n_node)
            ),
            forces=_forces(gradient, graph),
            stress=_stress(gradient, vectors, graph),
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


def _model(spec: PotentialSpec, *, directed: bool = False) -> nn.Module:
    context = ModelContext(
        species_table=spec.species_table,
        avg_num_neighbors=spec.avg_num_neighbors,
        num_heads=len(spec.heads),
        directed=directed,
    )
    return registry.build_model(spec.model_name, spec.model_config, context)


def _make_learnt(spec: PotentialSpec, model: nn.Module, *, directed: bool) -> Callable[..., Array]:
    """The energy without the repulsion."""
    cutoff = spec.cutoff
    switch = binding.make_switch(spec.bond_radii, cutoff, directed=directed)

    def energy(
        params: PyTree,
        edge_vectors: Float[Array, "edges 3"],
        graph: Graph,
        exchange: pairs.Exchange = pairs.keep,
    ) -> Float[Array, " nodes"]:
        species, num_nodes = graph.nodes.species, len(graph.nodes.species)
        head = _heads_of_nodes(graph) if len(spec.heads) > 1 else ()
        scale = jax.lax.stop_gradient(params["scale"])[*head, species]
        shift = params["shift"] if spec.train_shift else jax.lax.stop_gradient(params["shift"])
        shift = shift[*head, species]
        variables, ends = {"params": params["model"]}, (graph.senders, graph.receivers)
        if not spec.anchor_isolated:
            output: Any = model.apply(variables, edge_vectors, species, *ends, exchange)
            return scale * _of_head(output, head) + shift
        # One atom of each species without neighbors is evaluated along with the others.
        alone = jnp.arange(spec.num_species, dtype=species.dtype)
        every = jnp.concatenate([species, alone])
        among = _among_first(exchange, num_nodes)
        output = model.apply(variables, edge_vectors, every, *ends, among)
        # Rounding may differ from row to row: without neighbors there is to be no energy at all.
        anchored = _of_head(output[:num_nodes], head) - output[num_nodes:][species, *head]
        near = jnp.sum(edge_vectors**2, axis=-1) < cutoff**2
        count = pairs.sum_at_nodes(near.astype(jnp.int32), *ends, num_nodes, directed=directed)
        interaction = jnp.where(count > 0, anchored, 0.0)
        return scale * interaction + shift * switch(edge_vectors, species, *ends)

    return energy


def _among_first(exchange: pairs.Exchange, num_nodes: int) -> pairs.Exchange:
    """The exchange of a graph whose nodes others follow that are no part of it."""
    if exchange is pairs.keep:
        return exchange

    def exchanged(features: PyTree) -> PyTree:
        own = exchange(jax.tree.map(lambda x: x[:num_nodes], features))
        return jax.tree.map(lambda x, y: jnp.concatenate([y, x[num_nodes:]]), features, own)

    return exchanged


def _heads_of_nodes(graph: Graph) -> tuple[Int[Array, " nodes"]]:
    """The level of theory of each atom, that of its structure."""
    owner = geometry.node_graph_index(graph.n_node, len(graph.nodes.species))
    return (jnp.asarray(graph.globals.head)[owner],)


def _of_head(
    output: Float[Array, "nodes ..."], head: tuple[Int[Array, " nodes"], ...]
) -> Float[Array, " nodes"]:
    """The model's number for each atom at the atom's level of theory; there may be one only."""
    return output[jnp.arange(len(output)), *head] if head else output
