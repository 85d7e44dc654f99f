"""NequIP: message passing with tensor products of neighbors' features and spherical harmonics.

Reference: Batzner et al. 2022, Nature Communications 13, 2453. DOI 10.1038/s41467-022-29939-5
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from equipot import errors
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import radial
from equipot.e3.kernels.convolution import Components, convolution, paths
from equipot.e3.nn import channels
from equipot.graphs import pairs
from equipot.models import edges, output
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.models.settings import check_settings
from equipot.typing import Array, Float, Int

SCALAR = Irrep("0e")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of NequIP.

    Attributes:
      cutoff: Radius in Å within which atoms exchange messages.
      num_layers: Number of interaction layers, at least 1.
      lmax: Highest degree of features and spherical harmonics.
      num_channels: Channels per irrep: one number, or one for each degree 0 … lmax.
      parity: Whether irreps of both parities are kept; without, only 0e, 1o, 2e, … are. Both are
        equivariant under inversion.
      num_radial_basis: Number of Bessel functions.
      polynomial_cutoff: Exponent p of the envelope.
      radial_widths: Widths of the hidden layers of the radial networks.
      readout_widths: Widths of hidden layers between the last features and the energy; none is a
        linear readout.
      embedding_channels: Numbers that stand for a species at the first layer; by default as many
        as there are scalars.
      trainable_bessel: Whether the frequencies of the Bessel functions are parameters.
      species_norm: Whether what an atom sends is multiplied by a parameter of its species.
      shared_matrices: Number of matrices that the self-connections of all species are sums of; 0:
        each species has matrices of its own; by default 8 where training has more than 8 species.
    """

    cutoff: float = 5.0
    num_layers: int = 3
    lmax: int = 1
    num_channels: int | tuple[int, ...] = 32
    parity: bool = False
    num_radial_basis: int = 8
    polynomial_cutoff: int = 6
    radial_widths: tuple[int, ...] = (64, 64)
    readout_widths: tuple[int, ...] = ()
    embedding_channels: int | None = None
    trainable_bessel: bool = False
    species_norm: bool = False
    shared_matrices: int | None = None

    def __post_init__(self) -> None:
        check_settings(self, num_layers=1, lmax=0, num_radial_basis=1, polynomial_cutoff=2)
        if isinstance(self.num_channels, tuple) and len(self.num_channels) != self.lmax + 1:
            raise errors.ConfigError(
                f"model.num_channels: expected one number, or {self.lmax + 1} for the degrees"
                f" 0 to {self.lmax}, received {list(self.num_channels)}"
            )
        if self.embedding_channels is not None and self.embedding_channels < 1:
            raise errors.ConfigError(
                "model.embedding_channels: expected at least 1, or none, received"
                f" {self.embedding_channels}"
            )
        if min(self.widths) < 1:
            raise errors.ConfigError(
                f"model.num_channels: expected positive numbers, received {self.num_channels}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each degree."""
        count = self.num_channels
        return count if isinstance(count, tuple) else (count,) * (self.lmax + 1)

    @property
    def irreps(self) -> dict[Irrep, int]:
        """Hidden irreps with their channels."""
        parities = (1, -1) if self.parity else (1,)
        return {
            Irrep(l, sign * (-1) ** l): self.widths[l]
            for l in range(self.lmax + 1)
            for sign in parities
        }


class Interaction(nn.Module):
    """One layer: linear, convolution, linear, plus the self-connection by species, then the gate.

    Attributes:
      irreps_out: Irreps and channels after the gate.
      radial_widths: Hidden layers of the radial network.
      num_species: Number of species.
      avg_num_neighbors: Mean number of neighbors; the sum over neighbors is divided by its root.
      directed: Whether an edge carries a message to its receiver only.
      species_norm: Whether what an atom sends is multiplied by a parameter of its species.
      shared_matrices: Number of matrices that self-connections are sums of; 0 for matrices of
        each species.
    """

    irreps_out: channels.Channels
    radial_widths: tuple[int, ...]
    num_species: int
    avg_num_neighbors: float
    directed: bool
    species_norm: bool = False
    shared_matrices: int = 0

    @nn.compact
    def __call__(
        self,
        features: dict[Irrep, Array],
        species: Int[Array, " nodes"],
        basis: Float[Array, "edges basis"],
        edge_sh: dict[Irrep, Components],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange,
    ) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, channels]}`` to the features of the next layer."""
        couplings = paths(tuple(features), tuple(edge_sh), tuple(self.irreps_out))
        reachable = {path.out for path in couplings} | set(features)
        kept = {irrep: width for irrep, width in self.irreps_out.items() if irrep in reachable}
        before_gate = channels.gate_channels(kept)

        widths = {irrep: x.shape[-1] for irrep, x in features.items()}
        mixed = channels.Linear(widths, name="linear_up")(features)
        if self.species_norm:
            ones, dtype = nn.initializers.ones, basis.dtype
            norm = self.param("species_norm", ones, (self.num_species,), dtype)[species]
            mixed = {irrep: x * norm[:, None, None] for irrep, x in mixed.items()}
        hidden, matrices = channels.RadialNetwork(
            self.radial_widths, {path: widths[path.node] for path in couplings}, name="radial"
        )(basis)
        messages = convolution(
            exchange(mixed),
            edge_sh,
            hidden,
            channels.radial_weights,
            matrices,
            senders,
            receivers,
            len(species),
            both_ways=not self.directed,
        )
        summed = channels.PathLinear(before_gate, name="linear_down")(
            messages, scale=self.avg_num_neighbors**-0.5
        )
        itself = channels.by_species(
            before_gate, self.num_species, self.shared_matrices, "self_connection"
        )(features, species)
        return channels.gate(channels.add(summed, itself))


class Model(nn.Module):
    """NequIP as a function from edges to atomic energies and other requested quantities.

    Attributes:
      config: Settings.
      context: Species, neighbors, and the form of the graphs.
      species_tables: Parameters that have a row for each species.
    """

    config: Config
    context: ModelContext
    species_tables: ClassVar[tuple[str, ...]] = (
        "embedding",
        "self_connection",
        "species_norm",
        "of_species",
    )

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
        basis = edges.bessel_basis(
            self,
            radial.safe_norm(edge_vectors),
            config.num_radial_basis,
            config.cutoff,
            config.polynomial_cutoff,
            trainable=config.trainable_bessel,
        )
        edge_sh = edges.harmonics(edge_vectors, config.lmax)
        width = config.embedding_channels or config.widths[0]
        features = {SCALAR: edges.embedding(self, species, width, edge_vectors)[:, None, :]}
        needed = {SCALAR, *output.irreps_of(self.context)}
        last_irreps = {irrep: n for irrep, n in config.irreps.items() if irrep in needed}
        for i in range(config.num_layers):
            last = i == config.num_layers - 1
            features = Interaction(
                last_irreps if last else config.irreps,
                config.radial_widths,
                self.context.num_species,
                self.context.avg_num_neighbors,
                self.context.directed,
                config.species_norm,
                config.shared_matrices or 0,
                name=f"interaction_{i}",
            )(features, species, basis, edge_sh, senders, receivers, exchange if i else pairs.keep)
        return output.finish(self, self._readout(features[SCALAR][:, 0, :]), features)

    def _readout(self, scalars: Float[Array, "nodes channels"]) -> Float[Array, " nodes"]:
        """From the last scalars to one number per atom."""
        x = {SCALAR: scalars[:, None, :]}
        for i, width in enumerate(self.config.readout_widths):
            x = channels.gate(channels.Linear({SCALAR: width}, name=f"readout_{i}")(x))
        energy = channels.Linear({SCALAR: 1}, name="readout")(x)[SCALAR]
        return jnp.reshape(energy, scalars.shape[:1])
