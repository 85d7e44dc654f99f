"""Representation matrices of rotations, in the basis of the spherical harmonics.

D(1) is the rotation matrix itself. Higher degrees follow from D(l) = Cᵀ (D(l-1) ⊗ D(1)) C with
Clebsch-Gordan coefficients C: each element is a polynomial of the elements of the rotation, so that
no rotation is singular, and derivatives exist everywhere.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.so3 import rotations
from equipot.e3.so3.clebsch_gordan import clebsch_gordan
from equipot.typing import Array, Float


class Representation:
    """Representation matrices from every form of a rotation, by way of ``D_from_rotation``."""

    __slots__ = ()

    def D_from_rotation(self, matrix: Array, k: ArrayLike = 0) -> Array:
        """Representation matrix of a proper rotation, which is not checked, and of k inversions."""
        raise NotImplementedError

    def D_from_matrix(self, matrix: ArrayLike) -> Array:
        """Representation matrix of an orthogonal matrix; determinant -1 means an inversion too."""
        proper, k = rotations.split_inversion(matrix)
        return self.D_from_rotation(proper, k)

    def D_from_angles(
        self, alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike, k: ArrayLike = 0
    ) -> Array:
        """Representation matrix of R_y(alpha) R_x(beta) R_y(gamma), and of k inversions."""
        return self.D_from_rotation(rotations.angles_to_matrix(alpha, beta, gamma), k)

    def D_from_quaternion(self, quaternion: ArrayLike, k: ArrayLike = 0) -> Array:
        """Representation matrix of a quaternion (w, x, y, z), and of k inversions."""
        return self.D_from_rotation(rotations.quaternion_to_matrix(quaternion), k)

    def D_from_axis_angle(self, axis: ArrayLike, angle: ArrayLike, k: ArrayLike = 0) -> Array:
        """Representation matrix of a rotation by an angle about an axis, and of k inversions."""
        return self.D_from_rotation(rotations.axis_angle_to_matrix(axis, angle), k)

    def D_from_log_coordinates(self, log_coordinates: ArrayLike, k: ArrayLike = 0) -> Array:
        """Representation matrix of the rotation by |v| about v, and of k inversions."""
        return self.D_from_rotation(rotations.log_coordinates_to_matrix(log_coordinates), k)


def wigner_D(l: int, matrix: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch {2*l+1} {2*l+1}"]:
    """Representation of degree l of proper rotations, Yˡ(R r) = D(R) Yˡ(r)."""
    return wigner_matrices(l, matrix)[l]


def wigner_matrices(lmax: int, matrix: Float[Array, "*batch 3 3"]) -> list[Array]:
    """Representations of degree 0 to lmax of proper rotations, each made from the one before."""
    results = [jnp.ones((*matrix.shape[:-2], 1, 1), matrix.dtype), matrix]
    for l in range(2, lmax + 1):
        c = (np.sqrt(2 * l + 1) * clebsch_gordan(l - 1, 1, l)).astype(matrix.dtype)
        half = jnp.einsum("ijm,...ik->...kjm", c, results[-1], precision="highest")
        half = jnp.einsum("...kjm,...jn->...knm", half, matrix, precision="highest")
        results.append(jnp.einsum("...knm,knp->...mp", half, c, precision="highest"))
    return results[: lmax + 1]


def with_inversions(
    matrix: Float[Array, "*rotations n n"], p: int, k: ArrayLike
) -> Float[Array, "*batch n n"]:
    """A representation matrix times pᵏ, the effect of k inversions on parity p."""
    if p == 1 or (isinstance(k, int) and k % 2 == 0):
        return matrix
    sign = jnp.where(jnp.mod(jnp.asarray(k), 2) == 0, 1.0, -1.0).astype(matrix.dtype)
    sign = sign[..., None, None]
    rank = max(matrix.ndim, sign.ndim)
    matrix = matrix.reshape((1,) * (rank - matrix.ndim) + matrix.shape)
    return matrix * sign.reshape((1,) * (rank - sign.ndim) + sign.shape)


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
