"""The sum over neighbors that MACE takes powers of, with the skip connection around them."""

import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels.convolution import Components, convolution, paths
from equipot.e3.nn import channels
from equipot.graphs import pairs
from equipot.models.mace.config import Kind
from equipot.models.mace.radial_basis import RadialBasis
from equipot.typing import Array, Float, Int


class Interaction(nn.Module):
    """Sums messages of the neighbors, and makes the skip connection around what follows.

    A = linear(Σ_j R(r_ij) Y(r_ij) ⊗ linear(h_j)) / n, with n the mean number of neighbors, or, in
    the density forms, 1 + Σ_j tanh(d(r_ij)²) with a learned d. Residual forms skip with W[s_i] h_i;
    the others multiply A by W[s_i] and have no skip.

    Attributes:
      kind: The form, see ``Config``.
      irreps_sum: Irreps and channels of the sum A.
      irreps_out: Irreps and channels of the skip connection.
      width_sent: Channels of what atoms send.
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
    width_sent: int
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
        radial_basis: RadialBasis,
        edge_sh: dict[Irrep, Components],
        senders: Int[Array, " edges"],
        receivers: Int[Array, " edges"],
        exchange: pairs.Exchange,
    ) -> tuple[dict[Irrep, Array], dict[Irrep, Array]]:
        """Returns the sum and the skip connection, each ``{irrep: [nodes, 2l+1, channels]}``."""
        basis = radial_basis.fading
        widths = dict.fromkeys(features, self.width_sent)
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
