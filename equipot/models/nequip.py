"""NequIP: message passing with tensor products of neighbors' features and spherical harmonics.

Reference: Batzner et al. 2022, Nature Communications 13, 2453. DOI 10.1038/s41467-022-29939-5
"""

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import linen as nn

from equipot import errors
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import radial
from equipot.e3.kernels.convolution import Components, convolution, paths
from equipot.e3.nn import channels
from equipot.e3.nn.channel_norm import ChannelNorm
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
      symmetry: "o3" for rotations and inversion; "so3" for rotations alone: features have no
        parity, so that vectors multiply to vectors, and mirror images may have different energies.
      solid_harmonics: Whether harmonics of degree l grow with the l-th power of the distance.
      num_radial_basis: Number of Bessel functions.
      polynomial_cutoff: Exponent p of the envelope.
      xplor_start: Distance in Å from which messages fade out; in the place of the polynomial, which
        fades out from zero on.
      radial_widths: Widths of the hidden layers of the radial networks.
      readout_widths: Widths of hidden layers between the last features and the energy; none is a
        linear readout.
      embedding_channels: Numbers that stand for a species at the first layer; by default as many
        as there are scalars.
      trainable_bessel: Whether the frequencies of the Bessel functions are parameters.
      species_norm: Whether what an atom sends is multiplied by a parameter of its species.
      self_connection: Whether an atom's own features are mixed by matrices that its species has a
        say in, or by matrices common to all.
      shared_matrices: Number of matrices that the self-connections of all species are sums of; 0:
        each species has matrices of its own; by default 8 where training has more than 8 species.
      norm: "rms": features are divided by their root mean square before the gate.
    """

    cutoff: float = 5.0
    num_layers: int = 3
    lmax: int = 1
    num_channels: int | tuple[int, ...] = 32
    parity: bool = False
    symmetry: Literal["o3", "so3"] = "o3"
    solid_harmonics: bool = False
    num_radial_basis: int = 8
    polynomial_cutoff: int = 6
    xplor_start: float | None = None
    radial_widths: tuple[int, ...] = (64, 64)
    readout_widths: tuple[int, ...] = ()
    embedding_channels: int | None = None
    trainable_bessel: bool = False
    species_norm: bool = False
    self_connection: Literal["by_species", "common"] = "by_species"
    shared_matrices: int | None = None
    norm: Literal["none", "rms"] = "none"

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
        if self.parity and self.symmetry == "so3":
            raise errors.ConfigError(
                "model.parity: expected false with model.symmetry=so3, which knows no parity,"
                " received true"
            )
        if self.shared_matrices and self.self_connection == "common":
            raise errors.ConfigError(
                "model.shared_matrices: expected none with model.self_connection=common, whose"
                f" matrices no species has a say in, received {self.shared_matrices}"
            )
        if self.xplor_start is not None and not 0.0 <= self.xplor_start < self.cutoff:
            raise errors.ConfigError(
                f"model.xplor_start: expected a distance from 0 to below the cutoff of"
                f" {self.cutoff} Å, received {self.xplor_start}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each degree."""
        count = self.num_channels
        return count if isinstance(count, tuple) else (count,) * (self.lmax + 1)

    @property
    def irreps(self) -> dict[Irrep, int]:
        """Hidden irreps with their channels."""
        if self.symmetry == "so3":
            return {Irrep(l, 1): width for l, width in enumerate(self.widths)}
        parities = (1, -1) if self.parity else (1,)
        return {
            Irrep(l, sign * (-1) ** l): self.widths[l]
            for l in range(self.lmax + 1)
            for sign in parities
        }


class Interaction(nn.Module):
    """One layer: linear, convolution, linear, plus the self-connection, the norm, then the gate.

    Attributes:
      irreps_out: Irreps and channels after the gate.
      radial_widths: Hidden layers of the radial network.
      num_species: Number of species.
      avg_num_neighbors: Mean number of neighbors; the sum over neighbors is divided by its root.
      directed: Whether an edge carries a message to its receiver only.
      species_norm: Whether what an atom sends is multiplied by a parameter of its species.
      shared_matrices: Number of matrices that self-connections are sums of; 0 for matrices of
        each species; None for matrices common to all.
      norm: Whether features are divided by their root mean square before the gate.
    """

    irreps_out: channels.Channels
    radial_widths: tuple[int, ...]
    num_species: int
    avg_num_neighbors: float
    directed: bool
    species_norm: bool = False
    shared_matrices: int | None = 0
    norm: bool = False

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
        sent = channels.Linear(widths, name="linear_up")(features)
        if self.species_norm:
            ones, dtype = nn.initializers.ones, basis.dtype
            norm = self.param("species_norm", ones, (self.num_species,), dtype)[species]
            sent = {irrep: x * norm[:, None, None] for irrep, x in sent.items()}
        hidden, matrices = channels.RadialNetwork(
            self.radial_widths, {path: widths[path.node] for path in couplings}, name="radial"
        )(basis)
        messages = convolution(
            exchange(sent),
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
        if self.shared_matrices is None:
            itself = channels.Linear(before_gate, name="common_self_connection")(features)
        else:
            itself = channels.by_species(
                before_gate, self.num_species, self.shared_matrices, "self_connection"
            )(features, species)
        mixed = channels.add(summed, itself)
        return channels.gate(ChannelNorm(name="norm")(mixed) if self.norm else mixed)


class Model(nn.Module):
    """NequIP as a function from edges to atomic energies and other requested quantities.

    Attributes:
      config: Settings.
      context: Species, neighbors, and the form of the graphs.
      species_tables: Parameters that have a row for each species.
      has_heads: Each level of theory has its own last matrix of the readout.
    """

    config: Config
    context: ModelContext
    species_tables: ClassVar[tuple[str, ...]] = (
        "embedding",
        "self_connection",
        "species_norm",
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
        basis = edges.bessel_basis(
            self,
            radial.safe_norm(edge_vectors),
            config.num_radial_basis,
            config.cutoff,
            config.polynomial_cutoff,
            trainable=config.trainable_bessel,
            xplor_start=config.xplor_start,
        )
        edge_sh = edges.harmonics(edge_vectors, config.lmax, solid=config.solid_harmonics)
        if config.symmetry == "so3":
            edge_sh = {Irrep(irrep.l, 1): sh for irrep, sh in edge_sh.items()}
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
                None if config.self_connection == "common" else config.shared_matrices or 0,
                config.norm == "rms",
                name=f"interaction_{i}",
            )(features, species, basis, edge_sh, senders, receivers, exchange if i else pairs.keep)
        return output.finish(self, self._readout(features[SCALAR][:, 0, :]), features)

    def _readout(self, scalars: Float[Array, "nodes channels"]) -> Float[Array, "nodes heads"]:
        """From the last scalars to one number per atom and head."""
        x = {SCALAR: scalars[:, None, :]}
        for i, width in enumerate(self.config.readout_widths):
            x = channels.gate(channels.Linear({SCALAR: width}, name=f"readout_{i}")(x))
        heads = self.context.num_heads
        energy = channels.Linear({SCALAR: heads}, name="readout")(x)[SCALAR]
        return jnp.reshape(energy, (len(scalars), heads))
