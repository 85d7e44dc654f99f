"""The algebra of rotations in each form: conversions, products, inverses, angles.

The forms and their conventions are those of ``rotations``. Where a form is not unique the result is
the one of ``rotations``: 0 <= angle <= π, 0 <= beta <= π, w >= 0.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.functions import radial
from equipot.e3.keywords import also_named
from equipot.e3.so3 import rotations
from equipot.typing import Array, Key

Angles = tuple[Array, Array, Array]


def angles_to_quaternion(alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike) -> Array:
    """Unit quaternion of R_y(alpha) R_x(beta) R_y(gamma)."""
    return rotations.matrix_to_quaternion(rotations.angles_to_matrix(alpha, beta, gamma))


def angles_to_axis_angle(
    alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike
) -> tuple[Array, Array]:
    """Unit axis and angle of R_y(alpha) R_x(beta) R_y(gamma)."""
    return rotations.matrix_to_axis_angle(rotations.angles_to_matrix(alpha, beta, gamma))


def angles_to_log_coordinates(alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike) -> Array:
    """Axis times angle of R_y(alpha) R_x(beta) R_y(gamma)."""
    return rotations.matrix_to_log_coordinates(rotations.angles_to_matrix(alpha, beta, gamma))


def axis_angle_to_angles(axis: ArrayLike, angle: ArrayLike) -> Angles:
    """Angles (alpha, beta, gamma) of a rotation about a direction of any length."""
    return rotations.matrix_to_angles(rotations.axis_angle_to_matrix(axis, angle))


def axis_angle_to_log_coordinates(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Unit axis times angle, any angle: it is not brought to 0 … π."""
    return radial.safe_normalize(radial.floats(axis)) * radial.floats(angle)[..., None]


@also_named(xyz="axis")
def axis_angle_to_quaternion(axis: ArrayLike, angle: ArrayLike) -> Array:
    """Unit quaternion of a rotation about a direction of any length."""
    return log_coordinates_to_quaternion(axis_angle_to_log_coordinates(axis, angle))


def log_coordinates_to_angles(log_coordinates: ArrayLike) -> Angles:
    """Angles (alpha, beta, gamma) of the rotation by |v| about v."""
    return rotations.matrix_to_angles(rotations.log_coordinates_to_matrix(log_coordinates))


def log_coordinates_to_axis_angle(log_coordinates: ArrayLike) -> tuple[Array, Array]:
    """Unit axis and angle |v| of the rotation by |v| about v; the axis of no rotation is zero."""
    v = radial.floats(log_coordinates)
    return radial.safe_normalize(v), radial.safe_norm(v)


def log_coordinates_to_quaternion(log_coordinates: ArrayLike) -> Array:
    """Unit quaternion of the rotation by |v| about v."""
    v = radial.floats(log_coordinates)
    half = 0.5 * radial.safe_norm(v, keepdims=True)
    q = jnp.concatenate([jnp.cos(half), 0.5 * radial.sine_quotient(half) * v], axis=-1)
    return jnp.where(q[..., :1] < 0, -q, q)


@also_named(q="quaternion")
def quaternion_to_angles(quaternion: ArrayLike) -> Angles:
    """Angles (alpha, beta, gamma) of a quaternion."""
    return rotations.matrix_to_angles(rotations.quaternion_to_matrix(quaternion))


@also_named(q="quaternion")
def quaternion_to_axis_angle(quaternion: ArrayLike) -> tuple[Array, Array]:
    """Unit axis and angle of a quaternion; the axis of no rotation is zero."""
    return log_coordinates_to_axis_angle(rotations.quaternion_to_log_coordinates(quaternion))


def identity_angles(shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> Angles:
    """The angles of no rotation: zeros."""
    zero = jnp.zeros(shape, dtype)
    return zero, zero, zero


def identity_quaternion(shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> Array:
    """The quaternion of no rotation, (1, 0, 0, 0)."""
    return jnp.zeros((*shape, 4), dtype).at[..., 0].set(1.0)


def identity_log_coordinates(shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> Array:
    """The log coordinates of no rotation, the zero vector."""
    return jnp.zeros((*shape, 3), dtype)


def rand_axis_angle(
    key: Key[Array, ""] | Array, shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
) -> tuple[Array, Array]:
    """Unit axes and angles, uniform over rotations."""
    return quaternion_to_axis_angle(rotations.rand_quaternion(key, shape, dtype))


def rand_log_coordinates(
    key: Key[Array, ""] | Array, shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
) -> Array:
    """Axes times angles, uniform over rotations."""
    return rotations.quaternion_to_log_coordinates(rotations.rand_quaternion(key, shape, dtype))


def compose_quaternion(q1: ArrayLike, q2: ArrayLike) -> Array:
    """The product q1 q2: the rotation q2 followed by q1."""
    a, b = radial.floats(q1), radial.floats(q2)
    w1, v1, w2, v2 = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    scalar = w1 * w2 - jnp.sum(v1 * v2, axis=-1, keepdims=True)
    return jnp.concatenate([scalar, w1 * v2 + w2 * v1 + jnp.cross(v1, v2)], axis=-1)


def compose_angles(
    a1: ArrayLike, b1: ArrayLike, c1: ArrayLike, a2: ArrayLike, b2: ArrayLike, c2: ArrayLike
) -> Angles:
    """Angles of the second rotation (a2, b2, c2) followed by the first (a1, b1, c1)."""
    first, second = angles_to_quaternion(a1, b1, c1), angles_to_quaternion(a2, b2, c2)
    return quaternion_to_angles(compose_quaternion(first, second))


def compose_axis_angle(
    axis1: ArrayLike, angle1: ArrayLike, axis2: ArrayLike, angle2: ArrayLike
) -> tuple[Array, Array]:
    """Axis and angle of the second rotation followed by the first."""
    first = axis_angle_to_quaternion(axis1, angle1)
    return quaternion_to_axis_angle(
        compose_quaternion(first, axis_angle_to_quaternion(axis2, angle2))
    )


def compose_log_coordinates(log1: ArrayLike, log2: ArrayLike) -> Array:
    """Log coordinates of the second rotation followed by the first."""
    first, second = log_coordinates_to_quaternion(log1), log_coordinates_to_quaternion(log2)
    return rotations.quaternion_to_log_coordinates(compose_quaternion(first, second))


def inverse_angles(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Angles:
    """Angles (-c, -b, -a) of the inverse of R_y(a) R_x(b) R_y(c)."""
    return -radial.floats(c), -radial.floats(b), -radial.floats(a)


def inverse_quaternion(q: ArrayLike) -> Array:
    """The conjugate of a unit quaternion."""
    q = radial.floats(q)
    return jnp.concatenate([q[..., :1], -q[..., 1:]], axis=-1)


def inverse_log_coordinates(log: ArrayLike) -> Array:
    """The rotation by |v| about -v."""
    return -radial.floats(log)


def rotation_angle_from_quaternion(q1: ArrayLike, q2: ArrayLike) -> Array:
    """Angle, 0 <= angle <= π, of the rotation that takes one to the other."""
    between = compose_quaternion(q1, inverse_quaternion(q2))
    return radial.safe_norm(rotations.quaternion_to_log_coordinates(between))


def rotation_angle_from_angles(
    a1: ArrayLike, b1: ArrayLike, c1: ArrayLike, a2: ArrayLike, b2: ArrayLike, c2: ArrayLike
) -> Array:
    """Angle, 0 <= angle <= π, of the rotation that takes one to the other."""
    first, second = angles_to_quaternion(a1, b1, c1), angles_to_quaternion(a2, b2, c2)
    return rotation_angle_from_quaternion(first, second)


def rotation_angle_from_axis_angle(
    axis1: ArrayLike, angle1: ArrayLike, axis2: ArrayLike, angle2: ArrayLike
) -> Array:
    """Angle, 0 <= angle <= π, of the rotation that takes one to the other."""
    first = axis_angle_to_quaternion(axis1, angle1)
    return rotation_angle_from_quaternion(first, axis_angle_to_quaternion(axis2, angle2))


def rotation_angle_from_log_coordinates(log1: ArrayLike, log2: ArrayLike) -> Array:
    """Angle, 0 <= angle <= π, of the rotation that takes one to the other."""
    first, second = log_coordinates_to_quaternion(log1), log_coordinates_to_quaternion(log2)
    return rotation_angle_from_quaternion(first, second)
