"""Normalisation of features by their root mean square, which no rotation changes."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from equipot.e3.arrays import operations
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.functions import scatter
from equipot.typing import Array, Float


class RMSNorm(nn.Module):
    """Divides all features of a place by one invariant number, and scales every copy.

    y[u] = γ[u] x[u] / √(n² + ε) + β[u],   n² = 1/L Σ_ir 1/mul Σᵤ 1/(2l+1) Σₘ x[ir, u, m]²

    with L distinct irreps: each irrep has the same share in n², whatever its number of components
    and copies. γ is one at first; β is for 0e and zero at first. Derivatives are finite at x = 0.
    Parameters are named ``scale[i] 4x1o`` and ``bias[i] 4x0e``, i counts entries.

    Attributes:
      epsilon: The number ε, positive.
      centering: Whether the mean over the copies of 0e is subtracted from them at first.
      scale: Whether there is a γ.
      biases: Whether there is a β.

    Reference: Zhang and Sennrich 2019 for vectors of numbers, arXiv:1910.07467; Liao et al. 2024
      (EquiformerV2), whose implementation gives every degree the same share, arXiv:2306.12059.
    """

    epsilon: float = 1e-5
    centering: bool = False
    scale: bool = True
    biases: bool = False

    @nn.compact
    def __call__(self, x: IrrepsArray | Array) -> IrrepsArray:
        """Normalises along the irreps axis, every place of the batch axes by itself."""
        x = operations.as_irreps_array(x).floating()
        if self.centering:
            x = _centered(x)
        factor = jax.lax.rsqrt(_mean_square(x) + self.epsilon)[..., None].astype(x.dtype)
        chunks: list[Array | None] = []
        for i, ((mul, ir), chunk) in enumerate(zip(x.irreps, x.chunks, strict=True)):
            y = None if chunk is None else chunk * factor
            if self.scale and y is not None:
                y = y * self._parameter(f"scale[{i}] {mul}x{ir}", nn.initializers.ones, y)
            if self.biases and ir.is_scalar() and mul:
                y = jnp.zeros((*x.shape[:-1], mul, 1), x.dtype) if y is None else y
                y = y + self._parameter(f"bias[{i}] {mul}x{ir}", nn.initializers.zeros, y)
            chunks.append(y)
        return IrrepsArray.from_chunks(x.irreps, chunks, x.shape[:-1], x.dtype)

    def _parameter(self, name: str, initializer: nn.initializers.Initializer, y: Array) -> Array:
        """One number for each copy, in the rank of the data."""
        mul = y.shape[-2]
        parameter = self.param(name, initializer, (mul,), y.dtype)
        return parameter.reshape((1,) * (y.ndim - 2) + (mul, 1))


def _mean_square(x: IrrepsArray) -> Float[Array, "*batch 1"]:
    """The mean over irreps of the mean square over copies and components.

    Squares are added up in 32 bits at least: in 16 they are soon infinite.
    """
    kinds = {item.ir for item in x.irreps if item.mul}
    exact = scatter.summing_dtype(x.dtype)
    total = jnp.zeros((*x.shape[:-1], 1), exact)
    for (_, ir), chunk in zip(x.irreps, x.chunks, strict=True):
        if chunk is not None and chunk.shape[-2]:
            chunk = chunk.astype(exact)
            squares = jnp.sum(chunk * chunk, axis=(-2, -1))[..., None]
            total = total + squares * (1.0 / (len(kinds) * ir.dim * x.irreps.count(ir)))
    return total


def _centered(x: IrrepsArray) -> IrrepsArray:
    """Without the mean over all copies of 0e."""
    scalars = [c for (_, ir), c in zip(x.irreps, x.chunks, strict=True) if ir.is_scalar()]
    sums = [jnp.sum(c, axis=-2, keepdims=True) for c in scalars if c is not None]
    if not x.irreps.count("0e") or not sums:
        return x
    mean = sum(sums[1:], sums[0]) * (1.0 / x.irreps.count("0e"))
    chunks: list[Array | None] = []
    for (mul, ir), chunk in zip(x.irreps, x.chunks, strict=True):
        if ir.is_scalar():
            zeros = jnp.zeros((*x.shape[:-1], mul, 1), x.dtype)
            chunk = (zeros if chunk is None else chunk) - mean
        chunks.append(chunk)
    return IrrepsArray.from_chunks(x.irreps, chunks, x.shape[:-1], x.dtype)
