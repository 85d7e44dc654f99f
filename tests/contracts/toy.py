"""A small model from outside of equipot that obeys every contract: pairs, directions, 2 rounds."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot import testing
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.graphs import pairs
from equipot.graphs.graph import Graph
from equipot.models import output
from equipot.models.context import ModelContext
from equipot.potential import outputs
from equipot.potential import potential as potentials
from equipot.quantities import QuantityConfig, declared
from equipot.typing import Array, Float, Int, PyTree

CONTEXT = ModelContext(species_table=(1, 6, 8), avg_num_neighbors=12.0)
QUANTITIES = tuple(
    declared(
        {
            "charges": QuantityConfig(per="atom", sums_to_charge=True),
            "dipole": QuantityConfig(irreps="1o", charges="charges"),
            "magnetic_moment": QuantityConfig(per="atom", irreps="1e"),
            "polarizability": QuantityConfig(irreps="0e+2e"),
            "several": QuantityConfig(irreps="2x1o+2x0e"),
        }
    ).values()
)


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
        reverse = envelope * bonds[species[senders], species[receivers]]
        moment = total(reverse[:, None] * edge_vectors)
        features = {
            "0e": jnp.stack([first, second], axis=-1)[:, None, :],
            "1o": jnp.stack([dipole, moment], axis=-1),
            "1e": jnp.cross(dipole, moment)[:, :, None],
            "2e": _degree_two(dipole)[:, :, None],
        }
        known = {Irrep(irrep): x for irrep, x in features.items()}
        return output.finish(self, energy, known)


def _degree_two(vectors: Float[Array, "nodes 3"]) -> Float[Array, "nodes 5"]:
    """What of the product of a vector with itself is no trace."""
    products = vectors[:, :, None] * vectors[:, None, :]
    return jnp.einsum("nij,ijk->nk", products, jnp.asarray(clebsch_gordan(1, 1, 2), vectors.dtype))


def subject(shift: str = "constant") -> testing.Subject:
    """The model with references, scale and shift, as any model from outside."""
    config = Config()
    return testing.subject_of(config, Model(config=config), shift=shift)


def subject_with_quantities() -> testing.Subject:
    """The model that predicts quantities, too; quick to compile."""
    config = Config()
    quantities = QUANTITIES[:-1]
    wanted = outputs.layout(quantities)
    model = Model(config=config, context=dataclasses.replace(CONTEXT, outputs=wanted))
    found = testing.subject_of(config, model, quantities=quantities)
    return dataclasses.replace(found, optimize=False)


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
