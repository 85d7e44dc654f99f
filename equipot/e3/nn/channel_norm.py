"""A norm of features on one array per irrep: ``equipot.e3.nn.RMSNorm`` for the inside of models."""

from collections.abc import Mapping

import jax
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep
from equipot.typing import Array

_EPSILON = 1e-12


class ChannelNorm(nn.Module):
    """Divides all features of a node by one invariant number, and scales every channel.

    y[u] = γ[u] x[u] / √(n² + ε),   n² = 1/L Σ_ir 1/channels Σᵤ 1/(2l+1) Σₘ x[ir, m, u]²

    with L irreps, each of which has the same share in n² whatever its size. γ is one at first. ε is
    so small that it acts only on a node whose features vanish.

    Reference: Zhang and Sennrich 2019 for vectors of numbers, arXiv:1910.07467; Liao et al. 2024
      (EquiformerV2) for the shares of degrees, arXiv:2306.12059.
    """

    @nn.compact
    def __call__(self, features: Mapping[Irrep, Array]) -> dict[Irrep, Array]:
        """Maps ``{irrep: [nodes, 2l+1, channels]}`` to the same shapes."""
        squares = [(x * x).mean(axis=(1, 2)) for x in features.values()]
        mean = sum(squares[1:], squares[0]) * (1.0 / len(squares))
        factor = jax.lax.rsqrt(mean + _EPSILON)[:, None, None]
        result = {}
        for irrep, x in features.items():
            scale = self.param(f"{irrep}", nn.initializers.ones, x.shape[-1:], x.dtype)
            result[irrep] = x * factor * scale[None, None, :]
        return result
