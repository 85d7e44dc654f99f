"""Traceless symmetric Cartesian tensors of rank l, and the irreps of degree l that they are."""

import functools
import math

import jax.numpy as jnp
import numpy as np

from equipot.e3.dense import so3
from equipot.typing import Array, Float


def irreps_to_tensor(
    x: Array | np.ndarray,
    degree: int,
    cartesian_order: bool = True,
    normalization: str = "racah",
) -> Float[Array, "..."]:
    """The traceless symmetric tensor ``[..., 3, …, 3]`` of rank l of an irrep ``[..., 2l+1]``.

    Of the harmonics of a unit vector it makes the traceless part of the product of l such vectors,
    zz - 1/3 for l = 2. For degree 0 the last axis of length 1 stays.

    Args:
      x: Irreps of one degree.
      degree: l, at least 0.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.
      normalization: Of the harmonics that the irreps are compared with: ``racah``, ``4pi``, …

    Raises:
      ValueError: x does not have 2l+1 components, or the degree or normalisation is none.
    """
    x = so3.floats(x)
    so3.check_degree(degree)
    if x.ndim == 0 or x.shape[-1] != 2 * degree + 1:
        raise ValueError(
            f"expected irreps of degree {degree} of shape (..., {2 * degree + 1}), received "
            f"{x.shape}"
        )
    table = _tensors(degree, cartesian_order) * _length(degree)
    table = table / so3.normalization_factor(degree, normalization)
    flat = jnp.matmul(x, table.T.astype(x.dtype), precision="highest")
    return flat.reshape((*x.shape[:-1], *_axes(degree)))


def tensor_to_irreps(
    x: Array | np.ndarray,
    degree: int,
    cartesian_order: bool = True,
    normalization: str = "racah",
) -> Float[Array, "*batch components"]:
    """The irrep ``[..., 2l+1]`` of a traceless symmetric tensor: undoes ``irreps_to_tensor``.

    What a tensor has of trace or antisymmetry is dropped.

    Args:
      x: Tensors of rank l, ``[..., 3, …, 3]``; ``[..., 1]`` for degree 0.
      degree: l, at least 0.
      cartesian_order: Whether m runs l, -l, …, 1, -1, 0 instead of -l … l.
      normalization: Of the harmonics that the irreps are compared with: ``racah``, ``4pi``, …

    Raises:
      ValueError: x is no tensor of rank l, or the degree or normalisation is none.
    """
    x = so3.floats(x)
    lead = _lead(x, degree)
    factor = so3.normalization_factor(degree, normalization)
    table = _tensors(degree, cartesian_order) * (factor / _length(degree))
    return jnp.matmul(x.reshape((*lead, -1)), table.astype(x.dtype), precision="highest")


def is_traceless_symmetric(
    x: Array | np.ndarray, degree: int, rtol: float = 1e-5, atol: float = 1e-5
) -> bool:
    """Whether known tensors of rank l equal their traceless symmetric part, within tolerances.

    Raises:
      ValueError: x is no tensor of rank l, or the degree is negative.
    """
    lead = _lead(x, degree)
    flat = np.asarray(x, np.float64).reshape((*lead, -1))
    table = _tensors(degree, cartesian_order=True)
    return bool(np.allclose(flat, (flat @ table) @ table.T, rtol=rtol, atol=atol))


def _lead(x: Array | np.ndarray, degree: int) -> tuple[int, ...]:
    """Leading axes of tensors of rank l."""
    so3.check_degree(degree)
    axes = _axes(degree)
    if x.shape[max(x.ndim - len(axes), 0) :] != axes:
        form = "(..., 1)" if degree == 0 else "(..., " + ", ".join("3" * degree) + ")"
        raise ValueError(f"expected tensors of rank {degree}: {form}, received shape {x.shape}")
    return x.shape[: x.ndim - len(axes)]


def _axes(degree: int) -> tuple[int, ...]:
    return (3,) * degree if degree else (1,)


def _length(degree: int) -> float:
    """Length of the traceless symmetric part of a product of l equal unit vectors."""
    f = math.factorial
    return math.sqrt(2**degree * f(degree) ** 2 / f(2 * degree))


@functools.cache
def _tensors(degree: int, cartesian_order: bool) -> np.ndarray:
    """Orthonormal traceless symmetric tensors ``[3ˡ, 2l+1]``, one for each component of the irrep.

    Rank l from rank l-1 by coupling one vector more, in which components of degree 1 are x, y, z.
    """
    table = np.ones((1, 1))
    for l in range(1, degree + 1):
        coupling = so3.clebsch_gordan_for_degrees(l - 1, 1, l)
        table = np.einsum("tm,min->tin", table, coupling).reshape(3**l, 2 * l + 1)
    if not cartesian_order:
        order = so3.component_order(degree, cartesian_order=True)
        table = table[:, np.argsort(order)]
    return table
