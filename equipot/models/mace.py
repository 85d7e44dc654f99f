"""MACE: message passing with many-body products of the sums over neighbors.

Reference: Batatia et al. 2022, NeurIPS 35. arXiv:2206.07697; the variants are those of mace-torch.
"""

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot import errors
from equipot.data import elements
from equipot.e3.arrays.irreps import Irrep
from equipot.e3.functions import activations, radial, radial_transforms
from equipot.e3.kernels.convolution import Components, convolution, paths
from equipot.e3.nn import channels, many_body
from equipot.graphs import pairs
from equipot.models import edges, output
from equipot.models.context import ModelContext
from equipot.models.output import Output
from equipot.models.settings import check_settings
from equipot.typing import Array, Float, Int

SCALAR = Irrep("0e")
Kind = Literal["residual", "agnostic", "density", "density_residual"]
Gate = Literal["silu", "tanh"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of MACE.

    Attributes:
      cutoff: Radius in Å within which atoms exchange messages.
      num_layers: Number of interaction layers, at least 1.
      lmax: Highest degree of the spherical harmonics and of the sums over neighbors.
      message_lmax: Highest degree of the features that atoms send (max_L in mace-torch).
      num_channels: Channels of every irrep.
      parity: Whether features keep irreps of both parities; without, only 0e, 1o, 2e, … are. Both
        are equivariant under inversion.
      correlation: Highest power of the sums over neighbors, 1 to 4: one number, or one for each
        layer. An energy of order 3 sees four bodies at a time.
      interaction: How sums become messages: residual adds the atom's own features by species,
        agnostic mixes the sum by species and forgets them, density and density_residual divide
        these two by a learned number of neighbors.
      first_interaction: The same for the first layer.
      radial_basis: Functions of a distance: bessel, gaussian or chebyshev.
      num_radial_basis: Their number.
      distance_transform: What is done to distances before: none, agnesi or soft, which take the
        covalent radii of both atoms into account.
      polynomial_cutoff: Exponent p of the envelope.
      radial_widths: Widths of the hidden layers of the radial networks.
      readout_width: Width of the hidden layer of the last readout; 0 makes it linear. Readouts of
        the other layers are linear.
      gate: Activation in the last readout: silu or tanh.
      shared_matrices: Number of matrices and of products' weights that those of all species are
        sums of; 0: each species has its own; by default 8 where training has more than 8 species.
    """

    cutoff: float = 5.0
    num_layers: int = 2
    lmax: int = 2
    message_lmax: int = 2
    num_channels: int = 64
    parity: bool = False
    correlation: int | tuple[int, ...] = 3
    interaction: Kind = "residual"
    first_interaction: Kind = "residual"
    radial_basis: Literal["bessel", "gaussian", "chebyshev"] = "bessel"
    num_radial_basis: int = 8
    distance_transform: Literal["none", "agnesi", "soft"] = "none"
    polynomial_cutoff: int = 5
    radial_widths: tuple[int, ...] = (32, 32)
    readout_width: int = 16
    gate: Gate = "silu"
    shared_matrices: int | None = None

    def __post_init__(self) -> None:
        check_settings(
            self,
            num_layers=1,
            lmax=0,
            message_lmax=0,
            num_channels=1,
            num_radial_basis=1,
            polynomial_cutoff=2,
            readout_width=0,
            most={"lmax": 6, "message_lmax": 6},
        )
        if isinstance(self.correlation, tuple) and len(self.correlation) != self.num_layers:
            raise errors.ConfigError(
                f"model.correlation: expected one number, or {self.num_layers}, one for each layer,"
                f" received {list(self.correlation)}"
            )
        if min(self.orders) < 1 or max(self.orders) > 4:
            raise errors.ConfigError(
                f"model.correlation: expected 1 to 4, received {self.correlation}"
            )
        self._check_basis()

    def _check_basis(self) -> None:
        if self.radial_basis == "gaussian" and self.num_radial_basis < 2:
            raise errors.ConfigError(
                "model.num_radial_basis: expected at least 2 gaussians, received 1"
            )
        if self.radial_basis == "chebyshev" and self.distance_transform != "agnesi":
            raise errors.ConfigError(
                "model.distance_transform: expected agnesi with radial_basis=chebyshev, whose "
                f"polynomials explode outside of its range, received {self.distance_transform}"
            )

    @property
    def orders(self) -> tuple[int, ...]:
        """Highest power of each layer."""
        order = self.correlation
        return order if isinstance(order, tuple) else (order,) * self.num_layers

    def irreps(self, lmax: int, parity: bool) -> dict[Irrep, int]:
        """Irreps to a degree with their channels, natural parity first."""
        signs = (1, -1) if parity else (1,)
        return {
            Irrep(l, sign * (-1) ** l): self.num_channels for l in range(lmax + 1) for sign in signs
        }


class Interaction(nn.Module):
    """Sums messages of the neighbors, and makes the skip connection around what follows.

    A = linear(Σ_j R(r_ij) Y(r_ij) ⊗ linear(h_j)) / n, with n the mean number of neighbors, or, in
    the density forms, 1 + Σ_j tanh(d(r_ij)²) with a learned d. Residual forms skip with W[s_i] h_i;
    the others multiply A by W[s_i] and have no skip.

    Attributes:
      kind: The form, see ``Config``.
      irreps_sum: Irreps and channels of the sum A.
      irreps_out: Irreps and channels of the skip connection.
      radial_widths: Hidden layers of the radial network.
      num_species: Number of species.
      avg_num_neighbors: Mean number of neighbors.
      directed: Whether an edge carries a message to its receiver only.
      shared_matrices: Number of matrices that those of all species are sums of; 0 for matrices
        of each species.
    """

    kind: Kind
    irreps_sum: channels.Channels
    irreps_out: channels.Channels
    radial_widths: tuple[int, ...]
    num_species: int
    avg_num_neighbors: float
    directed: bool
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
    ) -> tuple[dict[Irrep, Array], dict[Irrep, Array]]:
        """Returns the sum and the skip connection, each ``{irrep: [nodes, 2l+1, channels]}``."""
        widths = {irrep: x.shape[-1] for irrep, x in features.items()}
        couplings = paths(tuple(features), tuple(edge_sh), tuple(self.irreps_sum))
        mixed = channels.Linear(widths, name="linear_up")(features)
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
        with_density = self.kind.startswith("density")
        scale = 1.0 if with_density else 1.0 / self.avg_num_neighbors
        summed = channels.PathLinear(self.irreps_sum, name="linear")(messages, scale=scale)
        if with_density:
            divisor = 1.0 + self._density(basis, senders, receivers, len(species))[:, None, None]
            summed = {irrep: x / divisor for irrep, x in summed.items()}
        if self.kind.endswith("residual"):
            return summed, self._by_species(self.irreps_out, "skip")(features, species)
        return self._by_species(self.irreps_sum, "mixing")(summed, species), {}

    def _by_species(self, irreps: channels.Channels, name: str) -> channels.BySpecies:
        return channels.by_species(irreps, self.num_species, self.shared_matrices, name)

    def _density(
        self,
        basis: Float[Array, "edges basis"],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        num_nodes: int,
    ) -> Float[Array, " nodes"]:
        """Counts neighbors, each as a number between 0 and 1 that depends on its distance."""
        size = basis.shape[-1]
        weight = self.param("density", nn.initializers.normal(1.0), (size,), basis.dtype)
        count = jnp.tanh(jnp.square(basis @ (weight / size**0.5)))
        return pairs.sum_at_nodes(count, senders, receivers, num_nodes, directed=self.directed)


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
        basis = self._radial_basis(edge_vectors, species[senders], species[receivers])
        edge_sh = edges.harmonics(edge_vectors, config.lmax)
        width = config.num_channels
        features = {SCALAR: edges.embedding(self, species, width, edge_vectors)[:, None, :]}
        energies, layers = [], []
        for i, order in enumerate(config.orders):
            last = i == config.num_layers - 1
            sent = config.irreps(config.message_lmax, config.parity)
            hidden = self._last_irreps() if last else sent
            summed, skip = Interaction(
                config.interaction if i else config.first_interaction,
                config.irreps(config.lmax, config.parity and i > 0),
                hidden,
                config.radial_widths,
                self.context.num_species,
                self.context.avg_num_neighbors,
                self.context.directed,
                config.shared_matrices or 0,
                name=f"interaction_{i}",
            )(features, species, basis, edge_sh, senders, receivers, exchange if i else pairs.keep)
            number = self.context.num_species
            product = many_body.ProductBasis(
                hidden, number, order, config.shared_matrices or 0, name=f"product_{i}"
            )
            features = channels.add(product(summed, species), skip)
            energies.append(self._readout(features[SCALAR], i, config.readout_width * last))
            layers.append(features)
        return output.finish(self, sum(energies[1:], energies[0]), _side_by_side(layers))

    def _last_irreps(self) -> dict[Irrep, int]:
        """Irreps of the last features: scalars, and those of other requested quantities."""
        needed = {SCALAR, *output.irreps_of(self.context)}
        every = self.config.irreps(self.config.lmax, self.config.parity)
        return {irrep: width for irrep, width in every.items() if irrep in needed}

    def _radial_basis(
        self,
        edge_vectors: Float[Array, "edges 3"],
        sender_species: Int[Array, " edges"],
        receiver_species: Int[Array, " edges"],
    ) -> Float[Array, "edges basis"]:
        """The functions of each distance, which vanish at the cutoff."""
        config = self.config
        lengths = radial.safe_norm(edge_vectors)
        envelope = radial.polynomial_cutoff(lengths, config.cutoff, config.polynomial_cutoff)
        x = lengths
        if config.distance_transform != "none":
            table = elements.COVALENT_RADII[np.array(self.context.species_table, np.int64)]
            radii = jnp.asarray(table, lengths.dtype)
            both = radii[sender_species] + radii[receiver_species]
            agnesi = config.distance_transform == "agnesi"
            transform = radial_transforms.agnesi if agnesi else radial_transforms.soft
            x = transform(lengths, 0.5 * both if agnesi else both)
        if config.radial_basis == "chebyshev":
            basis = radial_transforms.chebyshev(x, config.num_radial_basis)
        elif config.radial_basis == "gaussian":
            basis = radial_transforms.gaussian(x, config.num_radial_basis, config.cutoff)
        else:
            basis = radial.bessel(x, config.num_radial_basis, config.cutoff)
        return basis * envelope[:, None]

    def _readout(
        self, scalars: Float[Array, "nodes one channels"], layer: int, width: int
    ) -> Float[Array, "nodes ..."]:
        """From the scalars of a layer to one number per atom and head, linear without a width."""
        heads, name = self.context.num_heads, f"readout_{layer}"
        if width:
            x = channels.Linear({SCALAR: width * heads}, name=f"{name}_hidden")({SCALAR: scalars})
            gate = activations.normalize_function(activations.VANISHING_AT_ZERO[self.config.gate])
            hidden = jnp.split(gate(x[SCALAR]), heads, axis=-1)
            names = [name] if heads == 1 else [f"{name}_head_{i}" for i in range(heads)]
            each = [
                channels.Linear({SCALAR: 1}, name=own)({SCALAR: part})[SCALAR]
                for own, part in zip(names, hidden, strict=True)
            ]
            energy = jnp.concatenate(each, axis=-1)
        else:
            energy = channels.Linear({SCALAR: heads}, name=name)({SCALAR: scalars})[SCALAR]
        return jnp.reshape(energy, scalars.shape[:1] + ((heads,) if heads > 1 else ()))


def _side_by_side(layers: list[dict[Irrep, Array]]) -> dict[Irrep, Array]:
    """The features of all layers, the channels of an irrep one after another."""
    irreps = dict.fromkeys(irrep for features in layers for irrep in features)
    return {
        irrep: jnp.concatenate([features[irrep] for features in layers if irrep in features], -1)
        for irrep in irreps
    }
