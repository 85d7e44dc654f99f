"""SchNet: message passing with filters that are continuous functions of the distance.

Features are scalars: an atom learns how far its neighbors are, and only from them in which
directions. Small, quick, and a baseline to compare with.

Reference: Schütt et al. 2018, J. Chem. Phys. 148, 241722. DOI 10.1063/1.5019779
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from flax import linen as nn

from equipot.e3.functions import activations, radial
from equipot.e3.kernels.edge_sum import edge_sum
from equipot.e3.nn.multi_layer_perceptron import MultiLayerPerceptron
from equipot.graphs import pairs
from equipot.models import edges, output
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.models.settings import check_settings
from equipot.typing import Array, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of SchNet.

    Attributes:
      cutoff: Radius in Å within which atoms exchange messages.
      num_layers: Number of interaction layers, at least 1.
      num_channels: Number of features of an atom.
      num_radial_basis: Number of Gaussians that describe a distance, at least 2.
      polynomial_cutoff: Exponent p of the envelope.
      radial_widths: Widths of the hidden layers of the networks that generate filters.
      readout_widths: Widths of hidden layers between the last features and the energy.
    """

    cutoff: float = 5.0
    num_layers: int = 3
    num_channels: int = 64
    num_radial_basis: int = 32
    polynomial_cutoff: int = 6
    radial_widths: tuple[int, ...] = (64,)
    readout_widths: tuple[int, ...] = (32,)

    def __post_init__(self) -> None:
        check_settings(self, num_layers=1, num_channels=1, num_radial_basis=2, polynomial_cutoff=2)


class Interaction(nn.Module):
    """One layer: linear, convolution with filters, a network, added to what was there.

    Attributes:
      radial_widths: Hidden layers of the network that generates filters.
      avg_num_neighbors: Mean number of neighbors; the sum over neighbors is divided by its root.
    """

    radial_widths: tuple[int, ...]
    avg_num_neighbors: float

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "nodes channels"],
        gaussians: Float[Array, "edges basis"],
        envelope: Float[Array, " edges"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange,
    ) -> Float[Array, "nodes channels"]:
        """Maps the features of atoms to those of the next layer."""
        width = features.shape[-1]
        layers = self._filter_layers(gaussians.shape[-1], (*self.radial_widths, width), features)
        summed = edge_sum(
            _filtered,
            layers,
            exchange(MultiLayerPerceptron([width], name="linear_up")(features)),
            (gaussians, envelope),
            senders,
            receivers,
            len(features),
        )
        update = MultiLayerPerceptron(
            [width, width],
            activations.shifted_softplus,
            output_activation=False,
            with_bias=True,
            name="update",
        )(summed * self.avg_num_neighbors**-0.5)
        return features + update

    def _filter_layers(
        self, num_inputs: int, widths: Sequence[int], like: Array
    ) -> list[tuple[Array, Array]]:
        """Matrix and bias of each layer of the network that generates filters."""
        layers = []
        for i, width in enumerate(widths):
            shape = (num_inputs, width)
            matrix = self.param(f"filter_{i}", nn.initializers.normal(1.0), shape, like.dtype)
            bias = self.param(f"filter_bias_{i}", nn.initializers.zeros, shape[1:], like.dtype)
            layers.append((matrix / num_inputs**0.5, bias))
            num_inputs = width
        return layers


class Model(nn.Module):
    """SchNet as a function from edges to atomic energies and other requested quantities.

    Attributes:
      config: Settings.
      context: Species, neighbors, and the form of the graphs.
      species_tables: Parameters that have a row for each species.
    """

    config: Config
    context: ModelContext
    species_tables: ClassVar[tuple[str, ...]] = ("embedding",)

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
        edge_vectors, senders, receivers = edges.directed(
            self.context, edge_vectors, senders, receivers
        )
        lengths = radial.safe_norm(edge_vectors)
        gaussians = radial.soft_one_hot_linspace(
            lengths,
            start=0.0,
            end=config.cutoff,
            number=config.num_radial_basis,
            basis="gaussian",
            cutoff=False,
        )
        envelope = radial.polynomial_cutoff(lengths, config.cutoff, config.polynomial_cutoff)
        features = edges.embedding(self, species, config.num_channels, edge_vectors)
        for i in range(config.num_layers):
            features = Interaction(
                config.radial_widths, self.context.avg_num_neighbors, name=f"interaction_{i}"
            )(features, gaussians, envelope, senders, receivers, exchange if i else pairs.keep)
        energy = MultiLayerPerceptron(
            [*config.readout_widths, 1],
            activations.shifted_softplus,
            output_activation=False,
            with_bias=True,
            name="readout",
        )(features)
        return output.finish(self, energy, {output.SCALAR: features[:, None, :]})


def _filtered(
    layers: list[tuple[Array, Array]],
    features: Float[Array, "edges channels"],
    radial_parts: tuple[Float[Array, "edges basis"], Float[Array, " edges"]],
) -> Float[Array, "edges channels"]:
    """The sender's features times the filter of the distance times the envelope."""
    x, envelope = radial_parts
    activate = activations.normalize_function(activations.shifted_softplus)
    for i, (matrix, bias) in enumerate(layers):
        x = x @ matrix + bias[None, :]
        x = activate(x) if i + 1 < len(layers) else x
    return features * x * envelope[:, None]
