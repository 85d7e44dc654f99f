"""Functions of a distance that switch on or off: cutoffs, damping and windows.

All are finite with their derivatives at zero, at the cutoff and beyond. Lengths share one unit.
"""

import math
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.functions import radial
from equipot.typing import Array, Float

Scalar: TypeAlias = int | float | Float[Array, ""]


def smooth_cutoff(x: Float[Array, "*batch"], cutoff: Scalar = 1.0) -> Float[Array, "*batch"]:
    """Bump function from 1 at zero to 0 at the cutoff, where every derivative vanishes.

    c(x) = exp(1 - 1/(1 - (x/cutoff)²)) for |x| < cutoff, else 0.

    Args:
      x: Distances.
      cutoff: Where it ends, positive.

    Raises:
      ValueError: The cutoff is not positive.
    """
    scaled = x / in_dtype(_positive(cutoff, "cutoff"), x)
    return math.e * radial.sus(1.0 - scaled * scaled)


def cosine_cutoff(x: Float[Array, "*batch"], cutoff: Scalar = 1.0) -> Float[Array, "*batch"]:
    """Half a cosine from 1 at zero to 0 at the cutoff, where its slope vanishes.

    c(x) = (1 + cos(π x/cutoff))/2 for x < cutoff, else 0.

    Args:
      x: Distances, non-negative.
      cutoff: Where it ends, positive.

    Raises:
      ValueError: The cutoff is not positive.

    Reference: Behler 2011. doi:10.1063/1.3553717
    """
    scaled = x / in_dtype(_positive(cutoff, "cutoff"), x)
    return jnp.where(scaled < 1.0, 0.5 * (1.0 + jnp.cos(math.pi * scaled)), 0.0)


def smooth_switch(
    x: Float[Array, "*batch"], x0: Scalar = 0.0, x1: Scalar = 1.0
) -> Float[Array, "*batch"]:
    """Step from 0 at x0 to 1 at x1, where every derivative vanishes.

    s(x) = 1/(1 + exp(√3/2 (1/t - 1/(1-t)))) with t = (x - x0)/(x1 - x0), of slope √3 at t = 1/2.

    Args:
      x: Values.
      x0: Below, it is 0.
      x1: Above, it is 1; larger than x0.

    Raises:
      ValueError: x1 is not larger than x0.
    """
    if isinstance(x0, int | float) and isinstance(x1, int | float) and x1 <= x0:
        raise ValueError(f"expected x1 larger than x0, received x0={x0} and x1={x1}")
    start, end = in_dtype(x0, x), in_dtype(x1, x)
    t = (x - start) / (end - start)
    # Where the step differs from 0 or 1 by less than the smallest normal number it is that, so
    # that no derivative multiplies zero by an overflow of 1/tⁿ.
    steepness = math.sqrt(3.0) / 2.0
    margin = -steepness / math.log(float(jnp.finfo(x.dtype).tiny))
    inside = (t > margin) & (t < 1.0 - margin)
    t_inside = jnp.where(inside, t, 0.5)
    step = jax.nn.sigmoid(steepness * (1.0 / (1.0 - t_inside) - 1.0 / t_inside))
    return jnp.where(inside, step, jnp.where(t < 0.5, 0.0, 1.0))


def smooth_damping(x: Float[Array, "*batch"], gamma: Scalar = 1.0) -> Float[Array, "*batch"]:
    """From 0 at zero, where every derivative vanishes, quickly to 1.

    d(x) = exp(-1/(exp(γx) - 1)), and 0 for x ≤ 0.

    Args:
      x: Distances.
      gamma: Rate γ, positive.
    """
    # From 40 on the function is 1 to the last digit, and the exponential does not overflow.
    return radial.sus(jnp.expm1(jnp.minimum(x * in_dtype(gamma, x), 40.0)))


def rectangular_window(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Boxes side by side: wₖ(x) = 1 for k ≤ K x/limit ≤ k+1, else 0, with k = 0 … K-1.

    Both boxes at an edge are 1 there. All derivatives are zero.

    Args:
      x: Distances.
      num: Number K of functions.
      limit: Upper end of the last box.

    Raises:
      ValueError: num or limit is not positive.
    """
    t = _shifted(x, num, limit)
    return jnp.where((t >= 0.0) & (t <= 1.0), jnp.ones_like(t), 0.0)


def triangular_window(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Hats that overlap, of sum 1 up to (K-1)/K limit: wₖ(x) = max(1 - |K x/limit - k|, 0).

    Args:
      x: Distances.
      num: Number K of functions, k = 0 … K-1.
      limit: Upper end of the last hat.

    Raises:
      ValueError: num or limit is not positive.
    """
    return jnp.maximum(1.0 - jnp.abs(_shifted(x, num, limit)), 0.0)


def smooth_window(
    x: Float[Array, "*batch"], num: int, limit: Scalar = 1.0
) -> Float[Array, "*batch {num}"]:
    """Smooth bumps that overlap, of sum 1 up to (K-1)/K limit: wₖ(x) = s(t+1) - s(t).

    s is ``smooth_switch`` and t = K x/limit - k for k = 0 … K-1: ``triangular_window`` with
    continuous derivatives of every order.

    Args:
      x: Distances.
      num: Number K of functions.
      limit: Upper end of the last bump.

    Raises:
      ValueError: num or limit is not positive.
    """
    t = _shifted(x, num, limit)
    return smooth_switch(1.0 - jnp.abs(t))


def in_dtype(value: Scalar, x: Array) -> int | float | Array:
    """A number as it is, an array in the precision of x, so that neither promotes x."""
    if isinstance(value, int | float) or not jnp.issubdtype(x.dtype, jnp.floating):
        return value
    return value.astype(x.dtype)


def check_basis(num: int, limit: Scalar = 1.0) -> None:
    """Raises a ValueError if a number of functions, or where they end, is not positive."""
    if num < 1:
        raise ValueError(f"expected num of at least 1, received {num}")
    _positive(limit, "limit")


def _positive(value: Scalar, name: str) -> Scalar:
    """The value, checked where it is known already."""
    if isinstance(value, int | float) and not value > 0:
        raise ValueError(f"expected {name} larger than 0, received {value}")
    return value


def _shifted(x: Array, num: int, limit: Scalar) -> Array:
    """K x/limit - k, along a new last axis."""
    check_basis(num, limit)
    scaled = num * (x / in_dtype(limit, x))
    k = np.arange(num).astype(x.dtype)
    return scaled[..., None] - k.reshape((1,) * x.ndim + (-1,))
