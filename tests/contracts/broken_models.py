"""Models broken on purpose, one for each contract: the model of ``toy`` with one fault each.

Faults are as small in reach as they can be, so that one contract alone sees them.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from equipot.e3.functions import radial
from equipot.graphs import geometry, masks, pairs
from equipot.graphs.graph import Graph
from equipot.potential import potential as potentials
from equipot.potential.potential import Prediction
from equipot.testing import Subject
from equipot.typing import Array, PyTree

Energy = Callable[[PyTree, Array, Graph], Array]


def with_energy(subject: Subject, change: Callable[..., Array]) -> Subject:
    """``change(own energies, params, edge vectors, graph)`` is the new energy; forces follow it.

    The change is told directed edges in both forms of a graph.
    """

    def energy(params: PyTree, vectors: Array, graph: Graph) -> Array:
        own = subject.energy(params, vectors, graph)
        ends = jnp.asarray(graph.senders), jnp.asarray(graph.receivers)
        vectors, senders, receivers = pairs.both_ways(vectors, *ends)
        return change(own, params, vectors, graph._replace(senders=senders, receivers=receivers))

    def directed(params: PyTree, vectors: Array, graph: Graph, exchange: pairs.Exchange) -> Array:
        return change(
            subject.directed_energy(params, vectors, graph, exchange), params, vectors, graph
        )

    return dataclasses.replace(with_energy_of_pairs(subject, energy), directed_energy=directed)


def with_energy_of_pairs(subject: Subject, energy: Callable[..., Array]) -> Subject:
    """Another energy, and forces that follow it, of graphs whose edges are pairs."""
    return dataclasses.replace(
        subject, energy=energy, predict=potentials.differentiate(energy, "highest")
    )


def with_prediction(subject: Subject, change: Callable[[Prediction], Prediction]) -> Subject:
    """Changes what is predicted, whatever the energy says."""
    return dataclasses.replace(
        subject, predict=lambda params, graph: change(subject.predict(params, graph))
    )


def envelope(vectors: Array, cutoff: float = 3.0) -> Array:
    return jax.nn.relu(1.0 - jnp.sum(vectors**2, axis=-1) / cutoff**2) ** 3


def at_receivers(messages: Array, graph: Graph) -> Array:
    return jax.ops.segment_sum(messages, graph.receivers, len(graph.nodes.species))


def graph_index(graph: Graph) -> Array:
    return geometry.node_graph_index(graph.n_node, len(graph.nodes.species))


def graph_sums(values: Array, graph: Graph) -> Array:
    return jax.ops.segment_sum(
        jnp.where(masks.node_mask(graph), values, 0.0), graph_index(graph), len(graph.n_node)
    )


def prefers_an_axis(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        return energy + at_receivers(envelope(vectors) * vectors[:, 0] ** 2, graph)

    return with_energy(subject, change)


def is_chiral(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        species = graph.nodes.species[graph.senders].astype(vectors.dtype)
        u = envelope(vectors)
        a, b, c = (
            at_receivers((u**power * (species + power))[:, None] * vectors, graph)
            for power in (1, 2, 3)
        )
        return energy + 1e-2 * jnp.sum(a * jnp.cross(b, c), axis=-1)

    return with_energy(subject, change)


def knows_where_it_is(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        ones = jnp.ones_like(energy)
        count = jnp.maximum(graph_sums(ones, graph), 1.0)
        sums = jnp.stack([graph_sums(x, graph) for x in jnp.asarray(graph.nodes.positions).T], -1)
        far = jnp.linalg.norm(sums, axis=-1) / count > 60.0
        return energy * jnp.where(far, 1.001, 1.0)[graph_index(graph)]

    return with_energy(subject, change)


def counts_its_atoms(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        first = jnp.cumsum(jnp.asarray(graph.n_node)) - graph.n_node
        place = jnp.arange(len(energy), dtype=jnp.int32) - first[graph_index(graph)]
        return energy * jnp.where(place % 2 == 0, 1.001, 1.0)

    return with_energy(subject, change)


def misses_its_own_images(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        image = jnp.asarray(graph.senders) == graph.receivers
        return energy + 1e-2 * at_receivers(jnp.where(image, 0.0, envelope(vectors)), graph)

    return with_energy(subject, change)


def has_wrong_forces(subject: Subject) -> Subject:
    return with_prediction(subject, lambda p: p.replace(forces=1.001 * p.forces))


def counts_pairs_twice(subject: Subject) -> Subject:
    return with_prediction(subject, lambda p: p.replace(stress=2.0 * p.stress))


def pushes_itself(subject: Subject) -> Subject:
    def change(p: Prediction) -> Prediction:
        size = jnp.sum(p.forces**2, axis=-1, keepdims=True)
        return p.replace(forces=p.forces * (1.0 + 1e-9 * jnp.tanh(size)))

    return with_prediction(subject, change)


def depends_on_the_mean(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        ones = jnp.ones_like(energy)
        neighbors = graph_sums(at_receivers(envelope(vectors), graph), graph)
        mean = neighbors / jnp.maximum(graph_sums(ones, graph), 1.0)
        return energy * (1.0 + 1e-2 * jnp.tanh(mean))[graph_index(graph)]

    return with_energy(subject, change)


def has_energy_alone(subject: Subject) -> Subject:
    return with_energy(subject, lambda energy, params, vectors, graph: energy + 1e-3)


def knows_whether_it_is_in_a_box(subject: Subject) -> Subject:
    """Nothing is promised of an atom on its own but that it is the same everywhere."""

    def change(energy, params, vectors, graph):
        alone = at_receivers(envelope(vectors), graph) == 0
        boxed = (jnp.asarray(graph.globals.volume) > 1.5)[graph_index(graph)]
        return energy + jnp.where(alone & boxed, 1e-3, 0.0)

    return dataclasses.replace(with_energy(subject, change), anchored=False)


def ends_abruptly(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        inside = radial.safe_norm(vectors) < 3.0
        return energy + 1e-2 * at_receivers(jnp.where(inside, 1.0, 0.0), graph)

    return with_energy(subject, change)


def ends_with_a_kink(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        return energy + 1e-2 * at_receivers(jax.nn.relu(3.0 - radial.safe_norm(vectors)), graph)

    return with_energy(subject, change)


def takes_pairs_for_sorted(subject: Subject) -> Subject:
    def energy(params: PyTree, vectors: Array, graph: Graph) -> Array:
        receivers = jnp.asarray(graph.receivers)
        in_order = jnp.all(receivers[1:] >= receivers[:-1])
        return subject.energy(params, vectors, graph) * jnp.where(in_order, 1.0, 1.001)

    return with_energy_of_pairs(subject, energy)


def normalizes_directed_edges_otherwise(subject: Subject) -> Subject:
    def directed(params: PyTree, vectors: Array, graph: Graph, exchange: pairs.Exchange) -> Array:
        return 1.001 * subject.directed_energy(params, vectors, graph, exchange)

    return dataclasses.replace(subject, directed_energy=directed)


def never_exchanges(subject: Subject) -> Subject:
    def directed(params: PyTree, vectors: Array, graph: Graph, exchange: pairs.Exchange) -> Array:
        return subject.directed_energy(params, vectors, graph, pairs.keep)

    return dataclasses.replace(subject, directed_energy=directed)


def divides_by_padded_size(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        return energy * (1.0 + 1e-3 * len(graph.nodes.species))

    return with_energy(subject, change)


def sees_its_batch(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        energies = jax.lax.stop_gradient(graph_sums(energy, graph))
        others = (jnp.sum(energies) - energies)[graph_index(graph)]
        return energy + 1e-3 * others

    return with_energy(subject, change)


def hands_gradients_on(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        energies = graph_sums(energy, graph)
        nothing = energies - jax.lax.stop_gradient(energies)
        atoms = jnp.maximum(graph_sums(jnp.ones_like(energy), graph), 1.0)
        real = masks.graph_mask(graph)
        mean = jnp.sum(nothing) / jnp.sum(real.astype(energy.dtype))
        return energy + (jnp.where(real, mean - nothing, 0.0) / atoms)[graph_index(graph)]

    return with_energy(subject, change)


def has_no_short_range(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        root = jnp.sqrt(radial.safe_norm(vectors) - 0.3)
        return energy + 1e-2 * at_receivers(envelope(vectors) * root, graph)

    return with_energy(subject, change)


def looks_whether_it_is_traced(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        traced = isinstance(graph.nodes.species, jax.core.Tracer)
        return energy * (1.0 if traced else 1.001)

    return with_energy(subject, change)


def has_an_unsafe_power(subject: Subject) -> Subject:
    def change(energy, params, vectors, graph):
        dipole = at_receivers(envelope(vectors)[:, None] * vectors, graph)
        scale = params["scale"][graph.nodes.species]
        return energy + 1e-2 * (scale**2 * jnp.sum(dipole**2, axis=-1)) ** 1.5

    return with_energy(subject, change)


def with_others(subject: Subject, change: Callable[..., Array], name: str) -> Subject:
    """``change(value, graph)`` is the new value of a quantity."""

    def predict(params: PyTree, graph: Graph) -> Prediction:
        found = subject.predict(params, graph)
        return found.replace(others=found.others | {name: change(found.others[name], graph)})

    return dataclasses.replace(subject, predict=predict)


def has_a_stretched_dipole(subject: Subject) -> Subject:
    def change(dipole, graph):
        return dipole * jnp.array([[1.001, 1.0, 1.0]])

    return with_others(subject, change, "dipole")


def has_a_handed_dipole(subject: Subject) -> Subject:
    def predict(params: PyTree, graph: Graph) -> Prediction:
        found = subject.predict(params, graph)
        moments = jnp.stack(
            [graph_sums(x, graph) for x in found.others["magnetic_moment"].T], axis=-1
        )
        return found.replace(others=found.others | {"dipole": found.others["dipole"] + moments})

    return dataclasses.replace(subject, predict=predict)


def has_a_polarizability_that_is_odd(subject: Subject) -> Subject:
    def predict(params: PyTree, graph: Graph) -> Prediction:
        found = subject.predict(params, graph)
        odd = jnp.einsum("ijk,nk->nij", _levi_civita(), found.others["dipole"])
        matrix = found.others["polarizability"] + odd
        return found.replace(others=found.others | {"polarizability": matrix})

    return dataclasses.replace(subject, predict=predict)


def has_a_dipole_of_its_place(subject: Subject) -> Subject:
    def change(dipole, graph):
        positions = jnp.asarray(graph.nodes.positions)
        return dipole + 1e-6 * jnp.stack([graph_sums(x, graph) for x in positions.T], axis=-1)

    return with_others(subject, change, "dipole")


def has_moments_by_place(subject: Subject) -> Subject:
    def change(moments, graph):
        first = jnp.cumsum(jnp.asarray(graph.n_node)) - graph.n_node
        place = jnp.arange(len(moments), dtype=jnp.int32) - first[graph_index(graph)]
        return moments * jnp.where(place % 2 == 0, 1.001, 1.0)[:, None]

    return with_others(subject, change, "magnetic_moment")


def has_a_mean_polarizability(subject: Subject) -> Subject:
    def change(matrix, graph):
        atoms = jnp.maximum(jnp.asarray(graph.n_node), 1).astype(matrix.dtype)
        return matrix / atoms[:, None, None]

    return with_others(subject, change, "polarizability")


def has_moments_of_sorted_pairs(subject: Subject) -> Subject:
    def change(moments, graph):
        receivers = jnp.asarray(graph.receivers)
        in_order = jnp.all(receivers[1:] >= receivers[:-1])
        return moments * jnp.where(in_order, 1.0, 1.001)

    return with_others(subject, change, "magnetic_moment")


def has_other_moments_of_directed_edges(subject: Subject) -> Subject:
    def directed(*arguments: Any) -> tuple[Array, dict[str, Array]]:
        energy, others = subject.directed_atoms(*arguments)
        return energy, others | {"magnetic_moment": 1.001 * others["magnetic_moment"]}

    return dataclasses.replace(subject, directed_atoms=directed)


def has_charges_to_spare(subject: Subject) -> Subject:
    def change(charges, graph):
        return jnp.where(masks.node_mask(graph), charges + 1e-3, 0.0)

    return with_others(subject, change, "charges")


def has_moments_that_see_padding(subject: Subject) -> Subject:
    return with_others(subject, lambda x, graph: x * (1.0 + 1e-3 * len(x)), "magnetic_moment")


def has_a_dipole_of_its_batch(subject: Subject) -> Subject:
    def change(dipole, graph):
        return dipole + 1e-3 * jnp.sum(dipole, axis=0)[None, :]

    return with_others(subject, change, "dipole")


def _levi_civita() -> Array:
    unit = jnp.eye(3)
    return jnp.stack([jnp.stack([jnp.cross(a, b) for b in unit]) for a in unit])


BROKEN: Mapping[str, Any] = {
    "rotation": (prefers_an_axis,),
    "inversion": (is_chiral,),
    "translation": (knows_where_it_is,),
    "permutation": (counts_its_atoms,),
    "supercell": (misses_its_own_images,),
    "forces": (has_wrong_forces,),
    "stress": (counts_pairs_twice,),
    "momentum": (pushes_itself,),
    "separation": (depends_on_the_mean,),
    "isolated_atoms": (has_energy_alone, knows_whether_it_is_in_a_box),
    "cutoff": (ends_abruptly, ends_with_a_kink),
    "order_of_pairs": (takes_pairs_for_sorted,),
    "directed_edges": (normalizes_directed_edges_otherwise,),
    "domains": (never_exchanges,),
    "padding": (divides_by_padded_size,),
    "batching": (sees_its_batch,),
    "gradients_within_graphs": (hands_gradients_on,),
    "finite": (has_no_short_range,),
    "jit": (looks_whether_it_is_traced,),
    "parameter_gradients": (has_an_unsafe_power,),
}
"""For each contract, the faults that it must find, and no other contract."""

BROKEN_QUANTITIES: Mapping[str, Any] = {
    "rotation": (has_a_stretched_dipole,),
    "inversion": (has_a_handed_dipole, has_a_polarizability_that_is_odd),
    "translation": (has_a_dipole_of_its_place,),
    "permutation": (has_moments_by_place,),
    "supercell": (has_a_mean_polarizability,),
    "charge": (has_charges_to_spare,),
    "order_of_pairs": (has_moments_of_sorted_pairs,),
    "directed_edges": (has_other_moments_of_directed_edges,),
    "padding": (has_moments_that_see_padding,),
    "batching": (has_a_dipole_of_its_batch,),
}
"""The same for faults in what is predicted beside energy, forces and stress."""
