"""PaiNN: message passing with scalars and vectors, which know the directions of the neighbors.

Reference: Schütt, Unke and Gastegger 2021, ICML, PMLR 139, 9377. arXiv:2102.03150
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import radial
from equipot.e3.kernels.convolution import Path
from equipot.e3.kernels.edge_sum import edge_sum
from equipot.e3.nn import channels
from equipot.e3.nn.multi_layer_perceptron import MultiLayerPerceptron
from equipot.graphs import pairs
from equipot.models import edges, output
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.models.settings import check_settings
from equipot.typing import Array, Float, Int

SCALAR, VECTOR = Irrep("0e"), Irrep("1o")
_TO_SCALAR = Path(SCALAR, SCALAR, SCALAR)
_ALONG_EDGE = Path(SCALAR, VECTOR, VECTOR)
_CARRIED = Path(VECTOR, SCALAR, VECTOR)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of PaiNN.

    Attributes:
      cutoff: Radius in Å within which atoms exchange messages.
      num_layers: Number of layers, each of a message and an update, at least 1.
      num_channels: Number of scalars, and of vectors, of an atom.
      num_radial_basis: Number of Bessel functions.
      polynomial_cutoff: Exponent p of the envelope.
      radial_widths: Widths of hidden layers between the Bessel functions and the filters; none is
        a linear map, as published.
      readout_widths: Widths of hidden layers between the last scalars and the energy.
    """

    cutoff: float = 5.0
    num_layers: int = 3
    num_channels: int = 64
    num_radial_basis: int = 20
    polynomial_cutoff: int = 6
    radial_widths: tuple[int, ...] = ()
    readout_widths: tuple[int, ...] = (32,)

    def __post_init__(self) -> None:
        check_settings(self, num_layers=1, num_channels=1, num_radial_basis=1, polynomial_cutoff=2)


class Message(nn.Module):
    """Sums over neighbors j: scalars φ(s_j) W(r), vectors φ'(s_j) W'(r) r̂ + v_j φ''(s_j) W''(r).

    Filters W have no biases: the envelope in the radial basis is an envelope of them.

    Attributes:
      radial_widths: Hidden layers of the network that generates filters.
      avg_num_neighbors: Mean number of neighbors; sums are divided by its root.
    """

    radial_widths: tuple[int, ...]
    avg_num_neighbors: float

    @nn.compact
    def __call__(
        self,
        scalars: Float[Array, "nodes channels"],
        vectors: Float[Array, "nodes 3 channels"] | None,
        basis: Float[Array, "edges basis"],
        directions: Float[Array, "edges 3"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
    ) -> tuple[Float[Array, "nodes channels"], Float[Array, "nodes 3 channels"]]:
        """Returns what is added to scalars and vectors; at first there are no vectors."""
        width = scalars.shape[-1]
        paths = [_TO_SCALAR, _ALONG_EDGE] + ([] if vectors is None else [_CARRIED])
        mixed = _network([width, len(paths) * width], "mixed")(scalars)
        sent = dict(zip(paths, jnp.split(mixed, len(paths), axis=-1), strict=True))
        if vectors is not None:
            sent[_CARRIED] = vectors * sent[_CARRIED][:, None, :]
        hidden, matrices = channels.RadialNetwork(
            self.radial_widths, dict.fromkeys(paths, width), name="filters"
        )(basis)
        sums = edge_sum(
            _message, matrices, sent, (hidden, directions), senders, receivers, len(scalars)
        )
        factor = self.avg_num_neighbors**-0.5
        return sums[SCALAR] * factor, sums[VECTOR] * factor


class Update(nn.Module):
    """Mixes scalars and vectors of one atom: Δv = a ∘ Uv and Δs = b ∘ ⟨Uv, Vv⟩ + c.

    The coefficients a, b and c are a network of s and the lengths of Vv. A length counts as
    √(1 + |Vv|²) − 1: unlike |Vv| it has no kink where vectors vanish, as they do by symmetry.
    """

    @nn.compact
    def __call__(
        self, scalars: Float[Array, "nodes channels"], vectors: Float[Array, "nodes 3 channels"]
    ) -> tuple[Float[Array, "nodes channels"], Float[Array, "nodes 3 channels"]]:
        """Returns what is added to scalars and vectors."""
        width = scalars.shape[-1]
        mixed = channels.Linear({VECTOR: 2 * width}, name="linear")({VECTOR: vectors})[VECTOR]
        first, second = jnp.split(mixed, 2, axis=-1)
        lengths = jnp.sqrt(1.0 + jnp.sum(second * second, axis=1)) - 1.0
        invariants = jnp.concatenate([scalars, lengths], axis=-1)
        coefficients = _network([width, 3 * width], "coefficients")(invariants)
        a, b, c = jnp.split(coefficients, 3, axis=-1)
        return b * jnp.sum(first * second, axis=1) + c, a[:, None, :] * first


class Model(nn.Module):
    """PaiNN as a function from edges to atomic energies and other requested quantities.

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
        basis = edges.bessel_basis(
            self, lengths, config.num_radial_basis, config.cutoff, config.polynomial_cutoff
        )
        along = basis, radial.safe_normalize(edge_vectors), senders, receivers
        scalars = edges.embedding(self, species, config.num_channels, edge_vectors)
        vectors = None
        for i in range(config.num_layers):
            average = self.context.avg_num_neighbors
            message = Message(config.radial_widths, average, name=f"message_{i}")
            sent = scalars, vectors
            if vectors is not None:
                sent = exchange(sent)
            more_scalars, more_vectors = message(*sent, *along)
            scalars = scalars + more_scalars
            vectors = more_vectors if vectors is None else vectors + more_vectors
            more_scalars, more_vectors = Update(name=f"update_{i}")(scalars, vectors)
            scalars, vectors = scalars + more_scalars, vectors + more_vectors
        energy = _network([*config.readout_widths, 1], "readout")(scalars)
        features = {SCALAR: scalars[:, None, :]}
        if vectors is not None:
            features[VECTOR] = vectors
        return output.finish(self, energy, features)


def _network(widths: list[int], name: str) -> MultiLayerPerceptron:
    """A perceptron of each atom on its own, which may have biases."""
    return MultiLayerPerceptron(
        widths, jax.nn.silu, output_activation=False, with_bias=True, name=name
    )


def _message(
    matrices: dict[Path, Array],
    sent: dict[Path, Array],
    of_edges: tuple[Float[Array, "edges width"], Float[Array, "edges 3"]],
) -> dict[Irrep, Array]:
    """What each edge brings: ``{irrep: [edges, ..., channels]}``."""
    hidden, directions = of_edges
    filters = channels.radial_weights(matrices, hidden)
    along = sent[_ALONG_EDGE] * filters[_ALONG_EDGE]
    vector = directions[:, :, None] * along[:, None, :]
    if _CARRIED in sent:
        vector += sent[_CARRIED] * filters[_CARRIED][:, None, :]
    return {SCALAR: sent[_TO_SCALAR] * filters[_TO_SCALAR], VECTOR: vector}
