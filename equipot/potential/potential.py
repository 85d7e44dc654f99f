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
eV and acts on pairs (``repulsion.py``); with the wall (``wall.py``) the model sees no distance
below the shortest of training.

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
from jax import core

from equipot import errors
from equipot.data.distance_range import DistanceRange
from equipot.e3.kernels import platforms
from equipot.graphs import geometry, pairs
from equipot.graphs.graph import Graph
from equipot.models import registry
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.potential import binding, outputs
from equipot.potential.derivatives import Prediction, differentiate
from equipot.potential.repulsion import ZBL, ZBLSummand
from equipot.potential.wall import Wall, WallSummand, make_clamp
from equipot.quantities import Quantity
from equipot.store import host_graph
from equipot.typing import Array, Float, Int, PyTree

RUN_ONCE = {"xla_backend_optimization_level": 0}
"""Options of the compiler for a program that runs once: it takes half the time to compile."""


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
      quantities: What it predicts beside energy, forces and stress; the same for all heads.
      wall: What keeps atoms apart below the distances of training; None for none.
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
    quantities: tuple[Quantity, ...] = ()
    wall: Wall | None = None

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
    def summands(self) -> tuple[ZBLSummand | WallSummand, ...]:
        """What is added to the model's energy and takes the model's pairs, see ``summands.py``."""
        found: list[ZBLSummand | WallSummand] = []
        if self.repulsion is not None:
            found.append(ZBLSummand(zbl=self.repulsion, cutoff=self.cutoff))
        if self.wall is not None:
            found.append(WallSummand(wall=self.wall, cutoff=self.cutoff))
        return tuple(found)

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
        with several heads these are [heads, species]. With quantities those of ``outputs`` too.
      provenance: How it was trained, as plain JSON.
      distance_range: The distances of its training set; None where they are not known.
    """

    spec: PotentialSpec
    params: PyTree
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    distance_range: DistanceRange | None = None


def init_params(
    spec: PotentialSpec,
    key: Array,
    scale: Float[Array, "*heads species"],
    shift: Float[Array, "*heads species"],
    model: nn.Module | None = None,
    quantity_scales: Mapping[str, tuple[float, np.ndarray]] | None = None,
) -> PyTree:
    """Draws the model's parameters and sets scale and shift.

    In float64 this must be called inside ``potential.precision.of``.

    Args:
      spec: The fixed part.
      key: Random key.
      scale: Unit of the model's output per species, eV, of the specification's ``table_shape``.
      shift: Mean binding energy per species, eV, likewise.
      model: The module, where it is not the one that the specification names.
      quantity_scales: Of the specification's quantities, by name; 1 and 0 by default, see
        ``scales.quantity_scales``.
    """
    dtype = jnp.dtype(spec.dtype)
    species = jnp.zeros(2, jnp.int32)
    ends = jnp.asarray([0], jnp.int32), jnp.asarray([1], jnp.int32)
    vectors = jnp.asarray([[1.0, 0.0, 0.0]], dtype)
    draw = (model or _model(spec)).init
    if not isinstance(key, core.Tracer):  # as it is where shapes alone are asked for
        draw = jax.jit(draw, compiler_options=RUN_ONCE)
    variables = draw(key, vectors, species, *ends)
    return {
        "model": variables["params"],
        "scale": jnp.asarray(scale, dtype),
        "shift": jnp.asarray(shift, dtype),
        **outputs.init_params(spec.quantities, spec.num_species, quantity_scales or {}, spec.dtype),
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
    atoms = make_atoms(spec, model, directed=directed)

    def energy(
        params: PyTree,
        edge_vectors: Float[Array, "edges 3"],
        graph: Graph,
        exchange: pairs.Exchange = pairs.keep,
    ) -> Float[Array, " nodes"]:
        return atoms(params, edge_vectors, graph, exchange)[0]

    return energy


def make_atoms(
    spec: PotentialSpec, model: nn.Module | None = None, *, directed: bool = False
) -> Callable[..., tuple[Array, dict[str, Array]]]:
    """Like ``make_energy``, but also returns the values of the quantities for each atom.

    These are those of ``outputs.of_atoms``: no value knows yet of the structure's other atoms.

    Args:
      spec: The fixed part.
      model: The module, where it is not the one that the specification names.
      directed: Whether edges of the graph are directed; without, each is a pair.

    Raises:
      ValueError: If the module was made for the other form of graphs, or for other quantities.
    """
    module: Any = model or _model(spec, directed=directed)
    if module.context.directed != directed:
        raise ValueError(
            f"expected a model whose context has directed={directed}, as the graphs of the energy"
            f" are, received {type(module).__name__} with directed={module.context.directed}"
        )
    wanted = outputs.layout(spec.quantities)
    if module.context.outputs != wanted:
        raise ValueError(
            f"expected a model whose context has outputs={wanted}, the quantities of the potential,"
            f" received {type(module).__name__} with outputs={module.context.outputs}"
        )
    learnt = _make_learnt(spec, module, directed=directed)
    if not spec.summands:
        return learnt
    table = spec.species_table
    added = [summand.make_energy(table, directed=directed) for summand in spec.summands]

    def atoms(
        params: PyTree,
        edge_vectors: Float[Array, "edges 3"],
        graph: Graph,
        exchange: pairs.Exchange = pairs.keep,
    ) -> tuple[Float[Array, " nodes"], dict[str, Array]]:
        energy, others = learnt(params, edge_vectors, graph, exchange)
        ends = graph.nodes.species, graph.senders, graph.receivers
        for summand in added:
            energy = energy + summand(edge_vectors, *ends, exchange)
        return energy, others

    return atoms


def make_predict(
    spec: PotentialSpec, *, directed: bool = False, platform: str | None = None
) -> Callable[[PyTree, Graph], Prediction]:
    """Returns ``predict(params, graph)``: energies, forces, stress and quantities of a batch.

    Args:
      spec: The fixed part.
      directed: Whether edges of the graph are directed; without, each is a pair.
      platform: Whose form of the algorithms it takes: "cpu", "gpu", …; None for that of the default
        device.
    """
    predict = differentiate(
        make_atoms(spec, directed=directed), spec.matmul_precision, spec.quantities
    )

    def predict_there(params: PyTree, graph: Graph) -> Prediction:
        with platforms.traced_for(platform):
            return predict(params, graph)

    return predict_there


def _model(spec: PotentialSpec, *, directed: bool = False) -> nn.Module:
    context = ModelContext(
        species_table=spec.species_table,
        avg_num_neighbors=spec.avg_num_neighbors,
        num_heads=len(spec.heads),
        directed=directed,
        outputs=outputs.layout(spec.quantities),
    )
    return registry.build_model(spec.model_name, spec.model_config, context)


def _make_learnt(
    spec: PotentialSpec, model: nn.Module, *, directed: bool
) -> Callable[..., tuple[Array, dict[str, Array]]]:
    """Everything but the repulsion."""
    cutoff = spec.cutoff
    switch = binding.make_switch(spec.bond_radii, cutoff, directed=directed)
    clamp = make_clamp(spec.wall, spec.num_species)

    def atoms(
        params: PyTree,
        edge_vectors: Float[Array, "edges 3"],
        graph: Graph,
        exchange: pairs.Exchange = pairs.keep,
    ) -> tuple[Float[Array, " nodes"], dict[str, Array]]:
        species, num_nodes = jnp.asarray(graph.nodes.species), len(graph.nodes.species)
        head = _heads_of_nodes(graph) if len(spec.heads) > 1 else ()
        scale = jax.lax.stop_gradient(params["scale"])[*head, species]
        shift = params["shift"] if spec.train_shift else jax.lax.stop_gradient(params["shift"])
        shift = shift[*head, species]
        ends = jnp.asarray(graph.senders), jnp.asarray(graph.receivers)
        every = species
        if spec.anchor_isolated:
            # One atom of each species without neighbors is evaluated along with the others.
            alone = jnp.arange(spec.num_species, dtype=species.dtype)
            every = jnp.concatenate([species, alone])
            exchange = _among_first(exchange, num_nodes)
        variables = {"params": params["model"]}
        seen = clamp(edge_vectors, species, *ends)
        output = _output(model.apply(variables, seen, every, *ends, exchange), model)
        own = {name: value[:num_nodes] for name, value in output.others.items()}
        others = outputs.of_atoms(spec.quantities, params, own, species)
        if not spec.anchor_isolated:
            return scale * _of_head(output.energies, head) + shift, others
        energies = output.energies
        lone = energies[num_nodes:][species, *head] if head else energies[num_nodes:, 0][species]
        # Rounding may differ from row to row: without neighbors there is to be no energy at all.
        anchored = _of_head(energies[:num_nodes], head) - lone
        near = jnp.sum(edge_vectors**2, axis=-1) < cutoff**2
        count = pairs.sum_at_nodes(near.astype(jnp.int32), *ends, num_nodes, directed=directed)
        interaction = jnp.where(count > 0, anchored, 0.0)
        return scale * interaction + shift * switch(edge_vectors, species, *ends), others

    return atoms


def _output(found: Any, model: nn.Module) -> Output:
    if not isinstance(found, Output):
        raise ValueError(
            f"expected {type(model).__name__} to return an equipot.models.output.Output, received"
            f" {type(found).__name__}; end its __call__ with output.finish(self, energy, features)"
        )
    return found


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
    energies: Float[Array, "nodes heads"], head: tuple[Int[Array, " nodes"], ...]
) -> Float[Array, " nodes"]:
    """The model's number for each atom at the atom's level of theory; there may be one only."""
    return energies[jnp.arange(len(energies)), *head] if head else energies[:, 0]
