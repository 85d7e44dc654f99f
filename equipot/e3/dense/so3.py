"""Rotations, harmonics, Wigner matrices and couplings in the conventions of dense features.

Everything acts on **row** vectors: ``v @ rot`` rotates a vector, ``Y @ wigner_d(rot)`` harmonics.
The polar axis is z. The (L+1)² components stand by degree, within degree l in Cartesian order
m = l, -l, …, 1, -1, 0, where degree 1 is (x, y, z), or in order m = -l … l, where it is (y, z, x).

Numbers come from ``equipot.e3``, whose polar axis is y: its degree l at (y, z, x) is degree l here,
component by component, so that couplings are the same tables. Couplings have Σ C² = 2l₃+1.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from equipot.e3.functions import radial
from equipot.e3.so3 import rotations, wigner
from equipot.e3.so3.clebsch_gordan import clebsch_gordan as real_coefficients
from equipot.e3.so3.spherical_harmonics import spherical_harmonics_components
from equipot.typing import Array, Float, Key


def spherical_harmonics(
    r: Array | np.ndarray,
    max_degree: int,
    r_is_normalized: bool = False,
    cartesian_order: bool = True,
    normalization: str = "racah",
) -> Float[Array, "*batch {(max_degree+1)**2}"]:
    """Real spherical harmonics Yˡₘ(r/|r|) for l = 0 … L.

    Args:
      r: Vectors. The zero vector has [1, 0, …, 0] times the factor, with derivatives zero.
      max_degree: L, at least 0.
      r_is_normalized: Whether r has length 1 already.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.
      normalization: ``racah`` (= ``schmidt``) Σₘ Y² = 1, ``4pi`` 2l+1, ``orthonormal`` (2l+1)/4π.

    Raises:
      ValueError: r has no 3 components, max_degree is negative, or the normalisation is unknown.
    """
    r = _check_vectors(r)
    factors = [normalization_factor(l, normalization) for l in range(max_degree + 1)]
    if not r_is_normalized:
        zero = jnp.all(r == 0, axis=-1, keepdims=True)
        r = jnp.where(zero, 0.0, radial.safe_normalize(r))
    return _harmonics(r, max_degree, factors, cartesian_order)


def solid_harmonics(
    r: Array | np.ndarray, max_degree: int, cartesian_order: bool = True
) -> Float[Array, "*batch {(max_degree+1)**2}"]:
    """Regular solid harmonics Rˡₘ(r) = |r|ˡ Yˡₘ(r/|r|) in Racah's normalisation: polynomials of r.

    Args:
      r: Vectors.
      max_degree: L, at least 0.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.

    Raises:
      ValueError: r has no 3 components, or max_degree is negative.
    """
    return _harmonics(_check_vectors(r), max_degree, [1.0] * (max_degree + 1), cartesian_order)


def wigner_d(
    rot: Array | np.ndarray, max_degree: int, cartesian_order: bool = True
) -> Float[Array, "*batch {(max_degree+1)**2} {(max_degree+1)**2}"]:
    """Block-diagonal matrix D of a rotation: Y(r @ rot) = Y(r) @ D for all degrees to L.

    A polynomial of the elements of ``rot``; a matrix of determinant -1 gives the parity (-1)ˡ.

    Args:
      rot: Orthogonal matrices, which is not checked.
      max_degree: L, at least 0.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.

    Raises:
      ValueError: rot is not 3x3, or max_degree is negative.
    """
    rot = floats(rot)
    if rot.shape[-2:] != (3, 3):
        raise ValueError(f"expected rotations of shape (..., 3, 3), received {rot.shape}")
    check_degree(max_degree)
    turned = jnp.roll(rot, (-1, -1), (-2, -1))  # of (y, z, x)
    blocks = []
    for l in range(max_degree + 1):
        order = np.array(component_order(l, cartesian_order))
        blocks.append(wigner.wigner_D(l, turned)[..., order, :][..., :, order])
    return wigner.block_diagonal(blocks, rot.shape[:-2], rot.dtype)


def clebsch_gordan(
    max_degree1: int, max_degree2: int, max_degree3: int, cartesian_order: bool = True
) -> Float[np.ndarray, "n1 n2 n3"]:
    """Couplings of all degrees at once, float64: block (l1, l2, l3) as ``…_for_degrees``.

    Raises:
      ValueError: A degree is negative.
    """
    degrees = (max_degree1, max_degree2, max_degree3)
    for degree in degrees:
        check_degree(degree)
    table = np.zeros([(degree + 1) ** 2 for degree in degrees])
    for l1, l2, l3 in np.ndindex(*(degree + 1 for degree in degrees)):
        block = clebsch_gordan_for_degrees(l1, l2, l3, cartesian_order)
        table[l1**2 : (l1 + 1) ** 2, l2**2 : (l2 + 1) ** 2, l3**2 : (l3 + 1) ** 2] = block
    return table


@functools.cache
def clebsch_gordan_for_degrees(
    degree1: int, degree2: int, degree3: int, cartesian_order: bool = True
) -> Float[np.ndarray, "m1 m2 m3"]:
    """Coupling (l1, l2, l3), float64, Σ C² = 2l₃+1, zero where the triangle rule forbids it.

    The array is shared and read-only.

    Raises:
      ValueError: A degree is negative.
    """
    degrees = (degree1, degree2, degree3)
    for degree in degrees:
        check_degree(degree)
    orders = [component_order(l, cartesian_order) for l in degrees]
    table = real_coefficients(*degrees)[np.ix_(*orders)] * math.sqrt(2 * degree3 + 1)
    table.setflags(write=False)
    return table


def rotation(axis: ArrayLike, angle: ArrayLike) -> Float[Array, "*batch 3 3"]:
    """Matrix that turns row vectors counterclockwise by an angle (radians) about an axis.

    Args:
      axis: Directions ``[..., 3]`` of any length; no rotation about the zero vector.
      angle: One angle each.
    """
    axis = floats(axis)
    angle = jnp.broadcast_to(floats(angle, axis), axis.shape[:-1])
    return _transpose(rotations.axis_angle_to_matrix(axis, angle))


def rotation_euler(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Float[Array, "*batch 3 3"]:
    """Rotation about x by a, then about y by b, then about z by c (radians), for row vectors."""
    matrices = [rotations.matrix_z(c), rotations.matrix_y(b), rotations.matrix_x(a)]
    product = functools.partial(jnp.matmul, precision="highest")
    return _transpose(product(matrices[0], product(matrices[1], matrices[2])))


def euler_angles_from_rotation(
    rot: Array | np.ndarray,
) -> tuple[Array, Array, Array]:
    """Angles (a, b, c), |b| <= π/2, of which ``rotation_euler`` makes the rotation.

    Not differentiable at |b| = π/2, where a and c turn about one axis; the angles still rebuild
    the rotation there.

    Raises:
      ValueError: rot is not 3x3.
    """
    rot = floats(rot)
    if rot.shape[-2:] != (3, 3):
        raise ValueError(f"expected rotations of shape (..., 3, 3), received {rot.shape}")
    a = jnp.arctan2(rot[..., 1, 2], rot[..., 2, 2])
    b = jnp.arctan2(-rot[..., 0, 2], radial.safe_norm(rot[..., 0, :2]))
    # c from what is left when a is undone, which holds also where the elements of row 0 vanish.
    sine, cosine = jnp.sin(a), jnp.cos(a)
    across = sine * rot[..., 2, 0] - cosine * rot[..., 1, 0]
    along = cosine * rot[..., 1, 1] - sine * rot[..., 2, 1]
    return a, b, jnp.arctan2(across, along)


def alignment_rotation(u: Array | np.ndarray, v: Array | np.ndarray) -> Float[Array, "*batch 3 3"]:
    """Rotation by the shortest arc from the direction of u to that of v: û @ rot = v̂.

    Antiparallel vectors are turned by π about some axis across them; a zero vector not at all.
    """
    u, v = jnp.broadcast_arrays(_check_vectors(u), _check_vectors(v))
    u, v = radial.safe_normalize(u), radial.safe_normalize(v)
    # Beyond a right angle: align u with -v, then a half turn across v, so that nothing cancels.
    cosine = jnp.sum(u * v, axis=-1, keepdims=True)
    beyond = cosine < 0
    normal = jnp.cross(u, jnp.where(beyond, -v, v))
    one = jnp.broadcast_to(jnp.eye(3, dtype=u.dtype), (*u.shape, 3))
    turn = _cross_matrix(normal)
    square = jnp.matmul(turn, turn, precision="highest")
    short = one + turn + square / (1.0 + jnp.abs(cosine))[..., None]
    hinge = _across(normal, v)
    half_turn = 2.0 * hinge[..., :, None] * hinge[..., None, :] - one
    turned = jnp.matmul(short, half_turn, precision="highest")
    return jnp.where(beyond[..., None], turned, short)


def random_rotation(
    key: Key[Array, ""] | Array, perturbation: int | float = 1.0, num: int = 1
) -> Float[Array, "*batch 3 3"]:
    """Random rotations that carry every point uniformly into a cap about itself.

    The image of a point has a height along it that is uniform in [1 - 2p, 1]: the rotation is
    uniform for perturbation p = 1, at most by a right angle from any point for p = 1/2, none for 0.
    With ω the angle of a uniform rotation, the angle is ω' with sin(ω'/2) = √p sin(ω/2).

    Args:
      key: PRNG key.
      perturbation: p between 0 and 1.
      num: Number of rotations; one is returned as ``[3, 3]``, more as ``[num, 3, 3]``.

    Raises:
      ValueError: perturbation is not between 0 and 1.
    """
    if not 0.0 <= perturbation <= 1.0:
        raise ValueError(f"expected a perturbation between 0 and 1, received {perturbation}")
    q = rotations.rand_quaternion(key, () if num == 1 else (num,))
    vector = math.sqrt(perturbation) * q[..., 1:]
    rest = 1.0 - perturbation + perturbation * q[..., :1] ** 2
    scaled = jnp.concatenate([jnp.sqrt(rest), vector], axis=-1)
    return rotations.quaternion_to_matrix(scaled)


def normalization_factor(degree: int, normalization: str) -> float:
    """What multiplies harmonics of Racah's normalisation.

    Raises:
      ValueError: The normalisation is unknown.
    """
    factors = {"racah": 1.0, "schmidt": 1.0, "4pi": math.sqrt(2 * degree + 1)}
    factors["orthonormal"] = math.sqrt((2 * degree + 1) / (4 * math.pi))
    if normalization not in factors:
        raise ValueError(f"expected a normalisation of {list(factors)}, received {normalization!r}")
    return factors[normalization]


@functools.cache
def component_order(degree: int, cartesian_order: bool) -> tuple[int, ...]:
    """Positions l + m, in order -l … l, of the components in the order asked for."""
    if not cartesian_order:
        return tuple(range(2 * degree + 1))
    pairs = [degree + sign * m for m in range(degree, 0, -1) for sign in (1, -1)]
    return (*pairs, degree)


def check_degree(degree: int) -> None:
    """Raises a ValueError if a degree is negative."""
    if degree < 0:
        raise ValueError(f"expected a degree of at least 0, received {degree}")


def floats(x: ArrayLike, like: Array | None = None) -> Array:
    """The input as floating point numbers, in its own precision or in that of ``like``."""
    x = jnp.asarray(x)
    if like is not None:
        return x.astype(like.dtype)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def _harmonics(r: Array, max_degree: int, factors: list[float], cartesian_order: bool) -> Array:
    """Harmonics of vectors as they are, in Racah's normalisation times one factor per degree."""
    check_degree(max_degree)
    degrees: Any = spherical_harmonics_components(jnp.roll(r, -1, -1), max_degree)
    columns = []
    for l in range(max_degree + 1):
        factor = factors[l] / math.sqrt(2 * l + 1)
        columns += [factor * degrees[l][i] for i in component_order(l, cartesian_order)]
    return jnp.stack(columns, axis=-1)


def _check_vectors(r: Any) -> Array:
    r = floats(r)
    if r.ndim == 0 or r.shape[-1] != 3:
        raise ValueError(f"expected vectors of shape (..., 3), received {r.shape}")
    return r


def _cross_matrix(n: Array) -> Array:
    """Matrix X with v @ X = n x v."""
    x, y, z = n[..., 0], n[..., 1], n[..., 2]
    o = jnp.zeros_like(x)
    rows = [[o, z, -y], [-z, o, x], [y, -x, o]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _across(n: Array, v: Array) -> Array:
    """Unit vectors along n, made exactly orthogonal to unit vectors v; any where n is too short."""
    small = jnp.sum(n * n, axis=-1, keepdims=True) < 16.0 * jnp.finfo(n.dtype).eps
    axis = jnp.eye(3, dtype=v.dtype)[jnp.argmin(v * v, axis=-1)]
    n = jnp.where(small, jnp.cross(v, axis), n)
    return radial.safe_normalize(n - jnp.sum(n * v, axis=-1, keepdims=True) * v)


def _transpose(matrix: Array) -> Array:
    return jnp.swapaxes(matrix, -1, -2)
