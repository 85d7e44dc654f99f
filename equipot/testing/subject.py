"""A potential under test: its functions, random parameters, and its answers in float64.

All structures of the contracts fit one budget, so that each function of a subject compiles once.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot.data.structure import Structure
from equipot.graphs import batching, geometry, masks
from equipot.graphs.graph import Graph
from equipot.potential import binding, evaluate, precision
from equipot.potential import potential as potentials
from equipot.potential.potential import PotentialSpec, Prediction
from equipot.potential.wall import Wall
from equipot.quantities import Quantity
from equipot.store import host_graph
from equipot.testing.structures import atom
from equipot.typing import Array, Float, Int, PyTree

BUDGET = batching.Budget(nodes=24, edges=256, graphs=7)
"""Room for every batch of the contracts."""

DIRECTED_BUDGET = batching.Budget(nodes=160, edges=512, graphs=2)
"""Room for one graph of directed edges, with copies of the atoms around its domains."""

SPECIES_TABLE = (1, 6, 8)
_SPREAD = 0.3  # of the noise on parameters


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A potential under test, in float64.

    Attributes:
      energy: ``energy(params, edge_vectors, graph)``: interaction energy of each atom, eV.
      directed_energy: ``directed_energy(params, edge_vectors, graph, exchange)``: the same where
        edges are directed, see ``equipot.graphs.pairs``.
      predict: ``predict(params, graph)``: what the potential says of a padded batch.
      params: Parameters, none of them zero.
      cutoff: Å.
      species_table: Atomic numbers.
      anchored: Whether an atom without neighbors is promised to have its reference energy exactly.
      inverts: Whether mirror images are promised the same energy.
      quantities: What it predicts beside energy, forces and stress.
      directed_atoms: ``directed_energy`` with the values of the quantities, as
        ``potential.make_atoms`` gives both; needed where there are any.
      optimize: Whether ``predict`` is compiled as it is in use; the other functions, and other
        shapes, are always compiled quickly.
    """

    energy: Callable[..., Array]
    directed_energy: Callable[..., Array]
    predict: Callable[[PyTree, Graph], Prediction]
    params: PyTree
    cutoff: float
    species_table: tuple[int, ...] = SPECIES_TABLE
    anchored: bool = False
    inverts: bool = True
    quantities: tuple[Quantity, ...] = ()
    directed_atoms: Callable[..., Any] | None = None
    optimize: bool = True

    @functools.cached_property
    def stated_alone(self) -> np.ndarray:
        """Interaction energy stated for an atom of each species without neighbors, eV."""
        if self.anchored:
            return np.zeros(len(self.species_table))
        return np.array([self.observe(atom(z))[0].energy for z in self.species_table])

    def observe(
        self,
        *structures: Structure,
        budget: batching.Budget = BUDGET,
        offset: np.ndarray | float = 0.0,
    ) -> list[evaluate.HostPrediction]:
        """Predictions for structures in one batch; reference energies are zero.

        Args:
          structures: What to predict.
          budget: Padded totals of the batch; another one than ``BUDGET`` compiles anew.
          offset: Å, added to all positions once they are wrapped into the cell and centered.
        """
        graphs = [
            dataclasses.replace(graph, positions=graph.positions + offset)
            for graph in self.graphs(structures)
        ]
        return self.observe_graphs(graphs, structures, budget)

    def observe_graphs(
        self,
        graphs: Sequence[batching.HostGraph],
        structures: Sequence[Structure],
        budget: batching.Budget = BUDGET,
    ) -> list[evaluate.HostPrediction]:
        """The same for graphs that were made of the structures already."""
        with precision.of("float64"):
            batch = batching.collate(graphs, budget, self.cutoff, "float64")
            predict = self._compiled_predict if budget == BUDGET else self._quick_predict
            prediction = jax.device_get(predict(self.params, batch))
        return self._split(prediction, graphs, structures)

    def observe_directed(
        self, graph: batching.HostGraph, owners: np.ndarray, structure: Structure
    ) -> evaluate.HostPrediction:
        """The prediction for one graph of directed edges, forces on copies given to their owners.

        Args:
          graph: A structure, with copies of its atoms where edges start at these.
          owners: For each node the node whose features it has, itself where it is no copy.
          structure: What the graph was made of.
        """
        every = np.arange(DIRECTED_BUDGET.nodes)
        every[: len(owners)] = owners
        with precision.of("float64"):
            batch = batching.collate([graph], DIRECTED_BUDGET, self.cutoff, "float64")
            prediction = jax.device_get(self._compiled_directed(self.params, batch, every))
        return self._split(prediction, [graph], [structure])[0]

    def observe_eagerly(self, *structures: Structure) -> list[evaluate.HostPrediction]:
        """The same, operation by operation."""
        graphs = self.graphs(structures)
        with precision.of("float64"):
            batch = batching.collate(graphs, BUDGET, self.cutoff, "float64")
            params, batch = jax.device_put((self.params, batch))
            prediction = jax.device_get(self.predict(params, batch))
        return self._split(prediction, graphs, structures)

    def edge_gradients(
        self, structures: Sequence[Structure], weights: Sequence[float]
    ) -> np.ndarray:
        """∂(Σ_graphs w E)/∂r for every real edge of one batch of structures, [edges, 3]."""
        graphs = self.graphs(structures)
        padded = np.zeros(BUDGET.graphs)
        padded[: len(weights)] = weights
        with precision.of("float64"):
            batch = batching.collate(graphs, BUDGET, self.cutoff, "float64")
            gradient = jax.device_get(self._compiled_edge_gradient(self.params, batch, padded))
        return gradient[: sum(g.num_edges for g in graphs)]

    def loss_gradients(self, *structures: Structure) -> PyTree:
        """Gradients of Σ E² + Σ F² + Σ x² with respect to the parameters, for one batch.

        x are the values of the quantities.
        """
        with precision.of("float64"):
            batch = batching.collate(self.graphs(structures), BUDGET, self.cutoff, "float64")
            return jax.device_get(self._compiled_loss_gradient(self.params, batch))

    def graphs(self, structures: Sequence[Structure]) -> list[batching.HostGraph]:
        """Graphs on the host."""
        cutoff, table, references = self.cutoff, self.species_table, self._references
        return [batching.build_graph(s, cutoff, table, references) for s in structures]

    def _split(
        self,
        prediction: Prediction,
        graphs: Sequence[batching.HostGraph],
        structures: Sequence[Structure],
    ) -> list[evaluate.HostPrediction]:
        periodic = [s.volume > 0 for s in structures]
        references, quantities = self._references, self.quantities
        return evaluate.split_prediction(prediction, graphs, references, periodic, quantities)

    @property
    def _references(self) -> np.ndarray:
        return np.zeros(len(self.species_table))

    @functools.cached_property
    def _compiled_predict(self) -> Callable[[PyTree, Graph], Prediction]:
        return jax.jit(self.predict) if self.optimize else self._quick_predict

    @functools.cached_property
    def _quick_predict(self) -> Callable[[PyTree, Graph], Prediction]:
        return jax.jit(self.predict, compiler_options=potentials.RUN_ONCE)

    @functools.cached_property
    def _compiled_directed(self) -> Callable[[PyTree, Graph, Array | np.ndarray], Prediction]:
        def predict(params: PyTree, graph: Graph, owners: Int[Array, " nodes"]) -> Prediction:
            own = owners == jnp.arange(len(owners), dtype=owners.dtype)

            def exchange(features: PyTree) -> PyTree:
                return jax.tree.map(lambda x: x[owners], features)

            def atoms(params: PyTree, vectors: Array, graph: Graph) -> tuple[Array, Any]:
                if self.directed_atoms is None:
                    energies, others = self.directed_energy(params, vectors, graph, exchange), {}
                else:
                    energies, others = self.directed_atoms(params, vectors, graph, exchange)
                return jnp.where(own, energies, 0.0), others

            predict = potentials.differentiate(atoms, "highest", self.quantities)
            found = predict(params, graph)
            forces = jax.ops.segment_sum(found.forces, owners, len(owners))
            return dataclasses.replace(found, forces=forces)

        return jax.jit(predict, compiler_options=potentials.RUN_ONCE)

    @functools.cached_property
    def _compiled_edge_gradient(self) -> Callable[[PyTree, Graph, Array | np.ndarray], Array]:
        def gradient(params: PyTree, graph: Graph, weights: Float[Array, " graphs"]) -> Array:
            index = geometry.node_graph_index(graph.n_node, len(graph.nodes.species))

            def total(vectors: Float[Array, "edges 3"]) -> Array:
                energy = jnp.where(masks.node_mask(graph), self.energy(params, vectors, graph), 0.0)
                return jnp.sum(weights[index] * energy)

            return jax.grad(total)(geometry.graph_edge_vectors(graph))

        return jax.jit(gradient, compiler_options=potentials.RUN_ONCE)

    @functools.cached_property
    def _compiled_loss_gradient(self) -> Callable[[PyTree, Graph], PyTree]:
        def loss(params: PyTree, graph: Graph) -> Array:
            prediction = self.predict(params, graph)
            mask = masks.node_mask(graph)
            squares = jnp.sum(jnp.where(mask[:, None], prediction.forces, 0.0) ** 2)
            others = [jnp.sum(value**2) for value in prediction.others.values()]
            return sum(others, squares + jnp.sum(prediction.energy**2))

        return jax.jit(jax.grad(loss), compiler_options=potentials.RUN_ONCE)


def subject_of(
    model_config: Any,
    model: str | nn.Module,
    *,
    avg_num_neighbors: float = 12.0,
    species_table: tuple[int, ...] = SPECIES_TABLE,
    shift: str = "constant",
    quantities: Sequence[Quantity] = (),
    seed: int = 0,
    heads: tuple[str, ...] = host_graph.ONE_HEAD,
    wall: Wall | None = None,
) -> Subject:
    """Wraps a model, by name or as a module, with random parameters.

    Args:
      model_config: Settings of the model, with a field ``cutoff``.
      model: Name of one of equipot's models, or a flax module with the same call.
      avg_num_neighbors: What the model divides by.
      species_table: Atomic numbers, as many as the module was made for.
      shift: Where the mean binding energy acts, as ``potential.shift`` says.
      quantities: What is asked for beside energy, forces and stress; a module's context has them as
        its ``outputs``.
      seed: Of the parameters.
      heads: Levels of theory; all structures are of the first.
      wall: What keeps atoms apart at short distances; None for none.
    """
    spec = PotentialSpec(
        model_name=model if isinstance(model, str) else type(model).__name__,
        model_config=model_config,
        species_table=species_table,
        atomic_energies=(0.0,) * (len(heads) * len(species_table)),
        avg_num_neighbors=avg_num_neighbors,
        dtype="float64",
        heads=heads,
        anchor_isolated=shift != "constant",
        bond_radii=binding.bond_radii(species_table) if shift == "bonds" else None,
        quantities=tuple(quantities),
        wall=wall,
    )
    module = None if isinstance(model, str) else model
    atoms = potentials.make_atoms(spec, module)
    return Subject(
        energy=potentials.make_energy(spec, module),
        directed_energy=potentials.make_energy(spec, _one_way(module), directed=True),
        directed_atoms=potentials.make_atoms(spec, _one_way(module), directed=True),
        predict=potentials.differentiate(atoms, spec.matmul_precision, spec.quantities),
        quantities=spec.quantities,
        params=random_params(spec, seed, module),
        cutoff=spec.cutoff,
        species_table=spec.species_table,
        anchored=spec.anchor_isolated,
        inverts=getattr(model_config, "symmetry", "o3") == "o3",
    )


def _one_way(module: Any) -> nn.Module | None:
    """The same module for directed edges."""
    if module is None:
        return None
    return module.clone(context=dataclasses.replace(module.context, directed=True))


def random_params(spec: PotentialSpec, seed: int = 0, model: nn.Module | None = None) -> PyTree:
    """Parameters as initialised plus noise, so that those that start at zero or one do not stay."""
    with precision.of(spec.dtype):
        key = jax.random.key(seed)
        dtype = jnp.dtype(spec.dtype)
        ones = jnp.ones(spec.table_shape, dtype)
        params = potentials.init_params(spec, key, ones, 0.5 * ones, model)
        leaves, structure = jax.tree.flatten(jax.device_get(params))
    generator = np.random.default_rng(seed)
    noisy = [(x + _SPREAD * generator.standard_normal(x.shape)).astype(x.dtype) for x in leaves]
    return jax.tree.unflatten(structure, noisy)
