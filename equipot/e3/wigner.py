"""Representation matrices of rotations, in the basis of the spherical harmonics.

D(1) is the rotation matrix itself. Higher degrees follow from D(l) = Cᵀ (D(l-1) ⊗ D(1)) C with
Clebsch-Gordan coefficients C: each element is a polynomial of the elements of the rotation, so that
no rotation is singular, and derivatives exist everywhere.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.clebsch_gordan import clebsch_gordan
from equipot.typing import Array, Float


def wigner_D(l: int, matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch {2*l+1} {2*l+1}"]:
    """Representation of degree l of proper rotations, Yˡ(R r) = D(R) Yˡ(r)."""
    if l == 0:
        return jnp.ones((*matrix.shape[:-2], 1, 1), matrix.dtype)
    result = matrix
    for degree in range(2, l + 1):
        c = (np.sqrt(2 * degree + 1) * clebsch_gordan(degree - 1, 1, degree)).astype(matrix.dtype)
        half = jnp.einsum("ijm,...ik->...kjm", c, result, precision="highest")
        half = jnp.einsum("...kjm,...jn->...knm", half, matrix, precision="highest")
        result = jnp.einsum("...knm,knp->...mp", half, c, precision="highest")
    return result


def parity_sign(p: int, k: ArrayLike, dtype: DTypeLike) -> Array:
    """pᵏ as a factor of matrices: [*batch, 1, 1]."""
    k = jnp.asarray(k)
    odd = (jnp.mod(k, 2) != 0) & (p == -1)
    return jnp.where(odd, -1.0, 1.0).astype(dtype)[..., None, None]


def generators(l: int) -> np.ndarray:
    """Generators of rotations about x, y and z: float64 [3, 2l+1, 2l+1], D(exp(t·L)) = exp(t·G).

    They are proportional to the coupling (1, l, l), the vector operator within degree l; the factor
    is set by G·G = -l(l+1).
    """
    c = clebsch_gordan(1, l, l)
    return np.sqrt(l * (l + 1) * (2 * l + 1)) * np.swapaxes(c, 1, 2) if l else np.zeros((3, 1, 1))


def block_diagonal(
    blocks: Sequence[Array], batch: tuple[int, ...], dtype: DTypeLike
) -> Float[Array, "*batch dim dim"]:
    """Square matrices along the diagonal of a larger one, over any batch dimensions."""
    dim = sum(block.shape[-1] for block in blocks)
    result = jnp.zeros((*batch, dim, dim), dtype)
    start = 0
    for block in blocks:
        stop = start + block.shape[-1]
        result = result.at[..., start:stop, start:stop].set(block)
        start = stop
    return result
