"""A small model from outside of equipot that obeys every contract: pairs, directions, 2 rounds."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot import testing
from equipot.graphs import pairs
from equipot.graphs.graph import Graph
from equipot.models import output
from equipot.models.context import ModelContext
from equipot.potential import potential as potentials
from equipot.typing import Array, Float, Int, PyTree

CONTEXT = ModelContext(species_table=(1, 6, 8), avg_num_neighbors=12.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    cutoff: float = 3.0
    power: int = 3


class Model(nn.Module):
    config: Config
    context: ModelContext = CONTEXT

    @nn.compact
    def __call__(
        self,
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange = pairs.keep,
    ) -> output.Output:
        if not self.context.directed:
            edge_vectors, senders, receivers = pairs.both_ways(edge_vectors, senders, receivers)
        number, dtype = self.context.num_species, edge_vectors.dtype
        bonds = self.param("pairs", nn.initializers.normal(1.0), (number, number), dtype)
        charges = self.param("charges", nn.initializers.normal(1.0), (number,), dtype)

        closeness = 1.0 - jnp.sum(edge_vectors**2, axis=-1) / self.config.cutoff**2
        envelope = jax.nn.relu(closeness) ** self.config.power / self.context.avg_num_neighbors**0.5

        def total(messages: Array) -> Array:
            return jax.ops.segment_sum(messages, receivers, len(species))

        first = total(envelope * bonds[species[receivers], species[senders]])
        dipole = total((envelope * charges[species[senders]])[:, None] * edge_vectors)
        second = total(envelope * exchange(jnp.tanh(first))[senders])
        energy = first + jnp.sum(dipole**2, axis=-1) + second
        return output.finish(self, energy, {})


def subject(shift: str = "constant") -> testing.Subject:
    """The model with references, scale and shift, as any model from outside."""
    config = Config()
    return testing.subject_of(config, Model(config=config), shift=shift)


def bare_subject() -> testing.Subject:
    """The model alone, quick to compile; the scale is a parameter that it does not use."""
    config = Config()

    def make_energy(directed: bool) -> Callable[..., Array]:
        context = dataclasses.replace(CONTEXT, directed=directed)
        model = Model(config=config, context=context)

        def energy(params: PyTree, edge_vectors: Array, graph: Graph, exchange=pairs.keep) -> Array:
            ends = jnp.asarray(graph.senders), jnp.asarray(graph.receivers)
            variables, species = {"params": params["model"]}, jnp.asarray(graph.nodes.species)
            found = model.apply(variables, edge_vectors, species, *ends, exchange)
            return found.energies[:, 0]

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
