"""The layer that makes many-body features of a sum over neighbors."""

from collections.abc import Mapping

import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.e3.kernels import couplings
from equipot.e3.kernels.contraction import symmetric_contraction
from equipot.e3.nn import channels
from equipot.typing import Array, Float, Int


class ProductBasis(nn.Module):
    """Powers of a node's features, coupled with weights of its species, then mixed linearly.

    y = Σ_ν Σ_k W_ν[s, k, c] U_ν,k(A, …, A) / K_ν, times a matrix over channels. K_ν is the number
    of couplings of order ν to an irrep.

    Attributes:
      channels: Channels of the output per irrep; irreps without any coupling are left out.
      num_species: Number of species.
      correlation: Highest order, at least 1.
      shared: Number of weights that those of every species are sums of; 0: each has its own.

    Reference: Batatia et al. 2022 (MACE), eq. 10 and 11. arXiv:2206.07697
    """

    channels: channels.Channels
    num_species: int
    correlation: int
    shared: int = 0

    @nn.compact
    def __call__(
        self, features: Mapping[Irrep, Array], species: Int[Array, " nodes"]
    ) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, in]}`` to ``{irrep: [nodes, 2l+1, out]}``."""
        like = next(iter(features.values()))
        shares = None
        if self.shared:
            shares = channels.species_shares(self, self.num_species, self.shared, like)
        weights = {
            power: self._weight(power, paths, like, shares)
            for power, paths in couplings.powers(features, self.channels, self.correlation).items()
        }
        powers = symmetric_contraction(
            features, weights, species, tuple(self.channels), self.correlation
        )
        return channels.Linear(self.channels, name="linear")(powers)

    def _weight(
        self, power: couplings.Power, paths: int, like: Array, shares: Array | None
    ) -> Float[Array, "species paths channels"]:
        name, count = f"order_{power.order}_{power.out}", self.num_species
        if shares is not None:
            name, count = f"shared_{name}", shares.shape[1]
        shape = (count, paths, like.shape[-1])
        weight = self.param(name, nn.initializers.normal(1.0), shape, like.dtype) / paths
        return jnp.asarray(weight if shares is None else jnp.tensordot(shares, weight, axes=1))
