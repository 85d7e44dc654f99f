"""Nonlinear functions whose output has unit second moment for standard normal input."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from equipot.typing import Array, Float

Activation = Callable[[Array], Array]


@functools.cache
def normalize_function(function: Activation) -> Activation:
    """Scales f to c f with c = ⟨f(z)²⟩^(-1/2) over a standard normal z.

    The mean is a composite Gauss-Legendre quadrature, split at 0, exact to rounding for functions
    that are smooth on either side of it. The result is cached: one function, one object.

    Raises:
      ValueError: The second moment of f is zero or not finite.
    """
    constant = 1.0 / math.sqrt(second_moment(function))

    @functools.wraps(function)
    def normalized(x: Array) -> Array:
        return constant * function(x)

    return normalized


def second_moment(function: Activation) -> float:
    """⟨f(z)²⟩ for a standard normal z, by quadrature in float64.

    Raises:
      ValueError: The moment is zero or not finite.
    """
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(-14.0, 14.0, 113)
    half = 0.5 * np.diff(edges)[:, None]
    z = 0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        values = np.asarray(function(jnp.asarray(z, jnp.float64)), np.float64)
    density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    moment = float(np.sum(half * weights * density * values**2))
    if not (math.isfinite(moment) and moment > 0.0):
        raise ValueError(f"expected a function with a positive second moment, found {moment}")
    return moment


def shifted_softplus(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """log((1 + exp x)/2), zero at zero."""
    return jax.nn.softplus(x) - math.log(2.0)


def soft_odd(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Returns x (1 - exp(-x²)), an odd function that is flat at zero and linear far away."""
    return (1.0 - jnp.exp(-(x**2))) * x
