"""Associated Legendre functions, the polar part of the spherical harmonics."""

import math
from typing import Any

import jax.numpy as jnp

from equipot.e3.so3.spherical_harmonics import polar_polynomials
from equipot.typing import Array, Float


def legendre(
    lmax: int, x: Float[Array, "*batch"], phase: int | float, is_normalized: bool = False
) -> Float[Array, "{lmax+1} {lmax+1} *batch"]:
    """Pˡᵐ(x) in entry [l, m], zero for m > l.

    Pˡᵐ(x) = phaseᵐ (1-x²)^(m/2) dᵐ/dxᵐ Pˡ(x). Derivatives of every order exist by automatic
    differentiation. Those of odd m are infinite at x = ±1; there the derivative of √(1-x²) is taken
    as zero, so that none is.

    Args:
      lmax: Highest degree, at least 0.
      x: Cosine of the polar angle, -1 to 1.
      phase: 1, or -1 for the sign of Condon and Shortley.
      is_normalized: Whether to multiply by √((2l+1)/4π (l-m)!/(l+m)!), as spherical harmonics do.

    Raises:
      ValueError: lmax is negative, or the phase is not ±1.
    """
    if lmax < 0 or phase not in (-1, 1):
        raise ValueError(f"expected lmax >= 0 and a phase of ±1, received {lmax} and {phase}")
    one = jnp.ones_like(x)
    polar = polar_polynomials(x, one, one, lmax)
    sines = _powers_of_sine(x, lmax)
    rows: list[Any] = []
    for l in range(lmax + 1):
        values = [phase**m * _factor(l, m, is_normalized) for m in range(l + 1)]
        row = [factor * polar[l, m] * sines[m] for m, factor in enumerate(values)]
        rows.append(jnp.stack(row + [jnp.zeros_like(x)] * (lmax - l)))
    return jnp.stack(rows)


def _powers_of_sine(x: Array, lmax: int) -> list[Array]:
    """(1-x²)^(m/2) for m = 0 … lmax; even powers are polynomials."""
    squared = (1.0 - x) * (1.0 + x)
    inside = squared > 0
    sine = jnp.where(inside, jnp.sqrt(jnp.where(inside, squared, 1.0)), 0.0)
    powers = [jnp.ones_like(x), sine]
    while len(powers) <= lmax:
        powers.append(powers[-2] * squared)
    return powers


def _factor(l: int, m: int, is_normalized: bool) -> float:
    """What turns a polar polynomial, of component normalisation, into the function asked for."""
    factor = math.sqrt(0.5 if m else 1.0)
    if is_normalized:
        return factor / math.sqrt(4.0 * math.pi)
    return factor * math.sqrt(math.perm(l + m, 2 * m) / (2 * l + 1))
