"""Rotations of space in five forms, and the conversions between them.

Matrices act on column vectors (x, y, z) from the left. Angles (alpha, beta, gamma) mean
R_y(alpha) R_x(beta) R_y(gamma): gamma is applied first, y is the polar axis. Quaternions are
(w, x, y, z). Every function takes leading batch dimensions.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import core
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.functions import radial
from equipot.e3.keywords import also_named
from equipot.typing import Array, Float, Key

_LEVI_CIVITA = np.zeros((3, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _LEVI_CIVITA[_i, _j, _k], _LEVI_CIVITA[_i, _k, _j] = 1.0, -1.0


def matrix_x(angle: ArrayLike) -> Array:
    """Rotation by an angle (radians) about the x axis."""
    return _axis_rotation(angle, 0)


def matrix_y(angle: ArrayLike) -> Array:
    """Rotation by an angle (radians) about the y axis, the polar axis."""
    return _axis_rotation(angle, 1)


def matrix_z(angle: ArrayLike) -> Array:
    """Rotation by an angle (radians) about the z axis."""
    return _axis_rotation(angle, 2)


def angles_to_matrix(alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike) -> Array:
    """R_y(alpha) R_x(beta) R_y(gamma)."""
    return _product(_product(matrix_y(alpha), matrix_x(beta)), matrix_y(gamma))


@also_named(R="matrix")
def matrix_to_angles(matrix: ArrayLike) -> tuple[Array, Array, Array]:
    """Angles (alpha, beta, gamma) of a rotation, 0 <= beta <= π; alpha is 0 where beta is 0.

    At beta = 0 and π the angles have no derivatives; those computed are finite and mean nothing.
    Build representations from the matrix itself.
    """
    matrix = radial.floats(matrix)
    axis = matrix[..., :, 1]
    alpha, beta = xyz_to_angles(axis)
    without_gamma = angles_to_matrix(alpha, beta, jnp.zeros_like(alpha))
    rest = _product(jnp.swapaxes(without_gamma, -1, -2), matrix)
    gamma = jnp.arctan2(rest[..., 0, 2], rest[..., 0, 0])
    return alpha, beta, gamma


def angles_to_xyz(alpha: ArrayLike, beta: ArrayLike) -> Array:
    """The unit vector that R_y(alpha) R_x(beta) makes of the y axis."""
    alpha, beta = jnp.broadcast_arrays(radial.floats(alpha), radial.floats(beta))
    sine = jnp.sin(beta)
    return jnp.stack([sine * jnp.sin(alpha), jnp.cos(beta), sine * jnp.cos(alpha)], axis=-1)


def xyz_to_angles(xyz: ArrayLike) -> tuple[Array, Array]:
    """Angles (alpha, beta) of a direction; alpha is 0 along the y axis.

    Where an angle is not determined (alpha there, both for the zero vector) its derivatives are
    taken as zero.
    """
    x, y, z = jnp.moveaxis(radial.floats(xyz), -1, 0)
    in_plane = radial.safe_norm(jnp.stack([x, z], axis=-1))
    return _arctan2(x, z), _arctan2(in_plane, y)


def axis_angle_to_matrix(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Rotation by an angle about a direction of any length (Rodrigues)."""
    axis, angle = radial.floats(axis), radial.floats(angle)
    return log_coordinates_to_matrix(radial.safe_normalize(axis) * angle[..., None])


def log_coordinates_to_matrix(log_coordinates: ArrayLike) -> Array:
    """Rotation by |v| about v: exp(v · L), differentiable at v = 0."""
    v = radial.floats(log_coordinates)
    cross = -jnp.einsum("ijk,...k->...ij", _LEVI_CIVITA.astype(v.dtype), v, precision="highest")
    angle = radial.safe_norm(v)[..., None, None]
    first = radial.sine_quotient(angle)
    second = 0.5 * radial.sine_quotient(0.5 * angle) ** 2
    one = jnp.broadcast_to(jnp.eye(3, dtype=v.dtype), cross.shape)
    return one + first * cross + second * _product(cross, cross)


@also_named(q="quaternion")
def quaternion_to_matrix(quaternion: ArrayLike) -> Array:
    """Rotation of a quaternion (w, x, y, z), normalised first; q and -q are the same rotation."""
    q = radial.floats(quaternion)
    w, x, y, z = jnp.moveaxis(radial.safe_normalize(q), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


@also_named(R="matrix")
def matrix_to_quaternion(matrix: ArrayLike) -> Array:
    """Unit quaternion (w, x, y, z) of a rotation, with w >= 0; well conditioned for every angle."""
    m = radial.floats(matrix)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    odd, even = m - jnp.swapaxes(m, -1, -2), m + jnp.swapaxes(m, -1, -2)
    wx, wy, wz = odd[..., 2, 1], odd[..., 0, 2], odd[..., 1, 0]
    xy, xz, yz = even[..., 0, 1], even[..., 0, 2], even[..., 1, 2]
    rows = [  # 4 q qᵀ
        [1 + xx + yy + zz, wx, wy, wz],
        [wx, 1 + xx - yy - zz, xy, xz],
        [wy, xy, 1 - xx + yy - zz, yz],
        [wz, xz, yz, 1 - xx - yy + zz],
    ]
    outer = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    largest = jnp.argmax(jnp.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    q = jnp.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    q = radial.safe_normalize(q)
    return jnp.where(q[..., :1] < 0, -q, q)


@also_named(q="quaternion")
def quaternion_to_log_coordinates(quaternion: ArrayLike) -> Array:
    """Axis times angle, 0 <= angle <= π, of a quaternion."""
    q = radial.safe_normalize(radial.floats(quaternion))
    q = jnp.where(q[..., :1] < 0, -q, q)
    sine = radial.safe_norm(q[..., 1:])[..., None]
    angle = 2 * jnp.arctan2(sine, q[..., :1])
    small = sine < 1e-6
    return q[..., 1:] * jnp.where(small, 2.0, angle / jnp.where(small, 1.0, sine))


@also_named(R="matrix")
def matrix_to_log_coordinates(matrix: ArrayLike) -> Array:
    """Axis times angle, 0 <= angle <= π, of a rotation."""
    return quaternion_to_log_coordinates(matrix_to_quaternion(matrix))


@also_named(R="matrix")
def matrix_to_axis_angle(matrix: ArrayLike) -> tuple[Array, Array]:
    """Unit axis and angle, 0 <= angle <= π, of a rotation; the axis of no rotation is zero."""
    v = matrix_to_log_coordinates(matrix)
    return radial.safe_normalize(v), radial.safe_norm(v)


@also_named(R="matrix")
def rotation_angle_from_matrix(matrix: ArrayLike) -> Array:
    """Angle, 0 <= angle <= π, by which a matrix rotates."""
    return radial.safe_norm(matrix_to_log_coordinates(matrix))


def rand_quaternion(
    key: Key[Array, ""] | Array, shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
) -> Array:
    """Unit quaternions, uniform over rotations; in the default precision if none is given."""
    return radial.safe_normalize(jax.random.normal(key, (*shape, 4), dtype))


def rand_matrix(
    key: Key[Array, ""] | Array, shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
) -> Float[Array, "*b 3 3"]:
    """Rotation matrices, uniform over rotations."""
    return quaternion_to_matrix(rand_quaternion(key, shape, dtype))


def rand_angles(
    key: Key[Array, ""] | Array, shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
) -> tuple[Array, Array, Array]:
    """Angles (alpha, beta, gamma), uniform over rotations."""
    uniform = jax.random.uniform(key, (3, *shape), dtype)
    return 2 * np.pi * uniform[0], jnp.arccos(2 * uniform[1] - 1), 2 * np.pi * uniform[2]


def split_inversion(matrix: ArrayLike) -> tuple[Array, Array]:
    """Splits an orthogonal matrix into a proper rotation and the power (0 or 1) of the inversion.

    Raises:
      ValueError: The matrix is not 3x3, or is known (not traced) and not orthogonal to 1e-3.
    """
    matrix = radial.floats(matrix)
    if matrix.shape[-2:] != (3, 3):
        raise ValueError(f"expected an orthogonal 3x3 matrix, received shape {matrix.shape}")
    if not isinstance(matrix, core.Tracer):
        known = np.asarray(matrix, dtype=np.float64)
        error = np.abs(np.swapaxes(known, -1, -2) @ known - np.eye(3)).max(initial=0.0)
        if not error < 1e-3:
            raise ValueError(
                f"expected an orthogonal 3x3 matrix, received one whose product with its transpose "
                f"differs from 1 by {error:.3g}"
            )
    k = (jnp.linalg.det(matrix) < 0).astype(matrix.dtype)
    return matrix * (1 - 2 * k)[..., None, None], k


def _axis_rotation(angle: ArrayLike, axis: int) -> Array:
    angle = radial.floats(angle)
    c, s = jnp.cos(angle), jnp.sin(angle)
    o, z = jnp.ones_like(angle), jnp.zeros_like(angle)
    rows = (
        [[o, z, z], [z, c, -s], [z, s, c]],
        [[c, z, s], [z, o, z], [-s, z, c]],
        [[c, -s, z], [s, c, z], [z, z, o]],
    )[axis]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _arctan2(y: Array, x: Array) -> Array:
    """The angle of (x, y), and 0 at the origin with derivatives 0."""
    origin = (x == 0) & (y == 0)
    return jnp.where(origin, 0.0, jnp.arctan2(y, jnp.where(origin, 1.0, x)))


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
