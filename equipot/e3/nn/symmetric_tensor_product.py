"""Powers of a feature with itself, channel by channel: many-body features from one-body ones."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from equipot.e3.arrays.irreps import Irrep, Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.products.reduced import reduced_symmetric_tensor_product_basis
from equipot.typing import Array


class SymmetricTensorProduct(nn.Module):
    """y[c] = Σ_n Σ_p w_n[p, c] U_n[p] x[c]ⁿ/√P, a polynomial of each channel without mixing them.

    U_n[p] is a basis of all equivariant maps from the symmetric power n of x to an irrep, each
    scaled so that a standard normal x gives it unit variance; P counts the maps of all orders into
    that irrep. Parameters are named ``w2_1o``, of shape (number of maps, channels).

    Attributes:
      orders: The powers n, each at least 1.
      keep_ir_out: Irreps of the output; by default all that appear.

    Reference: Batatia et al. 2022 (MACE), its many-body features B. arXiv:2206.07697
    """

    orders: Sequence[int]
    keep_ir_out: IrrepsLike | None = None

    @nn.compact
    def __call__(self, x: IrrepsArray) -> IrrepsArray:
        """Maps ``[..., channels, irreps]`` to ``[..., channels, irreps_out]``, each irrep once.

        Raises:
          ValueError: An order is below 1 or given twice, or the axis of channels is missing.
        """
        orders = tuple(self.orders)
        if not orders or min(orders) < 1 or len(set(orders)) < len(orders):
            raise ValueError(
                f"SymmetricTensorProduct: expected distinct orders of at least 1, received {orders}"
            )
        if x.ndim < 2:
            raise ValueError(
                "SymmetricTensorProduct: expected an axis of channels before the irreps, received "
                f"an array of shape {x.shape}"
            )
        x = x.floating()
        keep = None if self.keep_ir_out is None else Irreps(self.keep_ir_out)
        maps = {n: polynomial_maps(x.irreps, n, keep) for n in sorted(orders)}
        kinds = sorted({ir for found in maps.values() for ir in found})
        chunks = [
            self._polynomial(
                x.array, {n: found[ir] for n, found in maps.items() if ir in found}, ir
            )
            for ir in kinds
        ]
        irreps = Irreps([(1, ir) for ir in kinds])
        return IrrepsArray.from_chunks(irreps, chunks, x.shape[:-1], x.dtype)

    def _polynomial(self, x: Array, maps: Mapping[int, np.ndarray], ir: Irrep) -> Array:
        """One irrep of the output by Horner's rule: ``[..., channels, 1, 2l+1]``.

        The weighted maps of order n, [channels, (dim)ⁿ, 2l+1], are added to those of higher orders,
        which have been multiplied by x down to order n, and one more factor x is multiplied.
        """
        channels, dim = x.shape[-2:]
        count = sum(found.shape[-2] for found in maps.values())
        initializer: Callable[..., Array] = nn.initializers.normal(1.0)
        tensor = jnp.zeros((channels, dim ** max(maps), ir.dim), x.dtype)
        for n in range(max(maps), 0, -1):
            if n in maps:
                w = self.param(f"w{n}_{ir}", initializer, (maps[n].shape[-2], channels), x.dtype)
                table = jnp.asarray(maps[n].reshape(dim**n, -1, ir.dim) * count**-0.5, x.dtype)
                own = jnp.einsum("ipk,pc->cik", table, w, precision="highest")
                tensor = tensor + jnp.broadcast_to(own, tensor.shape)
            tensor = tensor.reshape(*tensor.shape[:-2], dim, dim ** (n - 1), ir.dim)
            tensor = jnp.einsum("...cijk,...ci->...cjk", tensor, x, precision="highest")
        return tensor


@functools.cache
def polynomial_maps(irreps: Irreps, order: int, keep: Irreps | None) -> dict[Irrep, np.ndarray]:
    """Equivariant maps from a symmetric power to each irrep: [(dim)ⁿ …, maps, 2l+1], float64."""
    basis = reduced_symmetric_tensor_product_basis(irreps, order, keep_ir=keep)
    found: dict[Irrep, list[np.ndarray]] = {}
    for (mul, ir), where in zip(basis.irreps, basis.irreps.slices(), strict=True):
        table = np.asarray(basis.array, np.float64)[..., where]
        table = table.reshape(*table.shape[:-1], mul, ir.dim)
        found.setdefault(ir, []).extend(np.moveaxis(table, -2, 0))
    return {ir: np.stack([_scaled(q) for q in maps], -2) for ir, maps in found.items() if maps}


def _scaled(map_: np.ndarray) -> np.ndarray:
    """A map [(dim)ⁿ …, 2l+1] scaled to unit variance of its output for a standard normal x.

    A symmetric tensor Q of order n is a sum of Hermite polynomials of its traces trʲQ, so that
    ⟨(Q xⁿ)²⟩ = Σⱼ (n!/(2ʲ j! (n-2j)!))² (n-2j)! |trʲQ|².
    """
    order, trace, moment = map_.ndim - 1, map_, 0.0
    for j in range(order // 2 + 1):
        rest = math.factorial(order - 2 * j)
        factor = math.factorial(order) / (2**j * math.factorial(j) * rest)
        moment += factor**2 * rest * float(np.sum(trace**2))
        trace = np.trace(trace) if trace.ndim > 2 else trace
    return map_ * math.sqrt(map_.shape[-1] / moment)
