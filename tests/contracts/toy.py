"""A small model from outside of equipot that obeys every contract: pairs, directions, 2 rounds."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot import testing
from equipot.graphs import pairs
from equipot.graphs.graph import Graph
from equipot.potential import potential as potentials
from equipot.typing import Array, Float, Int, PyTree

NUM_SPECIES = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    cutoff: float = 3.0
    power: int = 3


class Model(nn.Module):
    config: Config
    num_species: int = NUM_SPECIES
    avg_num_neighbors: float = 12.0
    directed: bool = False

    @nn.compact
    def __call__(
        self,
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange = pairs.keep,
    ) -> Float[Array, " nodes"]:
        if not self.directed:
            edge_vectors, senders, receivers = pairs.both_ways(edge_vectors, senders, receivers)
        shape, dtype = (self.num_species, self.num_species), edge_vectors.dtype
        bonds = self.param("pairs", nn.initializers.normal(1.0), shape, dtype)
        charges = self.param("charges", nn.initializers.normal(1.0), shape[:1], dtype)

        closeness = 1.0 - jnp.sum(edge_vectors**2, axis=-1) / self.config.cutoff**2
        envelope = jax.nn.relu(closeness) ** self.config.power / self.avg_num_neighbors**0.5

        def total(messages: Array) -> Array:
            return jax.ops.segment_sum(messages, receivers, len(species))

        first = total(envelope * bonds[species[receivers], species[senders]])
        dipole = total((envelope * charges[species[senders]])[:, None] * edge_vectors)
        second = total(envelope * exchange(jnp.tanh(first))[senders])
        return first + jnp.sum(dipole**2, axis=-1) + second


def subject(shift: str = "constant") -> testing.Subject:
    """The model with references, scale and shift, as any model from outside."""
    config = Config()
    return testing.subject_of(config, Model(config=config), shift=shift)


def bare_subject() -> testing.Subject:
    """The model alone, quick to compile; the scale is a parameter that it does not use."""
    config = Config()

    def make_energy(directed: bool) -> Callable[..., Array]:
        model = Model(config=config, directed=directed)

        def energy(params: PyTree, edge_vectors: Array, graph: Graph, exchange=pairs.keep) -> Array:
            ends = jnp.asarray(graph.senders), jnp.asarray(graph.receivers)
            variables, species = {"params": params["model"]}, jnp.asarray(graph.nodes.species)
            return model.apply(variables, edge_vectors, species, *ends, exchange)

        return energy

    energy = make_energy(directed=False)
    return testing.Subject(
        energy=energy,
        directed_energy=make_energy(directed=True),
        predict=potentials.differentiate(energy, "highest"),
        params=subject().params,
        cutoff=config.cutoff,
        anchored=True,
        optimize=False,
    )
