"""Lengths of vectors with finite derivatives, softplus undone, and derivatives of functions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.functions import radial
from equipot.typing import Array, Float

Axis = int | tuple[int, ...] | None


def norm(x: Float[Array, "..."], axis: Axis = None, keepdims: bool = False) -> Float[Array, "..."]:
    """Euclidean length |x| along one axis, several, or all; derivatives at zero are zero."""
    return normalize_and_return_norm(x, axis, keepdims)[1]


def normalize(x: Float[Array, "..."], axis: Axis = None) -> Float[Array, "..."]:
    """Unit vectors x/|x|; the zero vector stays, with the derivative of the identity."""
    return normalize_and_return_norm(x, axis)[0]


def normalize_and_return_norm(
    x: Float[Array, "..."], axis: Axis = None, keepdims: bool = False
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Unit vectors as ``normalize`` and lengths as ``norm``, each vector by itself.

    Args:
      x: Vectors along ``axis``.
      axis: One axis, several, or None for all.
      keepdims: Whether the lengths keep these axes, with length one.
    """
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(i % x.ndim for i in axes)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    moved = jnp.transpose(x, rest + axes)
    lead = moved.shape[: len(rest)]
    flat = moved.reshape(*lead, int(np.prod(moved.shape[len(rest) :])))
    inverse = [(rest + axes).index(i) for i in range(x.ndim)]
    unit = jnp.transpose(radial.safe_normalize(flat).reshape(moved.shape), inverse)
    length = radial.safe_norm(flat)
    return unit, jnp.expand_dims(length, axes) if keepdims else length


def inverse_softplus(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The y with log(1 + eʸ) = x, for x > 0: y = x + log(1 - e⁻ˣ)."""
    return x + jnp.log(-jnp.expm1(-x))


def evaluate_derivatives(
    f: Callable[[Array], Array], x: Float[Array, "*batch"], max_order: int
) -> list[Array]:
    """Values f(x), f'(x), f''(x) … of a function that acts on each element of x by itself.

    Args:
      f: The function; it may append axes.
      x: Where it is evaluated.
      max_order: Highest order of derivatives.

    Raises:
      ValueError: max_order is negative.
    """
    if max_order < 0:
        raise ValueError(f"expected max_order of at least 0, received {max_order}")
    values = [f(x)]
    for _ in range(max_order):
        f = _derivative(f)
        values.append(f(x))
    return values


def _derivative(f: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
