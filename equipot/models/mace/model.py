"""MACE: message passing with many-body products of the sums over neighbors.

Reference: Batatia et al. 2022, NeurIPS 35. arXiv:2206.07697; the variants are those of mace-torch.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import activations
from equipot.e3.nn import channels, many_body
from equipot.graphs import pairs
from equipot.models import edges, output
from equipot.models.context import ModelContext
from equipot.models.mace.config import NONLINEAR, Config
from equipot.models.mace.interaction import Interaction
from equipot.models.mace.nonlinear import NonLinearInteraction
from equipot.models.mace.radial_basis import radial_basis
from equipot.models.output import Output
from equipot.typing import Array, Float, Int

SCALAR = Irrep("0e")


class Model(nn.Module):
    """MACE as a function from edges to atomic energies and other requested quantities.

    Attributes:
      config: Settings.
      context: Species, neighbors, and the form of the graphs.
      species_tables: Parameters that have a row for each species.
      has_heads: Each level of theory has its own readouts.
    """

    config: Config
    context: ModelContext
    species_tables: ClassVar[tuple[str, ...]] = (
        "embedding",
        "mixing",
        "order",
        "skip",
        "source",
        "target",
        "of_species",
    )
    has_heads: ClassVar[bool] = True

    @nn.compact
    def __call__(
        self,
        edge_vectors: Float[Array, "edges 3"],
        species: Int[Array, " nodes"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange = pairs.keep,
    ) -> Output:
        """Returns energies in units of the potential's scale, and the quantities in the context.

        Args:
          edge_vectors: From sender to receiver, Å.
          species: Index of each atom's species.
          senders: Atom that sends.
          receivers: Atom that receives.
          exchange: Called on features that are about to be sent, see ``equipot.graphs.pairs``.
        """
        config = self.config
        directed = self.context.directed or config.is_nonlinear
        if config.is_nonlinear:
            edge_vectors, senders, receivers = edges.directed(
                self.context, edge_vectors, senders, receivers
            )
        basis = radial_basis(
            config,
            self.context.species_table,
            edge_vectors,
            species[senders],
            species[receivers],
        )
        edge_sh = edges.harmonics(edge_vectors, config.lmax)
        width = config.num_channels
        features = {SCALAR: edges.embedding(self, species, width, edge_vectors)[:, None, :]}
        energies, layers = [], []
        for i, order in enumerate(config.orders):
            last = i == config.num_layers - 1
            sent = config.irreps(config.message_lmax, config.parity)
            hidden = self._last_irreps() if last else sent
            summed, skip = self._interaction(i, hidden, directed)(
                features, species, basis, edge_sh, senders, receivers, exchange if i else pairs.keep
            )
            number = self.context.num_species
            product = many_body.ProductBasis(
                hidden, number, order, config.shared_matrices or 0, name=f"product_{i}"
            )
            features = channels.add(product(summed, species), skip)
            energies.append(self._readout(features[SCALAR], i, config.readout_width * last))
            layers.append(features)
        return output.finish(self, sum(energies[1:], energies[0]), _side_by_side(layers))

    def _interaction(
        self, layer: int, irreps_out: channels.Channels, directed: bool
    ) -> Interaction | NonLinearInteraction:
        """The sum over neighbors of a layer."""
        config, context, name = self.config, self.context, f"interaction_{layer}"
        kind = config.interaction if layer else config.first_interaction
        irreps_sum = config.irreps(config.lmax, config.parity and layer > 0)
        width = config.widths_sent[layer]
        if kind == NONLINEAR:
            return NonLinearInteraction(
                irreps_sum,
                irreps_out,
                width,
                config.radial_widths,
                context.num_species,
                context.avg_num_neighbors,
                name=name,
            )
        return Interaction(
            kind,
            irreps_sum,
            irreps_out,
            width,
            config.radial_widths,
            context.num_species,
            context.avg_num_neighbors,
            directed,
            config.shared_matrices or 0,
            name=name,
        )

    def _last_irreps(self) -> dict[Irrep, int]:
        """Irreps of the last features: scalars, and those of other requested quantities."""
        needed = {SCALAR, *output.irreps_of(self.context)}
        every = self.config.irreps(self.config.lmax, self.config.parity)
        return {irrep: width for irrep, width in every.items() if irrep in needed}

    def _readout(
        self, scalars: Float[Array, "nodes one channels"], layer: int, width: int
    ) -> Float[Array, "nodes ..."]:
        """From the scalars of a layer to one number per atom and head, linear without a width."""
        heads, name = self.context.num_heads, f"readout_{layer}"
        if width:
            x = channels.Linear({SCALAR: width * heads}, name=f"{name}_hidden")({SCALAR: scalars})
            gate = activations.normalize_function(activations.VANISHING_AT_ZERO[self.config.gate])
            hidden = jnp.split(gate(x[SCALAR]), heads, axis=-1)
            ends = [""] if heads == 1 else [f"_head_{i}" for i in range(heads)]
            if self.config.readout_biases:
                hidden = [
                    gate(self._biased(part, width, f"{name}_middle", end))
                    for part, end in zip(hidden, ends, strict=True)
                ]
            each = [self._last(part, name, end) for part, end in zip(hidden, ends, strict=True)]
            energy = jnp.concatenate(each, axis=-1)
        else:
            energy = channels.Linear({SCALAR: heads}, name=name)({SCALAR: scalars})[SCALAR]
        return jnp.reshape(energy, scalars.shape[:1] + ((heads,) if heads > 1 else ()))

    def _last(self, hidden: Float[Array, "nodes one width"], name: str, head: str) -> Array:
        """The energy of one head, with a bias where the readout has them."""
        if self.config.readout_biases:
            return self._biased(hidden, 1, name, head)
        return channels.Linear({SCALAR: 1}, name=f"{name}{head}")({SCALAR: hidden})[SCALAR]

    def _biased(
        self, x: Float[Array, "nodes one width"], width: int, name: str, head: str
    ) -> Array:
        """A linear map with biases; names of parameters end in that of their head."""
        bias = self.param(f"{name}_bias{head}", nn.initializers.zeros, (width,), x.dtype)
        mixed = channels.Linear({SCALAR: width}, name=f"{name}{head}")({SCALAR: x})
        return mixed[SCALAR] + bias[None, None]


def _side_by_side(layers: list[dict[Irrep, Array]]) -> dict[Irrep, Array]:
    """The features of all layers, the channels of an irrep one after another."""
    irreps = dict.fromkeys(irrep for features in layers for irrep in features)
    return {
        irrep: jnp.concatenate([features[irrep] for features in layers if irrep in features], -1)
        for irrep in irreps
    }
