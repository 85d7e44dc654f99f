"""Functions of a distance: bases and envelopes; lengths of vectors.

Distances and cutoffs share one unit (Å in the models). All derivatives are finite at distance zero.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from equipot.e3.keywords import also_named
from equipot.typing import Array, Float

Distances: TypeAlias = ArrayLike


def safe_norm(
    vectors: Float[Array, "*batch components"], *, axis: int = -1, keepdims: bool = False
) -> Array:
    """Euclidean length |v|, whose derivatives at v = 0 are zero instead of undefined.

    Each vector is scaled by itself, so that squares neither overflow nor vanish.
    """
    vectors, scale = _scaled(vectors, axis)
    squared = jnp.sum(vectors * vectors, axis=axis, keepdims=True)
    zero = squared == 0
    length = jnp.where(zero, 0.0, scale * jnp.sqrt(jnp.where(zero, 1.0, squared)))
    return length if keepdims else jnp.squeeze(length, axis)


def safe_normalize(vectors: Float[Array, "*batch components"], *, axis: int = -1) -> Array:
    """Unit vectors v/|v|, and zero for the zero vector with the derivative of the identity."""
    scaled, _ = _scaled(vectors, axis)
    squared = jnp.sum(scaled * scaled, axis=axis, keepdims=True)
    zero = squared == 0
    return jnp.where(zero, vectors, scaled) / jnp.sqrt(jnp.where(zero, 1.0, squared))


def _scaled(vectors: Array, axis: int) -> tuple[Array, Array]:
    """Vectors over a power of two near their largest component, and that power.

    A power of two changes no digit: numbers of ordinary size give the same length with it and
    without. It is a constant for derivatives, which it does not change either.
    """
    vectors = floats(vectors)
    kind = jnp.finfo(vectors.dtype)
    bound = 2.0 ** (kind.maxexp - 2)  # the largest power whose inverse is a normal number too
    largest = jnp.max(jnp.abs(lax.stop_gradient(vectors)), axis, keepdims=True, initial=0.0)
    within = jnp.where(largest == 0, 1.0, jnp.clip(largest, 1.0 / bound, bound))
    power = lax.reduce_precision(within, exponent_bits=kind.nexp, mantissa_bits=0)
    return vectors * (1.0 / power), power


@also_named(x="r", x_max="cutoff")
def bessel(r: Distances, n: int, cutoff: int | float = 1.0) -> Float[Array, "*batch {n}"]:
    """Spherical Bessel functions of degree zero that vanish at the cutoff.

    bₖ(r) = √(2/c) sin(kπr/c)/r for k = 1 … n, with its limit √(2/c) kπ/c at r = 0. They do not
    vanish beyond the cutoff: multiply by an envelope.

    Args:
      r: Distances, non-negative.
      n: Number of functions.
      cutoff: Distance c of the common zero, positive.

    Reference: Gasteiger et al. 2020 (DimeNet). arXiv:2003.03123
    """
    r = floats(r)
    k = math.pi / cutoff * np.arange(1.0, n + 1.0)
    return sine_quotient(r[..., None] * row(k, r)) * row(math.sqrt(2.0 / cutoff) * k, r)


def bessel_with_roots(
    r: Float[Array, "*batch"], roots: Float[Array, " n"], cutoff: int | float = 1.0
) -> Float[Array, "*batch n"]:
    """The functions of ``bessel`` with numbers ρₖ, which may be trained, in the place of 1 … n.

    bₖ(r) = √(2/c) sin(ρₖπr/c)/r. Only those of whole numbers vanish at the cutoff.

    Args:
      r: Distances, non-negative.
      roots: The numbers ρₖ, not zero.
      cutoff: Distance c, positive.
    """
    k = jnp.reshape(roots, (1,) * r.ndim + (-1,)) * (math.pi / cutoff)
    return sine_quotient(r[..., None] * k) * (math.sqrt(2.0 / cutoff) * k)


def whole_numbers(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """The numbers 1 … n: what roots are before training, as an initialiser of flax."""
    return jnp.arange(1, shape[0] + 1, dtype=dtype)


def sine_quotient(y: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """sin(y)/y; by its series below 1, where derivatives of the quotient cancel or overflow."""
    small = jnp.abs(y) < 1.0
    near, far = jnp.where(small, y * y, 0.0), jnp.where(small, 1.0, y)
    series = jnp.full_like(y, 1.0 / math.factorial(21))
    for n in range(9, -1, -1):
        series = 1.0 / math.factorial(2 * n + 1) - near * series
    return jnp.where(small, series, jnp.sin(far) / far)


def polynomial_cutoff(r: Distances, cutoff: int | float, p: int = 6) -> Float[Array, "*batch"]:
    """Envelope u(r) from 1 at zero to 0 at the cutoff, where value, slope and curvature vanish.

    u(x) = 1 - (p+1)(p+2)/2 xᵖ + p(p+2) xᵖ⁺¹ - p(p+1)/2 xᵖ⁺², x = r/cutoff, exactly 0 from x = 1.

    Args:
      r: Distances, non-negative.
      cutoff: Distance beyond which the envelope and its derivatives are zero, positive.
      p: Exponent, at least 2; larger is flatter near the atom.

    Reference: Gasteiger et al. 2020 (DimeNet). arXiv:2003.03123
    """
    return poly_envelope(p - 1, 2, cutoff)(r)


def xplor_cutoff(r: Distances, cutoff: int | float, start: int | float) -> Float[Array, "*batch"]:
    """Envelope u(r) that is 1 up to a distance and falls to 0 at the cutoff c.

    u(r) = (c² - r²)² (c² + 2r² - 3s²) / (c² - s²)³ from s = ``start`` to c. Value and slope are
    continuous at both ends; the curvature jumps there.

    Args:
      r: Distances, non-negative.
      cutoff: Distance beyond which the envelope is zero, positive.
      start: Distance up to which it is one, below the cutoff.

    Reference: Brooks et al. 1983 (CHARMM), J. Comput. Chem. 4, 187. DOI 10.1002/jcc.540040211
    """
    c, s = float(cutoff) ** 2, float(start) ** 2
    square = jnp.clip(floats(r) ** 2, s, c)
    return (c - square) ** 2 * (c + 2.0 * square - 3.0 * s) * (1.0 / (c - s) ** 3)


@also_named(x_max="cutoff")
def poly_envelope(
    n0: int, n1: int, cutoff: int | float = 1.0
) -> Callable[[Distances], Float[Array, "*batch"]]:
    """A function of the distance from 1 to 0: a polynomial with flat ends, 0 beyond the cutoff.

    u(x) = (1-x)ⁿ¹⁺¹ Σ C(n1+j, j) xʲ over j = 0 … n0, with x = r/cutoff: one minus the regularised
    incomplete beta function Iₓ(n0+1, n1+1), in the form that does not cancel near the cutoff. The
    envelope ``polynomial_cutoff`` is n0 = p-1, n1 = 2.

    Args:
      n0: Number of derivatives that vanish at zero.
      n1: Number of derivatives that vanish at the cutoff.
      cutoff: Distance beyond which the function is zero, positive.
    """

    def envelope(r: Distances) -> Float[Array, "*batch"]:
        x = floats(r) * (1.0 / cutoff)
        inside = x < 1.0
        x = jnp.where(inside, x, 1.0)
        total = jnp.full_like(x, math.comb(n1 + n0, n0))
        for j in range(n0 - 1, -1, -1):
            total = total * x + math.comb(n1 + j, j)
        return jnp.where(inside, (1.0 - x) ** (n1 + 1) * total, 0.0)

    return envelope


def sus(x: Distances) -> Float[Array, "*batch"]:
    """Soft unit step: exp(-1/x) for x > 0, else 0; all derivatives are continuous.

    Exactly zero already where exp(-1/x) is below the smallest normal number, so that no derivative
    multiplies zero by an overflow of 1/xⁿ.
    """
    x = floats(x)
    positive = x > -1.0 / math.log(float(jnp.finfo(x.dtype).tiny))
    return jnp.where(positive, jnp.exp(-1.0 / jnp.where(positive, x, 1.0)), 0.0)


@also_named(x="r", x_max="cutoff", arg_multiplicator="sharpness")
def soft_envelope(
    r: Distances,
    cutoff: int | float = 1.0,
    sharpness: int | float = 2.0,
    value_at_origin: int | float = 1.2,
) -> Float[Array, "*batch"]:
    """Envelope with continuous derivatives of every order, 0 from the cutoff on.

    u(r) = v exp(1/s - 1/(s(1 - r/cutoff))), with s the sharpness and v the value at the origin.
    """
    scale = value_at_origin * math.exp(1.0 / sharpness)
    return scale * sus(sharpness * (1.0 - floats(r) * (1.0 / cutoff)))


@also_named(input="r")
def soft_one_hot_linspace(
    r: Distances,
    *,
    start: int | float,
    end: int | float,
    number: int,
    basis: str,
    cutoff: bool | None = None,
    start_zero: bool | None = None,
    end_zero: bool | None = None,
) -> Float[Array, "*batch {number}"]:
    """Distances spread over ``number`` functions whose squares sum to about 1 inside the range.

    Args:
      r: Distances.
      start: Lower end of the range.
      end: Upper end of the range.
      number: Number of functions.
      basis: Their shape: gaussian, cosine, smooth_finite, fourier or bessel.
      cutoff: Whether the functions vanish at both ends of the range; or else say of each end:
      start_zero: Whether they vanish at the start.
      end_zero: Whether they vanish at the end.

    Raises:
      ValueError: The basis is unknown, one function cannot reach both ends of the range, the ends
        are given neither or both ways, or fourier and bessel should vanish at one end alone.
    """
    r = floats(r)
    at_start, at_end = _ends(cutoff, start_zero, end_zero)
    cutoff = at_start and at_end
    if at_start != at_end and basis in ("bessel", "fourier"):
        raise ValueError(
            f"expected functions of basis {basis} that vanish at both ends or at none, received "
            f"start_zero={at_start}, end_zero={at_end}"
        )
    if basis == "bessel":
        functions = bessel(r - start, number, end - start)
        inside = (r > start) & (r < end)
        return jnp.where(inside[..., None], functions, 0.0) if cutoff else functions
    if basis == "fourier":
        return _fourier(r, start, end, number, cutoff)
    gaps = number - 1 + at_start + at_end
    if gaps < 1:
        raise ValueError(f"expected at least 2 functions without a cutoff, received {number}")
    step = (end - start) / gaps
    centers = start + step * (np.arange(number) + at_start)
    x = (r[..., None] - row(centers, r)) * (1.0 / step)
    if basis == "gaussian":
        return jnp.exp(-(x**2)) * (1.0 / 1.12)
    if basis == "cosine":
        return jnp.where(jnp.abs(x) < 1.0, jnp.cos((math.pi / 2) * x), 0.0)
    if basis == "smooth_finite":
        return (1.14136 * math.e**2) * sus(x + 1.0) * sus(1.0 - x)
    raise ValueError(
        "expected a basis of gaussian, cosine, smooth_finite, fourier or bessel, "
        f"received {basis!r}"
    )


def _ends(cutoff: bool | None, start_zero: bool | None, end_zero: bool | None) -> tuple[bool, bool]:
    """Whether functions vanish at the start and at the end, said once for both or of each."""
    if cutoff is not None and start_zero is None and end_zero is None:
        return cutoff, cutoff
    if cutoff is None and start_zero is not None and end_zero is not None:
        return start_zero, end_zero
    raise ValueError(
        f"expected cutoff, or start_zero and end_zero, received cutoff={cutoff}, "
        f"start_zero={start_zero}, end_zero={end_zero}"
    )


def _fourier(r: Array, start: int | float, end: int | float, number: int, cutoff: bool) -> Array:
    """Sines over the range, zero outside of it (with a cutoff), or cosines everywhere."""
    x = (r[..., None] - start) * (1.0 / (end - start))
    if not cutoff:
        k = row(math.pi * np.arange(number), r)
        return jnp.cos(k * x) * (1.0 / math.sqrt(0.25 + number / 2))
    k = row(math.pi * np.arange(1, number + 1), r)
    waves = jnp.sin(k * x) * (1.0 / math.sqrt(0.25 + number / 2))
    return jnp.where((x > 0.0) & (x < 1.0), waves, 0.0)


def floats(x: ArrayLike) -> Array:
    """The input as a floating point array, its precision kept."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.result_type(float))


def row(values: np.ndarray, r: Array) -> np.ndarray:
    """Constants along a new last axis of ``r``, in its precision."""
    dtype = r.dtype if jnp.issubdtype(r.dtype, jnp.floating) else jnp.result_type(float)
    return values.astype(dtype).reshape((1,) * r.ndim + (-1,))
